"""The REST wire: raw bytes in, status, headers and body out, and the ways an answer can break.

The signature covers the query and the body exactly as received, so both are taken from the request before
anything decodes them. A broken answer is carried out here: the socket is aborted, cut in the middle of the
body, or given an HTML page, because only the wire can do that.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Final

import msgspec
from aiohttp import web

from tradewind.sim.binance_auth import signed_payload
from tradewind.sim.binance_calls import BY_ROUTE, is_gone
from tradewind.sim.binance_errors import VenueError, unknown_error
from tradewind.sim.binance_gate import Answer, Arrival, Gate
from tradewind.sim.binance_params import merge
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.faults import BodyKind, Breakage, timeout_error
from tradewind.sim.limits import RetryLater, weight_headers

_log = logging.getLogger("tradewind.sim.rest")
_encode = msgspec.json.Encoder().encode
_JSON: Final = "application/json;charset=UTF-8"
_HTML: Final = "text/html"
_BODY_TIMEOUT_S: Final = 10.0
# All answers carry this one (a request id of the venue); clients may log it.
_UUID_HEADER: Final = "x-mbx-uuid"


def nginx_page(status: int, reason: str) -> bytes:
    """Give the kind of page a proxy in front of the venue answers with."""
    title = f"{status} {reason}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


_REASONS: Final = {
    403: "Forbidden",
    404: "Not Found",
    410: "Gone",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


class RestWire:
    """Turns HTTP requests into calls and answers into HTTP."""

    def __init__(self, spot: BinanceSpot, gate: Gate) -> None:
        self._spot = spot
        self._gate = gate

    async def handle(self, request: web.BaseRequest, path: str, raw_query: str) -> web.StreamResponse:
        """Answer one request under /api or /sapi."""
        call = BY_ROUTE.get((request.method, path))
        if call is None or (call.needs_sapi and not self._spot.settings.profile.has_sapi):
            return self._no_route(request, path)
        address = request.remote or ""
        try:
            arrival = await self._receive(request, raw_query, address)
        except VenueError as error:
            return self._error(error, address)
        except TimeoutError:
            return _abort(request)
        try:
            answer = await self._gate.answer(call, arrival)
        except Exception:
            _log.exception("sim.rest.crashed call=%s", call.name)
            return self._error(unknown_error(), address)
        return await self._reply(request, answer)

    async def _receive(self, request: web.BaseRequest, raw_query: str, address: str) -> Arrival:
        # aiohttp keeps undecodable bytes of the target as surrogates; this gives the very bytes back.
        query = raw_query.encode("utf-8", "surrogateescape")
        body = b""
        if request.method != "GET" and request.can_read_body:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                body = await request.read()
        return Arrival(
            transport="rest",
            address=address,
            params=merge(query, body),
            payload=signed_payload(query, body),
            api_key=request.headers.get("X-MBX-APIKEY"),
        )

    def _no_route(self, request: web.BaseRequest, path: str) -> web.Response:
        address = request.remote or ""
        try:
            self._spot.weight.charge(address, 1, self._spot.now_ms())
        except RetryLater as error:
            return self._error(error, address)
        return _page(410 if is_gone(path) else 404)

    async def _reply(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if answer.breakage is not None:
            return await self._broken(request, answer)
        body = _encode(_in_time_unit(request, answer.body))
        return web.Response(status=answer.status, body=body, headers=_headers(answer.headers))

    async def _broken(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        match answer.breakage:
            case Breakage.ABORT:
                return _abort(request)
            case Breakage.CUT:
                return await _cut(request, answer)
            case Breakage.GARBAGE:
                return web.Response(status=200, body=nginx_page(200, "OK"), content_type=_HTML)
            case Breakage.TIMEOUT:
                return self._error(timeout_error(), request.remote or "")
            case _:
                return _broken_status(answer)

    def _error(self, error: VenueError, address: str) -> web.Response:
        headers = dict(weight_headers(self._spot.weight.used(address, self._spot.now_ms())))
        if isinstance(error, RetryLater):
            headers["Retry-After"] = str(error.retry_after_s())
        return web.Response(status=error.status, body=_encode(error.body()), headers=_headers(headers))


def _headers(extra: dict[str, str]) -> dict[str, str]:
    return {"Content-Type": _JSON, _UUID_HEADER: str(uuid.uuid4()), **extra}


def _page(status: int) -> web.Response:
    return web.Response(status=status, body=nginx_page(status, _REASONS[status]), content_type=_HTML)


def _abort(request: web.BaseRequest) -> web.Response:
    """Reset the connection; the response object that is returned never leaves."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=200)


async def _cut(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Promise the whole body, send half of it, reset."""
    body = _encode(answer.body)
    response = web.StreamResponse(status=answer.status, headers=_headers(answer.headers))
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        # Let the half leave before the reset: an abort throws away what is still queued here.
        await asyncio.sleep(0.01)
        request.transport.abort()
    return response


def _broken_status(answer: Answer) -> web.Response:
    error = answer.broken_error or unknown_error()
    status = error.status
    if answer.broken_body is BodyKind.HTML:
        return web.Response(status=status, body=nginx_page(status, _REASONS.get(status, "Error")), content_type=_HTML)
    if answer.broken_body is BodyKind.EMPTY:
        return web.Response(status=status, body=b"", content_type=_HTML)
    return web.Response(status=status, body=_encode(error.body()), headers=_headers({}))


_TIME_FIELDS: Final = frozenset(
    {"serverTime", "transactTime", "transactionTime", "time", "updateTime", "workingTime", "T", "closeTime", "openTime"}
)


_CANDLE_LENGTH: Final = 12
_CANDLE_TIMES: Final = frozenset({0, 6})


def _in_time_unit(request: web.BaseRequest, body: object) -> object:
    """Give times in microseconds when the client asked for them (header X-MBX-TIME-UNIT)."""
    if request.headers.get("X-MBX-TIME-UNIT", "").upper() not in {"MICROSECOND", "MICROSECONDS"}:
        return body
    return _micros(body)


def _micros(body: object) -> object:
    if isinstance(body, dict):
        return {
            name: value * 1000 if name in _TIME_FIELDS and isinstance(value, int) and value > 0 else _micros(value)
            for name, value in body.items()
        }
    if isinstance(body, list) and len(body) == _CANDLE_LENGTH and isinstance(body[0], int):
        return [item * 1000 if index in _CANDLE_TIMES else item for index, item in enumerate(body)]
    if isinstance(body, list):
        return [_micros(item) for item in body]
    return body
