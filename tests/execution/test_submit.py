"""What an answer proves, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.journal import journal_desk

from tradewind.core.order import Denied, OutcomeLost, ReturnedUnsent, VenueReport
from tradewind.execution.submit import event_of
from tradewind.venues.errors import (
    CredentialRefused,
    NotExecuted,
    NotSent,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    VenueDown,
    VenueError,
)


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (OrderRefused("insufficient_balance", "no"), VenueReport),
        (NotSent("connect", "no route"), ReturnedUnsent),
        (NotExecuted("timestamp", "outside"), ReturnedUnsent),
        (OutcomeUnknown("timeout", "nobody said"), OutcomeLost),
        (RateLimited("budget", "later"), OutcomeLost),
        (VenueDown("http_500", "down"), OutcomeLost),
        (VenueError("odd", "odd"), OutcomeLost),
        (KeyError("a bug"), OutcomeLost),
        (ConnectionResetError("cut"), OutcomeLost),
        (TimeoutError(), OutcomeLost),
    ],
)
def test_error_when_met_on_an_entry_then_only_proof_counts(tmp_path: Path, error: Exception, event: type) -> None:
    """order-protocol.md section 3."""
    with journal_desk(tmp_path) as desk:
        assert isinstance(event_of(desk.entry(), error, desk.clock.now()), event)


def test_fault_57_credential_error_when_on_entry_then_denied_and_on_exit_then_waits(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        refused = CredentialRefused("key", "refused")
        assert isinstance(event_of(desk.entry(), refused, desk.clock.now()), Denied)
        assert isinstance(event_of(desk.exit(), refused, desk.clock.now()), ReturnedUnsent)


def test_retry_at_when_the_venue_names_it_then_obeyed(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        at_ms = int(desk.clock.now().timestamp() * 1000) + 90_000
        event = event_of(desk.entry(), NotExecuted("rate_limit", "wait", retry_at_ms=at_ms), desk.clock.now())
        assert isinstance(event, ReturnedUnsent)
        assert event.release_at is not None
        assert (event.release_at - desk.clock.now()).total_seconds() == pytest.approx(90)
