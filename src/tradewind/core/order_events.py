"""What can happen to an order: steps of ours, and facts from the venue. core/order.py applies them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tradewind.core.ids import VenueOrderId
from tradewind.core.money import Quantity
from tradewind.core.order_states import OrderState

# --- events: steps of ours -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claimed:
    """INTENDED -> SENT, committed before a byte leaves. `quantity` fixes an exit's size."""

    at: datetime
    send_by_ms: int
    owner_epoch: int
    quantity: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """We refuse, with a reason a user can read up."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ReturnedUnsent:
    """SENT -> INTENDED: proven that the venue did not take it (NotSent or NotExecuted)."""

    at: datetime
    reason: str
    release_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OutcomeLost:
    """Nobody said what became of it."""

    at: datetime
    reason: str
    signed_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CredentialLost:
    """We cannot ask: the key was refused."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class AbsenceProven:
    """Two "not found" after the fence, nothing in the lists: it never arrived.

    An order that the venue had named before becomes CANCELED(absent) with an incident instead.
    """

    at: datetime


@dataclass(frozen=True, slots=True)
class Resent:
    """NEVER_ARRIVED -> INTENDED in the same generation (`resend = same` venues)."""

    at: datetime
    release_at: datetime


@dataclass(frozen=True, slots=True)
class CancelSent:
    """A cancel of ours is on its way."""

    at: datetime
    reason: str


# --- events: facts from the venue ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VenueReport:
    """What the venue says of an order now: state and cumulative figures.

    `executed` is base, `executed_quote` quote, both cumulative. `is_cancel_refused` marks a
    resting answer that is proof against a cancel of ours: said after the cancel's own fence.
    """

    at: datetime
    state: OrderState
    executed: Quantity
    executed_quote: Decimal
    venue_order_id: VenueOrderId | None = None
    reason: str | None = None
    signed_at_ms: int | None = None
    is_cancel_refused: bool = False


OrderEvent = (
    Claimed | Denied | ReturnedUnsent | OutcomeLost | CredentialLost | AbsenceProven | Resent | CancelSent | VenueReport
)
