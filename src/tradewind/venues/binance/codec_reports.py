"""What Binance says of orders and fills, pure (rest-api.md "Trading endpoints", 2026-07-21).

Rules of this file: an answer to a placement is a clear acceptance only if it names our order (id, symbol, side)
and its figures agree with each other; everything else raises NotUnderstood, and the order is in doubt.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tradewind.core.ids import FillId, VenueOrderId, is_ours
from tradewind.core.money import EXACT, NOTHING, ZERO, Asset, Money, Quantity
from tradewind.core.order import OrderState, Side
from tradewind.venues.base import Ack, OrderRef, OrderReport, PlaceList, PlaceOrder, VenueFill
from tradewind.venues.binance.codec import NotUnderstood, moment, number, price, quantity, read
from tradewind.venues.binance.codec_orders import SIDES

_STATES = {
    "NEW": OrderState.ACCEPTED,
    "PENDING_NEW": OrderState.ACCEPTED,
    "PENDING_CANCEL": OrderState.ACCEPTED,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}


class _Fill(msgspec.Struct, rename="camel"):
    price: str
    qty: str
    commission: str
    commission_asset: str
    trade_id: int


class _Order(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: int
    client_order_id: str
    status: str
    side: str
    type: str
    executed_qty: str
    cummulative_quote_qty: str
    orig_qty: str
    stop_price: str | None = None
    orig_client_order_id: str | None = None
    transact_time: int | None = None
    update_time: int | None = None
    expiry_reason: str | None = None
    fills: list[_Fill] | None = None


class _OrderList(msgspec.Struct, rename="camel"):
    symbol: str
    list_client_order_id: str
    transaction_time: int
    order_reports: list[_Order]


class _Trade(msgspec.Struct, rename="camel"):
    symbol: str
    id: int
    order_id: int
    price: str
    qty: str
    quote_qty: str
    commission: str
    commission_asset: str
    time: int
    is_buyer: bool
    is_maker: bool


class _RowId(msgspec.Struct, rename="camel"):
    order_id: int
    id: int | None = None


class _IdOnly(msgspec.Struct, rename="camel"):
    client_order_id: str = ""


def read_ack(body: bytes, order: PlaceOrder, signed_at_ms: int) -> Ack:
    """Read the answer to a placement. Raises NotUnderstood unless it clearly accepts this very order."""
    found = read(body, _Order)
    _demand_ours(found, order)
    report = _report(found)
    fills = tuple(_placed_fill(found, fill) for fill in found.fills or ())
    if fills and sum((fill.quantity for fill in fills), NOTHING) != report.executed:
        raise NotUnderstood("the fills do not add up to what was executed")
    return Ack((report,), fills, signed_at_ms)


def read_list_ack(body: bytes, orders: PlaceList, signed_at_ms: int) -> Ack:
    """Read the answer to an OCO. Raises NotUnderstood unless it clearly accepts both legs."""
    found = read(body, _OrderList)
    legs = {leg.client_order_id: leg for leg in found.order_reports}
    wanted = (orders.target, orders.stop)
    if found.list_client_order_id != orders.list_client_id or len(found.order_reports) != len(wanted):
        raise NotUnderstood("an answer about another list")
    reports = []
    for order in wanted:
        leg = legs.get(order.client_order_id)
        if leg is None:
            raise NotUnderstood("an answer about other legs")
        _demand_ours(leg, order)
        reports.append(_report(leg))
    return Ack(tuple(reports), (), signed_at_ms)


def read_cancel(body: bytes, ref: OrderRef) -> tuple[OrderReport, ...]:
    """Read the answer to a cancel, of an order or of a list. Raises NotUnderstood unless it names the order."""
    # Cancelling one leg by its own id cancels the list too, and may be answered with the list.
    is_list = b'"orderReports"' in body
    found = read(body, _OrderList).order_reports if is_list else [read(body, _Order)]
    reports = tuple(_report(order, order.orig_client_order_id) for order in found)
    is_named = any(
        report.venue_order_id == ref.venue_order_id or report.client_order_id == ref.client_order_id
        for report in reports
    )
    if not is_named or any(report.symbol != ref.instrument.symbol for report in reports):
        raise NotUnderstood("an answer about another order")
    return reports


def read_order(body: bytes, ref: OrderRef) -> OrderReport:
    """Read one order that was asked about. Raises NotUnderstood unless it is the one."""
    found = read(body, _Order)
    if found.symbol != ref.instrument.symbol:
        raise NotUnderstood("an answer about another symbol")
    if ref.venue_order_id is not None:
        if str(found.order_id) != ref.venue_order_id:
            raise NotUnderstood("an answer about another order")
        # Asked by its own id the order may carry the id of the cancel that ended it.
        return _report(found, ref.client_order_id)
    if found.client_order_id != ref.client_order_id:
        # The venue found it by the id we asked for; a cancelled one answers with the cancel's id.
        if _STATES.get(found.status) is not OrderState.CANCELED:
            raise NotUnderstood("an answer about another order")
        return _report(found, ref.client_order_id)
    return _report(found)


def read_orders(body: bytes, symbol: str | None) -> list[OrderReport]:
    """Read a list of orders, oldest first.

    An order of the user's own that we cannot read is left out; one of ours raises NotUnderstood.
    """
    reports = []
    for raw in read(body, list[msgspec.Raw]):
        row = bytes(raw)
        try:
            report = _report(read(row, _Order))
            if symbol is not None and report.symbol != symbol:
                raise NotUnderstood("an order of another symbol")
        except NotUnderstood:
            if is_ours(read(row, _IdOnly).client_order_id):
                raise
            continue
        reports.append(report)
    return reports


def page_of(body: bytes) -> tuple[int, int | None]:
    """Count the rows of a list answer, readable or not, and name its highest id. Raises NotUnderstood."""
    rows = read(body, list[_RowId])
    ids = [row.id if row.id is not None else row.order_id for row in rows]
    return len(rows), max(ids, default=None)


def read_fills(body: bytes, symbol: str) -> list[VenueFill]:
    """Read executions, oldest first. Raises NotUnderstood: a fill left out would be money lost from sight."""
    fills = []
    for trade in read(body, list[_Trade]):
        if trade.symbol != symbol:
            raise NotUnderstood("a fill of another symbol")
        fills.append(
            VenueFill(
                fill_id=FillId(str(_id(trade.id))),
                venue_order_id=VenueOrderId(str(_id(trade.order_id))),
                symbol=trade.symbol,
                side=Side.BUY if trade.is_buyer else Side.SELL,
                quantity=filled_quantity(trade.qty),
                price=price(trade.price),
                quote_amount=number(trade.quote_qty),
                fee=fee(trade.commission, trade.commission_asset),
                at=moment(trade.time),
                is_maker=trade.is_maker,
            )
        )
    return fills


def state_of(status: str) -> OrderState:
    """Translate an order status. Raises NotUnderstood."""
    state = _STATES.get(status)
    if state is None:
        raise NotUnderstood("an order status that is not documented")
    return state


def side_of(text: str) -> Side:
    """Translate a side. Raises NotUnderstood."""
    for side, word in SIDES.items():
        if word == text:
            return side
    raise NotUnderstood("a side that is not documented")


def cumulative_quote(text: str) -> Decimal:
    """Read cummulativeQuoteQty; a negative one means "not known" (very old orders) and reads as zero."""
    if text.startswith("-"):
        number(text[1:])
        return ZERO
    return number(text)


def filled_quantity(text: str) -> Quantity:
    """Read the quantity of a fill. Raises NotUnderstood unless it is above zero."""
    found = quantity(text)
    if not found.is_positive:
        raise NotUnderstood("a fill of nothing")
    return found


def fee(amount: str, asset: str | None) -> Money | None:
    """Read a commission; it may be in the base, the quote or a third asset."""
    if not asset:
        if number(amount) != ZERO:
            raise NotUnderstood("a commission in no asset")
        return None
    return Money(number(amount), Asset(asset))


def ending_reason(status: str, expiry_reason: str | None, reject_reason: str | None = None) -> str | None:
    """Why an order ended, in the venue's words made lower case; None where it says nothing."""
    for word in (reject_reason, expiry_reason):
        if word is not None and word != "NONE":
            return word.lower()[:64]
    return "expired_in_match" if status == "EXPIRED_IN_MATCH" else None


