"""A bounded pool of connections with bounded waiters, exits before entries before reads.

Invariants: `_open` counts connections open, being opened or granted as a slot, and never passes `size_max`;
while anybody waits, no connection is idle; a connection or slot that is given to a waiter who is gone goes
to the next one. The pool never opens more than it was asked for, and never retries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from tradewind.venues.errors import NotSent
from tradewind.venues.transport_connection import HttpConnection
from tradewind.venues.transport_dial import Dialer

# Venues close idle connections after about a minute; an older one is not worth the doubt.
_IDLE_S_MAX = 45.0
# Of ratelimit.Lane.
LANES = 4


class ConnectionPool:
    """Connections to one endpoint."""

    def __init__(self, dialer: Dialer, *, size_max: int, waiters_max: int) -> None:
        self._dialer = dialer
        self._size_max = size_max
        self._waiters_max = waiters_max
        self._open = 0
        self._idle: deque[HttpConnection] = deque()
        self._all: set[HttpConnection] = set()
        self._waiters: tuple[deque[asyncio.Future[HttpConnection | None]], ...] = tuple(deque() for _ in range(LANES))
        self._waiting = 0
        self._is_closed = False

    @property
    def open_count(self) -> int:
        return self._open

    @property
    def waiting_count(self) -> int:
        return self._waiting

    async def acquire(self, *, lane: int, wait_s: float, connect_s: float) -> HttpConnection:
        """Return a ready connection. Raises NotSent: closed, full, waited too long, not reachable."""
        if self._is_closed:
            raise NotSent("closed", "The connection pool is closed.")
        connection = self._take_idle()
        if connection is not None:
            return connection
        if self._open < self._size_max:
            self._open += 1
        else:
            granted = await self._wait(lane, wait_s)
            if granted is not None:
                return granted
        return await self._dial(connect_s)

    def release(self, connection: HttpConnection) -> None:
        """Give a connection back; one that cannot be used again is dropped and its place passed on."""
        if connection not in self._all:
            return
        if not connection.is_ready or self._is_closed:
            self._drop(connection)
        elif not self._grant(connection):
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)

    async def close(self) -> None:
        """Drop all connections; requests on their way end with AnswerLost, waiting ones with NotSent."""
        self._is_closed = True
        for queue in self._waiters:
            for waiter in queue:
                if not waiter.done():
                    waiter.set_exception(NotSent("closed", "The connection pool is closed."))
            queue.clear()
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

    async def _wait(self, lane: int, wait_s: float) -> HttpConnection | None:
        if self._waiting >= self._waiters_max:
            raise NotSent("pool_full", "Too many requests are waiting for a connection to the venue.")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[HttpConnection | None] = loop.create_future()
        queue = self._waiters[lane]
        queue.append(waiter)
        self._waiting += 1
        timer = loop.call_later(max(wait_s, 0.0), _expire, waiter)
        try:
            return await waiter
        except BaseException:
            with suppress(ValueError):
                queue.remove(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._return_grant(waiter.result())
            raise
        finally:
            timer.cancel()
            self._waiting -= 1

    def _return_grant(self, granted: HttpConnection | None) -> None:
        if granted is not None:
            self.release(granted)
        else:
            self._free_slot()

    def _grant(self, connection: HttpConnection | None) -> bool:
        for queue in self._waiters:
            while queue:
                waiter = queue.popleft()
                if not waiter.done():
                    waiter.set_result(connection)
                    return True
        return False

    def _free_slot(self) -> None:
        if self._is_closed or not self._grant(None):
            self._open -= 1

    async def _dial(self, connect_s: float) -> HttpConnection:
        try:
            connection = await self._dialer.dial(self._on_lost, connect_s)
        except BaseException:
            self._free_slot()
            raise
        self._all.add(connection)
        if self._is_closed:
            self._drop(connection)
            raise NotSent("closed", "The connection pool is closed.")
        return connection

    def _drop(self, connection: HttpConnection) -> None:
        self._all.discard(connection)
        connection.abort()
        self._free_slot()

    def _on_lost(self, connection: HttpConnection) -> None:
        # Only idle ones are settled here; whoever holds a lost one releases it.
        with suppress(ValueError):
            self._idle.remove(connection)
            self._drop(connection)


def _expire(waiter: asyncio.Future[HttpConnection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(NotSent("pool_wait", "No connection to the venue became free in time."))
