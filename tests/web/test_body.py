"""A body is read up to a bound in bytes and in seconds, and not a byte further."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.types import Message, Receive, Scope, Send
from tests.support.people import browser
from tests.support.web import guarded_app

from tradewind.web import problem
from tradewind.web.body import BODY_BYTES_MAX, BodyLimit, read_body


def _echo() -> FastAPI:
    app = guarded_app()

    @app.post("/x")
    async def x(request: Request) -> int:
        return len(await request.body())

    return app


async def test_body_when_it_is_as_large_as_allowed_then_is_read() -> None:
    async with browser(_echo()) as client:
        answer = await client.post("/x", content=b"a" * BODY_BYTES_MAX)
    assert answer.json() == BODY_BYTES_MAX


async def test_body_when_it_is_a_byte_larger_then_is_refused() -> None:
    async with browser(_echo()) as client:
        answer = await client.post("/x", content=b"a" * (BODY_BYTES_MAX + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"
    assert "nothing was stored" in answer.json()["detail"]
    assert "Send less" in answer.json()["detail"]


class _Wire:
    """One request's bytes as they arrive; counts how many messages were taken."""

    def __init__(self, chunks: list[bytes], *, ends: bool = True) -> None:
        self._chunks = chunks
        self._ends = ends
        self.taken = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if self.taken >= len(self._chunks):
            await asyncio.Event().wait()
        chunk = self._chunks[self.taken]
        self.taken += 1
        return {"type": "http.request", "body": chunk, "more_body": not self._ends or self.taken < len(self._chunks)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> Any:
        return self.sent[0]["status"]


def _scope(*headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "method": "POST", "path": "/x", "headers": list(headers)}


async def _never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the app was asked")


async def test_body_when_it_announces_too_much_then_is_refused_without_reading_a_byte() -> None:
    wire = _Wire([b"a"])
    await BodyLimit(_never)(_scope((b"content-length", b"104857600")), wire.receive, wire.send)
    assert wire.status == 413
    assert wire.taken == 0


async def test_fault_19_body_when_it_announces_nothing_and_goes_on_then_reading_stops_at_the_bound() -> None:
    wire = _Wire([b"a" * 16_384] * 1_000)
    await BodyLimit(_never)(_scope((b"transfer-encoding", b"chunked")), wire.receive, wire.send)
    assert wire.status == 413
    assert wire.taken == BODY_BYTES_MAX // 16_384 + 1


async def test_fault_19_body_when_it_trickles_then_is_given_up() -> None:
    wire = _Wire([b"a"], ends=False)
    await BodyLimit(_never, seconds_max=0.01)(_scope((b"content-length", b"9")), wire.receive, wire.send)
    assert wire.status == 408


async def test_body_when_its_length_is_no_number_then_is_refused() -> None:
    for length in (b"-1", b"1e3", b"\xb2", b"9" * 30):
        wire = _Wire([b"a"])
        await BodyLimit(_never)(_scope((b"content-length", length)), wire.receive, wire.send)
        assert wire.status in (400, 413)
        assert wire.taken == 0


async def test_body_when_the_caller_hangs_up_then_the_app_is_not_asked() -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    wire = _Wire([])
    await BodyLimit(_never)(_scope((b"content-length", b"9")), gone, wire.send)
    assert wire.sent == []


async def test_read_body_when_a_route_has_its_own_bound_then_it_holds() -> None:
    app = FastAPI()

    @app.post("/x")
    async def x(request: Request) -> int:
        return len(await read_body(request, bytes_max=10))

    problem.install(app)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"aaaa"

    async with browser(app) as client:
        assert (await client.post("/x", content=b"a" * 10)).json() == 10
        assert (await client.post("/x", content=b"a" * 11)).status_code == 413
        assert (await client.post("/x", content=chunks())).status_code == 413
