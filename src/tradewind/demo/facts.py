"""What the two sides say, as plain values: the platform's journal, and the exchange's own log. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tradewind.core.money import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSignal:
    """A signal of the inbox."""

    id: str
    source_id: str
    action: str
    base: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalDecision:
    """What was decided for one account."""

    signal_id: str
    account_id: str
    verdict: str
    reason: str | None
    plan: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOrder:
    """One order of the journal; `claimed_ms` are the times of its claims (INTENDED -> SENT), oldest first."""

    id: str
    intent_id: str
    intent_kind: str
    account_id: str
    symbol: str
    leg: str
    side: str
    generation: int
    client_order_id: str
    state: str
    signal_id: str | None = None
    lot_id: str | None = None
    list_client_id: str | None = None
    venue_order_id: str | None = None
    executed: Decimal = ZERO
    executed_quote: Decimal = ZERO
    claimed_ms: tuple[int, ...] = ()
    release_ms: int = 0
    acknowledged_ms: int | None = None
    was_in_doubt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFill:
    """One booked execution."""

    account_id: str
    symbol: str
    venue_order_id: str
    fill_id: str
    order_id: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLot:
    """One lot, open or closed."""

    id: str
    account_id: str
    symbol: str
    base: str
    source_id: str | None
    signal_id: str | None
    entry_order_id: str
    quantity: Decimal
    is_open: bool
    state: str
    state_reason: str | None = None
    naked_ms: int = 0
    watched_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSale:
    """A sold part of a lot; `gain_quote` is proceeds less cost."""

    lot_id: str
    account_id: str
    order_id: str
    cause: str
    gain_quote: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The platform's side. `accounts`: account id to the venue's own user id; `mandates`: (source, account)."""

    accounts: Mapping[str, int]
    mandates: Sequence[tuple[str, str]]
    signals: Sequence[JournalSignal]
    decisions: Sequence[JournalDecision]
    orders: Sequence[JournalOrder]
    fills: Sequence[JournalFill]
    lots: Sequence[JournalLot]
    sales: Sequence[JournalSale] = ()
    incidents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFill:
    """One execution as the exchange has it."""

    uid: int
    symbol: str
    order_id: str
    fill_id: str
    quantity: Decimal
    price: Decimal
    at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """One order as the exchange has it; `client_order_id` is the one it was placed with."""

    uid: int
    symbol: str
    order_id: str
    client_order_id: str
    side: str
    type: str
    status: str
    executed: Decimal
    executed_quote: Decimal
    placed_ms: int = 0
    updated_ms: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRequest:
    """A request that would place orders, as the exchange received it; `client_ids` it carried."""

    sequence: int
    received_ms: int
    uid: int | None
    client_ids: tuple[str, ...]
    is_executed: bool
    # The client got the venue's own answer, whole; False where the demo broke it.
    is_answered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """The exchange's side. `holdings`: (uid, asset) to free + locked."""

    uids: Sequence[int]
    orders: Sequence[VenueOrder]
    fills: Sequence[VenueFill]
    requests: Sequence[VenueRequest]
    holdings: Mapping[tuple[int, str], Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the story calls for at one account on one open-alert.

    `skip_reason` None: an order. `is_first_executed`: did the venue execute the first sending although
    nobody heard it (None: nothing broke).
    """

    number: int
    signal_id: str
    account_id: str
    skip_reason: str | None = None
    is_first_executed: bool | None = None
