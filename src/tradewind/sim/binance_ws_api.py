"""The WebSocket API at /ws-api/v3: one JSON request per text frame, answers in any order.

A request is `{id, method, params}`; the answer echoes the id and carries `status`, `result` or `error`, and
`rateLimits` unless the client does not want them (web-socket-api.md, 2026-07-21). Signing differs from REST:
the params sorted by name, not encoded. Numbers in `params` keep their own spelling, because the signature
covers the text the client wrote.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from tradewind.sim import binance_errors as errors
from tradewind.sim.binance_auth import ws_payload
from tradewind.sim.binance_calls import BY_METHOD, GONE_METHODS
from tradewind.sim.binance_errors import VenueError, unknown_error
from tradewind.sim.binance_events import server_shutdown, subscription_ended
from tradewind.sim.binance_gate import Answer, Arrival, Gate
from tradewind.sim.binance_params import Params, from_json
from tradewind.sim.binance_sockets import Socket, SocketRules
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.binance_user_data import Subscription
from tradewind.sim.faults import Breakage, timeout_error
from tradewind.sim.keys import ApiKey
from tradewind.sim.limits import RetryLater

_log = logging.getLogger("tradewind.sim.ws_api")
_encode = msgspec.json.Encoder().encode
_ACTIVE_MAX: Final = 1000
_LIFETIME_MAX: Final = 65_535
# Requests of one connection that may be worked on at once; more wait in the socket.
_IN_FLIGHT_MAX: Final = 2000
_CONNECT_WEIGHT: Final = 2


class WsApiSession:
    """One connection: its log-on, its subscriptions, its requests in flight."""

    def __init__(self, spot: BinanceSpot, gate: Gate, request: web.BaseRequest) -> None:
        self._spot = spot
        self._gate = gate
        self._address = request.remote or ""
        rules = SocketRules(
            ping_every_s=spot.settings.ping_every_s,
            pong_within_s=spot.settings.pong_within_s,
            lifetime_s=spot.settings.connection_lifetime_s,
        )
        self.socket = Socket(request, rules, self._farewell)
        self._key: ApiKey | None = None
        self._logged_on_ms = 0
        self._connected_ms = spot.now_ms()
        self._wants_limits = parse_qs(request.query_string).get("returnRateLimits", ["true"])[0] != "false"
        self._subscriptions: dict[int, Subscription] = {}
        self._next_subscription = 0
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the connection until it ends."""
        self._spot.weight.charge(self._address, _CONNECT_WEIGHT, self._spot.now_ms())
        self._spot.api_sockets.add(self.socket)
        try:
            await self.socket.run(self._on_text)
        finally:
            self._spot.api_sockets.discard(self.socket)
            for subscription in self._subscriptions.values():
                self._spot.users.remove(subscription)
            # Requests already received are carried out although nobody will hear the answer, as at the venue.
            await self._finish_requests()

    # Session calls, asked for by binance_session.py.

    def log_on(self, key: ApiKey) -> dict[str, object]:
        """Remember a key for later calls."""
        self._key, self._logged_on_ms = key, self._spot.now_ms()
        return self.session_status()

    def log_out(self) -> dict[str, object]:
        """Forget the key; subscriptions made by it end."""
        if self._key is not None:
            for one in [s for s in self._subscriptions.values() if s.uid == self._key.uid]:
                self._end(one)
        self._key = None
        return self.session_status()

    def session_status(self) -> dict[str, object]:
        """Tell who is logged on."""
        return {
            "apiKey": self._key.api_key if self._key is not None else None,
            "authorizedSince": self._logged_on_ms if self._key is not None else None,
            "connectedSince": self._connected_ms,
            "returnRateLimits": self._wants_limits,
            "serverTime": self._spot.now_ms(),
            "userDataStream": bool(self._subscriptions),
        }

    def subscribe(self, uid: int) -> int:
        """Begin to hear an account; a second subscription of the same account is -2035."""
        if any(one.uid == uid for one in self._subscriptions.values()):
            raise VenueError(errors.SUBSCRIPTION_ACTIVE, "User Data Stream subscription already active.")
        if len(self._subscriptions) >= _ACTIVE_MAX or self._next_subscription >= _LIFETIME_MAX:
            raise VenueError(-2042, "No more subscription ids are available on this connection.")
        subscription = Subscription(uid, self._next_subscription, self.socket)
        self._next_subscription += 1
        self._subscriptions[subscription.subscription_id] = subscription
        self._spot.users.add(subscription)
        return subscription.subscription_id

    def unsubscribe(self, subscription_id: int | None) -> None:
        """Stop one subscription or all; one that is not there is -2036."""
        if subscription_id is None:
            ending = list(self._subscriptions.values())
        else:
            found = self._subscriptions.get(subscription_id)
            ending = [found] if found is not None else []
        if not ending:
            raise VenueError(errors.SUBSCRIPTION_INACTIVE, "User Data Stream subscription not active.")
        for subscription in ending:
            self._end(subscription)

    def subscriptions(self) -> list[dict[str, object]]:
        """List the subscriptions by id."""
        return [{"subscriptionId": one} for one in self._subscriptions]

    async def _finish_requests(self) -> None:
        if not self._in_flight:
            return
        try:
            await asyncio.wait(self._in_flight)
        except asyncio.CancelledError:
            for task in self._in_flight:
                task.cancel()
            raise

    def _end(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription.subscription_id]
        self._spot.users.remove(subscription)
        subscription.send(_encode(subscription_ended(self._spot.now_ms())).decode())

    def _farewell(self) -> str:
        return _encode({"event": server_shutdown(self._spot.now_ms())}).decode()

    def _on_text(self, text: str) -> None:
        if len(self._in_flight) >= _IN_FLIGHT_MAX:
            self.socket.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(text))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _serve(self, text: str) -> None:
        request_id: object = None
        try:
            frame = _parse(text)
            request_id = frame.get("id")
            params = _params_of(frame)
            wants_limits = params.boolean("returnRateLimits", default=self._wants_limits)
            answer = await self._answer(str(frame.get("method", "")), params)
        except VenueError as error:
            self._post(request_id, error.status, error=error, limits=None)
            return
        except Exception:
            _log.exception("sim.ws_api.crashed")
            self._post(request_id, 500, error=unknown_error(), limits=None)
            return
        self._reply(request_id, answer, wants_limits=wants_limits)

    async def _answer(self, method: str, params: Params) -> Answer:
        name = method.removeprefix("v3/")
        call = BY_METHOD.get(name)
        if call is None:
            self._spot.weight.charge(self._address, 1, self._spot.now_ms())
            if name in GONE_METHODS:
                raise VenueError(-1016, "This service is no longer available.", status=410)
            raise VenueError(errors.UNSUPPORTED_OPERATION, "This operation is not supported.")
        return await self._gate.answer(
            call,
            Arrival(
                transport="ws",
                address=self._address,
                params=params,
                payload=ws_payload(params),
                api_key=params.text("apiKey"),
                session=self,
                session_key=self._key,
            ),
        )

    def _reply(self, request_id: object, answer: Answer, *, wants_limits: bool) -> None:
        match answer.breakage:
            case Breakage.ABORT | Breakage.CUT:
                self.socket.abort()
                return
            case Breakage.GARBAGE:
                self.socket.post("<html><body>502 Bad Gateway</body></html>")
                return
            case Breakage.TIMEOUT:
                error = timeout_error()
                self._post(request_id, error.status, error=error, limits=None)
                return
            case Breakage.STATUS:
                error = answer.broken_error or unknown_error()
                self._post(request_id, error.status, error=error, limits=None)
                return
            case None:
                pass
        limits = self._limits(answer) if wants_limits else None
        if answer.error is not None:
            self._post(request_id, answer.status, error=answer.error, limits=limits)
        else:
            self._post(request_id, answer.status, result=answer.body, limits=limits)

    def _limits(self, answer: Answer) -> list[dict[str, object]]:
        now = self._spot.now_ms()
        used = self._spot.weight.used(self._address, now)
        limits: list[dict[str, object]] = [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": self._spot.limits.weight_per_minute,
                "count": used,
            }
        ]
        if "x-mbx-order-count-10s" in answer.headers and answer.row.uid is not None:
            limits = self._spot.orders.as_rate_limits(answer.row.uid, now) + limits
        return limits

    def _post(
        self,
        request_id: object,
        status: int,
        *,
        result: object = None,
        error: VenueError | None = None,
        limits: list[dict[str, object]] | None,
    ) -> None:
        frame: dict[str, object] = {"id": request_id, "status": status}
        if error is None:
            frame["result"] = result
        else:
            frame["error"] = _error_shape(error)
        if limits is not None:
            frame["rateLimits"] = limits
        self.socket.post(_encode(frame).decode())


class _Written(str):
    """A JSON number in the client's own spelling."""

    __slots__ = ()


def _parse(text: str) -> Mapping[str, object]:
    try:
        frame = json.loads(text, parse_float=_Written)
    except ValueError:
        raise VenueError(errors.INVALID_JSON, "Invalid JSON Request.") from None
    if not isinstance(frame, dict):
        raise VenueError(errors.INVALID_JSON, "Invalid JSON Request.")
    return frame


def _params_of(frame: Mapping[str, object]) -> Params:
    params = frame.get("params")
    if params is None:
        return Params()
    if not isinstance(params, dict):
        raise VenueError(errors.INVALID_JSON, "Invalid JSON Request.")
    return from_json(params)


def _error_shape(error: VenueError) -> dict[str, object]:
    shape = error.body()
    if isinstance(error, RetryLater):
        shape["data"] = {"serverTime": error.server_ms, "retryAfter": error.retry_at_ms}
    return shape
