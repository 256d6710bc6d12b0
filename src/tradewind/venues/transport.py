"""HTTP/1.1 to one venue: one pool for all its accounts (V9), for orders and for reads.

The boundary this file keeps: everything that goes wrong before `write()` of a request is NotSent (no byte of it
left); everything after is AnswerLost (it may have been executed). `before_write` is asked directly before the
write. Nothing is ever sent twice: a kept connection found closed before the write is replaced, one that dies
after it is AnswerLost.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from tradewind.infra.points import Point, reached
from tradewind.venues.errors import NotSent
from tradewind.venues.transport_connection import AnswerLost, HttpConnection, HttpReply
from tradewind.venues.transport_dial import Dialer, Endpoint, Proxy, proxy_of
from tradewind.venues.transport_pool import ConnectionPool

__all__ = ["AnswerLost", "HttpReply", "HttpRequest", "Timeouts", "Transport"]

# A kept connection may die between two turns of the loop; that many in a row are a venue that hangs up.
_REPLACEMENTS_MAX = 5
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


def _always() -> bool:
    return True


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
        limits = timeouts or self._timeouts
        data = self._encode(request)
        connection = await self._ready_connection(lane, limits)
        try:
            if not before_write():
                raise NotSent("not_allowed", "The request was stopped directly before it would have left.")
            answer = connection.send(
                data,
                first_byte_s=limits.first_byte_s,
                whole_s=limits.whole_s,
                body_bytes_max=self._body_bytes_max if body_bytes_max is None else body_bytes_max,
            )
            reached(Point.REQUEST_WRITTEN)
            return await answer
        finally:
            # Given up in the middle (cancelled, too late) it still waits for its answer and is dropped there.
            self._pool.release(connection)

    async def _ready_connection(self, lane: int, limits: Timeouts) -> HttpConnection:
        for _ in range(_REPLACEMENTS_MAX):
            connection = await self._pool.acquire(lane=lane, wait_s=limits.wait_s, connect_s=limits.connect_s)
            if connection.is_ready:
                return connection
            self._pool.release(connection)
        raise NotSent("connections_die", "The venue closes every connection before anything is sent.")

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
