"""The order as a state machine: one table, immutable events, no I/O.

Rules of this file (order-protocol.md section 2):
1. TRANSITIONS (order_states.py) is the whole law. A step of OURS that it does not have raises IllegalTransition and
   changes nothing.
2. A FACT from the venue never raises. It moves state and executed quantity forward only; where it
   surprises (an order that has ended, or that we thought never arrived), the fact is kept and the result
   carries an incident for a person to read.
3. "I did not hear back" is UNKNOWN, not an end. Only REJECTED, FILLED, CANCELED, EXPIRED, DENIED and
   NEVER_ARRIVED are ends, and even an ended order still takes fills.
4. The same event twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any

from tradewind.core.errors import IllegalTransition
from tradewind.core.ids import (
    AccountId,
    ClientOrderId,
    IntentId,
    OrderId,
    SignalId,
    SourceId,
    UserId,
    VenueOrderId,
)
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import NOTHING, ZERO, Asset, Money, Price, Quantity
from tradewind.core.order_events import AbsenceProven as AbsenceProven
from tradewind.core.order_events import CancelSent as CancelSent
from tradewind.core.order_events import Claimed as Claimed
from tradewind.core.order_events import CredentialLost as CredentialLost
from tradewind.core.order_events import Denied as Denied
from tradewind.core.order_events import OrderEvent as OrderEvent
from tradewind.core.order_events import OutcomeLost as OutcomeLost
from tradewind.core.order_events import Resent as Resent
from tradewind.core.order_events import ReturnedUnsent as ReturnedUnsent
from tradewind.core.order_events import VenueReport as VenueReport
from tradewind.core.order_states import ENDED as ENDED
from tradewind.core.order_states import IN_DOUBT as IN_DOUBT
from tradewind.core.order_states import RESTING as RESTING
from tradewind.core.order_states import TRANSITIONS as TRANSITIONS
from tradewind.core.order_states import VENUE_WORDS
from tradewind.core.order_states import OrderState as OrderState

_S = OrderState


class Side(StrEnum):
    """Buy or sell of the base asset."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """Kinds of order we place; a venue's codec spells them its own way."""

    MARKET = "market"
    LIMIT = "limit"
    TAKE_PROFIT_LIMIT_MAKER = "limit_maker"
    STOP_LOSS = "stop_loss"


