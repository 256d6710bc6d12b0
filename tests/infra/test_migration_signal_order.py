"""A journal of an earlier release gets the order of its signals from the inbox."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, insert, text
from tests.support.database import address

from tradewind.infra.db import Db, Tx
from tradewind.infra.migrate import SCRIPTS, upgrade_schema

_REVISION = "0005"


def _scripts_before(folder: Path) -> Path:
    """Copy the migrations without the one under test and those after it."""
    scripts = folder / "migrations"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    later = {each.path for each in ScriptDirectory(str(scripts)).iterate_revisions("heads", _REVISION)}
    own = ScriptDirectory(str(scripts)).get_revision(_REVISION)
    assert own is not None
    for path in {*later, own.path}:
        Path(path).unlink()
    return scripts


def _put(tx: Tx, name: str, **values: Any) -> None:
    """Insert a row; columns that must have a value and are not named get an empty one."""
    table = Table(name, MetaData(), autoload_with=tx)
    empty = {
        column.name: _EMPTY.get(column.type.python_type, "")
        for column in table.c
        if not column.nullable and not column.primary_key
    }
    tx.execute(insert(table).values({**empty, **values}))


_EMPTY: dict[type, Any] = {int: 0, Decimal: Decimal(0), bool: False, datetime: datetime(2026, 1, 1, tzinfo=UTC)}


def test_upgrade_when_journal_is_of_an_earlier_release_then_signals_keep_their_order(tmp_path: Path) -> None:
    """order-protocol.md section 9: a journal written by any earlier release is recovered by this one."""
    db = Db.open(address(tmp_path / "tradewind.db"))
    try:
        upgrade_schema(db, _scripts_before(tmp_path))

        def fill(tx: Tx) -> None:
            _put(tx, "sources", id="s")
            for seq, signal in ((3, "signal-z"), (4, "signal-a")):
                _put(tx, "inbox", seq=seq, id=signal, source_id="s")
                _put(tx, "lots", id=f"lot-{seq}", signal_id=signal, entry_order_id=f"entry-{seq}")
                _put(tx, "intents", id=f"intent-{seq}", signal_id=signal)
            _put(tx, "intents", id="by-hand")
            _put(tx, "lots", id="adopted", signal_id="not-in-the-inbox")

        db.write_now(fill)
        upgrade_schema(db)

        def read(tx: Tx) -> dict[str, int | None]:
            rows = tx.execute(text("SELECT id, signal_seq FROM lots UNION ALL SELECT id, signal_seq FROM intents"))
            return {row.id: row.signal_seq for row in rows}

        assert db.read_now(read) == {
            "lot-3": 3,
            "lot-4": 4,
            "intent-3": 3,
            "intent-4": 4,
            "by-hand": None,
            "adopted": None,
        }
    finally:
        db.close()
