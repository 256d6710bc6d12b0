"""What the control API takes: one small frozen form per verb, unknown fields refused.

Amounts are strings or numbers read as decimals; nothing here passes through binary floating point except
probabilities and millisecond values of faults, which are not money.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from tradewind.sim.faults import BodyKind, FaultKind, Stage
from tradewind.sim.keys import KeyKind
from tradewind.sim.types import OrderType, Side, SymbolStatus, TimeInForce


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all forms."""


class PermissionsForm(Form, frozen=True):
    """Rights of a key."""

    reading: bool = True
    trading: bool = True
    withdraw: bool = False
    internal_transfer: bool = False
    universal_transfer: bool = False


class KeyForm(Form, frozen=True):
    """POST /keys: a key for a new or a known account."""

    uid: int | None = None
    kind: KeyKind = KeyKind.HMAC
    permissions: PermissionsForm = PermissionsForm()
    ip_list: list[str] = []
    expires_ms: int | None = None
    public_key: str | None = None
    balances: dict[str, Decimal] = {}


class DepositForm(Form, frozen=True):
    """POST /deposit: a negative amount is a withdrawal."""

    uid: int
    asset: str
    amount: Decimal


class AccountForm(Form, frozen=True):
    """POST /accounts/{uid}: flags and commission of an account."""

    can_trade: bool = True
    pays_fees_in_bnb: bool = False
    maker_bps: Decimal | None = None
    taker_bps: Decimal | None = None


class FaultForm(Form, frozen=True):
    """POST /faults; see `describe` for what `value` means to each kind."""

    kind: FaultKind
    uid: int | None = None
    api_key: str | None = None
    client_id_prefix: str | None = None
    symbol: str | None = None
    calls: list[str] = []
    times: int | None = None
    probability: float = 1.0
    value: float | None = None
    executed: bool = True
    where: Stage = Stage.BEFORE
    status: int | None = None
    body: BodyKind = BodyKind.HTML
    code: int | None = None
    msg: str | None = None
    stream: str = "user"


class PriceForm(Form, frozen=True):
    """POST /price: force one trade at a price."""

    symbol: str
    price: Decimal


class TapeAction(StrEnum):
    """What can be done to the tape."""

    PAUSE = "pause"
    RESUME = "resume"
    SPEED = "speed"
    SEEK = "seek"


class TapeForm(Form, frozen=True):
    """POST /tape: `value` is the speed, or the played second to jump to."""

    action: TapeAction
    value: Decimal | None = None


class StatusForm(Form, frozen=True):
    """POST /symbols/{symbol}/status."""

    status: SymbolStatus


class ExternalOrderForm(Form, frozen=True):
    """POST /external-order: the user's own dealing, past every key and limit."""

    uid: int
    symbol: str
    side: Side
    type: OrderType = OrderType.MARKET
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    client_order_id: str | None = None


class ExternalCancelForm(Form, frozen=True):
    """POST /external-cancel: the user cancels an order by hand."""

    uid: int
    symbol: str
    order_id: int


class LimitsForm(Form, frozen=True):
    """POST /limits: what is left out stays as it is; `used_weight` fills every caller's running minute."""

    weight_per_minute: int | None = None
    orders_per_10s: int | None = None
    orders_per_day: int | None = None
    connections_per_5_minutes: int | None = None
    calls_before_ban: int | None = None
    ban_s: int | None = None
    used_weight: int | None = None
    lift_bans: bool = False
