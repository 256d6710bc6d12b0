"""Write the next migration: what the tables in the code have and the migrations do not.

Usage: python scripts/new_migration.py "add invoices"

Read the file it writes before committing it: a renamed column looks like one dropped and one added.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData
from sqlalchemy.types import TypeDecorator

from tradewind.infra.db import Db, metadata
from tradewind.infra.migrate import SCRIPTS, upgrade_schema

ROOT = Path(__file__).resolve().parents[1]


def all_tables() -> MetaData:
    """Import every module that declares tables and return the metadata that now knows them."""
    package = ROOT / "src" / "tradewind"
    for file in sorted(package.rglob("*.py")):
        text = file.read_text("utf-8")
        if "tradewind.infra.db import" in text and re.search(r"\bmetadata\b", text) and "Table(" in text:
            name = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
            importlib.import_module(name)
    return metadata


def _render(kind: str, item: Any, context: Any) -> str | bool:
    """Write our own column types by their name."""
    if kind == "type" and isinstance(item, TypeDecorator):
        name = type(item).__name__
        context.imports.add(f"from tradewind.infra.db import {name}")
        return f"{name}()"
    return False


def write_migration(message: str, scripts: Path = SCRIPTS) -> list[Path]:
    """Compare the tables with the migrations on a scratch database; return the files written."""
    before = set((scripts / "versions").glob("[0-9]*.py"))
    # Numbers need not be without gaps: the next one is above them all.
    newest = max((int(path.name[:4]) for path in before), default=0)
    slug = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")
    with tempfile.TemporaryDirectory() as folder:
        db = Db.open(f"sqlite:///{folder}/scratch.db")
        if before:
            upgrade_schema(db, scripts)

        def compare(tx: Any) -> None:
            config = Config()
            config.set_main_option("script_location", str(scripts).replace("%", "%%"))
            config.set_main_option("file_template", f"%%(rev)s_{slug}")
            config.attributes.update(connection=tx, metadata=all_tables(), render_item=_render, batch=bool(before))
            command.revision(config, message=message, rev_id=f"{newest + 1:04d}", autogenerate=True)

        db.write_now(compare)
        db.close()
    written = sorted(set((scripts / "versions").glob("[0-9]*.py")) - before)
    for file in written:
        file.write_text(re.sub(r"^ *# ###.*\n", "", file.read_text("utf-8"), flags=re.MULTILINE), "utf-8")
    return written


if __name__ == "__main__":
    written = write_migration(" ".join(sys.argv[1:]) or sys.exit("say in a few words what the migration does"))
    for tool in ("check --fix-only", "format"):
        subprocess.run([sys.executable, "-m", "ruff", *tool.split(), "--quiet", *written], cwd=ROOT, check=False)
    print(*(file.relative_to(ROOT) for file in written), sep="\n")
