"""The gate every request passes, from either transport, in one fixed order.

Ban or limit (418/429), key's form (-2014), mandatory parameters (-1102), time window (-1021), key, address
and right (-2015), signature (-1022), parameters (-11xx), order count (-1015), time window again, exchange
(-1013, -2010). The venue publishes no order; this one is the reference page's, section 15.
Everything before the first `await` happens in one piece; faults alone make a request wait, and after every
wait the time window is checked again, so a late request dies here and not in the exchange.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tradewind.sim import binance_errors as errors
from tradewind.sim.binance_auth import is_signed_by, read_window
from tradewind.sim.binance_call import Call, Request, Security, Session
from tradewind.sim.binance_calls import parameters_of
from tradewind.sim.binance_errors import TIMEOUT, VenueError, bad_signature, rejected_key
from tradewind.sim.binance_params import Params
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.faults import BodyKind, Breakage, Interference, RequestFacts, timeout_error
from tradewind.sim.keys import ApiKey, looks_like_key
from tradewind.sim.limits import RetryLater, weight_headers
from tradewind.sim.refusals import ExchangeRefusal
from tradewind.sim.request_log import RequestRow

_CLIENT_IDS = (
    "newClientOrderId", "listClientOrderId", "aboveClientOrderId", "belowClientOrderId", "limitClientOrderId",
    "stopClientOrderId", "origClientOrderId",
)  # fmt: skip

# What the log says of a request that was answered with -1007 and went on behind the answer.
TIMED_OUT = "timeout -1007"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as its transport received it; `payload` is what the signature must cover."""

    transport: str
    address: str
    params: Params
    payload: bytes
    api_key: str | None
    session: Session | None = None
    session_key: ApiKey | None = None


@dataclass(slots=True)
class Answer:
    """What the client is to hear, and how a fault breaks it."""

    status: int
    body: object
    row: RequestRow
    headers: dict[str, str] = field(default_factory=dict)
    breakage: Breakage | None = None
    broken_body: BodyKind = BodyKind.HTML
    broken_error: VenueError | None = None
    error: VenueError | None = None


