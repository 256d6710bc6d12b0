"""One WebSocket connection to a venue, and when to try again.

Rules of this file: whatever ends a connection is a SocketEnded with a word for the reason; nobody connects during
a ban; waiting between tries grows and is spread by chance, so that all of us do not come back at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from tradewind.infra.clock import Clock
from tradewind.venues.errors import RateLimited
from tradewind.venues.ratelimit import IpBudget, Lane
from tradewind.venues.transport_dial import is_loopback

# At DEBUG the library writes frames, and frames hold signatures.
_quiet = logging.getLogger("tradewind.venues.websocket")
_quiet.setLevel(logging.WARNING)

_FRAME_BYTES_MAX = 4 * 1024 * 1024
_BAN_MS = 120_000


class SocketEnded(Exception):
    """The connection is gone or was given up."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StreamRules:
    """Numbers of the streams. Venue limits of 2026-07-21: 1,000 accounts, 1,024 streams, 24 h a connection."""

    accounts_per_connection: int = 200
    symbols_per_connection: int = 400
    events_max: int = 20_000
    connect_s: float = 10.0
    tick_s: float = 0.25
    silence_s: float = 45.0
    answer_s: float = 10.0
    rotate_s: float = 23.5 * 3_600
    backoff_s: float = 0.5
    backoff_s_max: float = 30.0
    settled_s: float = 60.0
    connect_weight: int = 2


class Backoff:
    """How long to wait before the next try."""

    def __init__(self, clock: Clock, rules: StreamRules) -> None:
        self._clock = clock
        self._rules = rules
        self._next_s = rules.backoff_s
        # Spreads reconnections; nothing secret depends on it.
        self._chance = random.Random()  # noqa: S311
        self._started_at = clock.monotonic()

    def started(self) -> None:
        """A try begins."""
        self._started_at = self._clock.monotonic()

    async def wait(self) -> None:
        """Wait; a connection that held for a while starts the row anew."""
        if self._clock.monotonic() - self._started_at > self._rules.settled_s:
            self._next_s = self._rules.backoff_s
        pause_s = self._chance.uniform(self._next_s / 2, self._next_s)
        self._next_s = min(self._next_s * 2, self._rules.backoff_s_max)
        await self._clock.sleep(pause_s)


class Socket:
    """An open connection: text out, bytes in."""

    def __init__(self, connection: ClientConnection, rules: StreamRules) -> None:
        self._connection = connection
        self._rules = rules

    async def send(self, text: str) -> None:
        """Write one text frame. Raises SocketEnded."""
        try:
            async with asyncio.timeout(self._rules.answer_s):
                await self._connection.send(text)
        except (ConnectionClosed, OSError, TimeoutError) as error:
            raise SocketEnded(_reason(error)) from None

    async def receive(self) -> bytes | None:
        """Return the next frame, or None if none came within a tick. Raises SocketEnded."""
        try:
            async with asyncio.timeout(self._rules.tick_s):
                frame = await self._connection.recv(decode=False)
        except TimeoutError:
            return None
        except (ConnectionClosed, OSError) as error:
            raise SocketEnded(_reason(error)) from None
        return bytes(frame)


@asynccontextmanager
async def open_socket(url: str, budget: IpBudget, rules: StreamRules) -> AsyncIterator[Socket]:
    """Connect. Raises SocketEnded; pings and their answers are the library's."""
    try:
        permit = await budget.reserve(Lane.QUERY, rules.connect_weight, wait_s=rules.connect_s)
    except RateLimited as error:
        raise SocketEnded(error.code) from None
    budget.settle(permit)
    try:
        async with connect(
            url,
            open_timeout=rules.connect_s,
            close_timeout=1.0,
            ping_interval=20.0,
            ping_timeout=20.0,
            max_size=_FRAME_BYTES_MAX,
            compression=None,
            proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
            logger=_quiet,
        ) as connection:
            yield Socket(connection, rules)
    except InvalidStatus as error:
        status = error.response.status_code
        if status in (418, 429):
            stated = error.response.headers.get("Retry-After", "")
            wait_ms = int(stated) * 1_000 if stated.isascii() and stated.isdigit() else _BAN_MS
            budget.block(budget.now_ms() + min(wait_ms, 3 * 86_400_000))
        raise SocketEnded(f"refused with HTTP {status}") from None
    except (OSError, TimeoutError, WebSocketException) as error:
        raise SocketEnded(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionClosed):
        received = error.rcvd
        return f"closed with {received.code}" if received is not None else "closed without a word"
    return f"not connected ({type(error).__name__})"
