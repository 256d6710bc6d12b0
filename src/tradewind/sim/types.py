"""Values of the simulated exchange: orders, lists, fills, events.

Rules of this file:
- Every value is immutable. A changed order is a new `Order`; an event carries the snapshot true when it happened.
- Money, prices and quantities are `Decimal`; times are Unix milliseconds (`_ms`); ids are positive, -1 means "none".
- Closed sets use the venue's own words (binance-spot-api-docs `enums.md`, 2026-07-21): they go out as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

ZERO = Decimal(0)
NO_ID = -1


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    MARKET = "MARKET"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


STOP_TYPES = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})
TAKE_PROFIT_TYPES = frozenset({OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT})
# The venue calls these "algo" orders (filter MAX_NUM_ALGO_ORDERS).
TRIGGER_TYPES = STOP_TYPES | TAKE_PROFIT_TYPES
MARKET_LIKE_TYPES = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


OPEN_STATUSES = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})


class ExecutionType(StrEnum):
    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    REPLACED = "REPLACED"


class ExpiryReason(StrEnum):
    NONE = "NONE"
    REJECTED = "REJECTED"
    EXCHANGE_CANCELED = "EXCHANGE_CANCELED"
    OCO_TRIGGER = "OCO_TRIGGER"
    UNFILLED_IOC_QUANTITY_EXPIRED = "UNFILLED_IOC_QUANTITY_EXPIRED"
    UNFILLED_FOK_ORDER_EXPIRED = "UNFILLED_FOK_ORDER_EXPIRED"
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"


class SymbolStatus(StrEnum):
    TRADING = "TRADING"
    END_OF_DAY = "END_OF_DAY"
    HALT = "HALT"
    BREAK = "BREAK"
    CANCEL_ONLY = "CANCEL_ONLY"


class ListStatusType(StrEnum):
    RESPONSE = "RESPONSE"
    EXEC_STARTED = "EXEC_STARTED"
    UPDATED = "UPDATED"
    ALL_DONE = "ALL_DONE"


class ListOrderStatus(StrEnum):
    EXECUTING = "EXECUTING"
    ALL_DONE = "ALL_DONE"
    REJECT = "REJECT"


class CancelRestriction(StrEnum):
    ONLY_NEW = "ONLY_NEW"
    ONLY_PARTIALLY_FILLED = "ONLY_PARTIALLY_FILLED"


class Print(NamedTuple):
    """One public trade: `at_ms` is when it is due here, `source_ms` when it was recorded (0: not recorded)."""

    at_ms: int
    symbol: str
    price: Decimal
    quantity: Decimal
    source_ms: int


class AssetBalance(NamedTuple):
    free: Decimal
    locked: Decimal


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Flags and commission of one account; None means the exchange's own rate."""

    can_trade: bool = True
    pays_fees_in_bnb: bool = False
    maker_bps: Decimal | None = None
    taker_bps: Decimal | None = None


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client asks for; fields that a type does not use stay None."""

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trailing_delta: int | None = None
    time_in_force: TimeInForce | None = None
    client_order_id: str | None = None
    iceberg_quantity: Decimal | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None
    stp_mode: str | None = None


@dataclass(frozen=True, slots=True)
class OcoLeg:
    type: OrderType
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trailing_delta: int | None = None
    time_in_force: TimeInForce | None = None
    client_order_id: str | None = None
    iceberg_quantity: Decimal | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None


@dataclass(frozen=True, slots=True)
class NewOco:
    symbol: str
    side: Side
    quantity: Decimal
    above: OcoLeg
    below: OcoLeg
    list_client_order_id: str | None = None
    stp_mode: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the exchange knows it now.

    `held` is the part of the account's locked balance that belongs to this order (base asset for SELL, quote for BUY):
    an account's locked balance is the sum of `held` over its open orders. In an OCO one leg carries the hold of both.
    `client_order_id` becomes the cancel's id when the order is cancelled; `orig_client_order_id` then keeps the first.
    """

    order_id: int
    uid: int
    symbol: str
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    created_ms: int
    updated_ms: int
    order_list_id: int = NO_ID
    orig_client_order_id: str = ""
    quote_quantity: Decimal = ZERO
    price: Decimal = ZERO
    stop_price: Decimal = ZERO
    iceberg_quantity: Decimal = ZERO
    trailing_delta: int | None = None
    trailing_anchor: Decimal | None = None
    trailing_time_ms: int = NO_ID
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    status: OrderStatus = OrderStatus.NEW
    expiry_reason: ExpiryReason = ExpiryReason.NONE
    is_working: bool = True
    working_time_ms: int = NO_ID
    stp_mode: str = "EXPIRE_MAKER"
    strategy_id: int | None = None
    strategy_type: int | None = None
    held: Decimal = ZERO

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.executed

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES


@dataclass(frozen=True, slots=True)
class Fill:
    trade_id: int
    order_id: int
    order_list_id: int
    uid: int
    symbol: str
    client_order_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    quote: Decimal
    commission: Decimal
    commission_asset: str
    is_maker: bool
    at_ms: int


class ListMember(NamedTuple):
    order_id: int
    client_order_id: str


@dataclass(frozen=True, slots=True)
class OrderList:
    order_list_id: int
    uid: int
    symbol: str
    list_client_order_id: str
    contingency_type: str
    status_type: ListStatusType
    order_status: ListOrderStatus
    members: tuple[ListMember, ...]
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An executionReport: what happened to one order. `fill` is set for TRADE only."""

    execution_id: int
    at_ms: int
    execution_type: ExecutionType
    order: Order
    fill: Fill | None = None
    reject_reason: str = "NONE"

    @property
    def uid(self) -> int:
        return self.order.uid


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """An outboundAccountPosition: the assets that may have changed, with their balances afterwards."""

    uid: int
    at_ms: int
    balances: tuple[tuple[str, AssetBalance], ...]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A balanceUpdate: a deposit (delta > 0) or a withdrawal (delta < 0)."""

    uid: int
    at_ms: int
    asset: str
    delta: Decimal


@dataclass(frozen=True, slots=True)
class ListUpdate:
    """A listStatus: an order list began, changed or ended."""

    at_ms: int
    order_list: OrderList

    @property
    def uid(self) -> int:
        return self.order_list.uid


Event = OrderUpdate | BalanceChange | Transfer | ListUpdate


@dataclass(frozen=True, slots=True)
class Placed:
    order: Order
    fills: tuple[Fill, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class PlacedList:
    order_list: OrderList
    orders: tuple[Order, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Orders that were cancelled by one call; `order_lists` holds the lists that ended with them."""

    orders: tuple[Order, ...]
    order_lists: tuple[OrderList, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Amended:
    order: Order
    execution_id: int
    events: tuple[Event, ...]
