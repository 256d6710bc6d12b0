"""What may be tried again: the table, state by state."""

from __future__ import annotations

import pytest

from tradewind.core.order import OrderState
from tradewind.core.retry import BLOCKING, PASSING_DENIALS, Standing, standing_of_order, standing_of_skip
from tradewind.core.skip import SkipReason


@pytest.mark.parametrize("resend", ["new", "same", "never"])
@pytest.mark.parametrize("state", sorted(BLOCKING))
def test_order_when_in_doubt_then_blocked_at_every_venue(state: OrderState, resend: str) -> None:
    """order-protocol.md section 9: UNKNOWN and BLIND block it."""
    assert standing_of_order(state, None, resend) is Standing.BLOCKED


@pytest.mark.parametrize(
    ("resend", "standing"),
    [("new", Standing.AGAIN), ("same", Standing.RESEND_SAME), ("never", Standing.NOT_RESENT_HERE)],
)
def test_order_when_it_never_arrived_then_by_the_venue_s_rule(resend: str, standing: Standing) -> None:
    """order-protocol.md section 1: re-send after NEVER_ARRIVED."""
    assert standing_of_order(OrderState.NEVER_ARRIVED, "never_arrived", resend) is standing


def test_order_when_the_venue_or_a_person_said_no_then_final() -> None:
    for state, reason in (
        (OrderState.REJECTED, "insufficient_balance"),
        (OrderState.DENIED, "superseded"),
        (OrderState.DENIED, "paused"),
        (OrderState.DENIED, "emergency_stop"),
        (OrderState.DENIED, "cancelled_by_you"),
        (OrderState.CANCELED, "absent"),
    ):
        assert standing_of_order(state, reason, "new") is Standing.FINAL


def test_order_when_denied_for_a_passing_reason_then_again() -> None:
    assert {standing_of_order(OrderState.DENIED, reason, "new") for reason in PASSING_DENIALS} == {Standing.AGAIN}


def test_skip_when_final_or_passing_then_told_apart() -> None:
    again = {reason for reason in SkipReason if standing_of_skip(reason.value) is Standing.AGAIN}
    assert SkipReason.NO_PRICE in again
    assert SkipReason.STALE in again
    assert {SkipReason.PAUSED, SkipReason.SUPERSEDED, SkipReason.TOO_SMALL} & again == set()
