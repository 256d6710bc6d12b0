"""Which ends of a signal at an account may be tried again (order-protocol.md section 9): one table.

Passing is what may be gone in a moment or once somebody has mended it: a venue that was away, a key that was
refused, a balance or price that was not known. What the user, the operator or a stop decided is not passing, nor is
anything the venue refused. "Too old" passes only for somebody who says up to which age.
"""

from __future__ import annotations

from enum import StrEnum

from tradewind.core.gate_text import GateCode
from tradewind.core.order import OrderState
from tradewind.core.skip import SkipReason

# Why an order was denied before it left, and may be decided again.
PASSING_DENIALS = frozenset(
    {
        GateCode.VENUE.value,
        GateCode.CREDENTIAL_REFUSED.value,
        GateCode.CREDENTIAL_MISSING.value,
        GateCode.ACCOUNT_DISABLED.value,
        GateCode.NO_FUNDS.value,
        "stale",
    }
)
PASSING_SKIPS = frozenset(reason for reason in SkipReason if reason.is_passing) | {SkipReason.STALE}
# Nobody knows what became of the order before: nothing may follow it.
BLOCKING = frozenset({OrderState.SENT, OrderState.UNKNOWN, OrderState.BLIND, OrderState.CANCEL_SENT})


class Standing(StrEnum):
    """How an account stands to a retry of its signal."""

    AGAIN = "again"
    RESEND_SAME = "resend_same"
    HAS_IT = "has_it"
    UNDER_WAY = "under_way"
    BLOCKED = "blocked"
    FINAL = "final"
    NOT_RESENT_HERE = "not_resent_here"


def standing_of_order(state: OrderState, reason: str | None, resend: str) -> Standing:
    """Say whether an account whose newest order stands like this may be tried again.

    `resend` is the venue's rule (new, same, never) for an id that never arrived.

    >>> standing_of_order(OrderState.DENIED, "paused", "new")
    <Standing.FINAL: 'final'>
    """
    if state in BLOCKING:
        return Standing.BLOCKED
    if state is OrderState.NEVER_ARRIVED:
        return {"new": Standing.AGAIN, "same": Standing.RESEND_SAME}.get(resend, Standing.NOT_RESENT_HERE)
    if state is OrderState.DENIED:
        return Standing.AGAIN if reason in PASSING_DENIALS else Standing.FINAL
    if state in (OrderState.INTENDED, OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
        return Standing.UNDER_WAY
    return Standing.HAS_IT if state is OrderState.FILLED else Standing.FINAL


def standing_of_skip(reason: str | None) -> Standing:
    """Say whether an account that was skipped for this reason may be decided again."""
    known = {each.value for each in PASSING_SKIPS}
    return Standing.AGAIN if reason in known else Standing.FINAL
