"""Every setting that can be set is read by somebody; one that does nothing would be a promise not kept."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.support.source_tree import product_modules

from tradewind.config import known_settings

BASELINE = tomllib.loads((Path(__file__).parent / "baseline.toml").read_text("utf-8"))
# Only these may see settings at all (the import contract), besides the derived values in settings.py itself.
_READERS = ("app", "cli", "demo")


def unread_settings() -> list[str]:
    text = "\n".join(
        module.text
        for module in product_modules()
        if module.room in _READERS or module.path == "src/tradewind/config/settings.py"
    )
    # All environments of a venue have the same settings.
    keys = {re.sub(r"^venues\.\w+\.\w+\.", "venue.", key) for key in known_settings()}
    return sorted(key for key in keys if not re.search(rf"\.{key.rpartition('.')[2]}\b", text))


def test_setting_when_declared_is_read_or_on_the_shrinking_list() -> None:
    allowed = BASELINE["unread_settings"]
    assert sorted(set(unread_settings()) - set(allowed)) == [], "read it where rooms are built, or take it away"
    assert sorted(set(allowed) - set(unread_settings())) == [], "good: take these off the list"
