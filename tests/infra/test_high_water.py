"""The high-water mark beside a database that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import OperationalError
from tests.support.database import address

from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.db_errors import Unreachable
from tradewind.infra.high_water import HighWater, Mark, read_mark

MARK = Mark(3, 2, 1, datetime(2026, 11, 20, 12, 0, tzinfo=UTC))


async def test_mark_when_the_database_is_away_for_a_while_then_written_once_it_is_back(tmp_path: Path) -> None:
    """order-protocol.md section 6: with the database away the process stays, or nobody would watch a stop."""
    away = [OperationalError("SELECT", {}, sqlite3.OperationalError("away")), Unreachable("a standby")]

    def read(_tx: Tx) -> Mark:
        if away:
            raise away.pop()
        return MARK

    db = Db.open(address(tmp_path / "journal.db"))
    path = tmp_path / "journal.high-water"
    running = asyncio.create_task(HighWater(db, SystemClock(), path, read).run())
    try:
        async with asyncio.timeout(10):
            while read_mark(path) is None:
                assert not running.done()
                await asyncio.sleep(0.05)
        assert read_mark(path) == MARK
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        db.close()
