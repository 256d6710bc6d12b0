"""The high-water mark beside a database that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from tests.support.database import address

from tradewind.core.errors import Conflict
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.db_errors import Unreachable
from tradewind.infra.high_water import HighWater, Mark, mark_files, read_mark, read_marks, write_mark, write_marks

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
    running = asyncio.create_task(HighWater(db, SystemClock(), [path], read).run())
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


@pytest.mark.parametrize("is_caught_up", [True, False])
async def test_fault_72_mark_when_the_server_has_another_history_then_uncertain_if_commits_are_not_in_it(
    tmp_path: Path, is_caught_up: bool
) -> None:
    """order-protocol.md section 9: the mark may be a second late; what a failover lost in it must not go unseen."""
    db = Db.open(address(tmp_path / "journal.db"))
    paths = [tmp_path / "one.high-water", tmp_path / "outside" / "two.high-water"]
    paths[1].parent.mkdir()
    water = HighWater(db, SystemClock(), paths, lambda _tx: MARK)
    running = asyncio.create_task(water.run())
    try:
        for _ in range(500):
            if len(read_marks(paths)) == 2 and water.is_caught_up:
                break
            await asyncio.sleep(0.02)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        if not is_caught_up:
            await db.write(lambda tx: tx.execute(text("SELECT 1")))
        water.history_replaced()
        marks = read_marks(paths)
        assert [each.is_uncertain for each in marks] == [not is_caught_up] * 2
        # An uncertain mark is ahead of everything, so that the next start is refused until somebody says so.
        assert marks[0].is_ahead_of(MARK) is not is_caught_up
    finally:
        db.close()


def test_marks_when_the_folder_outside_is_not_there_then_the_first_is_written_alone(tmp_path: Path) -> None:
    paths = [tmp_path / "one.high-water", tmp_path / "gone" / "two.high-water"]
    assert write_marks(paths, MARK) == (paths[1],)
    assert read_marks(paths) == [MARK]


def test_mark_when_its_place_cannot_be_opened_then_refused_with_what_to_do_and_no_traceback(tmp_path: Path) -> None:
    """order-protocol.md section 9: a mark that cannot be read says nothing; nobody takes it for none."""
    (tmp_path / "two.high-water").mkdir()
    with pytest.raises(Conflict, match=r"two\.high-water cannot be read \(Is a directory\)"):
        read_mark(tmp_path / "two.high-water")


def test_marks_when_several_are_read_then_the_one_furthest_ahead_comes_first(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.high-water", "b.high-water")]
    write_mark(paths[0], MARK)
    write_mark(paths[1], replace(MARK, journal=MARK.journal + 1))
    assert [each.journal for each in read_marks(paths)] == [4, 3]


def test_mark_files_when_a_server_moves_then_its_marks_keep_their_names(tmp_path: Path) -> None:
    """By the installation's own name: another host, port or database name is the same installation."""
    outside = tmp_path / "outside"
    urls = ("postgresql+psycopg://one:5432/trading", "postgresql+psycopg://two:6432/renamed")
    first, second = (mark_files(url, tmp_path, outside, "a-name") for url in urls)
    assert first.written == second.written == (tmp_path / "a-name.high-water", outside / "a-name.high-water")
    assert first.former != second.former
