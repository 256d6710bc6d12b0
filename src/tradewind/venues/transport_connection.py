"""One HTTP/1.1 connection: bytes of one request out, bytes of its one answer in (RFC 9112).

Rules of this file: an answer belongs to the request written before it, so nothing is pipelined; a connection
that told us anything unasked, or whose answer was given up, is never used again. What is not a complete,
length-delimited, plain answer is `AnswerLost`: a body that ends with the connection cannot be told from a
truncated one, and a truncated answer proves nothing about an order (order-protocol.md section 3.5).
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import httptools

# Header names of venues, decoded once: the same dozen stand in every answer.
_NAMES_MAX = 256
_names: dict[bytes, str] = {}
# A timer may ring a little before the time it was set to.
_EARLY_S = 0.001

# Binance, Bybit and Upbit send 1 to 2 KiB of headers; a page of error HTML from a proxy stays below this too.
_HEAD_BYTES_MAX = 64 * 1024


class AnswerLost(Exception):
    """The request was written, and no complete answer came back; `phase` says what was missed."""

    def __init__(self, phase: str) -> None:
        super().__init__(f"the answer was lost: {phase}")
        self.phase = phase


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete answer; header names are lower-case, of a repeated header the last value counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float


Answered = Callable[[HttpReply | AnswerLost], None]


class HttpConnection(asyncio.Protocol):
    """The socket of one connection, with at most one request on its way.

    Whoever waits for an answer is called with it on the event loop, when everything that came in was read: a
    connection that was then given to the next request has nothing of the one before left in its parser.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[HttpConnection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answered: Answered | None = None
        # Whole, and not told yet: there may be more in what is just being read.
        self._reply: HttpReply | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._is_dead = False
        self._poll: Any = None
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = loop.create_future()
        self._started = 0.0
        self._ends = 0.0
        self._has_first_byte = False
        self._body_bytes_max = 0
        self._reset()

    def _reset(self) -> None:
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._has_head = False
        self._is_interim = False

    # --- what the pool asks ------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether a request may be written now, as far as the event loop has heard."""
        return not self._is_dead and self._answered is None and not self._is_closing()

    def _is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def is_silent(self) -> bool:
        """Ask the kernel whether the idle connection is still open and has nothing to say.

        The venue's close may lie unread in the kernel while the loop is busy; writing then would turn a
        request that never left into one in doubt.
        """
        if sys.platform == "win32":  # has no poll(); the event loop's word must do
            return True
        if self._poll is None:
            sock = self._transport.get_extra_info("socket") if self._transport is not None else None
            if sock is None:
                return False
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN | select.POLLPRI)
        return not self._poll.poll(0)

    # --- sending -----------------------------------------------------------------------------------

    def send(
        self, data: bytes, answered: Answered, *, first_byte_s: float, whole_s: float, body_bytes_max: int
    ) -> None:
        """Write one request; `answered` is called once, with its whole answer or with AnswerLost.

        Call it only while `is_ready`; from this call on the bytes count as sent.
        """
        assert self._transport is not None
        assert self._answered is None, "one request at a time"
        now = self._loop.time()
        self._started = now
        self._ends = now + whole_s
        self._has_first_byte = False
        self._body_bytes_max = body_bytes_max
        self._answered = answered
        self._await_until(now + min(first_byte_s, whole_s))
        self._transport.write(data)

    def abort(self, phase: str = "given up") -> None:
        """Drop the connection at once with whatever was not sent yet (SO_LINGER 0 discards it)."""
        self._lose(phase)

    def _lose(self, phase: str) -> None:
        self._is_dead = True
        if self._transport is not None:
            self._transport.abort()
        if self._reply is None:
            self._tell(AnswerLost(phase))

    def _tell(self, result: HttpReply | AnswerLost) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(result)

    # --- time --------------------------------------------------------------------------------------

    def _await_until(self, deadline: float) -> None:
        """Set the time at which patience ends. One timer serves request after request: it is rarely the one to end."""
        self._deadline = deadline
        if self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._answered is None:
            return
        if self._loop.time() + _EARLY_S < self._deadline:
            self._await_until(self._deadline)
            return
        self._lose("no whole answer in time" if self._has_first_byte else "no first byte in time")

    # --- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answered is None:
            self._lose("bytes nobody asked for")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._lose("upgrade nobody asked for")
        except httptools.HttpParserError:
            self._lose("not HTTP")
        reply, self._reply = self._reply, None
        if reply is not None:
            self._tell(reply)
        elif self._answered is not None:
            self._check_progress(len(data))

    def _check_progress(self, size: int) -> None:
        if not self._has_head:
            self._head_bytes += size
            if self._head_bytes > _HEAD_BYTES_MAX:
                self._lose("headers too long")
                return
        if self._body_bytes > self._body_bytes_max:
            self._lose("body too long")
            return
        if not self._has_first_byte:
            self._has_first_byte = True
            self._await_until(self._ends)

    def eof_received(self) -> bool:
        self._lose("closed by the venue")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("connection lost" if exc is None else f"connection lost ({type(exc).__name__})")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    # --- httptools callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reset()

    def on_header(self, name: bytes, value: bytes) -> None:
        known = _names.get(name)
        if known is None:
            known = name.decode("latin-1").lower()
            if len(_names) < _NAMES_MAX:
                _names[name] = known
        self._headers[known] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        self._has_head = True
        self._is_interim = self._parser.get_status_code() < 200

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= self._body_bytes_max:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._has_head = False
            return
        if self._headers.get("content-encoding", "identity") != "identity":
            self._lose("encoded body nobody asked for")
            return
        if self._body_bytes > self._body_bytes_max:
            self._lose("body too long")
            return
        if not self._parser.should_keep_alive():
            self._is_dead = True
        if self._reply is not None or self._answered is None:
            # A second answer to one request: whose it is cannot be known.
            self._lose("more than one answer")
            return
        self._reply = HttpReply(
            status=self._parser.get_status_code(),
            headers=self._headers,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            elapsed_s=self._loop.time() - self._started,
        )
