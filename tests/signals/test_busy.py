"""What passes by itself: a signal waits while it is fresh, a close until it succeeds (product.md S5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.support.signal_builders import CountingIds, Inbox, at, signals_db

from tradewind.core.ids import SignalId
from tradewind.infra.outbox import outbox
from tradewind.signals import service
from tradewind.signals.tables import SignalState


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with signals_db(tmp_path) as db:
        yield Inbox(db, CountingIds("signal"))


def notes(inbox: Inbox, topic: str = "signal") -> list[str]:
    query = select(outbox.c.payload).where(outbox.c.topic == topic).order_by(outbox.c.seq)
    return [row.payload for row in inbox.db.read_now(lambda tx: tx.execute(query).all())]


def test_signal_when_the_database_is_busy_then_no_attempt_counts_and_tried_every_second(inbox: Inbox) -> None:
    """product.md S5: what passes by itself is waited for, and is no attempt."""
    (signal_id,) = inbox.accept("buy BTCUSDT").ids
    for second in range(12):
        assert inbox.claim(at(second)) is not None
        assert busy(inbox, signal_id, second) is SignalState.NEW
        assert inbox.claim(at(second + 0.9)) is None
    claimed = inbox.claim(at(13))
    assert claimed is not None
    assert claimed.attempts == 1


def test_fault_18_entry_when_the_database_is_busy_until_it_is_stale_then_dead_letter_with_the_reason(
    inbox: Inbox,
) -> None:
    """product.md S5: it waits while fresh, then dead-letters with its reason."""
    (signal_id,) = inbox.accept("buy BTCUSDT").ids
    assert inbox.claim(at(59)) is not None
    assert busy(inbox, signal_id, 59) is SignalState.NEW
    assert inbox.claim(at(61)) is not None
    assert busy(inbox, signal_id, 61) is SignalState.DEAD
    entry = inbox.db.read_now(lambda tx: service.load_entry(tx, signal_id))
    assert entry.last_error == "it could not be carried out within 60 s: the database is busy"
    assert '"is_alarm":false' in notes(inbox, "signal.dead")[0]


def test_close_when_the_database_is_busy_for_long_then_it_waits_on_and_is_told_once(inbox: Inbox) -> None:
    """order-protocol.md section 10: exits never age; doubt over 15 s is alarmed."""
    (signal_id,) = inbox.accept("close BTCUSDT").ids
    for second in (1, 20, 40, 4_000):
        assert inbox.claim(at(second)) is not None
        assert busy(inbox, signal_id, second) is SignalState.NEW
    assert len([note for note in notes(inbox) if '"is_alarm":true' in note]) == 1
    assert inbox.claim(at(4_002)) is not None


def busy(inbox: Inbox, signal_id: SignalId, second: float) -> SignalState:
    return inbox.db.write_now(
        lambda tx: service.fail(tx, signal_id, "worker", "the database is busy", at(second), is_passing=True)
    )
