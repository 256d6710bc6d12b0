"""Fault points: named places between two steps of an order's way, where a test may end the process.

In production no driver is in place and `reached` does nothing: one look at a module's attribute. Nothing in
the settings or the environment can put one in place; the kill harness (tests/crash) does it in its own process.

A point named `..._written` stands inside a transaction, before its COMMIT; one named `..._committed` directly
after it. Killed at the first the step never was; killed at the second it is on disk and nothing followed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """Every fault point there is; tests/crash reaches each of them."""

    # A signal comes in and is decided.
    INBOX_WRITTEN = "inbox.written"
    INBOX_COMMITTED = "inbox.committed"
    SIGNAL_LEASED = "signal.leased"
    SIGNAL_DECIDED = "signal.decided"
    DECISIONS_WRITTEN = "decisions.written"
    DECISIONS_COMMITTED = "decisions.committed"

    # An order leaves: claim, signature, write, answer, outcome.
    ENTRY_CLAIM_WRITTEN = "entry.claim_written"
    ENTRY_CLAIM_COMMITTED = "entry.claim_committed"
    EXIT_CLAIM_WRITTEN = "exit.claim_written"
    EXIT_CLAIM_COMMITTED = "exit.claim_committed"
    PROTECTION_CLAIM_WRITTEN = "protection.claim_written"
    PROTECTION_CLAIM_COMMITTED = "protection.claim_committed"
    ORDER_SIGNED = "order.signed"
    ORDER_BEFORE_WRITE = "order.before_write"
    REQUEST_WRITTEN = "request.written"
    ORDER_ANSWERED = "order.answered"
    LIST_ANSWERED = "list.answered"
    FILL_WRITTEN = "fill.written"
    OUTCOME_WRITTEN = "outcome.written"
    OUTCOME_COMMITTED = "outcome.committed"

    # Protection and exits.
    PROTECTION_INTENT_WRITTEN = "protection.intent_written"
    PROTECTION_INTENT_COMMITTED = "protection.intent_committed"
    POSITION_STATE_COMMITTED = "position.state_committed"
    EXIT_INTENT_COMMITTED = "exit.intent_committed"
    EXIT_AGAIN_COMMITTED = "exit.again_committed"
    TRAILING_WRITTEN = "trailing.written"
    TRAILING_COMMITTED = "trailing.committed"
    FLATTEN_WRITTEN = "flatten.written"
    FLATTEN_COMMITTED = "flatten.committed"
    FLATTEN_SETTLED = "flatten.settled"
    CANCEL_WRITTEN = "cancel.written"
    CANCEL_COMMITTED = "cancel.committed"
    CANCEL_ANSWERED = "cancel.answered"

    # Finding out.
    STREAM_EVENT_SEEN = "stream.event_seen"
    DOUBT_BEFORE_QUESTION = "doubt.before_question"
    DOUBT_ANSWERED = "doubt.answered"
    FILLS_ANSWERED = "fills.answered"
    ABSENCE_WRITTEN = "absence.written"
    ABSENCE_COMMITTED = "absence.committed"
    RESEND_WRITTEN = "resend.written"

    # Telling.
    OUTBOX_PUBLISHED = "outbox.published"
    OUTBOX_MARK_WRITTEN = "outbox.mark_written"
    OUTBOX_MARK_COMMITTED = "outbox.mark_committed"

    # Starting again.
    RECOVERY_WRITTEN = "recovery.written"
    RECOVERY_COMMITTED = "recovery.committed"
    RECOVERY_ARMED = "recovery.armed"
    RECOVERY_LOOKED = "recovery.looked"

    # A backup was put back: taken into use, what may have left asked about, what is at the venue adopted.
    RESTORE_WRITTEN = "restore.written"
    RESTORE_DOUBTED = "restore.doubted"
    ADOPTION_WRITTEN = "adoption.written"
    ADOPTION_COMMITTED = "adoption.committed"


Driver = Callable[[Point], None]

# Told of every reached point, on whatever thread reaches it. Set by the kill harness, by nothing else.
driver: Driver | None = None


def reached(point: Point) -> None:
    """Say that a step's edge was reached; does nothing unless a test has put a driver in place."""
    if driver is not None:
        driver(point)
