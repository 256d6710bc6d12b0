"""A transport and a server that says exactly what a test wants."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tests.support.raw_server import Conversation, RawServer, raw_server

from tradewind.venues.transport import HttpRequest, Timeouts, Transport

GET = HttpRequest("GET", "/x")
POST = HttpRequest("POST", "/order", (("X-Key", "k"),), b"a=1")
QUICK = Timeouts(wait_s=1.0, connect_s=1.0, first_byte_s=0.3, whole_s=0.6)

Run = Callable[[Coroutine[Any, Any, None]], None]
Handler = Callable[[Conversation], Awaitable[None]]


async def with_server(
    handler: Handler, scenario: Callable[[RawServer, Transport], Awaitable[None]], **options: Any
) -> None:
    """Run a scenario between a transport and a server."""
    async with raw_server(handler) as server:
        transport = Transport(server.url, timeouts=QUICK, **options)
        try:
            await scenario(server, transport)
        finally:
            await transport.close()


def answering(data: bytes, *, pieces: int = 1, hang_up: bool = False) -> Handler:
    """Answer every request with these bytes, in so many pieces."""

    async def handler(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            size = -(-len(data) // pieces)
            for start in range(0, len(data), size):
                await conversation.say(data[start : start + size])
                if pieces > 1:
                    await asyncio.sleep(0.002)
            if hang_up:
                conversation.hang_up()
                return

    return handler


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
