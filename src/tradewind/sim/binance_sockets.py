"""One WebSocket connection of the venue: bounded outbox, pings, lifetime, message rate.

Both the WebSocket API and the market streams run on this. Rules of web-socket-streams.md (2026-07-21):
the server pings every 20 s and closes when the pong with the same payload does not come within 60 s; an
unsolicited pong keeps nothing alive; a connection ends after 24 h, with a `serverShutdown` event before it.
A reader too slow for its bounded outbox is cut off, as a full socket buffer would.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

_OUTBOX_MAX: Final = 20_000
_CLOSE_TIMEOUT_S: Final = 2.0
_SEND_TIMEOUT_S: Final = 10.0
_FAREWELL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class SocketRules:
    """Times and rates of one kind of connection; `messages_per_s` 0 means unlimited."""

    ping_every_s: float
    pong_within_s: float
    lifetime_s: float
    messages_per_s: int = 0


class Socket:
    """A connected client; `post` never waits."""

    def __init__(self, request: web.BaseRequest, rules: SocketRules, farewell: Callable[[], str]) -> None:
        self._request = request
        self._rules = rules
        self._farewell = farewell
        self._ws = web.WebSocketResponse(autoping=False, heartbeat=None, compress=False, max_msg_size=1 << 20)
        self._outbox: deque[str] = deque()
        self._has_mail = asyncio.Event()
        self._pings: dict[bytes, float] = {}
        self._second = 0
        self._messages = 0
        self._leaving = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def response(self) -> web.WebSocketResponse:
        """The response object the server must hand back."""
        return self._ws

    def post(self, text: str) -> None:
        """Queue a message; a full outbox cuts the connection."""
        if len(self._outbox) >= _OUTBOX_MAX:
            self.abort()
            return
        self._outbox.append(text)
        self._has_mail.set()

    def leave(self) -> None:
        """Announce the end of the connection and then close it in good order."""
        self._leaving.set()

    async def gone(self) -> None:
        """Wait until the connection has ended."""
        await self._gone.wait()

    def abort(self) -> None:
        """Cut the connection without a goodbye."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    async def close(self) -> None:
        """Say goodbye and close."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._ws.close(code=WSCloseCode.GOING_AWAY)
        except (TimeoutError, ConnectionError):
            self.abort()

    async def run(self, on_text: Callable[[str], None]) -> None:
        """Serve the connection until either side ends it."""
        await self._ws.prepare(self._request)
        async with asyncio.TaskGroup() as tasks:
            owned = (tasks.create_task(self._write()), tasks.create_task(self._keep_alive()))
            try:
                await self._read(on_text)
            finally:
                self._gone.set()
                for task in owned:
                    task.cancel()

    async def _read(self, on_text: Callable[[str], None]) -> None:
        # No timeout here: `_keep_alive` ends a silent connection, and ending it ends this wait.
        while True:
            message = await self._ws.receive()
            if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
                return
            if self._is_too_fast():
                await self.close()
                return
            if message.type is WSMsgType.PING:
                await self._send_control(self._ws.pong(message.data))
            elif message.type is WSMsgType.PONG:
                self._pings.pop(bytes(message.data), None)
            elif message.type is WSMsgType.TEXT:
                on_text(message.data)

    def _is_too_fast(self) -> bool:
        if not self._rules.messages_per_s:
            return False
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._messages = second, 0
        self._messages += 1
        return self._messages > self._rules.messages_per_s

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    async with asyncio.timeout(_SEND_TIMEOUT_S):
                        await self._ws.send_str(self._outbox.popleft())
                self._has_mail.clear()
                await self._has_mail.wait()
        except (TimeoutError, ConnectionError):
            self.abort()

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        born = loop.time()
        while True:
            left = born + self._rules.lifetime_s - loop.time()
            if left <= 0 or self._leaving.is_set():
                self.post(self._farewell())
                # Give the farewell a moment to leave before the close frame.
                await asyncio.sleep(_FAREWELL_S)
                await self.close()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._rules.ping_every_s, left)):
                    await self._leaving.wait()
                    continue
            if self._is_silent(loop.time()):
                self.abort()
                return
            payload = str(int(loop.time() * 1000)).encode()
            self._pings[payload] = loop.time()
            await self._send_control(self._ws.ping(payload))

    def _is_silent(self, now: float) -> bool:
        return any(now - sent > self._rules.pong_within_s for sent in self._pings.values())

    async def _send_control(self, frame: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await frame
        except (TimeoutError, ConnectionError):
            self.abort()
