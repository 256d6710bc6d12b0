"""Changes that wait for the database have a bound; reads and the emergency stop have none."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from tests.support.people import browser

from tradewind.web.changes import ChangesBound


async def test_fault_61_changes_when_too_many_wait_then_refused_at_once_and_taken_again_afterwards() -> None:
    """reliability.md section 3: with the database away what is new is refused with 503, not heaped up."""
    inner, is_back, began = FastAPI(), asyncio.Event(), asyncio.Semaphore(0)

    @inner.post("/x")
    async def x() -> str:
        began.release()
        await is_back.wait()
        return "stored"

    @inner.get("/x")
    async def read() -> str:
        return "seen"

    @inner.post("/api/v1/emergency/stop")
    async def stop() -> str:
        return "stopped"

    app = FastAPI()
    app.mount("/", ChangesBound(inner, changes_max=3))
    async with browser(app) as client:
        held = [asyncio.create_task(client.post("/x")) for _ in range(3)]
        for _ in held:
            await began.acquire()
        refused = await client.post("/x")
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_waiting")
        assert refused.headers["Retry-After"] == "2"
        assert (await client.get("/x")).json() == "seen"
        assert (await client.post("/api/v1/emergency/stop")).json() == "stopped"
        is_back.set()
        assert {each.json() for each in await asyncio.gather(*held)} == {"stored"}
        assert (await client.post("/x")).json() == "stored"
