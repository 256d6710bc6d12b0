"""The settings as text: what is in effect, and the example file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tradewind.config.reading import MASK, Known, known_settings
from tradewind.config.settings import Settings
from tradewind.core.instrument import Environment, VenueName


@dataclass(frozen=True, slots=True)
class Line:
    """One setting in effect, for people; `value` is masked where it is a secret."""

    key: str
    value: str
    origin: str


def describe(settings: Settings) -> list[Line]:
    """List every setting in effect with where it came from, secrets masked."""
    lines = []
    for key, known in known_settings().items():
        value = _value_of(settings, key)
        is_masked = value is not None and known.is_secret
        text = MASK if is_masked else _text_of(value)
        lines.append(Line(key, text, settings.origins.get(key, "default")))
    return lines


def _value_of(settings: Settings, key: str) -> Any:
    parts = key.split(".")
    if parts[0] == "venues":
        return getattr(settings.venues[VenueName(parts[1]), Environment(parts[2])], parts[3])
    value: Any = settings
    for part in parts:
        value = getattr(value, part)
    return value


def _text_of(value: Any) -> str:
    if value is None or value == "":
        return "(not set)"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = re.sub(r"(://[^:/@]*:)[^@]*@", rf"\1{MASK}@", text)
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", rf"\1{MASK}", text)


def example_toml() -> str:
    """Write the example file: every setting with its sentence and default, commented out."""
    lines = [
        "# Every setting of Tradewind with its default. Copy to tradewind.toml and uncomment what you change.",
        "# The environment wins: `max_age_s` in [orders] is TRADEWIND_ORDERS__MAX_AGE_S there.",
        "# Secrets do not belong in this file; settings ending in _env or _file say where a secret is kept.",
    ]
    table = None
    for known in known_settings().values():
        prefix, _, name = known.key.rpartition(".")
        if prefix != table:
            table = prefix
            lines += ["", f"[{prefix}]"] if prefix else [""]
        lines.append(f"# {known.declared.metadata['about']}")
        lines.append(f"# Environment only: {known.env}" if known.is_secret else f"#{name} = {_toml_default(known)}")
    return "\n".join([*lines, ""])


# Defaults that depend on the machine are shown by rule, so that the example is the same everywhere.
_BY_RULE = {"data_dir": '"~/.local/share/tradewind"', "kek_file": '"~/.config/tradewind/kek"'}


def _toml_default(known: Known) -> str:
    if known.key in _BY_RULE:
        return _BY_RULE[known.key]
    default = known.default
    if default is None or default == "":
        return '""'
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) if isinstance(default, int | Decimal) else f'"{default}"'
