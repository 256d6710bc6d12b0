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


class HttpConnection(asyncio.Protocol):
    """The socket of one connection, with at most one request on its way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[HttpConnection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[HttpReply] | None = None
        self._timer: asyncio.TimerHandle | None = None
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
        return not self._is_dead and self._answer is None and not self._is_closing()

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
        self, data: bytes, *, first_byte_s: float, whole_s: float, body_bytes_max: int
    ) -> asyncio.Future[HttpReply]:
        """Write one request and return the future of its answer, which fails with AnswerLost.

        Call it only while `is_ready`; from this call on the bytes count as sent.
        """
        assert self._transport is not None
        now = self._loop.time()
        self._started = now
        self._ends = now + whole_s
        self._has_first_byte = False
        self._body_bytes_max = body_bytes_max
        self._answer = self._loop.create_future()
        self._timer = self._loop.call_later(min(first_byte_s, whole_s), self._lose, "no first byte in time")
        self._transport.write(data)
        return self._answer

    def abort(self, phase: str = "given up") -> None:
        """Drop the connection at once with whatever was not sent yet (SO_LINGER 0 discards it)."""
        self._lose(phase)

    def _lose(self, phase: str) -> None:
        self._is_dead = True
        if self._transport is not None:
            self._transport.abort()
        answer = self._take_answer()
        if answer is not None and not answer.done():
            answer.set_exception(AnswerLost(phase))

    def _take_answer(self) -> asyncio.Future[HttpReply] | None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answer, self._answer = self._answer, None
        return answer

    # --- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self._lose("bytes nobody asked for")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._lose("upgrade nobody asked for")
        except httptools.HttpParserError:
            self._lose("not HTTP")
        if self._answer is not None:
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
            assert self._timer is not None
            self._timer.cancel()
            self._timer = self._loop.call_at(self._ends, self._lose, "no whole answer in time")

    def eof_received(self) -> bool:
        self._lose("closed by the venue")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose("connection lost" if exc is None else f"connection lost ({type(exc).__name__})")
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    # --- httptools callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reset()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

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
        answer = self._take_answer()
        if answer is None:
            # A second answer to one request: whose it is cannot be known.
            self._lose("more than one answer")
        elif not answer.done():
            answer.set_result(
                HttpReply(
                    status=self._parser.get_status_code(),
                    headers=self._headers,
                    body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
                    elapsed_s=self._loop.time() - self._started,
                )
            )
