"""Two who wait for each other at the server: one is rolled back and does its transaction again, whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from tests.support.database import address

from tradewind.infra.db import Db, Tx
from tradewind.infra.db_postgresql import _LOCK_SPACE, _WRITE_LOCK


@pytest.mark.database("postgresql")
async def test_fault_73_deadlock_when_the_server_ends_it_then_the_transaction_is_done_again_once(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 3.6: a transaction has no effect but its own, so it may be done again."""
    url = address(tmp_path / "tradewind.db")
    db = Db.open(url)
    attempts = 0

    def work(tx: Tx) -> None:
        nonlocal attempts
        attempts += 1
        tx.execute(text("UPDATE numbers SET value = value + 1 WHERE name = 'a'"))

    try:
        await db.write(_make)
        with psycopg.connect(url.replace("+psycopg", "")) as other:
            # The other holds the row, ours the writer's place; then the other wants the writer's place, too.
            other.execute("UPDATE numbers SET value = value + 10 WHERE name = 'a'")
            ours = asyncio.create_task(db.write(work))
            await _until_waiting(db)
            await asyncio.to_thread(other.execute, f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, {_WRITE_LOCK})")
            other.commit()
            await ours
        value = await db.read(lambda tx: tx.execute(text("SELECT value FROM numbers")).scalar_one())
        assert (attempts, value) == (2, 11)
    finally:
        db.close()


def _make(tx: Tx) -> None:
    tx.execute(text("CREATE TABLE numbers (name text PRIMARY KEY, value int)"))
    tx.execute(text("INSERT INTO numbers VALUES ('a', 0)"))


async def _until_waiting(db: Db) -> None:
    """Wait until a session waits for the row."""
    query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(1_000):
        if await db.read(lambda tx: tx.execute(query).scalar_one()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")