def check_figures(state: OrderState, executed: Quantity) -> None:
    """Raise NotUnderstood where a status and its quantity contradict each other."""
    if state in (OrderState.FILLED, OrderState.PARTIALLY_FILLED) and not executed.is_positive:
        raise NotUnderstood("filled with nothing")


def _report(found: _Order, client_order_id: str | None = None) -> OrderReport:
    state = state_of(found.status)
    executed = quantity(found.executed_qty)
    check_figures(state, executed)
    stop_price = number(found.stop_price) if found.stop_price is not None else ZERO
    at_ms = found.transact_time if found.transact_time is not None else found.update_time
    if at_ms is None:
        raise NotUnderstood("an order without a time")
    return OrderReport(
        client_order_id=client_order_id or found.client_order_id,
        venue_order_id=VenueOrderId(str(_id(found.order_id))),
        symbol=found.symbol,
        side=side_of(found.side),
        state=state,
        executed=executed,
        executed_quote=cumulative_quote(found.cummulative_quote_qty),
        at=moment(at_ms),
        original_quantity=quantity(found.orig_qty),
        stop_price=stop_price if stop_price > ZERO else None,
        type_text=found.type,
        reason=ending_reason(found.status, found.expiry_reason),
    )


def _placed_fill(found: _Order, fill: _Fill) -> VenueFill:
    executed_price = price(fill.price)
    executed = filled_quantity(fill.qty)
    if found.transact_time is None:
        raise NotUnderstood("a placement without a time")
    return VenueFill(
        fill_id=FillId(str(_id(fill.trade_id))),
        venue_order_id=VenueOrderId(str(found.order_id)),
        symbol=found.symbol,
        side=side_of(found.side),
        quantity=executed,
        price=executed_price,
        quote_amount=EXACT.multiply(executed_price.value, executed.value),
        fee=fee(fill.commission, fill.commission_asset),
        at=moment(found.transact_time),
    )


def _demand_ours(found: _Order, order: PlaceOrder) -> None:
    is_ours_indeed = (
        found.client_order_id == order.client_order_id
        and found.symbol == order.instrument.symbol
        and found.side == SIDES[order.side]
    )
    if not is_ours_indeed:
        raise NotUnderstood("an answer about another order")


def _id(value: int) -> int:
    if value < 0:
        raise NotUnderstood("an id below zero")
    return value
