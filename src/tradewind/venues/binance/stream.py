"""Private streams of all accounts over few connections (V15).

Rules of this file: each account belongs to one shard, each shard has one connection, and for the moment of a
change two: the successor is ready before the old one goes, so the daily cut of the venue costs nobody an event
(what comes twice is recognised by its execution id further up). Up and down are told once per change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from tradewind.core.ids import AccountId
from tradewind.infra.clock import Clock
from tradewind.infra.log import logger
from tradewind.venues.base import Signer, StreamDown, StreamUp, VenueEvent
from tradewind.venues.binance.stream_queue import EventQueue
from tradewind.venues.binance.stream_session import Session, SessionParts, Wish
from tradewind.venues.clocksync import VenueClock
from tradewind.venues.ratelimit import IpBudget
from tradewind.venues.stream_socket import Backoff, SocketEnded, StreamRules

_log = logger(__name__)


class BinanceUserEvents:
    """Implements tradewind.venues.base.UserEvents."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        venue_clock: VenueClock,
        budget: IpBudget,
        *,
        rules: StreamRules,
        recv_window_ms: int,
    ) -> None:
        self._parts = SessionParts(url, clock, venue_clock, budget, rules, recv_window_ms)
        self._queue = EventQueue(rules.events_max)
        self._shards: list[_Shard] = []
        self._started = 0
        self._shard_of: dict[AccountId, _Shard] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Keep the connections alive until cancelled."""
        self._started = 0
        async with asyncio.TaskGroup() as group:
            while True:
                for shard in self._shards[self._started :]:
                    group.create_task(shard.run())
                self._started = len(self._shards)
                self._changed.clear()
                await self._changed.wait()

    def add(self, signer: Signer) -> None:
        """Subscribe an account (idempotent); called again with a new key, it is tried at once."""
        shard = self._shard_of.get(signer.account_id)
        if shard is None:
            shard = self._shard_with_room()
            self._shard_of[signer.account_id] = shard
        shard.add(signer)
        self._changed.set()

    def remove(self, account_id: AccountId) -> None:
        """End an account's subscription (idempotent)."""
        shard = self._shard_of.pop(account_id, None)
        if shard is not None:
            shard.remove(account_id)

    def events(self) -> AsyncIterator[VenueEvent]:
        """Yield what the venue says, in order of arrival; one reader."""
        return self._queue.read()

    def _shard_with_room(self) -> _Shard:
        for shard in self._shards:
            if shard.size < self._parts.rules.accounts_per_connection:
                return shard
        shard = _Shard(self._parts, self._queue)
        self._shards.append(shard)
        return shard


class _Shard:
    """Some accounts and their connection."""

    def __init__(self, parts: SessionParts, queue: EventQueue) -> None:
        self._parts = parts
        self._queue = queue
        self._wanted: dict[AccountId, Wish] = {}
        self._carried_by: dict[AccountId, Session] = {}
        self._told_down: dict[AccountId, str] = {}
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._has_accounts = asyncio.Event()

    @property
    def size(self) -> int:
        return len(self._wanted)

    def add(self, signer: Signer) -> None:
        if signer.account_id in self._carried_by:
            return
        self._wanted[signer.account_id] = Wish(signer)
        for session in self._sessions:
            session.retry_now(signer.account_id)
        self._has_accounts.set()

    def remove(self, account_id: AccountId) -> None:
        self._wanted.pop(account_id, None)
        self._carried_by.pop(account_id, None)
        self._told_down.pop(account_id, None)
        if not self._wanted:
            self._has_accounts.clear()

    async def run(self) -> None:
        """Connect, serve, begin anew; for ever."""
        backoff = Backoff(self._parts.clock, self._parts.rules)
        while True:
            await self._has_accounts.wait()
            backoff.started()
            try:
                await self._serve()
            except SocketEnded as ended:
                _log.info("venues.stream.ended", reason=ended.reason, accounts=len(self._wanted))
            except Exception:
                _log.exception("venues.stream.crashed", accounts=len(self._wanted))
            await backoff.wait()
            while not self._queue.has_drained:
                await self._parts.clock.sleep(self._parts.rules.tick_s)

    async def _serve(self) -> None:
        """Run a connection, and its successor before it goes. Raises what ended the last one."""
        session, task = self._start()
        try:
            while not task.done():
                await _first_of(session.wants_successor.wait(), task)
                if not task.done():
                    session, task = await self._succeed(session, task)
        finally:
            ended = task.exception() if task.done() and not task.cancelled() else None
            for other in list(self._sessions):
                await self._end(other, ended.reason if isinstance(ended, SocketEnded) else "connection lost")
        if ended is not None:
            raise ended

    async def _succeed(self, session: Session, task: asyncio.Task[None]) -> tuple[Session, asyncio.Task[None]]:
        """Make a second connection ready and end the first; where that fails the first serves on for a while."""
        heir, heir_task = self._start()
        await _first_of(heir.is_ready.wait(), heir_task, task)
        if heir_task.done() and not task.done():
            await self._end(heir, "successor failed")
            await _first_of(self._parts.clock.sleep(self._parts.rules.backoff_s_max), task)
            return session, task
        await self._end(session, "replaced")
        return heir, heir_task

    def _start(self) -> tuple[Session, asyncio.Task[None]]:
        session = Session(self._parts, self, self._wanted)
        task = asyncio.create_task(session.run())
        self._sessions[session] = task
        return session, task

    async def _end(self, session: Session, reason: str) -> None:
        """Stop a session and tell of every account that only it carried."""
        task = self._sessions.pop(session)
        task.cancel()
        try:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # looked at, so that nobody complains; the last one's is raised by _serve
        finally:
            for account_id in [each for each, carrier in self._carried_by.items() if carrier is session]:
                del self._carried_by[account_id]
                self._tell_down(account_id, reason)
            if not self._sessions:
                for account_id in self._wanted:
                    self._tell_down(account_id, reason)

    # --- Carrier -----------------------------------------------------------------------------------

    def deliver(self, event: VenueEvent) -> bool:
        return self._queue.put(event)

    def up(self, session: Session, account_id: AccountId) -> None:
        is_news = account_id not in self._carried_by
        self._carried_by[account_id] = session
        self._told_down.pop(account_id, None)
        if is_news:
            self._queue.put_news(StreamUp(account_id))

    def down(self, session: Session, account_id: AccountId, reason: str) -> None:
        if self._carried_by.get(account_id, session) is session:
            self._carried_by.pop(account_id, None)
            self._tell_down(account_id, reason)

    def gap(self, session: Session, account_id: AccountId, reason: str) -> bool:
        if self._carried_by.get(account_id) is not session:
            return True
        return self._queue.put(StreamDown(account_id, reason)) and self._queue.put(StreamUp(account_id))

    @property
    def has_room(self) -> bool:
        return self._queue.has_room

    def _tell_down(self, account_id: AccountId, reason: str) -> None:
        if account_id in self._wanted and self._told_down.get(account_id) is None:
            self._told_down[account_id] = reason
            self._queue.put_news(StreamDown(account_id, reason))


async def _first_of(*waits: Coroutine[Any, Any, Any] | asyncio.Task[None]) -> None:
    """Wait until one is done; coroutines among them are cancelled then, tasks live on."""
    own = {asyncio.create_task(each) for each in waits if not isinstance(each, asyncio.Task)}
    tasks = own | {each for each in waits if isinstance(each, asyncio.Task)}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in own:
            task.cancel()
        if own:
            await asyncio.wait(own)
