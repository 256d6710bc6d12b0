"""The bench's venues as child processes: started, spoken to, and ended by closing their standard input."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tradewind.bench.keys import Key, key_of
from tradewind.core.errors import Unavailable
from tradewind.venues.transport import HttpRequest, Transport

_READY_S = 60.0
_STOP_S = 10.0
_JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a venue listens; `control_url` is the simulator's own."""

    rest_url: str
    ws_api_url: str
    stream_url: str
    control_url: str | None = None

    @property
    def name(self) -> str:
        return "responder" if self.control_url is None else "simulator"


@asynccontextmanager
async def venue(name: str) -> AsyncIterator[Place]:
    """Run `responder`, `limited` or `simulator` in a process of its own."""
    async with child(["-m", f"tradewind.bench.{name}"]) as addresses:
        yield Place(**addresses)


@asynccontextmanager
async def child(arguments: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
    """Run a Python process that prints one JSON line when it is ready and ends with its standard input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_READY_S):
            line = await process.stdout.readline()
        if not line:
            raise Unavailable("bench_child", f"The bench's {arguments[-1]} did not come up.")
        yield dict(json.loads(line))
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def set_latency(place: Place, latency_ms: int) -> None:
    """Let a venue answer after this many milliseconds from now on."""
    if place.control_url is None:
        await _ask(place.rest_url, HttpRequest("GET", f"/bench/latency?{latency_ms}"))
    elif latency_ms:
        body = json.dumps({"kind": "delay_ms", "value": latency_ms}).encode("ascii")
        await _ask(place.rest_url, HttpRequest("POST", "/sim/v1/faults", _JSON, body))


async def counts(place: Place) -> dict[str, int]:
    """Return what the responder has answered so far, by kind."""
    return dict(await _ask(place.rest_url, HttpRequest("GET", "/bench/counts")))


async def set_weight(place: Place, a_minute: int) -> None:
    """Limit the request weight of the `limited` responder from now on, and count what is used anew."""
    await _ask(place.rest_url, HttpRequest("GET", f"/bench/weight?{a_minute}"))


async def used(place: Place) -> dict[str, Any]:
    """Return the weight used at the `limited` responder: in the fullest minute, in all, by question; and refusals."""
    return dict(await _ask(place.rest_url, HttpRequest("GET", "/bench/used")))


async def issue_keys(place: Place, count: int) -> list[Key]:
    """Return keys that the venue knows, one for each account."""
    if place.control_url is None:
        return [key_of(number) for number in range(count)]
    transport = Transport(place.rest_url, connections_max=1)
    body = json.dumps({"balances": {"USDT": "10000"}}).encode("ascii")
    request = HttpRequest("POST", "/sim/v1/keys", _JSON, body)
    try:
        found = [json.loads((await transport.request(request)).body) for _ in range(count)]
    finally:
        await transport.close()
    return [Key(each["api_key"], each["secret"], int(each["uid"])) for each in found]


async def _ask(url: str, request: HttpRequest) -> Any:
    transport = Transport(url, connections_max=1)
    try:
        reply = await transport.request(request)
    finally:
        await transport.close()
    if reply.status >= 300:
        raise Unavailable("bench_child", f"The bench's venue answered {reply.status} to {request.method}.")
    return json.loads(reply.body)
