"""Order lists on the wire: OCO in its current and its deprecated form, cancel, queries.

Cancelling a list or one of its legs ends both. The legs are reported in full unless the client asks for
less, as recorded answers to list orders without `newOrderRespType` show.
"""

from __future__ import annotations

from tradewind.sim import binance_errors as errors
from tradewind.sim import binance_shapes as shapes
from tradewind.sim.binance_call import Request
from tradewind.sim.binance_errors import VenueError, no_such_order
from tradewind.sim.binance_order_form import read_legacy_oco, read_oco, read_response_type
from tradewind.sim.binance_orders import after_cancel, check_slots, listed_symbol, read_span
from tradewind.sim.binance_shapes import Json, ResponseType
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.types import NewOco, OrderUpdate

# Two legs, two unfilled orders.
OCO_ORDERS = 2


def place_oco(spot: BinanceSpot, request: Request) -> Json:
    """POST /api/v3/orderList/oco."""
    return _place(spot, request, read_oco(request.params))


def place_legacy_oco(spot: BinanceSpot, request: Request) -> Json:
    """POST /api/v3/order/oco, deprecated and alive."""
    return _place(spot, request, read_legacy_oco(request.params))


def vet_oco(spot: BinanceSpot, request: Request) -> None:
    """Check an OCO's form and filters and do nothing else."""
    _check_filters(spot, request.uid, read_oco(request.params))


def vet_legacy_oco(spot: BinanceSpot, request: Request) -> None:
    """Check a deprecated OCO's form and filters and do nothing else."""
    _check_filters(spot, request.uid, read_legacy_oco(request.params))


def cancel(spot: BinanceSpot, request: Request) -> Json:
    """DELETE /api/v3/orderList."""
    params = request.params
    list_id, client_id = params.integer("orderListId"), params.text("listClientOrderId")
    if list_id is None and client_id is None:
        raise _neither("listClientOrderId")
    cancelled = spot.exchange.cancel_list(
        request.uid,
        listed_symbol(spot, params),
        spot.now_ms(),
        order_list_id=list_id,
        list_client_order_id=client_id,
        new_client_order_id=params.client_id("newClientOrderId"),
    )
    after_cancel(spot, request, cancelled)
    return shapes.listed_with_reports(cancelled.order_lists[0], (shapes.cancelled(order) for order in cancelled.orders))


def status(spot: BinanceSpot, request: Request) -> Json:
    """GET /api/v3/orderList."""
    params = request.params
    list_id, client_id = params.integer("orderListId"), params.text("origClientOrderId")
    if list_id is None and client_id is None:
        raise _neither("origClientOrderId")
    found = spot.exchange.find_list(request.uid, order_list_id=list_id, list_client_order_id=client_id)
    if found is None:
        raise no_such_order()
    return shapes.listed(found)


def open_lists(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/openOrderList."""
    return [shapes.listed(one) for one in spot.exchange.open_lists(request.uid)]


def all_lists(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/allOrderList."""
    params = request.params
    limit = params.limit(500, 1000)
    since, until = read_span(params)
    first_id = params.integer("fromId")
    if first_id is not None and (since is not None or until is not None):
        raise VenueError(errors.OPTIONAL_PARAMS_BAD_COMBO, "Combination of optional parameters invalid.")
    lists = [
        one
        for one in spot.exchange.all_lists(request.uid)
        if (first_id is None or one.order_list_id >= first_id)
        and (since is None or one.created_ms >= since)
        and (until is None or one.created_ms <= until)
    ]
    page = lists[:limit] if first_id is not None or since is not None else lists[-limit:]
    return [shapes.listed(one) for one in page]


def _place(spot: BinanceSpot, request: Request, new: NewOco) -> Json:
    response = read_response_type(request.params) or ResponseType.RESULT
    check_slots(spot, request.uid, new.symbol, [new.above.type, new.below.type])
    now = spot.now_ms()
    placed = spot.exchange.place_oco(request.uid, new, now)
    request.note_orders(*(order.order_id for order in placed.orders))
    spot.orders.add(request.uid, OCO_ORDERS, now)
    spot.publish(placed.events)
    fills = {
        event.fill.order_id: event.fill
        for event in placed.events
        if isinstance(event, OrderUpdate) and event.fill is not None
    }
    reports = [
        shapes.placed(order, [fills[order.order_id]] if order.order_id in fills else [], response)
        for order in placed.orders
    ]
    return shapes.listed_with_reports(placed.order_list, reports)


def _check_filters(spot: BinanceSpot, uid: int, new: NewOco) -> None:
    failure = spot.exchange.check_oco(uid, new, spot.now_ms())
    if failure is not None:
        raise VenueError(errors.INVALID_MESSAGE, failure.message)


def _neither(client_name: str) -> VenueError:
    return VenueError(
        errors.MANDATORY_PARAM,
        f"Param '{client_name}' or 'orderListId' must be sent, but both were empty/null!",
    )
