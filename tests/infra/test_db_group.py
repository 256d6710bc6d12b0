"""Small writes that wait together share a COMMIT; each stands or falls by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.support.database import address

from tradewind.infra.db import CommitInDoubt, Db, Tx


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    opened = Db.open(address(tmp_path / "group.db"))
    opened.write_now(lambda tx: tx.execute(text("CREATE TABLE things (name VARCHAR(20) PRIMARY KEY)")))
    yield opened
    opened.close()


def _add(tx: Tx, name: str) -> str:
    tx.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})
    return name


def _names(tx: Tx) -> list[str]:
    return list(tx.execute(text("SELECT name FROM things ORDER BY name")).scalars())


async def _together(db: Db, *works: object) -> list[Any]:
    """Let works wait while the writing thread is busy, so that they are taken as a group."""
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_tx: Tx) -> None:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)

    first = asyncio.create_task(db.write(hold, is_large=True))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(db.write(work)) for work in works]  # type: ignore[arg-type, var-annotated]
    await asyncio.sleep(0)
    gate.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_write_when_one_of_a_group_fails_then_the_others_are_kept_and_it_is_told(db: Db) -> None:
    def fails_late(tx: Tx) -> None:
        _add(tx, "half")
        raise ValueError("a mistake")

    found = await _together(db, lambda tx: _add(tx, "a"), fails_late, lambda tx: _add(tx, "b"))
    assert found[0] == "a"
    assert isinstance(found[1], ValueError)
    assert found[2] == "b"
    assert await db.read(_names) == ["a", "b"]


async def test_write_when_one_of_a_group_breaks_a_constraint_then_it_alone_is_undone(db: Db) -> None:
    found = await _together(db, lambda tx: _add(tx, "a"), lambda tx: _add(tx, "a"), lambda tx: _add(tx, "b"))
    assert [type(each) for each in found] == [str, IntegrityError, str]
    assert await db.read(_names) == ["a", "b"]


async def test_write_when_works_wait_together_then_each_sees_those_before_it(db: Db) -> None:
    found = await _together(db, lambda tx: _add(tx, "a"), _names, lambda tx: _add(tx, "b"), _names)
    assert found[1] == ["a"]
    assert found[3] == ["a", "b"]


async def test_write_when_the_commit_of_a_group_fails_then_everybody_is_in_doubt(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubts: list[bool] = []
    db.on_doubt = lambda: doubts.append(True)
    real = Db._committed

    def torn(self: Db, tx: Tx, work: object) -> object:
        if getattr(work, "keywords", None):  # the group, not the one that holds the thread
            work(tx)  # type: ignore[operator]
            self._doubt()
            raise CommitInDoubt("COMMIT failed")
        return real(self, tx, work)  # type: ignore[arg-type]

    monkeypatch.setattr(Db, "_committed", torn)
    found = await _together(db, lambda tx: _add(tx, "a"), lambda tx: _add(tx, "b"))
    assert [type(each) for each in found] == [CommitInDoubt, CommitInDoubt]
    assert doubts == [True]
    assert await db.read(_names) == []


async def test_write_when_a_caller_goes_before_its_turn_then_its_work_is_not_done(db: Db) -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(
        db.write(lambda _tx: asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10), is_large=True)
    )
    await asyncio.sleep(0.05)
    gone = asyncio.create_task(db.write(lambda tx: _add(tx, "gone")))
    kept = asyncio.create_task(db.write(lambda tx: _add(tx, "kept")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, kept)
    assert await db.read(_names) == ["kept"]
