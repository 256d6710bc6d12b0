"""Emergency stop in the running platform: the latch first, then the record, and an eye on all who may stop.

A stop may come from a door of this process, from another process on the same database (the command line), by
the bus, or from the stop file. Whichever comes first closes the latch; the database decides in the end. Where
the database cannot be written the stop is put into the file, and merged as soon as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from tradewind.core.errors import Unavailable
from tradewind.core.ids import UserId
from tradewind.core.order import Order
from tradewind.execution import emergency_store
from tradewind.execution.emergency import Emergency, Stopped, StopRequest
from tradewind.execution.emergency_store import EpochName, Scope, ScopeKind, StopRow
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Moved
from tradewind.execution.recorder import Recorder
from tradewind.execution.stop_file import FiledStop, StopFile, latched
from tradewind.execution.stops import STOPPED, active_stops, stop_epoch
from tradewind.infra.bus import Bus, Message
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.db_errors import Unreachable
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger

_log = logger("execution.emergency")
T = TypeVar("T")

TOPIC = "emergency"
# How soon a stop from elsewhere is seen, at the latest (a file, another process on the database).
_EVERY_S = 0.2
# Whoever wrote the file may reach the database by themselves; after this the platform does it for them.
_GRACE_S = 2.0
# A stop told by the bus closes the latch for this long, until the database shows it.
_TOLD_S = 5.0
# A write that takes longer counts as a database that is away.
_WRITE_S = 8.0
# What says that the database cannot be had now.
AWAY = (SQLAlchemyError, Unreachable, TimeoutError)


@dataclass(slots=True)
class EmergencyDesk:
    """Stops and resumes in this process; one per process."""

    db: Db
    emergency: Emergency
    latch: Latch
    recorder: Recorder
    clock: Clock
    bus: Bus
    ids: Ids
    file: StopFile
    user_of: Callable[[Tx, str], UserId | None]
    # Woken when a scope was stopped or opened: whoever carries out what a stop's policy asks for.
    on_change: list[Callable[[], None]] = field(default_factory=list)
    process: str = field(init=False)
    _told: dict[Scope, float] = field(default_factory=dict)
    _filed_at: tuple[tuple[FiledStop, ...], float] = ((), 0.0)
    _merged: set[str] = field(default_factory=set)
    # Merges that wait for the database.
    _merging: dict[str, asyncio.Task[Stopped | None]] = field(default_factory=dict)
    _is_away: bool = False

    def __post_init__(self) -> None:
        self.process = self.ids.new()

    @property
    def filed(self) -> tuple[FiledStop, ...]:
        """What the stop file said when it was last looked at."""
        return self._filed_at[0]

    # --- verbs -----------------------------------------------------------------------------------

    async def stop(self, wanted: StopRequest, work: Callable[[Tx], T]) -> T | None:
        """Close the latch, then carry out `work`, which stops the scope; None if only the file could be written.

        Raises what `work` raises, and Unavailable where neither database nor file can be written: then the
        latch stays closed in this process.
        """
        self.latch.ask(wanted.scope)
        await self._tell(wanted.scope)
        try:
            result = await self._write(work)
        except CommitInDoubt:
            with contextlib.suppress(Unavailable):
                await self._put(wanted)
            raise
        except AWAY as error:
            _log.error("execution.emergency.not_in_database", scope=str(wanted.scope), error=type(error).__name__)
            await self._put(wanted)
            self.latch.answer(wanted.scope)
            return None
        except BaseException:
            # Refused, or asked for by nobody any more: nothing was stopped.
            self.latch.answer(wanted.scope)
            raise
        _log.warning("execution.emergency.stopped", scope=str(wanted.scope), actor=wanted.actor)
        try:
            await self._reload()
            self.latch.answer(wanted.scope)
        except AWAY:
            # Committed, and not to be read just now: the watch takes it from here.
            self._hold(wanted.scope)
        return result

    async def resume(self, scope: Scope, work: Callable[[Tx], T]) -> T:
        """Carry out `work`, which opens a scope, after everything that the stop file says is in the database.

        Raises Unavailable where a stop file stands in the way.
        """
        await self._merge(await asyncio.to_thread(self.file.read))
        left = await self._look_at_file()
        if scope in latched(left):
            raise Unavailable("stop_file", f"The stop file {self.file.path} could not be taken in. Remove it first.")
        result = await self._write(work)
        _log.warning("execution.emergency.resumed", scope=str(scope))
        await self._reload()
        return result

    def announce(self, denied: Sequence[Moved]) -> None:
        """Tell the platform of entries that a stop denied."""
        self.recorder.announce(denied)

    # --- watching --------------------------------------------------------------------------------

    async def load(self) -> None:
        """At start, before anything is claimed: take in the stop file and what the database says."""
        stops = await self._look_at_file()
        await self._merge(stops)
        await self._reload()

    async def run(self) -> None:
        """Watch file, database and bus until cancelled."""
        subscription = self.bus.subscribe(TOPIC)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_file(), name="stop file")
                tasks.create_task(self._watch_database(), name="stop rows")
                async for message in subscription:
                    self._hear(message)
        finally:
            self.bus.unsubscribe(subscription)
            for task in self._merging.values():
                task.cancel()

    async def _watch_file(self) -> None:
        while True:
            stops = await self._look_at_file()
            if stops and self.clock.monotonic() - self._filed_at[1] >= _GRACE_S:
                try:
                    await self._merge(stops)
                except AWAY as error:
                    # Merged, and not to be read just now: the file stays, the latch holds, and it is tried again.
                    _log.warning("execution.emergency.not_read", error=type(error).__name__)
            await self.clock.sleep(_EVERY_S)

    async def _watch_database(self) -> None:
        while True:
            try:
                await self._look_at_database()
                self._is_away = False
            except AWAY as error:
                if not self._is_away:
                    _log.error("execution.emergency.database_away", error=type(error).__name__)
                self._is_away = True
            await self.clock.sleep(_EVERY_S)

    def _hear(self, message: Message) -> None:
        """Another process is about to stop a scope: nothing of it leaves here meanwhile."""
        if message.payload["process"] == self.process:
            return
        scope = Scope(ScopeKind(message.payload["scope"]), message.payload["subject"])
        self.latch.ask(scope)
        self._hold(scope)

    def _hold(self, scope: Scope) -> None:
        """Let a scope that was asked for stay closed until the database has surely been read again."""
        if scope in self._told:
            self.latch.answer(scope)
        self._told[scope] = self.clock.monotonic() + _TOLD_S

    # --- inside ----------------------------------------------------------------------------------

    async def _tell(self, scope: Scope) -> None:
        payload = {"scope": scope.kind.value, "subject": scope.subject, "process": self.process}
        await self.bus.publish(Message(0, TOPIC, None, payload))

    async def _write(self, work: Callable[[Tx], T]) -> T:
        async with asyncio.timeout(_WRITE_S):
            return await self.db.write(work)

    async def _put(self, wanted: StopRequest) -> None:
        try:
            await asyncio.to_thread(self.file.put, FiledStop(self.ids.new(), wanted, self.clock.now()))
        except OSError as error:
            _log.error("execution.emergency.not_filed", path=str(self.file.path), error=error.strerror)
            raise Unavailable(
                "stop_not_recorded",
                "Entries are stopped in this process and nowhere else: neither the database nor the stop file can be "
                "written. It holds until the process ends. Repair the disk, then stop again.",
            ) from None
        await self._look_at_file()

    async def _look_at_file(self) -> tuple[FiledStop, ...]:
        stops = await asyncio.to_thread(self.file.read)
        if stops != self._filed_at[0]:
            self._filed_at = (stops, self.clock.monotonic())
            scopes = sorted(map(str, latched(stops)))
            _log.error("execution.emergency.stop_file", scopes=scopes, path=str(self.file.path))
        self.latch.set_filed(latched(stops))
        return stops

    async def _merge(self, stops: Sequence[FiledStop]) -> None:
        """Bring filed stops into the database, then take them out of the file; later again where it is away."""
        for stop in stops:
            if stop.id in self._merged:
                continue
            try:
                merged = await self._merged_soon(stop)
            except AWAY as error:
                _log.warning("execution.emergency.not_merged", stop=stop.id, error=type(error).__name__)
                return
            self._merged.add(stop.id)
            self.announce(() if merged is None else merged.denied)
        if stops:
            try:
                # The latch knows the stop from the database before the file is gone.
                await self._reload()
            except AWAY as error:
                _log.warning("execution.emergency.not_read_back", error=type(error).__name__)
                return
            await self._forget(stops)

    async def _merged_soon(self, stop: FiledStop) -> Stopped | None:
        """Wait for a merge a while; one that still waits for the database is not asked for a second time."""
        task = self._merging.pop(stop.id, None)
        if task is None:
            task = asyncio.create_task(self.db.write(partial(self._merge_one, stop=stop)), name="merge stop file")
        done, _ = await asyncio.wait({task}, timeout=_WRITE_S)
        if not done:
            self._merging[stop.id] = task
            raise TimeoutError
        return task.result()

    def _merge_one(self, tx: Tx, stop: FiledStop) -> Stopped | None:
        return self.emergency.merge(tx, stop.request, stop.asked_at, self.user_of)

    async def _forget(self, stops: Sequence[FiledStop]) -> None:
        try:
            await asyncio.to_thread(self.file.remove, {stop.id for stop in stops})
        except OSError as error:
            # It stays and so does the latch; a resume says what to do.
            _log.error("execution.emergency.stop_file_stays", path=str(self.file.path), error=error.strerror)

    async def _look_at_database(self) -> None:
        epoch, said = await self.db.read(_epochs)
        if epoch != self.latch.epoch:
            await self._reload()
        seen = self.latch.epoch
        now = self.clock.monotonic()
        for scope in [scope for scope, until in self._told.items() if until <= now]:
            del self._told[scope]
            self.latch.answer(scope)
        if said < seen:
            await self.db.write(lambda tx: emergency_store.put_epoch(tx, EpochName.STOP_SEEN, seen))

    async def _reload(self) -> None:
        epoch, rows, denied = await self.db.read(self._read)
        if epoch < self.latch.epoch:
            return
        self.latch.set_stored([row.scope for row in rows], epoch)
        self.recorder.announce([Moved(order, order) for order in denied])
        for call in self.on_change:
            call()

    def _read(self, tx: Tx) -> tuple[int, list[StopRow], list[Order]]:
        epoch = stop_epoch(tx)
        rows = list(active_stops(tx).values())
        fresh = [row for row in rows if row.epoch > self.latch.epoch]
        denied = [
            stored.order
            for row in fresh
            for stored in emergency_store.denied_since(tx, row.scope, STOPPED, row.stopped_at)
        ]
        return epoch, rows, denied


def _epochs(tx: Tx) -> tuple[int, int]:
    """Read the stop epoch, and the one that the platform has said it obeys."""
    return stop_epoch(tx), emergency_store.peek(tx, EpochName.STOP_SEEN)
