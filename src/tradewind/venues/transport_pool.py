"""A bounded pool of connections with bounded waiters, exits before entries before reads.

Invariants: `_open` counts connections open, being opened or granted as a slot, and never passes `size_max`;
while anybody waits, no connection is idle; a connection or slot that is offered to somebody who wants it no more
goes to the next one. The pool never opens more than it was asked for, and never retries.

Whoever seeks a connection is called with it, on the event loop: at once, or when one comes free. No task and no
future stands for an order that waits.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from tradewind.venues.errors import NotSent
from tradewind.venues.transport_connection import HttpConnection
from tradewind.venues.transport_dial import Dialer

# Venues close idle connections after about a minute; an older one is not worth the doubt.
_IDLE_S_MAX = 45.0
# A new connection may die before its first use; that many in a row are a venue that hangs up.
_REPLACEMENTS_MAX = 5
# Of ratelimit.Lane.
LANES = 4


class Seeker(Protocol):
    """Who wants a connection: one of the two is called, once, on the event loop."""

    def take(self, connection: HttpConnection) -> bool:
        """Write on this open connection now; False: it is not wanted any more, and the next one may have it."""
        ...

    def fail(self, error: Exception) -> None:
        """Learn that there is none: NotSent, closed, full, waited too long, not reachable."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    seeker: Seeker
    connect_s: float
    is_over: bool = False


class ConnectionPool:
    """Connections to one endpoint."""

    def __init__(self, dialer: Dialer, *, size_max: int, waiters_max: int) -> None:
        self._dialer = dialer
        self._size_max = size_max
        self._waiters_max = waiters_max
        self._open = 0
        self._idle: deque[HttpConnection] = deque()
        self._all: set[HttpConnection] = set()
        self._lanes: tuple[deque[_Waiting], ...] = tuple(deque() for _ in range(LANES))
        self._waiting = 0
        # When the patience of those who wait ends; one timer for all.
        self._ends: list[tuple[float, int, _Waiting]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._dials: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def open_count(self) -> int:
        return self._open

    @property
    def waiting_count(self) -> int:
        return self._waiting

    def seek(self, seeker: Seeker, *, lane: int, wait_s: float, connect_s: float) -> None:
        """Have `seeker` called with a ready connection, now or later, or with why there is none."""
        if self._is_closed:
            seeker.fail(NotSent("closed", "The connection pool is closed."))
            return
        connection = self._take_idle()
        if connection is not None:
            if not seeker.take(connection):
                self.release(connection)
        elif self._open < self._size_max:
            self._open += 1
            self._start_dial(seeker, connect_s)
        else:
            self._wait(seeker, lane, wait_s, connect_s)

    def release(self, connection: HttpConnection) -> None:
        """Give a connection back; one that cannot be used again is dropped and its place passed on."""
        if connection not in self._all:
            return
        # A loop, because thousands may wait that want nothing any more (an emergency stop).
        while connection.is_ready and not self._is_closed:
            waiting = self._next_waiting()
            if waiting is None:
                connection.idle_since = asyncio.get_running_loop().time()
                self._idle.append(connection)
                return
            if waiting.seeker.take(connection):
                return
        self._drop(connection)

    async def close(self) -> None:
        """Drop all connections; requests on their way end with AnswerLost, waiting ones with NotSent."""
        self._is_closed = True
        while (waiting := self._next_waiting()) is not None:
            waiting.seeker.fail(NotSent("closed", "The connection pool is closed."))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        dials = list(self._dials)
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        connections = list(self._all)
        for connection in connections:
            connection.abort("pool closed")
        if connections:
            await asyncio.wait([connection.lost for connection in connections], timeout=1.0)

    def _take_idle(self) -> HttpConnection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            is_young = now - connection.idle_since < _IDLE_S_MAX
            if connection.is_ready and is_young and connection.is_silent():
                return connection
            self._drop(connection)
        return None

    # --- waiting -----------------------------------------------------------------------------------

    def _wait(self, seeker: Seeker, lane: int, wait_s: float, connect_s: float) -> None:
        if self._waiting >= self._waiters_max:
            seeker.fail(NotSent("pool_full", "Too many requests are waiting for a connection to the venue."))
            return
        waiting = _Waiting(seeker, connect_s)
        self._lanes[lane].append(waiting)
        self._waiting += 1
        until = asyncio.get_running_loop().time() + max(wait_s, 0.0)
        heapq.heappush(self._ends, (until, next(self._numbers), waiting))
        if self._timer is None or until < self._timer.when():
            self._set_timer()

    def _next_waiting(self) -> _Waiting | None:
        for lane in self._lanes:
            while lane:
                waiting = lane.popleft()
                if not waiting.is_over:
                    self._end(waiting)
                    return waiting
        return None

    def forget(self, seeker: Seeker) -> None:
        """Whoever waits has gone; rare, so everybody is looked through."""
        for lane in self._lanes:
            for waiting in lane:
                if waiting.seeker is seeker and not waiting.is_over:
                    self._end(waiting)

    def _end(self, waiting: _Waiting) -> None:
        waiting.is_over = True
        self._waiting -= 1

    def _set_timer(self) -> None:
        while self._ends and self._ends[0][2].is_over:
            heapq.heappop(self._ends)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ends:
            self._timer = asyncio.get_running_loop().call_at(self._ends[0][0], self._expire)

    def _expire(self) -> None:
        self._timer = None
        # What is due within the next milliseconds is over too: a timer for each would ring for each.
        now = asyncio.get_running_loop().time() + 0.002
        while self._ends and self._ends[0][0] <= now:
            waiting = heapq.heappop(self._ends)[2]
            if not waiting.is_over:
                self._end(waiting)
                waiting.seeker.fail(NotSent("pool_wait", "No connection to the venue became free in time."))
        for lane in self._lanes:
            while lane and lane[0].is_over:
                lane.popleft()
        self._set_timer()

    # --- opening and dropping ----------------------------------------------------------------------

    def _free_slot(self) -> None:
        waiting = None if self._is_closed else self._next_waiting()
        if waiting is None:
            self._open -= 1
        else:
            self._start_dial(waiting.seeker, waiting.connect_s)

    def _start_dial(self, seeker: Seeker, connect_s: float) -> None:
        dial = asyncio.get_running_loop().create_task(self._dial(seeker, connect_s), name="dial")
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _dial(self, seeker: Seeker, connect_s: float) -> None:
        """Open a connection in the slot that was taken for it, and hand it to whoever it was opened for."""
        for _ in range(_REPLACEMENTS_MAX):
            try:
                connection = await self._dialer.dial(self._on_lost, connect_s)
            except asyncio.CancelledError:
                self._free_slot()
                seeker.fail(NotSent("closed", "The connection pool is closed."))
                raise
            except Exception as error:
                # NotSent says what went wrong; anything else is told as it is, and no byte has left either way.
                self._free_slot()
                seeker.fail(error)
                return
            if connection.is_ready:
                self._all.add(connection)
                if not seeker.take(connection):
                    self.release(connection)
                return
            connection.abort()
        self._free_slot()
        seeker.fail(NotSent("connections_die", "The venue closes every connection before anything is sent."))

    def _drop(self, connection: HttpConnection) -> None:
        self._all.discard(connection)
        connection.abort()
        self._free_slot()

    def _on_lost(self, connection: HttpConnection) -> None:
        # Only idle ones are settled here; whoever holds a lost one releases it.
        with suppress(ValueError):
            self._idle.remove(connection)
            self._drop(connection)
