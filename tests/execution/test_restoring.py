"""From when on a database that was put back knows nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.journal import Desk, journal_desk

from tradewind.execution.restoring import Restore, begin_restore


def _restored(desk: Desk) -> Restore:
    return desk.db.write_now(lambda tx: begin_restore(tx, desk.ids, None, desk.clock.now()))


def test_restore_when_the_journal_is_older_than_the_first_order_then_looked_back_far_enough(tmp_path: Path) -> None:
    """order-protocol.md section 9: orders since the backup, whose age an empty journal does not tell."""
    with journal_desk(tmp_path) as desk:
        assert _restored(desk).since <= desk.clock.now() - timedelta(days=29)


async def test_restore_when_the_journal_has_an_order_then_nothing_is_known_since_then(tmp_path: Path) -> None:
    """order-protocol.md section 9."""
    with journal_desk(tmp_path) as desk:
        order = desk.entry()
        await desk.clock.advance(3_600)
        assert _restored(desk).since == order.created_at
