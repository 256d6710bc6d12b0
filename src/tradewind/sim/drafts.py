"""From what a client asks for to an order: composition checks, defaults, what it must hold.

Pure; an order made here has the id it is given and has changed nothing yet. Mandatory fields by type: `rest-api.md`
(binance-spot-api-docs, 2026-07-21). The wire layer names a missing parameter better; here it is one refusal for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b

from tradewind.sim.matching import cost_of, quantity_of
from tradewind.sim.pricing import Level
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import (
    MARKET_LIKE_TYPES,
    NO_ID,
    STOP_TYPES,
    TRIGGER_TYPES,
    ZERO,
    NewOco,
    NewOrder,
    OcoLeg,
    Order,
    OrderType,
    Side,
    TimeInForce,
)

_BPS = Decimal(10_000)
_TIMED = frozenset({OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
_ABOVE_SELL = frozenset({OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT})


@dataclass(frozen=True, slots=True)
class Placing:
    """Where and when an order is placed."""

    order_id: int
    uid: int
    now_ms: int
    last_price: Decimal
    order_list_id: int = NO_ID


def check_composition(new: NewOrder) -> None:
    """Refuse an order whose fields do not make sense together. Raises ExchangeRefusal."""
    is_priced = new.type not in MARKET_LIKE_TYPES
    has_quantity = new.quantity is not None
    by_quote = new.quote_quantity is not None
    triggers = new.stop_price is not None or new.trailing_delta is not None
    fits = (
        has_quantity != by_quote
        and (new.type is OrderType.MARKET or not by_quote)
        and (new.price is not None) == is_priced
        and triggers == (new.type in TRIGGER_TYPES)
        and (new.time_in_force is not None or new.type not in _TIMED)
    )
    if not fits:
        raise ExchangeRefusal(RefusalReason.UNSUPPORTED_COMBINATION)
    given = (new.quantity, new.quote_quantity, new.price, new.stop_price)
    if any(value is not None and value <= 0 for value in given):
        raise ExchangeRefusal(RefusalReason.ZERO_NOTIONAL)
    if new.iceberg_quantity and new.quantity is not None and new.iceberg_quantity > new.quantity:
        raise ExchangeRefusal(RefusalReason.ICEBERG_EXCEEDS)


def draft(new: NewOrder, at: Placing) -> Order:
    """The order before it is accepted, holding what its price asks for (MARKET: nothing yet); ids may come later."""
    waits = new.type in TRIGGER_TYPES
    is_tracking = waits and new.trailing_delta is not None and new.stop_price is None
    return Order(
        order_id=at.order_id,
        uid=at.uid,
        symbol=new.symbol,
        client_order_id=new.client_order_id or "",
        side=new.side,
        type=new.type,
        time_in_force=new.time_in_force or TimeInForce.GTC,
        quantity=new.quantity or ZERO,
        created_ms=at.now_ms,
        updated_ms=at.now_ms,
        order_list_id=at.order_list_id,
        quote_quantity=new.quote_quantity or ZERO,
        price=new.price or ZERO,
        stop_price=new.stop_price or ZERO,
        iceberg_quantity=new.iceberg_quantity or ZERO,
        trailing_delta=new.trailing_delta,
        trailing_anchor=at.last_price if is_tracking else None,
        trailing_time_ms=at.now_ms if is_tracking else NO_ID,
        is_working=not waits,
        working_time_ms=NO_ID if waits else at.now_ms,
        stp_mode=new.stp_mode or "EXPIRE_MAKER",
        strategy_id=new.strategy_id,
        strategy_type=new.strategy_type,
        held=ZERO if new.type is OrderType.MARKET else _hold(new, at.last_price),
    )


def market_need(new: NewOrder, slices: list[Level]) -> Decimal:
    """What a MARKET order must find free: the cost of its walk (BUY) or all it wants to sell (SELL)."""
    if new.side is Side.BUY:
        return cost_of(slices)
    return quantity_of(slices) if new.quantity is None else new.quantity


def leg_order(new: NewOco, leg: OcoLeg) -> NewOrder:
    """One leg of an OCO as an order of its own."""
    return NewOrder(
        symbol=new.symbol,
        side=new.side,
        type=leg.type,
        quantity=new.quantity,
        price=leg.price,
        stop_price=leg.stop_price,
        trailing_delta=leg.trailing_delta,
        time_in_force=leg.time_in_force,
        client_order_id=leg.client_order_id,
        iceberg_quantity=leg.iceberg_quantity,
        strategy_id=leg.strategy_id,
        strategy_type=leg.strategy_type,
        stp_mode=new.stp_mode,
    )


def check_oco_layout(new: NewOco) -> None:
    """Refuse two legs that are not a profit leg and a stop leg on the right sides. Raises ExchangeRefusal."""
    above, below = new.above.type, new.below.type
    profit, stop = (above, below) if new.side is Side.SELL else (below, above)
    if profit not in _ABOVE_SELL or stop not in STOP_TYPES:
        raise ExchangeRefusal(RefusalReason.OCO_LAYOUT)


def check_oco_prices(new: NewOco, last_price: Decimal) -> None:
    """Refuse legs that do not lie on both sides of the last price. Raises ExchangeRefusal OCO_PRICES."""
    above, below = _leg_level(new.above), _leg_level(new.below)
    if (above is not None and above <= last_price) or (below is not None and below >= last_price):
        raise ExchangeRefusal(RefusalReason.OCO_PRICES)


def own_client_id(number: int, what: str) -> str:
    """The id the exchange gives where the client gave none: 22 characters, as the venue's samples show."""
    return blake2b(f"{what}:{number}".encode(), digest_size=11).hexdigest()


def _leg_level(leg: OcoLeg) -> Decimal | None:
    return leg.price if leg.type is OrderType.LIMIT_MAKER else leg.stop_price


def _hold(new: NewOrder, last_price: Decimal) -> Decimal:
    quantity = new.quantity or ZERO
    if new.side is Side.SELL:
        return quantity
    if new.price is not None:
        return new.price * quantity
    if new.stop_price is not None:
        return new.stop_price * quantity
    # A trailing market buy has no price of its own: it is held for where it would fire if the price rose from here.
    assert new.trailing_delta is not None
    rise = 1 + new.trailing_delta / _BPS
    return (last_price * rise * quantity).quantize(Decimal("0.00000001"))
