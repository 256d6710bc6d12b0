"""The order's transition table against the protocol, and each event on each state."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.core_builders import NOW, D, after, order, quantity

from tradewind.core.errors import IllegalTransition
from tradewind.core.ids import VenueOrderId
from tradewind.core.order import (
    ENDED,
    TRANSITIONS,
    AbsenceProven,
    Applied,
    CancelSent,
    Claimed,
    CredentialLost,
    Denied,
    GateKind,
    Incident,
    Leg,
    OrderEvent,
    OrderState,
    OutcomeLost,
    Resent,
    ReturnedUnsent,
    Side,
    VenueReport,
    apply,
)

# order-protocol.md section 2, word for word; BLIND "whatever the venue says" is every answer a query can have.
PROTOCOL = """
INTENDED -> SENT DENIED
SENT -> ACCEPTED PARTIALLY_FILLED FILLED REJECTED CANCELED EXPIRED UNKNOWN INTENDED DENIED
UNKNOWN -> ACCEPTED PARTIALLY_FILLED FILLED REJECTED CANCELED EXPIRED NEVER_ARRIVED BLIND
BLIND -> ACCEPTED PARTIALLY_FILLED FILLED REJECTED CANCELED EXPIRED NEVER_ARRIVED UNKNOWN
ACCEPTED -> PARTIALLY_FILLED FILLED CANCEL_SENT CANCELED EXPIRED REJECTED UNKNOWN
PARTIALLY_FILLED -> FILLED CANCEL_SENT CANCELED EXPIRED UNKNOWN
CANCEL_SENT -> CANCELED FILLED PARTIALLY_FILLED EXPIRED REJECTED ACCEPTED
NEVER_ARRIVED -> INTENDED
"""

STEPS: dict[type, tuple[OrderEvent, OrderState]] = {
    Claimed: (Claimed(NOW, 1, 1), OrderState.SENT),
    Denied: (Denied(NOW, "stale"), OrderState.DENIED),
    ReturnedUnsent: (ReturnedUnsent(NOW, "late"), OrderState.INTENDED),
    OutcomeLost: (OutcomeLost(NOW, "timeout"), OrderState.UNKNOWN),
    CredentialLost: (CredentialLost(NOW, "key refused"), OrderState.BLIND),
    AbsenceProven: (AbsenceProven(NOW), OrderState.NEVER_ARRIVED),
    Resent: (Resent(NOW, NOW), OrderState.INTENDED),
    CancelSent: (CancelSent(NOW, "exit"), OrderState.CANCEL_SENT),
}
VENUE_WORDS = ("ACCEPTED", "PARTIALLY_FILLED", "FILLED", "REJECTED", "CANCELED", "EXPIRED")


def report(state: str, executed: str = "0", *, at: int = 0, **changes: object) -> VenueReport:
    amount = D(executed)
    return VenueReport(
        after(at),
        OrderState(state),
        quantity(executed),
        amount * 50_000,
        VenueOrderId("v1"),
        **changes,  # type: ignore[arg-type]
    )


def test_transitions_are_the_protocol_and_nothing_else() -> None:
    """order-protocol.md section 2."""
    expected = {state: frozenset[OrderState]() for state in OrderState}
    for line in PROTOCOL.strip().splitlines():
        source, _, targets = line.partition(" -> ")
        expected[OrderState(source)] = frozenset(OrderState(name) for name in targets.split())
    assert dict(TRANSITIONS) == expected


def test_ended_states_lead_nowhere_but_a_resend() -> None:
    assert {state for state in OrderState if not TRANSITIONS[state]} | {OrderState.NEVER_ARRIVED} == ENDED


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_step_of_ours_on_each_state_moves_by_the_table_or_raises(state: OrderState, kind: type) -> None:
    """order-protocol.md section 2."""
    event, target = STEPS[kind]
    before = order(state=state)
    # INTENDED is reached from two states, by one event each.
    only_from = {ReturnedUnsent: "SENT", Resent: "NEVER_ARRIVED"}.get(kind, state)
    if target in TRANSITIONS[state] and state == only_from:
        applied = apply(before, event)
        assert applied.order.state is target
        assert applied.is_changed
        assert applied.order.rev == before.rev + 1
        assert (applied.order.ended_at is not None) == (target in ENDED)
    else:
        with pytest.raises(IllegalTransition):
            apply(before, event)


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_step_of_ours_when_repeated_then_raises_and_changes_nothing(kind: type) -> None:
    event, target = STEPS[kind]
    source = next(state for state in OrderState if target in TRANSITIONS[state])
    if kind is Resent:
        source = OrderState.NEVER_ARRIVED
    once = apply(order(state=source), event).order
    with pytest.raises(IllegalTransition):
        apply(once, event)


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("said", VENUE_WORDS)
@pytest.mark.parametrize("executed", ["0", "0.05", "0.1"])
def test_report_on_each_state_never_raises_and_keeps_the_table(state: OrderState, said: str, executed: str) -> None:
    """order-protocol.md section 2."""
    before = order(state=state)
    moved = apply(before, report(said, executed)).order
    assert moved.state is state or moved.state in TRANSITIONS[state]
    assert moved.executed == quantity(executed)
    assert moved.venue_order_id == "v1"


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("said", sorted(set(OrderState) - {OrderState(word) for word in VENUE_WORDS}))
def test_report_when_it_says_no_word_of_a_venue_then_state_stays(state: OrderState, said: OrderState) -> None:
    assert apply(order(state=state), report(said.value)).order.state is state


def test_claim_fixes_quantity_attempt_and_window() -> None:
    exit_order = order(quantity=None, signed_at_ms=5, reason="late")
    sent = apply(exit_order, Claimed(after(1), 12_000, 7, quantity("0.3"))).order
    assert (sent.state, sent.quantity, sent.attempt, sent.owner_epoch) == (OrderState.SENT, quantity("0.3"), 1, 7)
    assert (sent.send_by_ms, sent.signed_at_ms, sent.reason, sent.sent_at) == (12_000, None, None, after(1))


@pytest.mark.parametrize(
    "known",
    [{"venue_order_id": VenueOrderId("v9")}, {"executed": quantity("0.01")}, {"acknowledged_at": NOW}],
    ids=["id", "executed", "acknowledged"],
)
def test_claim_and_resend_when_venue_knows_the_order_then_raise(known: dict[str, object]) -> None:
    """A late copy was found: sending now would put two orders of one generation at the venue."""
    with pytest.raises(IllegalTransition, match="twice"):
        apply(order(**known), Claimed(NOW, 1, 1))
    with pytest.raises(IllegalTransition, match="twice"):
        apply(order(state=OrderState.NEVER_ARRIVED, **known), Resent(NOW, NOW))
    assert apply(order(**known), Denied(NOW, "at_venue")).order.state is OrderState.DENIED


@pytest.mark.parametrize(
    "state", [OrderState.UNKNOWN, OrderState.BLIND, OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED]
)
def test_absence_when_venue_had_named_the_order_then_canceled_with_incident(state: str) -> None:
    """order-protocol.md section 2."""
    seen = order(state=OrderState(state), venue_order_id=VenueOrderId("v1"), executed=quantity("0.05"))
    applied = apply(seen, AbsenceProven(after(20)))
    assert applied.order.state is OrderState.CANCELED
    assert applied.order.reason == "absent"
    assert applied.incident is Incident.ABSENT_AFTER_ACCEPT
    assert applied.order.executed == quantity("0.05")


def test_resend_after_never_arrived_then_open_again_with_next_attempt() -> None:
    """order-protocol.md section 1."""
    lost = apply(apply(order(), Claimed(NOW, 1, 1)).order, OutcomeLost(after(5), "timeout", 99)).order
    assert lost.signed_at_ms == 99
    absent = apply(lost, AbsenceProven(after(20))).order
    again = apply(absent, Resent(after(21), after(21))).order
    assert (again.state, again.ended_at, again.generation) == (OrderState.INTENDED, None, 0)
    assert apply(again, Claimed(after(22), 2, 1)).order.attempt == 2


def test_report_after_end_with_more_executed_is_booked_with_incident() -> None:
    ended = order(state=OrderState.CANCELED, executed=quantity("0.02"), ended_at=NOW)
    applied = apply(ended, report("FILLED", "0.1", at=3))
    assert applied.order.state is OrderState.CANCELED
    assert applied.order.executed == quantity("0.1")
    assert applied.order.ended_at == NOW
    assert applied.incident is Incident.FILL_AFTER_END


@pytest.mark.parametrize(
    ("state", "incident"),
    [
        (OrderState.INTENDED, Incident.REPORT_ON_UNSENT),
        (OrderState.NEVER_ARRIVED, Incident.ALIVE_AFTER_END),
        (OrderState.DENIED, Incident.ALIVE_AFTER_END),
        (OrderState.REJECTED, Incident.ALIVE_AFTER_END),
        (OrderState.CANCELED, None),
        (OrderState.FILLED, None),
        (OrderState.UNKNOWN, None),
    ],
)
def test_report_accepted_where_it_surprises_opens_incident(state: OrderState, incident: Incident | None) -> None:
    assert apply(order(state=state), report("ACCEPTED")).incident is incident


@pytest.mark.parametrize("state", ["INTENDED", "NEVER_ARRIVED", "DENIED", "CANCELED", "SENT"])
def test_report_when_repeated_then_its_incident_is_not(state: str) -> None:
    once = apply(order(state=OrderState(state)), report("PARTIALLY_FILLED", "0.2"))
    assert once.incident is not None
    assert apply(once.order, report("PARTIALLY_FILLED", "0.2")) == Applied(once.order, is_changed=False)


def test_report_alive_after_a_known_rejection_is_told_though_nothing_moves() -> None:
    refused = order(state=OrderState.REJECTED, venue_order_id=VenueOrderId("v1"), acknowledged_at=NOW)
    assert apply(refused, report("ACCEPTED")) == Applied(refused, is_changed=False, incident=Incident.ALIVE_AFTER_END)


def test_report_over_the_ordered_quantity_opens_incident() -> None:
    assert apply(order(state=OrderState.SENT), report("FILLED", "0.11")).incident is Incident.OVERFILLED


@pytest.mark.parametrize("said", ["ACCEPTED", "PARTIALLY_FILLED"])
def test_cancel_sent_when_still_live_before_the_fence_then_stays(said: str) -> None:
    cancelling = order(state=OrderState.CANCEL_SENT)
    executed = "0.05" if said == "PARTIALLY_FILLED" else "0"
    assert apply(cancelling, report(said, executed)).order.state is OrderState.CANCEL_SENT
    refused = apply(cancelling, report(said, executed, is_cancel_refused=True)).order
    assert refused.state is OrderState(said)


@pytest.mark.parametrize("state", [OrderState.CANCEL_SENT, OrderState.UNKNOWN, OrderState.BLIND, OrderState.SENT])
def test_report_accepted_when_partly_filled_before_then_partially_filled(state: OrderState) -> None:
    half = order(state=state, executed=quantity("0.05"), executed_quote=D(2500))
    moved = apply(half, report("ACCEPTED", is_cancel_refused=True)).order
    assert moved.state is OrderState.PARTIALLY_FILLED
    assert (moved.executed, moved.executed_quote) == (quantity("0.05"), D(2500))


@pytest.mark.parametrize("said", ["CANCELED", "EXPIRED", "FILLED"])
def test_older_report_with_less_executed_never_ends_a_working_order(said: str) -> None:
    """order-protocol.md section 2."""
    half = order(state=OrderState.PARTIALLY_FILLED, executed=quantity("0.05"), venue_order_id=VenueOrderId("v1"))
    applied = apply(half, report(said, "0.02"))
    assert applied.order.state is OrderState.PARTIALLY_FILLED
    assert applied.order.executed == quantity("0.05")


def test_report_that_moves_an_order_brings_its_reason_and_one_that_does_not_leaves_it() -> None:
    refused = apply(order(state=OrderState.SENT, reason="old"), report("REJECTED", reason="LOT_SIZE")).order
    assert refused.reason == "LOT_SIZE"
    again = apply(refused, report("REJECTED", "0.01", reason="other")).order
    assert again.reason == "LOT_SIZE"


def test_report_after_a_cancel_of_ours_keeps_our_reason() -> None:
    cancelling = order(state=OrderState.CANCEL_SENT, reason="exit")
    assert apply(cancelling, report("CANCELED")).order.reason == "exit"
    assert apply(cancelling, report("EXPIRED", reason="OCO_TRIGGER")).order.reason == "OCO_TRIGGER"
    assert apply(order(state=OrderState.ACCEPTED, reason="old"), report("CANCELED")).order.reason is None


def test_report_when_it_adds_nothing_then_unchanged() -> None:
    first = apply(order(state=OrderState.SENT), report("FILLED", "0.1"))
    second = apply(first.order, report("FILLED", "0.1", at=9))
    assert second == Applied(first.order, is_changed=False)


@pytest.mark.parametrize(
    ("leg", "side", "kind"),
    [
        (Leg.ENTRY, Side.BUY, GateKind.ENTRY),
        (Leg.TEST, Side.BUY, GateKind.ENTRY),
        (Leg.TEST, Side.SELL, GateKind.EXIT),
        (Leg.EXIT, Side.SELL, GateKind.EXIT),
        (Leg.STOP, Side.SELL, GateKind.PROTECTIVE),
        (Leg.TARGET, Side.SELL, GateKind.PROTECTIVE),
    ],
)
def test_gate_kind_follows_leg_and_side(leg: Leg, side: Side, kind: GateKind) -> None:
    assert order(leg=leg, side=side).gate_kind is kind


def test_executed_quote_when_venue_states_it_negative_then_ignored() -> None:
    """Binance states cummulativeQuoteQty below zero for very old orders."""
    moved = apply(
        order(state=OrderState.UNKNOWN), VenueReport(NOW, OrderState.FILLED, quantity("0.1"), Decimal(-1))
    ).order
    assert moved.executed_quote == 0
