"""The desk of a running platform: the latch before the record, other processes, the file where the database fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from tests.support.clock import ManualClock
from tests.support.database import address
from tests.support.emergency import Stage

from tradewind.core.errors import NotFound, Unavailable
from tradewind.execution.emergency import Stopped, StopRequest
from tradewind.execution.emergency_desk import EmergencyDesk
from tradewind.execution.emergency_store import PLATFORM, Policy, Scope, ScopeKind
from tradewind.execution.recorder import Recorder
from tradewind.execution.service import stop_seen
from tradewind.execution.stop_file import StopFile
from tradewind.execution.stops import active_stops
from tradewind.infra.bus import InProcessBus
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.migrate import upgrade_schema

ANN = Scope(ScopeKind.USER, "u-a")
WANTED = StopRequest(ANN, Policy.CANCEL, "user:u-a", "drill")
_PATIENCE_S = 20


@dataclass(slots=True)
class Process:
    """One process's desk, with its own latch and its own connections."""

    stage: Stage
    desk: EmergencyDesk

    def stop(self, tx: Tx) -> Stopped:
        """What a door does in its transaction."""
        return self.stage.emergency.stop(tx, WANTED)


@contextlib.asynccontextmanager
async def processes(folder: Path) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes on one database, one bus and one data folder; only the second one's watch runs."""
    url = address(folder / "journal.db", is_migrated=True)
    bus, made = InProcessBus(), []
    for _ in range(2):
        db = Db.open(url)
        upgrade_schema(db)
        stage = Stage(db, ManualClock())
        recorder = Recorder(db, stage.applier, SystemClock(), stage.latch)
        desk = EmergencyDesk(
            db=db,
            emergency=stage.emergency,
            latch=stage.latch,
            recorder=recorder,
            clock=SystemClock(),
            bus=bus,
            ids=stage.ids,
            file=StopFile(folder),
            user_of=lambda _tx, _email: None,
        )
        made.append(Process(stage, desk))
    watch = asyncio.create_task(made[1].desk.run())
    await asyncio.sleep(0.05)
    try:
        yield made[0], made[1]
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        for each in made:
            each.stage.db.close()


