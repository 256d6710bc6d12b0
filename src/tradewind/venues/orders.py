"""Orders as the port speaks of them: what is to be placed, and what a venue says of an order and its fills.

All times named `_ms` are VENUE time in Unix milliseconds; all other times are UTC. Engine and adapters import these
from venues/base.py, which is the whole port.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tradewind.core.ids import ClientOrderId, FillId, OrderId, VenueOrderId
from tradewind.core.instrument import Instrument
from tradewind.core.money import Money, Price, Quantity
from tradewind.core.order import OrderState, OrderType, Side


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """One order to place. A market buy carries `spend` (quote) or `quantity` (base), not both."""

    order_id: OrderId
    instrument: Instrument
    client_order_id: ClientOrderId
    side: Side
    type: OrderType
    quantity: Quantity | None = None
    spend: Money | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None


@dataclass(frozen=True, slots=True)
class PlaceList:
    """An OCO: `target` rests above, `stop` triggers below (sell side), one list id, all ids ours."""

    list_client_id: str
    target: PlaceOrder
    stop: PlaceOrder


@dataclass(frozen=True, slots=True)
class OrderRef:
    """How to name an order at the venue; by its own id where we know it."""

    order_id: OrderId
    instrument: Instrument
    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId | None = None
    list_client_id: str | None = None


@dataclass(frozen=True, slots=True)
class SendWindow:
    """Until when and whether a request may leave.

    `send_by_ms`: the timestamp in the request must not be later. `is_open`: looked at immediately before
    the write; False means NotSent. The deadline is held in monotonic time by the caller's clock.
    """

    send_by_ms: int
    is_open: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution as the venue tells it; unique by (venue, account, symbol, order, fill id)."""

    fill_id: FillId
    venue_order_id: VenueOrderId
    symbol: str
    side: Side
    quantity: Quantity
    price: Price
    quote_amount: Decimal
    fee: Money | None
    at: datetime
    is_maker: bool = False


@dataclass(frozen=True, slots=True)
class OrderReport:
    """The venue's word on one order: state and cumulative figures."""

    client_order_id: str
    venue_order_id: VenueOrderId
    symbol: str
    side: Side
    state: OrderState
    executed: Quantity
    executed_quote: Decimal
    at: datetime
    original_quantity: Quantity | None = None
    stop_price: Decimal | None = None
    type_text: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """A clear acceptance: reports (one, or one per leg of a list), fills if any, when it was signed."""

    reports: tuple[OrderReport, ...]
    fills: tuple[VenueFill, ...]
    signed_at_ms: int
