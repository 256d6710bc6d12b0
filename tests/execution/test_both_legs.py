"""Both legs of a list execute: a fact nobody can refuse, booked exactly, never into a negative position."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from sqlalchemy import text
from tests.support.journal import journal_desk

from tradewind.core.order import Leg


def test_fault_46_stop_and_target_both_fill_then_an_incident_and_the_position_is_never_negative(
    tmp_path: Path,
) -> None:
    """order-protocol.md sections 2 and 11 (I-8): a fill is booked in any state, sells never exceed the position."""
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        stop, target = desk.leg(lot, Leg.STOP), desk.leg(lot, Leg.TARGET)
        now = desk.clock.now()
        claim = desk.db.write_now(
            lambda tx: desk.journal.claim_protective(tx, [[stop.id, target.id]], lambda *_: 1_800_000_000_000, now)
        )
        assert len(claim.sent) == 2
        desk.apply(desk.filled(desk.order(stop), "0.00039", "48400", fill_id="f2"))
        desk.apply(desk.filled(desk.order(target), "0.00039", "53000", fill_id="f3"))
        rows = desk.db.read_now(lambda tx: tx.execute(text("SELECT quantity FROM lots")).scalars().all())
        assert [Decimal(row) for row in rows] == [Decimal("0.0000096")]
        sold = desk.db.read_now(lambda tx: tx.execute(text("SELECT cause, quantity FROM sales ORDER BY seq")).all())
        assert [(each.cause, Decimal(each.quantity)) for each in sold] == [("stop", Decimal("0.00039"))]
        fills = desk.db.read_now(lambda tx: tx.execute(text("SELECT fill_id FROM fills ORDER BY seq")).scalars().all())
        assert {"f2", "f3"} <= set(fills)
        kinds = desk.db.read_now(lambda tx: tx.execute(text("SELECT kind FROM incidents")).scalars().all())
        assert "sold_more_than_held" in kinds
