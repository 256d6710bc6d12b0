"""HTTP/1.1 to one venue: one pool for all its accounts (V9), for orders and for reads.

The boundary this file keeps: everything that goes wrong before `write()` of a request is NotSent (no byte of it
left); everything after is AnswerLost (it may have been executed). `before_write` is asked directly before the
write. Nothing is ever sent twice: a kept connection found closed before the write is replaced, one that dies
after it is AnswerLost.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.venues.errors import NotSent
from tradewind.venues.transport_connection import AnswerLost, HttpConnection, HttpReply
from tradewind.venues.transport_dial import Dialer, Endpoint, Proxy, proxy_of
from tradewind.venues.transport_pool import ConnectionPool

_log = logger("venues.transport")

__all__ = ["AnswerLost", "Errand", "HttpReply", "HttpRequest", "Timeouts", "Transport"]

_TOKEN = re.compile(r"[A-Za-z0-9-]+")
_TARGET = re.compile(r"/[\x21-\x7e]*")
_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; target and headers hold keys and signatures, so they never show in a repr."""

    method: str
    target: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each phase may take, in seconds. `whole_s` runs from the write to the last byte."""

    wait_s: float = 5.0
    connect_s: float = 5.0
    first_byte_s: float = 5.0
    whole_s: float = 5.0


# Called once, on the event loop: an answer, AnswerLost, NotSent, or what nobody foresaw before the write.
Told = Callable[["HttpReply | Exception"], None]


def _always() -> bool:
    return True


@dataclass(slots=True, eq=False)
class Errand:
    """One request on its way: what a connection is sought for, and who is told of the end."""

    pool: ConnectionPool
    data: bytes
    told: Told | None
    before_write: Callable[[], bool]
    limits: Timeouts
    body_bytes_max: int
    _connection: HttpConnection | None = None

    def take(self, connection: HttpConnection) -> bool:
        """Write, unless it was given up or is not allowed at this last moment."""
        if self.told is None:
            return False
        try:
            if not self.before_write():
                self._end(NotSent("not_allowed", "The request was stopped directly before it would have left."))
                return False
            self._write(connection)
        except Exception as error:
            # A mistake of ours: told here, for whoever hands out connections cannot tell this request of it.
            _log.exception("venues.transport.write_failed")
            self._connection = None
            self._end(error)
            connection.abort("write failed")
            return False
        reached(Point.REQUEST_WRITTEN)
        return True

    def _write(self, connection: HttpConnection) -> None:
        self._connection = connection
        connection.send(
            self.data,
            self._answered,
            first_byte_s=self.limits.first_byte_s,
            whole_s=self.limits.whole_s,
            body_bytes_max=self.body_bytes_max,
        )

    def fail(self, error: Exception) -> None:
        """There is no connection: no byte has left."""
        self._end(error)

    def abandon(self) -> None:
        """Nobody waits any more: withdraw it, or drop the connection it is on (idempotent, also after its end)."""
        if self.told is None:
            return
        self.told = None
        if self._connection is not None:
            self.pool.release(self._connection)
        else:
            self.pool.forget(self)

    def _answered(self, result: HttpReply | AnswerLost) -> None:
        connection, self._connection = self._connection, None
        try:
            # First: it may be a ban, and then the next request must not leave.
            self._end(result)
        finally:
            if connection is not None:
                self.pool.release(connection)

    def _end(self, result: HttpReply | Exception) -> None:
        told, self.told = self.told, None
        if told is not None:
            told(result)


class Transport:
    """Requests to one base URL."""

    def __init__(
        self,
        base_url: str,
        *,
        connections_max: int = 256,
        waiters_max: int = 10_000,
        timeouts: Timeouts = Timeouts(),
        body_bytes_max: int = 4 * 1024 * 1024,
        ssl_context: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        endpoint = Endpoint.of(base_url)
        dialer = Dialer(endpoint, proxy=proxy or proxy_of(endpoint), ssl_context=ssl_context)
        self._pool = ConnectionPool(dialer, size_max=connections_max, waiters_max=waiters_max)
        self._timeouts = timeouts
        self._body_bytes_max = body_bytes_max
        self._fixed = f"Host: {endpoint.host_header}\r\nAccept: application/json\r\nUser-Agent: tradewind\r\n"

    @property
    def open_count(self) -> int:
        """Connections open or being opened."""
        return self._pool.open_count

    @property
    def waiting_count(self) -> int:
        """Requests waiting for a connection."""
        return self._pool.waiting_count

    async def request(
        self,
        request: HttpRequest,
        *,
        before_write: Callable[[], bool] = _always,
        timeouts: Timeouts | None = None,
        lane: int = 3,
        body_bytes_max: int | None = None,
    ) -> HttpReply:
        """Send once and return the answer, whatever its status.

        `before_write` is called directly before the write; False means NotSent. Raises NotSent (no byte was
        written) or AnswerLost (written, no complete answer). Lower lanes are served first.
        """
        done: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()
        errand = self.dispatch(
            request,
            partial(_settle, done),
            before_write=before_write,
            timeouts=timeouts,
            lane=lane,
            body_bytes_max=body_bytes_max,
        )
        try:
            return await done
        finally:
            # Given up in the middle (cancelled) it is withdrawn, or its connection is dropped with the answer.
            errand.abandon()

    def dispatch(
        self,
        request: HttpRequest,
        told: Told,
        *,
        before_write: Callable[[], bool] = _always,
        timeouts: Timeouts | None = None,
        lane: int = 3,
        body_bytes_max: int | None = None,
    ) -> Errand:
        """As `request`, without waiting: `told` is called once, with the answer or the error. Raises NotSent."""
        errand = Errand(
            pool=self._pool,
            data=self._encode(request),
            told=told,
            before_write=before_write,
            limits=timeouts or self._timeouts,
            body_bytes_max=self._body_bytes_max if body_bytes_max is None else body_bytes_max,
        )
        limits = errand.limits
        self._pool.seek(errand, lane=lane, wait_s=limits.wait_s, connect_s=limits.connect_s)
        return errand

    async def close(self) -> None:
        """Drop all connections."""
        await self._pool.close()

    def _encode(self, request: HttpRequest) -> bytes:
        lines = [f"{request.method} {request.target} HTTP/1.1\r\n", self._fixed]
        is_clean = _TOKEN.fullmatch(request.method) and _TARGET.fullmatch(request.target)
        for name, value in request.headers:
            is_clean = is_clean and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)
            lines.append(f"{name}: {value}\r\n")
        if not is_clean:
            # A line break in a key or parameter would be a second request of somebody else's making.
            raise NotSent("malformed", "The request holds characters that HTTP does not allow.")
        if request.body or request.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(request.body)}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("ascii") + request.body


def _settle(done: asyncio.Future[HttpReply], result: HttpReply | Exception) -> None:
    if done.done():
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)