class Leg(StrEnum):
    """Which part of its intent an order is."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TARGET = "target"
    TEST = "test"


class IntentKind(StrEnum):
    """Why an order exists; every order has one stored intent."""

    SIGNAL = "signal"
    PROTECTION = "protection"
    ENGINE_EXIT = "engine_exit"
    HAND = "hand"
    TEST = "test"


class GateKind(StrEnum):
    """How the live gate looks at an order."""

    ENTRY = "entry"
    EXIT = "exit"
    PROTECTIVE = "protective"


@dataclass(frozen=True, slots=True)
class Order:
    """Our request and everything known about it.

    `quantity` is in base, `spend` in quote; a market buy by amount has `spend`, everything else has
    `quantity` (None on an exit until its claim fixes it). `executed` and `executed_quote` are the largest
    cumulative figures the venue has stated. Times are UTC; `signed_at_ms` and `send_by_ms` are venue time.
    """

    id: OrderId
    intent_id: IntentId
    intent_kind: IntentKind
    user_id: UserId
    account_id: AccountId
    venue: VenueName
    environment: Environment
    symbol: str
    base: Asset
    quote: Asset
    leg: Leg
    side: Side
    type: OrderType
    client_order_id: ClientOrderId
    created_at: datetime
    release_at: datetime
    generation: int = 0
    attempt: int = 0
    list_client_id: str | None = None
    signal_id: SignalId | None = None
    source_id: SourceId | None = None
    lot_id: str | None = None
    quantity: Quantity | None = None
    spend: Money | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    state: OrderState = OrderState.INTENDED
    venue_order_id: VenueOrderId | None = None
    executed: Quantity = NOTHING
    executed_quote: Decimal = ZERO
    owner_epoch: int = 0
    send_by_ms: int | None = None
    signed_at_ms: int | None = None
    sent_at: datetime | None = None
    acknowledged_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    is_stand_in: bool = False
    rev: int = 0

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_known_to_venue(self) -> bool:
        """The venue has named it, or executed some of it: it may never be sent again as if it were new."""
        return self.venue_order_id is not None or self.acknowledged_at is not None or self.executed.is_positive

    @property
    def gate_kind(self) -> GateKind:
        if self.leg is Leg.ENTRY or (self.leg is Leg.TEST and self.side is Side.BUY):
            return GateKind.ENTRY
        return GateKind.PROTECTIVE if self.leg in (Leg.STOP, Leg.TARGET) else GateKind.EXIT


class Incident(StrEnum):
    """A fact that surprised us; recorded, told, followed by protection."""

    FILL_AFTER_END = "fill_after_end"
    REPORT_ON_UNSENT = "report_on_unsent"
    ALIVE_AFTER_END = "alive_after_end"
    ABSENT_AFTER_ACCEPT = "absent_after_accept"
    OVERFILLED = "overfilled"


@dataclass(frozen=True, slots=True)
class Applied:
    """What an event did: the order after it, whether anything moved, and a surprise if there was one."""

    order: Order
    is_changed: bool
    incident: Incident | None = None


# Two edges lead back to INTENDED, each by its own proof: an answer "not sent" that comes after the order was
# proven absent must not send it again, nor may a re-send take an order that is on its way.
_SOURCES: Mapping[type, frozenset[OrderState]] = {
    ReturnedUnsent: frozenset({_S.SENT}),
    Resent: frozenset({_S.NEVER_ARRIVED}),
}


def apply(order: Order, event: OrderEvent) -> Applied:
    """Move an order by one event.

    Raises IllegalTransition for a step of ours that TRANSITIONS lacks; never for a VenueReport.
    """
    if isinstance(event, VenueReport):
        return _apply_report(order, event)
    target, changes = _our_step(order, event)
    if target not in TRANSITIONS[order.state] or order.state not in _SOURCES.get(type(event), TRANSITIONS):
        raise IllegalTransition(
            "illegal_transition",
            f"An order in {order.state} cannot become {target} by {type(event).__name__}; nothing was changed.",
        )
    if isinstance(event, Claimed | Resent) and order.is_known_to_venue:
        raise IllegalTransition(
            "known_to_venue",
            f"The venue knows this order already, so {type(event).__name__} would send it twice; nothing was changed.",
        )
    is_vanished = isinstance(event, AbsenceProven) and target is OrderState.CANCELED
    incident = Incident.ABSENT_AFTER_ACCEPT if is_vanished else None
    return Applied(_moved(order, target, event.at, **changes), is_changed=True, incident=incident)


def _our_step(order: Order, event: OrderEvent) -> tuple[OrderState, dict[str, object]]:
    match event:
        case Claimed():
            quantity = event.quantity if event.quantity is not None else order.quantity
            return _S.SENT, {
                "sent_at": event.at,
                "send_by_ms": event.send_by_ms,
                "owner_epoch": event.owner_epoch,
                "quantity": quantity,
                "attempt": order.attempt + 1,
                "reason": None,
                "signed_at_ms": None,
            }
        case Denied():
            return _S.DENIED, {"reason": event.reason}
        case ReturnedUnsent():
            return _S.INTENDED, {"reason": event.reason, "release_at": event.release_at or order.release_at}
        case OutcomeLost():
            return _S.UNKNOWN, {"reason": event.reason, "signed_at_ms": event.signed_at_ms or order.signed_at_ms}
        case CredentialLost():
            return _S.BLIND, {"reason": event.reason}
        case AbsenceProven():
            return _absent(order)
        case Resent():
            return _S.INTENDED, {"release_at": event.release_at, "reason": "resent"}
        case CancelSent():
            return _S.CANCEL_SENT, {"reason": event.reason}
        case VenueReport():
            raise AssertionError("facts do not come this way")


def _absent(order: Order) -> tuple[OrderState, dict[str, object]]:
    # What the venue once named did arrive: NEVER_ARRIVED would allow a re-send of it.
    if order.is_known_to_venue:
        return _S.CANCELED, {"reason": "absent"}
    return _S.NEVER_ARRIVED, {"reason": "never_arrived"}


def _moved(order: Order, target: OrderState, at: datetime, **changes: object) -> Order:
    ended_at = (order.ended_at or at) if target in ENDED else None
    changes |= {"state": target, "ended_at": ended_at, "rev": order.rev + 1}
    fresh = of_values(_VALUES_OF(order))
    for name, value in changes.items():
        object.__setattr__(fresh, name, value)
    return fresh


def of_values(values: Iterable[Any]) -> Order:
    """Build an order from all its values, in the order of its fields.

    What a row of the journal, or another order, held needs no second look, and a fan-out moves every order several
    times: the slots are filled one by one, which costs a third of `replace`.
    """
    fresh = object.__new__(Order)
    for put, value in zip(_SLOTS, values, strict=True):
        put(fresh, value)
    return fresh


_FIELDS = tuple(each.name for each in fields(Order))
_VALUES_OF = attrgetter(*_FIELDS)
_SLOTS = tuple(getattr(Order, name).__set__ for name in _FIELDS)


def _apply_report(order: Order, report: VenueReport) -> Applied:
    executed = max(order.executed, report.executed)
    executed_quote = max(order.executed_quote, report.executed_quote)
    target, incident = _target_of(order, report)
    # An older report may say "accepted" of an order that we know to be partly filled.
    if target is _S.ACCEPTED and executed.is_positive:
        target = _S.PARTIALLY_FILLED
    has_grown = executed > order.executed
    if has_grown and order.is_ended:
        incident = Incident.FILL_AFTER_END
    if has_grown and order.quantity is not None and executed > order.quantity:
        incident = Incident.OVERFILLED
    venue_order_id = order.venue_order_id or report.venue_order_id
    is_first = order.acknowledged_at is None or venue_order_id != order.venue_order_id
    if target is order.state and not has_grown and not is_first and executed_quote == order.executed_quote:
        # What surprised was told when it was new; a REJECTED order that lives adds nothing new, yet must be told.
        return Applied(order, is_changed=False, incident=incident if order.state is _S.REJECTED else None)
    changes: dict[str, object] = {
        "executed": executed,
        "executed_quote": executed_quote,
        "venue_order_id": venue_order_id,
        "acknowledged_at": order.acknowledged_at or report.at,
        "signed_at_ms": order.signed_at_ms or report.signed_at_ms,
    }
    if target is not order.state:
        # An answer to a cancel of ours keeps our reason for it: so a cancel by the user stays visible.
        ours = order.reason if order.state is _S.CANCEL_SENT else None
        changes["reason"] = report.reason or ours
    return Applied(_moved(order, target, report.at, **changes), is_changed=True, incident=incident)


def _target_of(order: Order, report: VenueReport) -> tuple[OrderState, Incident | None]:
    """Where a fact leads: forward along the table, or nowhere with an incident."""
    current, said = order.state, report.state
    # Only a venue's own words move an order; a codec that says anything else changes figures at most.
    if said is current or said not in VENUE_WORDS:
        return current, None
    if order.is_ended:
        is_alive = said not in ENDED and report.executed >= order.executed
        surprise = current in (_S.NEVER_ARRIVED, _S.DENIED) or (is_alive and current is _S.REJECTED)
        return current, Incident.ALIVE_AFTER_END if surprise else None
    if current is _S.INTENDED:
        return current, Incident.REPORT_ON_UNSENT
    if current is _S.CANCEL_SENT and said in (_S.ACCEPTED, _S.PARTIALLY_FILLED) and not report.is_cancel_refused:
        return current, None
    # Less executed than we know of: an older word, even if it tells of an end.
    if current in (_S.ACCEPTED, _S.PARTIALLY_FILLED) and report.executed < order.executed:
        return current, None
    if said not in TRANSITIONS[current]:
        return current, None
    return said, None
