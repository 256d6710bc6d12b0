"""Following the platform's stream as a real client would: resume after a drop, fetch again after a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from tradewind.infra.log import logger

_log = logger("demo.follow")

# The server beats every 2 s; three missed beats are a dead line (dashboard.md section 2.4 says stale after 4 s).
_SILENCE_S = 8.0
_RETRY_S = 0.5

OnEvent = Callable[[Mapping[str, Any]], None]
Refetch = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Follower:
    """One socket of one person. `on_frame` gets every frame; `refetch` reads again what a gap may have hidden."""

    session: aiohttp.ClientSession
    url: str
    token: str
    topics: tuple[str, ...]
    on_frame: OnEvent
    refetch: Refetch
    _epoch: str | None = None
    _seq: int = 0
    _is_reset: bool = False

    def __repr__(self) -> str:
        return f"Follower(url={self.url!r})"

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow_once()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                _log.info("demo.follow.dropped", error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def _follow_once(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.ws_connect(self.url, headers=headers, max_msg_size=2**22) as socket:
            await socket.send_json({"type": "sub", "topics": list(self.topics)})
            if self._epoch is not None:
                await socket.send_json({"type": "resume", "epoch": self._epoch, "seq": self._seq})
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                await self._take(msgspec.json.decode(message.data))

    async def _take(self, frame: Mapping[str, Any]) -> None:
        kind = frame["type"]
        if kind == "hello":
            await self._greet(frame)
        elif kind == "reset":
            self._is_reset = True
        elif kind == "ev":
            if frame["seq"] <= self._seq:
                return
            has_gap = frame["seq"] > self._seq + 1
            self._seq = frame["seq"]
            self.on_frame(frame)
            if has_gap:
                await self.refetch()
        elif kind == "hb":
            if frame["seq"] > self._seq:
                self._seq = frame["seq"]
                await self.refetch()
        else:
            self.on_frame(frame)

    async def _greet(self, frame: Mapping[str, Any]) -> None:
        """Within an epoch our own number stands, and what was missed is replayed; else everything is read again."""
        is_first = self._epoch is None
        if frame["epoch"] == self._epoch and not self._is_reset:
            return
        self._epoch, self._seq, self._is_reset = frame["epoch"], frame["seq"], False
        if not is_first:
            await self.refetch()
