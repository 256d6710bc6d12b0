"""Following the stream: a gap or a reset reads again, a dropped socket resumes where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tradewind.demo.follow import Follower

Frames = Sequence[dict[str, Any]]


def hello(seq: int, epoch: str = "e1") -> dict[str, Any]:
    return {"type": "hello", "epoch": epoch, "seq": seq, "server_time": "2026-11-20T08:00:00.000Z", "hb_ms": 2_000}


def ev(seq: int) -> dict[str, Any]:
    return {"type": "ev", "seq": seq, "topic": "order", "id": f"o{seq}", "rev": 1, "at": "", "data": {}}


class Heard:
    """What a follower was told, what it asked for, and what it said to the server."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.refetches = 0
        self.said: list[list[Any]] = []

    def on_frame(self, frame: Any) -> None:
        self.ids.append(frame.get("id", frame["type"]))

    async def refetch(self) -> None:
        self.refetches += 1


@asynccontextmanager
async def served(connections: Sequence[Frames], heard: Heard, done: asyncio.Event) -> AsyncIterator[str]:
    """Serve one list of frames per connection, then close it; `done` when the last one was sent."""
    left = list(connections)

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        said: list[Any] = []
        heard.said.append(said)
        said.append(await socket.receive_json(timeout=5))
        if len(heard.said) > 1:
            said.append(await socket.receive_json(timeout=5))
        for frame in left.pop(0) if left else ():
            await socket.send_json(frame)
        if not left:
            done.set()
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/stream", stream)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"ws://127.0.0.1:{port}/stream"
    finally:
        await runner.cleanup()


async def follow(*connections: Frames) -> Heard:
    """Follow through these connections and give what was heard."""
    heard, done = Heard(), asyncio.Event()
    async with served(connections, heard, done) as url, aiohttp.ClientSession() as session:
        task = asyncio.create_task(Follower(session, url, "tw_token", ("fan",), heard.on_frame, heard.refetch).run())
        await asyncio.wait_for(done.wait(), 10)
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return heard


async def test_follower_when_numbers_follow_hears_each_once() -> None:
    heard = await follow([hello(4), ev(5), ev(5), ev(6), {"type": "hb", "seq": 6, "server_time": ""}])
    assert heard.ids == ["o5", "o6"]
    assert heard.refetches == 0
    assert heard.said[0] == [{"type": "sub", "topics": ["fan"]}]


async def test_follower_when_a_number_is_missing_reads_again() -> None:
    assert (await follow([hello(4), ev(7)])).refetches == 1


async def test_follower_when_the_heartbeat_is_ahead_reads_again() -> None:
    assert (await follow([hello(4), {"type": "hb", "seq": 9, "server_time": ""}])).refetches == 1


async def test_follower_when_reset_takes_the_new_numbers_and_reads_again() -> None:
    heard = await follow([hello(4), {"type": "reset", "why": "slow"}, hello(50), ev(51)])
    assert heard.refetches == 1
    assert heard.ids == ["o51"]


async def test_follower_when_dropped_resumes_after_its_last_number() -> None:
    heard = await follow([hello(4), ev(5)], [hello(8), ev(6), ev(7), ev(8)])
    assert heard.said[1][1] == {"type": "resume", "epoch": "e1", "seq": 5}
    assert heard.ids == ["o5", "o6", "o7", "o8"]
    assert heard.refetches == 0


async def test_follower_when_the_server_began_anew_reads_again() -> None:
    assert (await follow([hello(4), ev(5)], [hello(0, epoch="e2"), ev(1)])).refetches == 1