class Gate:
    """The pipeline of one venue; owns the requests that outlive their answers."""

    def __init__(self, spot: BinanceSpot) -> None:
        self._spot = spot
        self._late: set[asyncio.Task[Answer]] = set()

    async def answer(self, call: Call, arrival: Arrival) -> Answer:
        """Carry one request out and give what is to be answered; never raises for a refusal."""
        spot, now = self._spot, self._spot.now_ms()
        row = spot.requests.open(
            now, arrival.transport, call.name, " ".join(call.route or ("WS", call.name)), arrival.address
        )
        request = Request(call, arrival.params, row, session=arrival.session)
        row.symbol = arrival.params.get("symbol")
        row.client_ids = tuple(arrival.params[name] for name in _CLIENT_IDS if name in arrival.params)
        try:
            self._admit(request, arrival, now)
        except VenueError as error:
            return self._finish(request, _refused(row, error), arrival.address)
        interference = spot.faults.plan(_facts(request))
        row.faults = tuple(interference.names)
        wait_ms = interference.before_ms + interference.engine_ms + interference.after_ms
        if wait_ms > spot.settings.processing_timeout_ms and interference.breakage is None:
            return await self._answer_in_time(request, interference, arrival.address)
        return await self._carry_out(request, interference, arrival.address)

    async def close(self) -> None:
        """End requests that are still being carried out."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _answer_in_time(self, request: Request, interference: Interference, address: str) -> Answer:
        """Answer -1007 when processing takes too long, and let the request go on behind it."""
        task = asyncio.get_running_loop().create_task(self._carry_out(request, interference, address))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        await asyncio.wait({task}, timeout=self._spot.settings.processing_timeout_ms / 1000)
        if task.done():
            return task.result()
        answer = _refused(request.row, timeout_error())
        request.row.heard, request.row.status, request.row.code = TIMED_OUT, answer.status, TIMEOUT
        answer.headers.update(weight_headers(self._spot.weight.used(address, self._spot.now_ms())))
        return answer

    def _admit(self, request: Request, arrival: Arrival, now: int) -> None:
        """Everything that is checked on arrival."""
        spot, call, params = self._spot, request.call, request.params
        spot.weight.charge(arrival.address, call.weight_of(params), now)
        if call.is_signed:
            self._authenticate(request, arrival, now)
        else:
            params.require(call.mandatory)
            request.key = arrival.session_key
        params.refuse_unread(parameters_of(call))

    def _authenticate(self, request: Request, arrival: Arrival, now: int) -> None:
        call, params = request.call, request.params
        is_session = arrival.api_key is None and arrival.session_key is not None
        if not is_session and (arrival.api_key is None or not looks_like_key(arrival.api_key)):
            raise VenueError(errors.BAD_API_KEY_FORMAT, "API-key format invalid.")
        params.require(call.mandatory)
        params.require(("timestamp",) if is_session else ("timestamp", "signature"))
        request.window = read_window(params, now)
        request.window.check(now)
        # Looked up afresh for a session too: a key may have been revoked or changed since its log-on.
        named = arrival.api_key if arrival.session_key is None or not is_session else arrival.session_key.api_key
        key = self._spot.keys.find(named or "")
        if key is None or not _may(key, call, arrival.address, now):
            raise rejected_key()
        if not is_session and not is_signed_by(key.verifier, arrival.payload, params["signature"]):
            raise bad_signature()
        request.key = key
        request.row.uid, request.row.api_key = key.uid, key.api_key

    async def _carry_out(self, request: Request, interference: Interference, address: str) -> Answer:
        try:
            answer = await self._execute(request, interference, address)
        except ExchangeRefusal as refusal:
            answer = _refused(request.row, VenueError(refusal.code, refusal.message))
        except VenueError as error:
            answer = _refused(request.row, error)
        if interference.after_ms:
            await asyncio.sleep(interference.after_ms / 1000)
        _break(answer, interference)
        return self._finish(request, answer, address)

    async def _execute(self, request: Request, interference: Interference, address: str) -> Answer:
        spot, call = self._spot, request.call
        if interference.refusal is not None:
            raise interference.refusal
        if interference.before_ms:
            await asyncio.sleep(interference.before_ms / 1000)
            self._check_again(request)
        if not interference.executes:
            return Answer(200, {}, request.row)
        self._check_count(request)
        if interference.engine_ms:
            await asyncio.sleep(interference.engine_ms / 1000)
        if interference.fill_fraction is not None and request.key is not None:
            spot.limit_next_fill(request.uid, interference.fill_fraction)
        body = call.run(spot, request)
        request.row.executed = True
        now = spot.now_ms()
        if call.is_free_on_success:
            spot.weight.refund(address, call.weight_of(request.params), now)
        answer = Answer(200, body, request.row)
        if (call.orders or call.name == "order.cancelReplace") and request.key is not None:
            ten_seconds, day = spot.orders.counts(request.uid, now)
            answer.headers["x-mbx-order-count-10s"] = str(ten_seconds)
            answer.headers["x-mbx-order-count-1d"] = str(day)
        return answer

    def _check_again(self, request: Request) -> None:
        """Check the window right before the exchange; a failure here counts as an order (CHANGELOG 2025-05-22)."""
        if request.window is None:
            return
        try:
            request.window.check(self._spot.now_ms())
        except VenueError:
            if request.call.orders:
                self._spot.orders.add(request.uid, request.call.orders, self._spot.now_ms())
            raise

    def _check_count(self, request: Request) -> None:
        """Refuse with -1015; a request that its own form or filters would refuse hears that instead."""
        call = request.call
        if not call.orders:
            return
        try:
            self._spot.orders.check(request.uid, call.orders, self._spot.now_ms())
        except RetryLater:
            if call.vet is not None:
                call.vet(self._spot, request)
            raise

    def _finish(self, request: Request, answer: Answer, address: str) -> Answer:
        answer.headers.update(weight_headers(self._spot.weight.used(address, self._spot.now_ms())))
        row = request.row
        if row.heard != TIMED_OUT:
            row.status = answer.status
            row.code = answer.error.code if answer.error is not None else None
        if answer.breakage is not None:
            row.heard = answer.breakage.value
        return answer


def _may(key: ApiKey, call: Call, address: str, now_ms: int) -> bool:
    """Tell whether this key may make this call from this address."""
    if not key.allows_address(address):
        return False
    if call.security is Security.TRADE:
        return key.permissions.trading and not key.has_lapsed(now_ms)
    return key.permissions.reading


def _facts(request: Request) -> RequestFacts:
    row = request.row
    return RequestFacts(row.call, row.route, row.uid, row.api_key, row.symbol, row.client_ids)


def _refused(row: RequestRow, error: VenueError) -> Answer:
    answer = Answer(error.status, error.body(), row, error=error)
    if isinstance(error, RetryLater):
        answer.headers["Retry-After"] = str(error.retry_after_s())
    return answer


def _break(answer: Answer, interference: Interference) -> None:
    answer.breakage = interference.breakage
    answer.broken_body = interference.body
    answer.broken_error = interference.error
