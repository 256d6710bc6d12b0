"""Order requests on the wire, pure (rest-api.md "Trading endpoints", 2026-07-21).

Rules of this file: every order carries our client id and asks for the fullest answer; numbers are written as
they were decided, never rounded here. What cannot be written raises ValueError: that is a fault of the caller.
"""

from __future__ import annotations

from tradewind.core.ids import VenueOrderId
from tradewind.core.order import OrderType, Side
from tradewind.venues.base import OrderRef, PlaceList, PlaceOrder
from tradewind.venues.binance.codec import WireCall, query_of, wire_number

LIST_ROWS_MAX = 1_000
# A stop-limit stands in for a stop where a symbol has no STOP_LOSS; its limit lies 5 % below the trigger
# (order-protocol.md section 5 sizes positions so that an exit there still meets the minimums).
_STOP_LIMIT_BPS = -500

SIDES = {Side.BUY: "BUY", Side.SELL: "SELL"}
_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.TAKE_PROFIT_LIMIT_MAKER: "LIMIT_MAKER",
    OrderType.STOP_LOSS: "STOP_LOSS",
}


def place_call(order: PlaceOrder, *, has_stop_market: bool = True, is_test: bool = False) -> WireCall:
    """Build POST order (or order/test). Raises ValueError for an order without the figures its type needs."""
    params = [("symbol", order.instrument.symbol), ("side", SIDES[order.side])]
    params += _type_params(order, has_stop_market)
    params.append(("newClientOrderId", order.client_order_id))
    params.append(("newOrderRespType", "FULL"))
    return WireCall("POST", "/api/v3/order/test" if is_test else "/api/v3/order", query_of(params), 1)


def _type_params(order: PlaceOrder, has_stop_market: bool) -> list[tuple[str, str]]:
    match order.type:
        case OrderType.MARKET:
            return [("type", "MARKET"), _market_size(order)]
        case OrderType.LIMIT:
            return [("type", "LIMIT"), ("timeInForce", "GTC"), _size(order), ("price", _limit(order))]
        case OrderType.TAKE_PROFIT_LIMIT_MAKER:
            return [("type", "LIMIT_MAKER"), _size(order), ("price", _limit(order))]
        case OrderType.STOP_LOSS:
            if has_stop_market:
                return [("type", "STOP_LOSS"), _size(order), ("stopPrice", _stop(order))]
            return [
                ("type", "STOP_LOSS_LIMIT"),
                ("timeInForce", "GTC"),
                _size(order),
                ("price", _stop_limit(order)),
                ("stopPrice", _stop(order)),
            ]


def oco_call(orders: PlaceList, *, has_stop_market: bool = True) -> WireCall:
    """Build POST orderList/oco for a sell: target above as LIMIT_MAKER, stop below.

    Raises ValueError for legs that do not belong together.
    """
    target, stop = orders.target, orders.stop
    if target.side is not Side.SELL or stop.side is not Side.SELL or target.instrument.symbol != stop.instrument.symbol:
        raise ValueError("an OCO protects one position: both legs sell the same symbol")
    if target.quantity is None or target.quantity != stop.quantity:
        raise ValueError("both legs of an OCO have the same quantity")
    params = [
        ("symbol", target.instrument.symbol),
        ("side", "SELL"),
        _size(target),
        ("aboveType", "LIMIT_MAKER"),
        ("abovePrice", _limit(target)),
        ("aboveClientOrderId", target.client_order_id),
        ("belowType", "STOP_LOSS" if has_stop_market else "STOP_LOSS_LIMIT"),
        ("belowStopPrice", _stop(stop)),
    ]
    if not has_stop_market:
        params += [("belowPrice", _stop_limit(stop)), ("belowTimeInForce", "GTC")]
    params += [
        ("belowClientOrderId", stop.client_order_id),
        ("listClientOrderId", orders.list_client_id),
        ("newOrderRespType", "FULL"),
    ]
    return WireCall("POST", "/api/v3/orderList/oco", query_of(params), 1)


def cancel_call(ref: OrderRef) -> WireCall:
    """Build the cancel of an order; a leg of a list cancels its list."""
    symbol = ("symbol", ref.instrument.symbol)
    if ref.list_client_id is not None:
        params = [symbol, ("listClientOrderId", ref.list_client_id)]
        return WireCall("DELETE", "/api/v3/orderList", query_of(params), 1)
    return WireCall("DELETE", "/api/v3/order", query_of([symbol, _name_of(ref)]), 1)


def find_call(ref: OrderRef) -> WireCall:
    """Build GET order, by the venue's id where it is known (a cancel replaces the client id)."""
    return WireCall("GET", "/api/v3/order", query_of([("symbol", ref.instrument.symbol), _name_of(ref)]), 4)


def open_orders_call(symbol: str | None) -> WireCall:
    """Build GET openOrders, of one symbol or of all."""
    query = query_of([("symbol", symbol)]) if symbol is not None else ""
    return WireCall("GET", "/api/v3/openOrders", query, 6 if symbol is not None else 80)


def all_orders_call(symbol: str, *, since_ms: int | None, from_id: int | None) -> WireCall:
    """Build GET allOrders, oldest first, from a time or from an order id."""
    params = [("symbol", symbol)]
    params.append(("startTime", str(since_ms)) if from_id is None else ("orderId", str(from_id)))
    params.append(("limit", str(LIST_ROWS_MAX)))
    return WireCall("GET", "/api/v3/allOrders", query_of(params), 20)


def fills_call(
    symbol: str, *, venue_order_id: VenueOrderId | None, since_ms: int | None, from_id: int | None
) -> WireCall:
    """Build GET myTrades: of an order, or since a time; `from_id` pages on."""
    params = [("symbol", symbol)]
    if venue_order_id is not None:
        params.append(("orderId", venue_order_id))
    if from_id is not None:
        params.append(("fromId", str(from_id)))
    elif venue_order_id is None and since_ms is not None:
        params.append(("startTime", str(since_ms)))
    params.append(("limit", str(LIST_ROWS_MAX)))
    return WireCall("GET", "/api/v3/myTrades", query_of(params), 5 if venue_order_id is not None else 20)


def _name_of(ref: OrderRef) -> tuple[str, str]:
    if ref.venue_order_id is not None:
        return ("orderId", ref.venue_order_id)
    return ("origClientOrderId", ref.client_order_id)


def _market_size(order: PlaceOrder) -> tuple[str, str]:
    if order.spend is None:
        return _size(order)
    if order.quantity is not None or order.spend.asset != order.instrument.quote:
        raise ValueError("a market order has a quantity, or an amount to spend in the quote asset")
    return ("quoteOrderQty", wire_number(order.spend.amount))


def _size(order: PlaceOrder) -> tuple[str, str]:
    if order.quantity is None or not order.quantity.is_positive:
        raise ValueError("the order needs a quantity above zero")
    return ("quantity", wire_number(order.quantity.value))


def _limit(order: PlaceOrder) -> str:
    if order.limit_price is None:
        raise ValueError("the order needs a limit price")
    return wire_number(order.limit_price.value)


def _stop(order: PlaceOrder) -> str:
    if order.stop_price is None:
        raise ValueError("the order needs a stop price")
    return wire_number(order.stop_price.value)


def _stop_limit(order: PlaceOrder) -> str:
    if order.limit_price is not None:
        return _limit(order)
    if order.stop_price is None:
        raise ValueError("the order needs a stop price")
    return wire_number(order.instrument.floor_price(order.stop_price.shifted_bps(_STOP_LIMIT_BPS)).value)
