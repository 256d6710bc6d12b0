"""The shape of a database, and migrations of a release that does not exist yet."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import inspect, text

from tradewind.infra.db import Db, Tx
from tradewind.infra.migrate import SCRIPTS, head_revision

# In the database's own words, conditions included.
_INDEXES = {
    "sqlite": "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index'",
    "postgresql": "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


def shape(db: Db) -> dict[str, object]:
    """Everything the database itself says about its tables, except Alembic's own."""

    def read(tx: Tx) -> dict[str, object]:
        inspector = inspect(tx)
        indexes: dict[str, list[str]] = {}
        for table, sql in tx.execute(text(_INDEXES[tx.dialect.name])):
            indexes.setdefault(table, []).append(" ".join(str(sql).split()))
        return {
            name: (
                [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)],
                inspector.get_pk_constraint(name),
                sorted(map(str, inspector.get_foreign_keys(name))),
                sorted(map(str, inspector.get_unique_constraints(name))),
                sorted(indexes.get(name, [])),
                sorted(map(str, inspector.get_check_constraints(name))),
            )
            for name in inspector.get_table_names()
            if name != "alembic_version"
        }

    return db.read_now(read)


def copied_scripts(tmp_path: Path) -> Path:
    """Copy the migrations of this release."""
    scripts = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    return scripts


def scripts_with_one_more(tmp_path: Path, *lines: str) -> Path:
    """Copy the migrations and add one whose body is these lines."""
    scripts = copied_scripts(tmp_path)
    body = "\n".join(f"    {line}" for line in lines)
    (scripts / "versions" / "9999_later.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision = '9999'\n"
        f"down_revision = '{head_revision()}'\ndef upgrade() -> None:\n{body}\n",
        "utf-8",
    )
    return scripts
