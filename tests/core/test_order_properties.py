"""Any sequence of events: facts never raise, nothing goes back, the same event twice counts once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import D, after, order

from tradewind.core.errors import IllegalTransition
from tradewind.core.ids import VenueOrderId
from tradewind.core.money import Quantity
from tradewind.core.order import (
    ENDED,
    TRANSITIONS,
    AbsenceProven,
    CancelSent,
    Claimed,
    CredentialLost,
    Denied,
    Order,
    OrderEvent,
    OrderState,
    OutcomeLost,
    Resent,
    ReturnedUnsent,
    VenueReport,
    apply,
)

times = st.integers(0, 1_000).map(after)
tenths = st.integers(0, 12).map(lambda n: D(n) / 100)
our_steps = st.one_of(
    st.builds(Claimed, times, st.just(1), st.integers(0, 3)),
    st.builds(Denied, times, st.just("stale")),
    st.builds(ReturnedUnsent, times, st.just("late")),
    st.builds(OutcomeLost, times, st.just("timeout")),
    st.builds(CredentialLost, times, st.just("refused")),
    st.builds(AbsenceProven, times),
    st.builds(Resent, times, times),
    st.builds(CancelSent, times, st.just("exit")),
)


ANY_STATE = list(OrderState)
ANSWERS = [
    OrderState.ACCEPTED,
    OrderState.PARTIALLY_FILLED,
    OrderState.FILLED,
    OrderState.CANCELED,
    OrderState.EXPIRED,
    OrderState.REJECTED,
]


@st.composite
def reports(draw: st.DrawFn, states: Sequence[OrderState] = ANY_STATE) -> VenueReport:
    executed = draw(tenths)
    return VenueReport(
        draw(times),
        draw(st.sampled_from(states)),
        Quantity(executed),
        executed * 50_000,
        draw(st.sampled_from([None, VenueOrderId("v1")])),
        is_cancel_refused=draw(st.booleans()),
    )


answers = reports(ANSWERS)
events = st.one_of(our_steps, reports(), reports())

# What may well happen next, so that sequences reach the far states too and not only by luck.
LIKELY: dict[OrderState, st.SearchStrategy[OrderEvent]] = {
    OrderState.INTENDED: st.builds(Claimed, times, st.just(1), st.integers(0, 3)),
    OrderState.SENT: st.one_of(
        st.builds(OutcomeLost, times, st.just("timeout")), st.builds(ReturnedUnsent, times, st.just("late")), answers
    ),
    OrderState.UNKNOWN: st.one_of(
        st.builds(AbsenceProven, times), st.builds(CredentialLost, times, st.just("refused")), answers
    ),
    OrderState.BLIND: st.one_of(st.builds(OutcomeLost, times, st.just("asked")), answers),
    OrderState.ACCEPTED: st.one_of(st.builds(CancelSent, times, st.just("exit")), answers),
    OrderState.PARTIALLY_FILLED: st.one_of(st.builds(CancelSent, times, st.just("exit")), answers),
    OrderState.NEVER_ARRIVED: st.one_of(st.builds(Resent, times, times), our_steps),
}


@st.composite
def stories(draw: st.DrawFn) -> list[OrderEvent]:
    """Events as they may come: mostly likely ones, now and then any at all."""
    told: list[OrderEvent] = []
    current = order()
    for _ in range(draw(st.integers(0, 20))):
        is_likely = draw(st.integers(0, 3)) > 0
        event = draw(LIKELY.get(current.state, events) if is_likely else events)
        told.append(event)
        current = step(current, event)
    return told


def step(current: Order, event: OrderEvent) -> Order:
    """The order after an event; an illegal step of ours leaves it where it was."""
    try:
        return apply(current, event).order
    except IllegalTransition:
        assert not isinstance(event, VenueReport), "a fact raised"
        return current


def walk(sequence: list[OrderEvent]) -> list[Order]:
    """The order after each event."""
    orders = [order()]
    for event in sequence:
        orders.append(step(orders[-1], event))
    return orders


@given(stories())
def test_any_sequence_of_events_moves_along_the_table_only(sequence: list[OrderEvent]) -> None:
    for before, now in pairwise(walk(sequence)):
        assert now.state is before.state or now.state in TRANSITIONS[before.state]


@given(stories())
def test_any_sequence_of_events_never_shrinks_what_was_executed(sequence: list[OrderEvent]) -> None:
    for before, now in pairwise(walk(sequence)):
        assert now.executed >= before.executed
        assert now.executed_quote >= before.executed_quote
        assert before.venue_order_id in (None, now.venue_order_id)


@given(stories())
def test_any_sequence_of_events_leaves_ended_orders_ended(sequence: list[OrderEvent]) -> None:
    for (before, now), event in zip(pairwise(walk(sequence)), sequence, strict=True):
        if before.is_ended and not isinstance(event, Resent):
            assert now.state is before.state
            assert now.ended_at == before.ended_at
        assert (now.ended_at is not None) == (now.state in ENDED)


@given(stories())
def test_any_sequence_of_events_counts_revisions_exactly_with_changes(sequence: list[OrderEvent]) -> None:
    for before, now in pairwise(walk(sequence)):
        assert (now == before) == (now.rev == before.rev)
        assert now.rev - before.rev in (0, 1)


@given(stories(), reports())
def test_same_report_twice_counts_once(sequence: list[OrderEvent], report: VenueReport) -> None:
    """order-protocol.md section 2."""
    start = walk(sequence)[-1]
    once = apply(start, report).order
    twice = apply(once, report)
    assert twice.order == once
    assert not twice.is_changed


@given(stories())
def test_fault_41_every_report_in_any_order_ends_with_the_largest_execution(sequence: list[OrderEvent]) -> None:
    stated = [event.executed for event in sequence if isinstance(event, VenueReport)]
    assert walk(sequence)[-1].executed == max(stated, default=Quantity(D(0)))


@given(stories())
def test_order_the_venue_has_named_is_never_sent_again(sequence: list[OrderEvent]) -> None:
    """order-protocol.md section 1."""
    for before, now in pairwise(walk(sequence)):
        if before.is_known_to_venue and before.state is OrderState.INTENDED:
            assert now.state in (OrderState.INTENDED, OrderState.DENIED)
        if before.is_known_to_venue:
            assert now.state is not OrderState.NEVER_ARRIVED or before.state is OrderState.NEVER_ARRIVED


@given(stories())
def test_order_on_its_way_comes_back_by_its_own_proof_only(sequence: list[OrderEvent]) -> None:
    for (before, now), event in zip(pairwise(walk(sequence)), sequence, strict=True):
        if now.state is OrderState.INTENDED and before.state is not OrderState.INTENDED:
            proof = {OrderState.SENT: ReturnedUnsent, OrderState.NEVER_ARRIVED: Resent}[before.state]
            assert isinstance(event, proof)
