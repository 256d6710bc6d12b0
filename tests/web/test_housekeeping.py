"""Kept answers do not stay for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from tests.support.clock import ManualClock
from tests.support.db import fresh_db

from tradewind.core.ids import UserId
from tradewind.infra.db import Db
from tradewind.web import store
from tradewind.web.housekeeping import run_housekeeping

_HOUR = 3_600.0


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    with fresh_db(tmp_path, ("web",)) as db:
        yield db


def _keep(db: Db, clock: ManualClock, key: str) -> None:
    db.write_now(lambda tx: store.insert_request(tx, UserId("u1"), key, "hash", clock.now()))


def _kept(db: Db) -> int:
    return db.read_now(
        lambda tx: int(tx.execute(select(func.count()).select_from(store.idempotency_keys)).scalar_one())
    )


@contextlib.asynccontextmanager
async def _running(db: Db, clock: ManualClock) -> AsyncIterator[None]:
    task = asyncio.create_task(run_housekeeping(db, clock))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(is_so: Callable[[], bool]) -> None:
    # The database works in a thread of its own, so there is something to wait for.
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - nobody sets an event when a row is gone
            await asyncio.sleep(0.01)


async def test_housekeeping_when_hours_pass_then_old_keys_go_and_young_ones_stay(db: Db) -> None:
    clock = ManualClock()
    _keep(db, clock, "old")
    clock.step_wall(72 * _HOUR + 1)
    _keep(db, clock, "young")
    async with _running(db, clock):
        await _until(lambda: _kept(db) == 1 and clock.has_sleepers)
        await clock.advance(71 * _HOUR)
        assert _kept(db) == 1
        clock.step_wall(2 * _HOUR)
        await clock.advance(_HOUR)
        await _until(lambda: _kept(db) == 0)


async def test_housekeeping_when_the_database_is_busy_then_tries_again_an_hour_later(db: Db) -> None:
    clock = ManualClock()
    _keep(db, clock, "old")
    clock.step_wall(73 * _HOUR)
    rounds: list[int] = []

    class Busy:
        async def write(self, work: Callable[..., int]) -> int:
            rounds.append(1)
            if len(rounds) == 1:
                raise OperationalError("DELETE", {}, Exception("locked"))
            return await db.write(work)

    async with _running(Busy(), clock):  # type: ignore[arg-type]
        await clock.advance(0)
        assert (len(rounds), _kept(db)) == (1, 1)
        await clock.advance(_HOUR)
        await _until(lambda: _kept(db) == 0)
