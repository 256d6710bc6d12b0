"""The venue port: what the engine may ask of any exchange (house.md section 3).

An adapter is a pure codec plus a thin client behind `VenueClient`. The engine asks `Capabilities`, never
the venue's name. All times named `_ms` are VENUE time in Unix milliseconds; all other times are UTC.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from tradewind.core.ids import AccountId, OrderId, VenueOrderId
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Asset
from tradewind.venues.figures import CallCosts as CallCosts
from tradewind.venues.figures import VenueHealth as VenueHealth
from tradewind.venues.orders import Ack as Ack
from tradewind.venues.orders import OrderRef as OrderRef
from tradewind.venues.orders import OrderReport as OrderReport
from tradewind.venues.orders import PlaceList as PlaceList
from tradewind.venues.orders import PlaceOrder as PlaceOrder
from tradewind.venues.orders import SendWindow as SendWindow
from tradewind.venues.orders import VenueFill as VenueFill
from tradewind.venues.quotes import CandleRow as CandleRow
from tradewind.venues.quotes import Depth as Depth
from tradewind.venues.quotes import DepthLevel as DepthLevel
from tradewind.venues.quotes import Ticker as Ticker

# --- capabilities ----------------------------------------------------------------------------------


class ResendRule(StrEnum):
    """Which id a re-send after NEVER_ARRIVED uses (order-protocol.md section 1)."""

    SAME = "same"
    NEW = "new"
    NEVER = "never"


class Protection(StrEnum):
    """The strongest protection the venue itself can hold for a spot position."""

    OCO = "oco"
    STOP = "stop"
    WATCHED = "watched"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a venue can do; the engine decides from this table alone."""

    venue: VenueName
    environments: frozenset[Environment]
    protection: Protection
    resend: ResendRule
    has_test_order: bool
    has_permission_reading: bool
    has_amend: bool
    checks_timestamp: bool
    recv_window_ms: int
    processing_ms_max: int
    repeated_id: str  # what the venue does with an id it has seen, in a sentence
    main_quote: Asset
    private_stream: bool = True
    costs: CallCosts = field(default_factory=CallCosts)

    @property
    def fence_ms(self) -> int:
        """How long after signing "not found" begins to count (order-protocol.md section 3)."""
        return self.recv_window_ms + self.processing_ms_max + 1_000 if self.checks_timestamp else 60_000


# --- signing ---------------------------------------------------------------------------------------


class SignPurpose(StrEnum):
    """Why a signature is asked for; the signer keeps one allow-list of paths for each."""

    READ = "read"
    STREAM = "stream"
    ORDER = "order"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Bytes to sign, and what for. `order_id` is set for ORDER and CANCEL."""

    purpose: SignPurpose
    method: str
    path: str
    payload: bytes
    order_id: OrderId | None = None


class Signer(Protocol):
    """Turns a request's bytes into a signature for one account; never shows the secret."""

    @property
    def account_id(self) -> AccountId:
        """Whose requests it signs."""
        ...

    @property
    def environment(self) -> Environment:
        """Where the account trades; submit asserts that its client is of the same one."""
        ...

    async def api_key(self) -> str:
        """Return the public part of the key. Raises CredentialRefused where there is none usable."""
        ...

    async def sign(self, request: SignRequest) -> str:
        """Return the signature as the venue wants it written (hex or base64, not percent-encoded)."""
        ...


# --- placing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """One order, or the two of a list, to be placed for an account within its window."""

    signer: Signer
    wanted: PlaceOrder | PlaceList
    window: SendWindow


# Told of each placement once: its acknowledgement, or what went wrong. Must not raise.
PlacementTold = Callable[[Placement, Ack | Exception], None]


# --- account ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AssetBalance:
    """Free and locked amount of one asset."""

    asset: Asset
    free: Decimal
    locked: Decimal


class PermissionSource(StrEnum):
    """Whether the venue itself named the rights of a key."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Permissions:
    """The rights of a key. `can_withdraw` covers transfers out of the account as well."""

    can_read: bool
    can_trade: bool
    can_withdraw: bool
    source: PermissionSource
    is_ip_restricted: bool | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """Balances and the venue's own user id."""

    venue_user_id: str
    balances: tuple[AssetBalance, ...]
    can_trade: bool
    at: datetime


# --- streams ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderEventSeen:
    """A private stream told of one of the account's orders."""

    account_id: AccountId
    report: OrderReport
    fill: VenueFill | None
    original_client_id: str


