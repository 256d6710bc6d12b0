"""Orders on the wire: place, test, cancel, replace, amend, query.

Each function carries out one call: read the form, hand it to the exchange, publish the events, shape the
answer. The exchange refuses by raising `ExchangeRefusal`, which the gate words as the venue's error.
Lookup rules of rest-api.md (2026-07-21): by `orderId` first, then the client id is compared (-2039 for
queries, a refused cancel otherwise); on a cancel the order's client id becomes the cancel's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from tradewind.sim import binance_errors as errors
from tradewind.sim import binance_shapes as shapes
from tradewind.sim.binance_call import Request
from tradewind.sim.binance_errors import VenueError, no_such_order
from tradewind.sim.binance_order_form import ORDER_FIELDS, read_new_order, read_response_type
from tradewind.sim.binance_params import Params
from tradewind.sim.binance_shapes import Json
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.limits import DAY_MS
from tradewind.sim.refusals import ExchangeRefusal
from tradewind.sim.types import TRIGGER_TYPES, Cancelled, CancelRestriction, NewOrder, Order, OrderType, Placed


class ReplaceMode(StrEnum):
    """What a cancelReplace does when its cancel fails."""

    STOP_ON_FAILURE = "STOP_ON_FAILURE"
    ALLOW_FAILURE = "ALLOW_FAILURE"


class ExceededMode(StrEnum):
    """What a cancelReplace does when the order count is used up."""

    DO_NOTHING = "DO_NOTHING"
    CANCEL_ONLY = "CANCEL_ONLY"


def place(spot: BinanceSpot, request: Request) -> Json:
    """POST /api/v3/order."""
    response = read_response_type(request.params)
    placed = _place(spot, request, read_new_order(request.params))
    return shapes.placed(placed.order, placed.fills, response or shapes.default_response(placed.order.type))


def vet(spot: BinanceSpot, request: Request) -> None:
    """Check an order's form and filters and do nothing else."""
    _check_filters(spot, request.uid, read_new_order(request.params))


def test(spot: BinanceSpot, request: Request) -> Json:
    """POST /api/v3/order/test: everything but the engine."""
    new = read_new_order(request.params)
    spot.exchange.test_order(request.uid, new, spot.now_ms())
    if not request.params.boolean("computeCommissionRates", default=False):
        return {}
    rates = commission_rates(spot, request.uid)
    return {
        "standardCommissionForOrder": rates,
        "specialCommissionForOrder": {"maker": "0.00000000", "taker": "0.00000000"},
        "taxCommissionForOrder": {"maker": "0.00000000", "taker": "0.00000000"},
        "discount": discount(spot, request.uid),
    }


def cancel(spot: BinanceSpot, request: Request) -> Json:
    """DELETE /api/v3/order."""
    params = request.params
    cancelled = _cancel(spot, request, "orderId", "origClientOrderId", "newClientOrderId")
    order = _named(cancelled.orders, params.integer("orderId"), params.text("origClientOrderId"))
    return shapes.cancelled(order)


def cancel_all(spot: BinanceSpot, request: Request) -> list[Json]:
    """DELETE /api/v3/openOrders: list members appear as their list."""
    cancelled = spot.exchange.cancel_all(request.uid, listed_symbol(spot, request.params), spot.now_ms())
    after_cancel(spot, request, cancelled)
    single = [shapes.cancelled(order) for order in cancelled.orders if order.order_list_id < 0]
    return single + [shapes.listed_with_reports(one, _reports(cancelled, one.order_list_id))
                     for one in cancelled.order_lists]  # fmt: skip


def amend(spot: BinanceSpot, request: Request) -> Json:
    """PUT /api/v3/order/amend/keepPriority: only a smaller quantity is taken."""
    params = request.params
    quantity = params.decimal("newQty")
    assert quantity is not None, "newQty is mandatory and was checked"
    change = spot.exchange.amend(
        request.uid,
        listed_symbol(spot, params),
        spot.now_ms(),
        new_quantity=quantity,
        order_id=params.integer("orderId"),
        client_order_id=_one_of(params, "orderId", "origClientOrderId"),
        new_client_order_id=params.client_id("newClientOrderId"),
    )
    request.note_orders(change.order.order_id)
    spot.publish(change.events)
    return shapes.amended(change)


