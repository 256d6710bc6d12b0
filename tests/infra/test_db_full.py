"""A full disk: what was refused is not there, nothing is in doubt, reads go on, and writes go again with room."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.exc import OperationalError
from tests.support.small_disk import SmallDisk, small_disk

from tradewind.infra.db import Db, Tx
from tradewind.infra.db_errors import is_full, is_passing
from tradewind.infra.db_reserve import DiskShort, Reserve, reserve_of

_tables = MetaData()
_things = Table("things", _tables, Column("id", Integer, primary_key=True), Column("text", String))


# What is said here is about SQLite's own files.
pytestmark = pytest.mark.database("sqlite")


@pytest.fixture(name="disk")
def one_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path, "1m") as disk:
        yield disk


@contextmanager
def opened(disk: SmallDisk) -> Iterator[Db]:
    db = Db.open(f"sqlite:///{disk.place}/x.db")
    try:
        db.write_now(lambda tx: _tables.create_all(tx))
        yield db
    finally:
        db.close()


async def test_fault_67_disk_when_really_full_then_refused_not_in_doubt_and_goes_on_with_room(disk: SmallDisk) -> None:
    """reliability.md section 3: what was told to be written is there, what was refused is not."""
    disk.ballast.write_bytes(b"x" * 300_000)
    told: list[str] = []
    with opened(disk) as db:
        db.on_doubt = lambda: told.append("doubt")
        kept = 0
        refused: OperationalError | None = None
        while refused is None and kept < 1_000:
            refused = await _refusal(db, kept)
            kept += refused is None
        assert refused is not None
        assert is_full(refused)
        assert is_passing(refused)
        assert (db.trouble, told) == ("full", [])
        assert kept > 10
        # Reads go on, and nobody's refused work is there: small works that share one commit neither.
        answers = await asyncio.gather(
            *(_refusal(db, number) for number in range(2_000, 2_005)),
        )
        assert any(answers)
        assert await db.read(_count) == kept + answers.count(None)
        disk.free()
        assert await _refusal(db, 5_000) is None
        kept = await db.read(_count)
    with opened(disk) as again:
        assert again.read_now(_count) == kept


def test_fault_67_commit_when_refused_for_want_of_room_then_a_crash_finds_what_was_acknowledged_and_no_more(
    disk: SmallDisk, tmp_path: Path
) -> None:
    """ADR 0021: SQLite's "full" at COMMIT is a refusal, in the process and for whoever recovers its files.

    The room is taken away and given back page by page, so that COMMIT is refused at every place of a frame: SQLite
    writes them 4,120 bytes apart, the disk gives room by 4,096.
    """
    acknowledged: set[int] = set()
    draw, refused = random.Random(67), 0
    with opened(disk) as db:
        db.on_doubt = lambda: pytest.fail("nothing of this is in doubt")
        for number in range(1, 400):
            size = draw.choice((10, 500, 2_000, 4_000))
            ids = [number * 100 + place for place in range(draw.choice((1, 1, 2, 5)))]
            _take_room(disk, draw)
            if _is_refused(db, partial(_add_all, ids=ids, size=size)):
                refused += 1
                assert _recovered(disk, tmp_path / f"crash-{number}") == acknowledged
            else:
                acknowledged.update(ids)
            assert db.read_now(_ids) == acknowledged
    assert refused > 30
    assert len(acknowledged) > 30


def _is_refused(db: Db, work: Callable[[Tx], None]) -> bool:
    try:
        db.write_now(work)
    except OperationalError as error:
        return is_full(error)
    return False


def _take_room(disk: SmallDisk, draw: random.Random) -> None:
    """Leave a few pages of the disk, more or fewer than a commit needs."""
    disk.free()
    disk.fill()
    with disk.ballast.open("r+b") as file:
        size = disk.ballast.stat().st_size
        file.truncate(max(0, size - 4_096 * draw.choice((0, 1, 2, 3, 4, 6, 9, 15))))


def _recovered(disk: SmallDisk, copy: Path) -> set[int]:
    """Open the files as a crash would leave them: what only the process knows (the index in memory) is not there."""
    copy.mkdir()
    for name in ("x.db", "x.db-wal"):
        if (disk.place / name).exists():
            shutil.copy(disk.place / name, copy)
    with closing(sqlite3.connect(copy / "x.db")) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {row[0] for row in found.execute("SELECT id FROM things")}


async def test_fault_67_disk_when_full_then_the_reserve_lets_the_same_write_through_until_there_is_room(
    disk: SmallDisk,
) -> None:
    """reliability.md section 3: the reserve is freed to write exits, entries are refused meanwhile."""
    with opened(disk) as db:
        db.reserve = Reserve(disk.place / "x.db.reserve", 200_000)
        assert db.reserve.keep()
        assert (db.trouble, db.is_short) == (None, False)
        disk.fill()
        number = 0
        while not db.is_short:
            number += 1
            assert await _refusal(db, number) is None, "the reserve was there for it"
        assert db.trouble == "full"
        with pytest.raises(DiskShort):
            db.demand_room()
        assert await _refusal(db, 1_000) is None, "and for what comes after"
        assert not db.reserve.keep(), "there is no room for it yet"
        disk.free()
        assert db.reserve.keep()
        db.demand_room()
        assert await db.read(_count) == number + 1


def test_reserve_when_the_disk_has_too_little_from_the_start_then_lacking(disk: SmallDisk) -> None:
    reserve = Reserve(disk.place / "x.db.reserve", 600_000)
    assert not reserve.keep(), "making it would leave the disk nearly full"
    assert reserve.is_lacking
    assert not reserve.give()
    assert list(disk.place.iterdir()) == []


def test_reserve_when_the_file_is_there_without_room_behind_it_then_made_whole(disk: SmallDisk) -> None:
    reserve = Reserve(disk.place / "x.db.reserve", 200_000)
    with reserve.path.open("wb") as sparse:
        sparse.truncate(200_000)
    assert reserve.keep()
    assert reserve.path.stat().st_blocks * 512 >= 200_000


def test_reserve_of_when_the_database_is_a_server_or_none_is_wanted_then_none() -> None:
    assert reserve_of("postgresql://tradewind@localhost/tradewind", 32) is None
    assert reserve_of("sqlite:////data/x.db", 0) is None
    found = reserve_of("sqlite:////data/x.db", 32)
    assert found is not None
    assert (found.path, found.size_bytes) == (Path("/data/x.db.reserve"), 32_000_000)


async def _refusal(db: Db, number: int) -> OperationalError | None:
    """Add one row; the error where it was refused."""
    try:
        await db.write(partial(_add, number=number))
    except OperationalError as error:
        return error
    return None


def _add(tx: Tx, number: int) -> None:
    tx.execute(insert(_things), [{"id": number, "text": "x" * 2_000}])


def _add_all(tx: Tx, ids: list[int], size: int) -> None:
    tx.execute(insert(_things), [{"id": number, "text": "x" * size} for number in ids])


def _ids(tx: Tx) -> set[int]:
    return set(tx.execute(select(_things.c.id)).scalars())


def _count(tx: Tx) -> int:
    return tx.execute(select(func.count()).select_from(_things)).scalar_one()
