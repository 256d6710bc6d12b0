"""A scripted WebSocket end for tests of the streams: it says what the test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.binance_venue import SECRET
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tradewind.infra.clock import SystemClock, to_ms
from tradewind.venues.binance.signing import sign_hmac, ws_payload


class WsVenue:
    """What was asked, on which connection, and how to answer."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[ServerConnection] = []
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], dict[str, Any] | None] = self.subscribe
        self.refuse_with: int | None = None
        self.attempts = 0
        self.changed = asyncio.Event()
        self._next_subscription = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws-api/v3"

    def subscribe(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """Answer as the venue does where nothing is wrong."""
        if asked["method"] == "userDataStream.subscribe.signature":
            params = asked["params"]
            if params["signature"] != sign_hmac(SECRET, ws_payload(params)):
                return refusal(asked, -1022, "Signature for this request is not valid.")
            number = self._next_subscription
            self._next_subscription += 1
            return {"id": asked["id"], "status": 200, "result": {"subscriptionId": number}}
        if asked["method"] == "time":
            return {"id": asked["id"], "status": 200, "result": {"serverTime": to_ms(SystemClock().now())}}
        return {"id": asked["id"], "status": 200, "result": None}

    def of(self, method: str) -> list[dict[str, Any]]:
        """The requests of one method."""
        return [each for each in self.asked if each["method"] == method]

    async def say(self, value: Any, connection: int = -1) -> None:
        """Send a frame on one of the connections, the newest by default."""
        text = value if isinstance(value, str) else json.dumps(value)
        await self.connections[connection].send(text)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 5.0) -> None:
        """Wait until something about the requests or connections is true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        self.changed.set()
        try:
            async for text in connection:
                asked = json.loads(text)
                self.asked.append(asked)
                answer = self.answer(asked)
                if answer is not None:
                    await connection.send(json.dumps(answer))
                self.changed.set()
        except ConnectionClosed:
            pass
        finally:
            self.changed.set()

    def check(self, connection: ServerConnection, _: Request) -> Response | None:
        self.attempts += 1
        self.changed.set()
        if self.refuse_with is None:
            return None
        response = connection.respond(self.refuse_with, "no")
        response.headers["Retry-After"] = "60"
        return response


def refusal(asked: dict[str, Any], code: int, text: str, status: int = 400) -> dict[str, Any]:
    """An error answer of the WebSocket API."""
    return {"id": asked["id"], "status": status, "error": {"code": code, "msg": text}}


@asynccontextmanager
async def ws_venue() -> AsyncIterator[WsVenue]:
    """Serve until the block ends."""
    state = WsVenue()
    handler: Callable[[ServerConnection], Awaitable[None]] = state.serve
    async with serve(handler, "127.0.0.1", 0, process_request=state.check, close_timeout=0.2) as server:
        state.port = next(iter(server.sockets)).getsockname()[1]
        yield state