async def _until(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, "did not come true"
        await asyncio.sleep(0.02)


async def test_stop_when_asked_for_in_one_process_then_the_latch_of_all_is_closed_before_the_commit(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 6: a latch in every process (bus message)."""
    async with processes(tmp_path) as (here, there):
        seen: list[tuple[bool, bool]] = []

        def work(tx: Tx) -> Stopped:
            deadline = time.monotonic() + _PATIENCE_S
            while ANN not in there.stage.latch.closed_scopes and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append((ANN in here.stage.latch.closed_scopes, ANN in there.stage.latch.closed_scopes))
            return here.stop(tx)

        assert await here.desk.stop(WANTED, work) is not None
        assert seen == [(True, True)]
        await _until(lambda: there.stage.latch.epoch == 1)
        await _until(lambda: there.stage.db.read_now(stop_seen) == 1)
        await here.desk.resume(
            ANN, lambda tx: there.stage.emergency.resume(tx, ANN, actor="user:u-a", reason="", is_operator=False)
        )
        assert here.stage.latch.closed_scopes == frozenset()
        await _until(lambda: there.stage.latch.closed_scopes == frozenset())


async def test_stop_when_it_is_refused_then_the_latch_opens_again(tmp_path: Path) -> None:
    async with processes(tmp_path) as (here, _):

        def work(_tx: Tx) -> Stopped:
            raise NotFound("user_not_found", "There is no such user.")

        with pytest.raises(NotFound):
            await here.desk.stop(WANTED, work)
        assert here.stage.latch.closed_scopes == frozenset()
        assert here.desk.file.read() == ()


async def test_fault_61_stop_when_the_database_fails_then_filed_and_recorded_by_whoever_can(tmp_path: Path) -> None:
    async with processes(tmp_path) as (here, there):

        def work(_tx: Tx) -> Stopped:
            raise OperationalError("UPDATE", {}, Exception("disk I/O error"))

        assert await here.desk.stop(WANTED, work) is None
        assert here.stage.latch.closed_scopes == {ANN}
        await _until(lambda: set(there.stage.db.read_now(active_stops)) == {ANN})
        await _until(lambda: there.desk.file.read() == ())
        await _until(lambda: there.stage.latch.closed_scopes == {ANN})


async def test_stop_when_neither_database_nor_file_can_be_written_then_told_and_the_latch_stays_closed(
    tmp_path: Path,
) -> None:
    async with processes(tmp_path) as (here, _):
        here.desk.file.folder = tmp_path / "gone"

        def work(_tx: Tx) -> Stopped:
            raise OperationalError("UPDATE", {}, Exception("disk I/O error"))

        with pytest.raises(Unavailable, match="in this process and nowhere else"):
            await here.desk.stop(WANTED, work)
        assert here.stage.latch.closed_scopes == {ANN}


async def test_fault_68_stop_when_its_commit_is_in_doubt_then_filed_before_the_process_ends(tmp_path: Path) -> None:
    async with processes(tmp_path) as (here, _):

        def work(_tx: Tx) -> Stopped:
            raise CommitInDoubt("COMMIT failed")

        with pytest.raises(CommitInDoubt):
            await here.desk.stop(WANTED, work)
        assert [stop.request for stop in here.desk.file.read()] == [WANTED]
        assert here.stage.latch.closed_scopes == {ANN}


async def test_resume_when_a_stop_file_cannot_be_taken_in_then_refused_with_what_to_do(tmp_path: Path) -> None:
    async with processes(tmp_path) as (here, _):
        here.stage.stop(PLATFORM)
        # A folder of that name can be neither read nor removed as a file.
        here.desk.file.path.mkdir()
        with pytest.raises(Unavailable, match="Remove it first"):
            await here.desk.resume(
                PLATFORM,
                lambda tx: here.stage.emergency.resume(tx, PLATFORM, actor="cli", reason="", is_operator=True),
            )
        assert set(here.stage.db.read_now(active_stops)) == {PLATFORM}


async def test_load_when_started_then_the_latch_knows_database_and_file(tmp_path: Path) -> None:
    async with processes(tmp_path) as (here, _):
        here.stage.stop(ANN)
        here.desk.file.path.touch()
        await here.desk.load()
        assert here.stage.latch.closed_scopes == {ANN, PLATFORM}
        assert here.desk.file.read() == ()
        assert set(here.stage.db.read_now(active_stops)) == {ANN, PLATFORM}


async def test_stop_file_when_it_cannot_be_opened_a_second_time_then_it_is_a_second_stop(tmp_path: Path) -> None:
    """order-protocol.md section 6: a file that another user wrote stops, and stops again after a resume."""
    async with processes(tmp_path) as (here, there):
        file = there.desk.file.path

        def is_stopped() -> bool:
            return not file.is_symlink() and PLATFORM in here.stage.db.read_now(active_stops)

        for _ in range(2):
            # Stands for a file of another user: it is there and cannot be opened.
            file.symlink_to(file)
            await _until(is_stopped)
            here.stage.resume(PLATFORM)


async def test_stop_file_when_the_database_goes_away_right_after_the_merge_then_the_watch_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """order-protocol.md section 6: with the database away the process stays; the file goes when it is back."""
    async with processes(tmp_path) as (here, there):
        db, away = there.stage.db, [0.0]
        read = db.read

        async def fragile(work: Callable[[Tx], object]) -> object:
            if time.monotonic() < away[0]:
                raise OperationalError("SELECT", {}, Exception("away"))
            return await read(work)

        monkeypatch.setattr(db, "read", fragile)
        db.after_commit(lambda: away.__setitem__(0, time.monotonic() + 0.7) if not away[0] else None)
        there.desk.file.path.touch()
        await _until(lambda: not there.desk.file.path.exists())
        assert PLATFORM in here.stage.db.read_now(active_stops)
        assert PLATFORM in there.stage.latch.closed_scopes