@dataclass(frozen=True, slots=True)
class BalanceSeen:
    """A private stream told of balances; only changed assets."""

    account_id: AccountId
    balances: tuple[AssetBalance, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class StreamUp:
    """The account's private stream is live; what happened before must be asked for (not replayed)."""

    account_id: AccountId


@dataclass(frozen=True, slots=True)
class StreamDown:
    """The account's private stream is gone; the account is doubtful until StreamUp."""

    account_id: AccountId
    reason: str


VenueEvent = OrderEventSeen | BalanceSeen | StreamUp | StreamDown


class UserEvents(Protocol):
    """Private streams of many accounts over few connections. Owner runs `run`; events are bounded."""

    async def run(self) -> None:
        """Keep the connections alive until cancelled."""
        ...

    def add(self, signer: Signer) -> None:
        """Subscribe an account (idempotent)."""
        ...

    def remove(self, account_id: AccountId) -> None:
        """End an account's subscription (idempotent)."""
        ...

    def events(self) -> AsyncIterator[VenueEvent]:
        """Yield what the venue says, in order of arrival."""
        ...


class MarketEvents(Protocol):
    """Public price stream of a venue for a changing set of symbols."""

    async def run(self) -> None:
        """Keep the connection alive until cancelled."""
        ...

    def watch(self, symbols: Sequence[str]) -> None:
        """Add symbols (idempotent)."""
        ...

    def events(self) -> AsyncIterator[Ticker]:
        """Yield prices; latest wins, so a slow reader may miss older ones of the same symbol."""
        ...


# --- the port --------------------------------------------------------------------------------------


class VenueClient(Protocol):
    """One venue in one environment, shared by all its accounts (one pool, one budget: V7, V9)."""

    @property
    def capabilities(self) -> Capabilities:
        """What this venue can do."""
        ...

    @property
    def environment(self) -> Environment:
        """Where this client trades; one client serves one environment."""
        ...

    async def start(self) -> None:
        """Measure the clock, load instruments. Raises VenueDown."""
        ...

    async def run(self) -> None:
        """Keep clock, instruments and health fresh until cancelled."""
        ...

    async def close(self) -> None:
        """Close the pool."""
        ...

    def venue_now_ms(self) -> int:
        """Our clock plus the measured offset."""
        ...

    def confirmed_venue_ms(self) -> int:
        """The latest time the venue itself has stated; a fence passes by this one only. 0 before the first."""
        ...

    def health(self) -> VenueHealth:
        """How the venue looks from here now."""
        ...

    async def instruments(self, symbol: str | None = None) -> Sequence[Instrument]:
        """Ask for every spot symbol with its rules. Raises VenueDown."""
        ...

    async def server_time(self) -> int:
        """Ask the venue its time (ms)."""
        ...

    async def tickers(self, symbols: Sequence[str]) -> Sequence[Ticker]:
        """Ask for prices; unknown symbols raise SymbolUnknown."""
        ...

    async def candles(self, symbol: str, interval: str, limit: int) -> Sequence[CandleRow]:
        """Ask for the newest candles, oldest first."""
        ...

    async def depth(self, symbol: str, limit: int) -> Depth:
        """Ask for the book, best level first."""
        ...

    async def account(self, signer: Signer) -> AccountSnapshot:
        """Ask for balances and the venue's own user id. Raises CredentialRefused or VenueDown."""
        ...

    async def permissions(self, signer: Signer) -> Permissions:
        """Ask what the key may do, where the venue can say."""
        ...

    async def test_order(self, signer: Signer, order: PlaceOrder) -> None:
        """Have an order checked without placing it. Raises OrderRefused or CredentialRefused."""
        ...

    async def place(self, signer: Signer, order: PlaceOrder, window: SendWindow) -> Ack:
        """Place once. Raises OrderRefused, NotSent, NotExecuted, CredentialRefused, else OutcomeUnknown."""
        ...

    async def place_list(self, signer: Signer, orders: PlaceList, window: SendWindow) -> Ack:
        """Place an OCO once; errors as `place`."""
        ...

    async def place_all(self, placements: Sequence[Placement], told: PlacementTold) -> None:
        """Place each once, side by side; `told` is called once for each, on the event loop, with its acknowledgement
        or an error as of `place`. Returns when all were told; cancelled, it withdraws what was not written."""
        ...

    async def cancel(self, signer: Signer, ref: OrderRef) -> tuple[OrderReport, ...]:
        """Cancel once (a list leg cancels its list). Errors as `place`; OrderRefused: nothing to cancel."""
        ...

    async def find_order(self, signer: Signer, ref: OrderRef) -> OrderReport | None:
        """Ask about an order; None only for the venue's own words "does not exist"."""
        ...

    async def orders_since(self, signer: Signer, instrument: Instrument, since_ms: int) -> Sequence[OrderReport]:
        """All orders of the account in the symbol since a venue time (at most 24 h)."""
        ...

    async def open_orders(self, signer: Signer, instrument: Instrument | None) -> Sequence[OrderReport]:
        """Ask for all resting orders of the account, in one symbol or in all."""
        ...

    async def fills(
        self, signer: Signer, instrument: Instrument, *, venue_order_id: VenueOrderId | None, since_ms: int | None
    ) -> Sequence[VenueFill]:
        """Ask for executions of one order, or since a venue time."""
        ...

    def user_events(self) -> UserEvents:
        """Return a fresh private stream; its owner runs it."""
        ...

    def market_events(self) -> MarketEvents:
        """Return a fresh price stream; its owner runs it."""
        ...
