"""Bodies are read up to a bound, within a time, before anything looks at them (reliability.md row 19).

A request that announces too much is refused without reading a byte; one that announces nothing is
refused at the byte that is too much. A body that trickles in is given up.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradewind.core.errors import InvalidInput, TooLarge, Unavailable
from tradewind.web.problem import problem

BODY_BYTES_MAX = 64 * 1024
# Long enough for 64 KiB over a bad line, short enough that a trickling sender holds nothing for long.
BODY_SECONDS_MAX = 10.0


async def read_body(request: Request, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Read the whole body of a request. Raises TooLarge past `bytes_max`, before reading the rest."""
    _demand_announced(request.headers, bytes_max)
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(chunks)


class BodyLimit:
    """Reads each request's body first, bounded in bytes and seconds, then lets the app have it."""

    def __init__(self, app: ASGIApp, *, bytes_max: int = BODY_BYTES_MAX, seconds_max: float = BODY_SECONDS_MAX) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 413, 408 or 400."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            _demand_announced(Headers(scope=scope), self._bytes_max)
            async with asyncio.timeout(self._seconds_max):
                body = await _collect(receive, self._bytes_max)
        except TimeoutError:
            slow = InvalidInput("body_too_slow", f"The body did not arrive within {self._seconds_max:.0f} s.")
            await problem(slow, instance=scope["path"])(scope, receive, send)
            return
        except (TooLarge, InvalidInput) as error:
            await problem(error, instance=scope["path"])(scope, receive, send)
            return
        except Unavailable:
            return
        await self._app(scope, _replay(body, receive), send)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "content-length" in headers or "transfer-encoding" in headers


def _demand_announced(headers: Headers, bytes_max: int) -> None:
    announced = headers.get("content-length")
    if announced is None:
        return
    # isdigit alone would let other scripts' digits through.
    if not (announced.isascii() and announced.isdigit()):
        raise InvalidInput("body_not_readable", "The Content-Length header is not a number.")
    if len(announced) > 15 or int(announced) > bytes_max:
        raise _too_large(bytes_max)


async def _collect(receive: Receive, bytes_max: int) -> bytes:
    chunks = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # Nobody is left to answer; the kind is never shown.
            raise Unavailable("gone", "The caller hung up.")
        chunks += message.get("body", b"")
        if len(chunks) > bytes_max:
            raise _too_large(bytes_max)
        if not message.get("more_body", False):
            return bytes(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(
        "body_too_large",
        f"The body is larger than {bytes_max // 1024} KiB and was not read; nothing was stored. Send less at once.",
    )
