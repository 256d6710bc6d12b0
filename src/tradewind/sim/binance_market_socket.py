"""One connection to the market streams: /ws/<stream>, /ws, /stream?streams=<a>/<b>.

Frames are bare on /ws and wrapped as `{"stream", "data"}` on /stream; the property `combined` switches that
(web-socket-streams.md, 2026-07-21). At most 5 incoming messages a second and 1024 streams a connection.
"""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import parse_qs, unquote

import msgspec
from aiohttp import web

from tradewind.sim.binance_events import server_shutdown
from tradewind.sim.binance_sockets import Socket, SocketRules
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.binance_streams import is_stream_name

_encode = msgspec.json.Encoder().encode
_STREAMS_MAX: Final = 1024
_MESSAGES_PER_S: Final = 5
_METHODS: Final = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


class _Invalid(Exception):
    """A control message the venue refuses; carries its small error code."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


class MarketConnection:
    """A listener of public streams."""

    def __init__(self, spot: BinanceSpot, request: web.BaseRequest, path: str) -> None:
        self._spot = spot
        rules = SocketRules(
            ping_every_s=spot.settings.ping_every_s,
            pong_within_s=spot.settings.pong_within_s,
            lifetime_s=spot.settings.connection_lifetime_s,
            messages_per_s=_MESSAGES_PER_S,
        )
        self.socket = Socket(request, rules, self._farewell)
        self._is_combined = path.startswith("/stream")
        self._names: dict[str, None] = {}
        self._asked = _streams_in(path, request.query_string)

    async def run(self) -> None:
        """Serve the connection until it ends."""
        self._spot.market_sockets.add(self.socket)
        try:
            for name in self._asked:
                if is_stream_name(name):
                    self._add(name)
            await self.socket.run(self._on_text)
        finally:
            self._spot.market_sockets.discard(self.socket)
            for name in self._names:
                self._spot.streams.remove(name, self)

    def deliver(self, stream: str, payload: str) -> None:
        """Send one payload in this connection's frame."""
        if self._is_combined:
            payload = f'{{"stream":"{stream}","data":{payload}}}'
        self.socket.post(payload)

    def _add(self, name: str) -> None:
        self._names[name] = None
        self._spot.streams.add(name, self)

    def _farewell(self) -> str:
        event = server_shutdown(self._spot.now_ms())
        frame: object = {"stream": "!serverShutdown", "data": event} if self._is_combined else event
        return _encode(frame).decode()

    def _on_text(self, text: str) -> None:
        request_id: object = None
        try:
            frame = _parse(text)
            request_id = frame.get("id")
            reply: dict[str, object] = {"result": self._control(frame), "id": request_id}
        except _Invalid as error:
            reply = {"code": error.code, "msg": error.msg, "id": request_id}
        self.socket.post(_encode(reply).decode())

    def _control(self, frame: dict[str, object]) -> object:
        params = frame.get("params", [])
        if not isinstance(params, list):
            raise _Invalid(2, "Invalid request: params must be an array")
        match frame.get("method"):
            case "SUBSCRIBE":
                self._subscribe(params)
            case "UNSUBSCRIBE":
                self._unsubscribe(params)
            case "LIST_SUBSCRIPTIONS":
                return list(self._names)
            case "SET_PROPERTY":
                self._set_property(params)
            case "GET_PROPERTY":
                _check_property(params)
                return self._is_combined
            case other:
                raise _Invalid(2, f"Invalid request: unknown variant `{other}`, expected one of {_METHODS}")
        return None

    def _subscribe(self, params: list[object]) -> None:
        names = [str(name) for name in params]
        for name in names:
            if not is_stream_name(name):
                raise _Invalid(2, f"Invalid request: invalid stream name {name}")
        if len(self._names.keys() | set(names)) > _STREAMS_MAX:
            raise _Invalid(2, f"Invalid request: more than {_STREAMS_MAX} streams")
        for name in names:
            self._add(name)

    def _unsubscribe(self, params: list[object]) -> None:
        for name in (str(one) for one in params):
            self._names.pop(name, None)
            self._spot.streams.remove(name, self)

    def _set_property(self, params: list[object]) -> None:
        _check_property(params)
        if len(params) != 2 or not isinstance(params[1], bool):
            raise _Invalid(1, "Invalid value type: expected Boolean")
        self._is_combined = params[1]


def _check_property(params: list[object]) -> None:
    if not params or params[0] != "combined":
        raise _Invalid(0, "Unknown property")


def _parse(text: str) -> dict[str, object]:
    try:
        frame = json.loads(text)
    except ValueError:
        raise _Invalid(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(frame, dict):
        raise _Invalid(2, "Invalid request: expected an object")
    return frame


def _streams_in(path: str, query: str) -> list[str]:
    if path.startswith("/stream"):
        asked = parse_qs(query).get("streams", [""])[0]
    else:
        asked = unquote(path.removeprefix("/ws").removeprefix("/"))
    return [name for name in asked.split("/") if name]
