"""A full disk: what was refused is not there, nothing is in doubt, reads go on, and writes go again with room."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.exc import OperationalError

from tradewind.infra.db import Db, Tx
from tradewind.infra.db_errors import is_full, is_passing

_tables = MetaData()
_things = Table("things", _tables, Column("id", Integer, primary_key=True), Column("text", String))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a file system is not allowed here; the flow test covers the refusal itself")
    yield place
    subprocess.run(["/bin/umount", "-l", str(place)], check=True)


@pytest.mark.database("sqlite")
async def test_fault_67_disk_when_really_full_then_refused_not_in_doubt_and_goes_on_with_room(small_disk: Path) -> None:
    """reliability.md section 3: what was told to be written is there, what was refused is not."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    db = Db.open(f"sqlite:///{small_disk}/x.db")
    told: list[str] = []
    db.on_doubt = lambda: told.append("doubt")
    try:
        db.write_now(lambda tx: _tables.create_all(tx))
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
        ballast.unlink()
        assert await _refusal(db, 5_000) is None
        kept = await db.read(_count)
    finally:
        db.close()
    again = Db.open(f"sqlite:///{small_disk}/x.db")
    try:
        assert again.read_now(_count) == kept
    finally:
        again.close()


async def _refusal(db: Db, number: int) -> OperationalError | None:
    """Add one row; the error where it was refused."""
    try:
        await db.write(partial(_add, number=number))
    except OperationalError as error:
        return error
    return None


def _add(tx: Tx, number: int) -> None:
    tx.execute(insert(_things), [{"id": number, "text": "x" * 2_000}])


def _count(tx: Tx) -> int:
    return tx.execute(select(func.count()).select_from(_things)).scalar_one()