def status(spot: BinanceSpot, request: Request) -> Json:
    """GET /api/v3/order."""
    params = request.params
    client_id = _one_of(params, "orderId", "origClientOrderId")
    symbol = listed_symbol(spot, params)
    order = spot.exchange.find_order(request.uid, symbol, order_id=params.integer("orderId"), client_order_id=client_id)
    if order is None or spot.is_hidden(order, spot.now_ms()):
        raise no_such_order()
    return shapes.queried(order)


def open_orders(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/openOrders, of one symbol or of all."""
    symbol = listed_symbol(spot, request.params) if "symbol" in request.params else None
    now = spot.now_ms()
    return [
        shapes.queried(order)
        for order in spot.exchange.open_orders(request.uid, symbol)
        if not spot.is_hidden(order, now)
    ]


def all_orders(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/allOrders: by id, by time or the newest."""
    params, now = request.params, spot.now_ms()
    limit = params.limit(500, 1000)
    since, until = read_span(params)
    orders: Sequence[Order] = [
        order
        for order in spot.exchange.all_orders(request.uid, listed_symbol(spot, params))
        if not spot.is_hidden(order, now)
    ]
    first_id = params.integer("orderId")
    if first_id is not None:
        page = [order for order in orders if order.order_id >= first_id][:limit]
    else:
        within = [
            o for o in orders if (since is None or o.created_ms >= since) and (until is None or o.created_ms <= until)
        ]
        page = within[:limit] if since is not None else within[-limit:]
    return [shapes.queried(order) for order in page]


def cancel_replace(spot: BinanceSpot, request: Request) -> Json:
    """POST /api/v3/order/cancelReplace: two steps, not one transaction."""
    params = request.params
    mode = params.choice("cancelReplaceMode", ReplaceMode)
    exceeded = params.choice("orderRateLimitExceededMode", ExceededMode) or ExceededMode.DO_NOTHING
    response = read_response_type(params)
    new = read_new_order(params)
    _check_filters(spot, request.uid, new)
    try:
        spot.orders.check(request.uid, 1, spot.now_ms())
    except VenueError as too_many:
        if exceeded is ExceededMode.DO_NOTHING:
            raise
        first = _cancel_part(spot, request)
        halves = _halves(first, too_many.body())
        raise VenueError(errors.CANCEL_REPLACE_PARTIAL, _PARTIAL, status=429, data=halves) from None
    first = _cancel_part(spot, request)
    if "code" in first and mode is ReplaceMode.STOP_ON_FAILURE:
        # The count grows even though the new order was not attempted.
        spot.orders.add(request.uid, 1, spot.now_ms())
        raise VenueError(errors.CANCEL_REPLACE_FAILED, _FAILED, data=_halves(first, None))
    second = _place_part(spot, request, new, response)
    halves = _halves(first, second)
    failures = ("code" in first) + ("code" in second)
    if failures == 2:
        raise VenueError(errors.CANCEL_REPLACE_FAILED, _FAILED, data=halves)
    if failures == 1:
        raise VenueError(errors.CANCEL_REPLACE_PARTIAL, _PARTIAL, data=halves)
    return halves


_FAILED = "Order cancel-replace failed."
_PARTIAL = "Order cancel-replace partially failed."


def _halves(first: Json, second: Json | None) -> Json:
    new_result = "NOT_ATTEMPTED" if second is None else ("FAILURE" if "code" in second else "SUCCESS")
    return {
        "cancelResult": "FAILURE" if "code" in first else "SUCCESS",
        "newOrderResult": new_result,
        "cancelResponse": first,
        "newOrderResponse": second,
    }


def _cancel_part(spot: BinanceSpot, request: Request) -> Json:
    params = request.params
    try:
        cancelled = _cancel(spot, request, "cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId")
    except ExchangeRefusal as refusal:
        return {"code": refusal.code, "msg": refusal.message}
    order = _named(cancelled.orders, params.integer("cancelOrderId"), params.text("cancelOrigClientOrderId"))
    return shapes.cancelled(order)


def _place_part(spot: BinanceSpot, request: Request, new: NewOrder, response: shapes.ResponseType | None) -> Json:
    try:
        placed = _place(spot, request, new)
    except ExchangeRefusal as refusal:
        return {"code": refusal.code, "msg": refusal.message}
    return shapes.placed(placed.order, placed.fills, response or shapes.default_response(new.type))


def _place(spot: BinanceSpot, request: Request, new: NewOrder) -> Placed:
    check_slots(spot, request.uid, new.symbol, [new.type])
    now = spot.now_ms()
    placed = spot.exchange.place(request.uid, new, now)
    request.note_orders(placed.order.order_id)
    spot.orders.add(request.uid, 1, now)
    spot.count_fills(placed.order, placed.fills)
    spot.publish(placed.events)
    return placed


def _cancel(spot: BinanceSpot, request: Request, id_name: str, client_name: str, new_name: str) -> Cancelled:
    params = request.params
    restriction = params.choice(
        "cancelRestrictions",
        CancelRestriction,
        VenueError(errors.INVALID_CANCEL_RESTRICTIONS, "Invalid cancelRestrictions"),
    )
    client_id = _one_of(params, id_name, client_name)
    cancelled = spot.exchange.cancel(
        request.uid,
        listed_symbol(spot, params),
        spot.now_ms(),
        order_id=params.integer(id_name),
        client_order_id=client_id,
        new_client_order_id=params.client_id(new_name),
        restriction=restriction,
    )
    after_cancel(spot, request, cancelled)
    return cancelled


def after_cancel(spot: BinanceSpot, request: Request, cancelled: Cancelled) -> None:
    """Write down and publish what a cancel ended."""
    request.note_orders(*(order.order_id for order in cancelled.orders))
    spot.publish(cancelled.events)


def _named(orders: Iterable[Order], order_id: int | None, client_id: str | None) -> Order:
    """Pick the order the client named; its list's other leg was cancelled with it."""
    for order in orders:
        if order.order_id == order_id or (order_id is None and client_id in {order.orig_client_order_id}):
            return order
    raise AssertionError("a successful cancel holds the order it was asked for")


def _reports(cancelled: Cancelled, order_list_id: int) -> list[Json]:
    return [shapes.cancelled(order) for order in cancelled.orders if order.order_list_id == order_list_id]


def _one_of(params: Params, id_name: str, client_name: str) -> str | None:
    """Read the client id; refuse when neither it nor the order id was sent."""
    client_id = params.text(client_name)
    if client_id is None and not params.get(id_name):
        raise VenueError(
            errors.MANDATORY_PARAM,
            f"Param '{client_name}' or '{id_name}' must be sent, but both were empty/null!",
        )
    return client_id


def listed_symbol(spot: BinanceSpot, params: Params) -> str:
    """Read a symbol that is listed (-1121)."""
    symbol = params.symbol()
    spot.exchange.rules(symbol)
    return symbol


def _check_filters(spot: BinanceSpot, uid: int, new: NewOrder) -> None:
    failure = spot.exchange.check_order(uid, new, spot.now_ms())
    if failure is not None:
        raise VenueError(errors.INVALID_MESSAGE, failure.message)


def check_slots(spot: BinanceSpot, uid: int, symbol: str, types: Iterable[OrderType]) -> None:
    """Refuse stop orders beyond the slots a fault has left (`order_slots`)."""
    slots = spot.algo_slots(uid, symbol)
    wanted = sum(1 for kind in types if kind in TRIGGER_TYPES)
    if slots is None or not wanted:
        return
    used = sum(1 for order in spot.exchange.open_orders(uid, symbol) if order.type in TRIGGER_TYPES)
    if used + wanted > slots:
        raise VenueError(errors.INVALID_MESSAGE, "Filter failure: MAX_NUM_ALGO_ORDERS")


def read_span(params: Params) -> tuple[int | None, int | None]:
    """Read startTime and endTime, at most 24 hours apart (-1127)."""
    since, until = params.integer("startTime"), params.integer("endTime")
    if since is not None and until is not None and until - since > DAY_MS:
        raise VenueError(errors.BAD_TIME_RANGE, "More than 24 hours between startTime and endTime.")
    return since, until


def commission_rates(spot: BinanceSpot, uid: int) -> Json:
    """Give the account's standard rates as fractions."""
    maker = spot.exchange.commission_bps(uid, is_maker=True).scaleb(-4)
    taker = spot.exchange.commission_bps(uid, is_maker=False).scaleb(-4)
    return {"maker": shapes.number(maker), "taker": shapes.number(taker)}


def discount(spot: BinanceSpot, uid: int) -> Json:
    """Give the BNB discount of the account; the factor multiplies the standard part."""
    return {
        "enabledForAccount": spot.exchange.account_settings(uid).pays_fees_in_bnb,
        "enabledForSymbol": True,
        "discountAsset": "BNB",
        "discount": "0.75000000",
    }


CANCEL_FIELDS = frozenset({"symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions"})
REPLACE_FIELDS = ORDER_FIELDS | {
    "cancelReplaceMode", "cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId",
    "cancelRestrictions", "orderRateLimitExceededMode",
}  # fmt: skip
