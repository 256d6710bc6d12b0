"""Outcomes into the journal: in any order, any number of times, and nothing booked twice."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from sqlalchemy import text
from tests.support.journal import Desk, fill_of, journal_desk, report_of

from tradewind.core.money import Quantity
from tradewind.core.order import Incident, Leg, OrderState, OutcomeLost, ReturnedUnsent
from tradewind.execution.outcomes import Outcome


def _count(desk: Desk, table: str) -> int:
    return int(desk.db.read_now(lambda tx: tx.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()))


def test_fill_when_told_three_times_then_booked_once(tmp_path: Path) -> None:
    """order-protocol.md section 2."""
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        for _ in range(3):
            desk.apply(desk.filled(sent))
        (lot,) = desk.held()
        assert lot.lot.quantity == Quantity(Decimal("0.0003996"))
        assert (str(lot.lot.stop), str(lot.lot.target)) == ("48500", "53000")
        assert _count(desk, "fills") == 1


def test_fills_when_acknowledgement_is_lost_then_late_answer_changes_nothing(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        desk.apply(desk.filled(sent))
        moved = desk.apply(Outcome(sent.id, OutcomeLost(desk.clock.now(), "timeout"), attempt=sent.attempt))
        assert moved == []
        assert desk.order(sent).state is OrderState.FILLED


def test_answer_when_of_an_earlier_attempt_then_ignored(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        (first,) = desk.claim(desk.entry())
        desk.apply(Outcome(first.id, ReturnedUnsent(desk.clock.now(), "connect"), attempt=first.attempt))
        (second,) = desk.claim(desk.order(first))
        assert second.attempt == 2
        desk.apply(Outcome(first.id, OutcomeLost(desk.clock.now(), "timeout"), attempt=first.attempt))
        assert desk.order(first).state is OrderState.SENT


def test_fill_when_order_had_ended_then_booked_and_incident_opened(tmp_path: Path) -> None:
    """order-protocol.md section 2."""
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        desk.apply(Outcome(sent.id, report_of(OrderState.EXPIRED)))
        (moved,) = desk.apply(Outcome(sent.id, report_of(OrderState.FILLED, "0.0004"), (fill_of(sent, "0.0004"),)))
        assert moved.incident is Incident.FILL_AFTER_END
        assert desk.order(sent).state is OrderState.EXPIRED
        assert len(desk.held()) == 1
        assert _count(desk, "incidents") == 1


def test_batch_when_one_order_is_missing_then_the_others_move(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        stranger = Outcome(type(sent.id)("nobody"), report_of(OrderState.FILLED))
        moved = desk.apply(stranger, desk.filled(sent))
        assert [move.after.state for move in moved] == [OrderState.FILLED]


def test_fault_50_stop_when_filled_then_lot_closed_with_its_dust_on_record(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        stop = desk.leg(lot, Leg.STOP)
        now = desk.clock.now()
        desk.db.write_now(lambda tx: desk.journal.claim_protective(tx, [[stop.id]], lambda *_: 1_800_000_000_000, now))
        desk.apply(desk.filled(desk.order(stop), "0.00039", "48400", fill_id="f2"))
        assert desk.held() == []
        rows = desk.db.read_now(lambda tx: tx.execute(text("SELECT quantity, state, state_reason FROM lots")).all())
        assert [(Decimal(row[0]), *row[1:]) for row in rows] == [(Decimal("0.0000096"), "closed", "dust_left")]
        sale = desk.db.read_now(lambda tx: tx.execute(text("SELECT cause, quantity FROM sales")).one())
        assert (sale.cause, Decimal(sale.quantity)) == ("stop", Decimal("0.00039"))


def test_events_when_orders_move_then_every_line_is_an_edge_of_the_table(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        desk.apply(Outcome(sent.id, OutcomeLost(desk.clock.now(), "timeout")))
        desk.apply(desk.filled(sent))
        lines = desk.db.read_now(
            lambda tx: tx.execute(text("SELECT from_state, to_state FROM order_events ORDER BY seq")).all()
        )
        assert [tuple(line) for line in lines] == [("INTENDED", "SENT"), ("SENT", "UNKNOWN"), ("UNKNOWN", "FILLED")]


def test_late_fill_of_an_entry_when_told_together_with_a_sale_then_only_it_is_left(tmp_path: Path) -> None:
    """I-8: position = sum of fills, in whatever order and company they are told."""
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        first = fill_of(sent, "0.0004", fill_id="f1")
        desk.apply(Outcome(sent.id, report_of(OrderState.PARTIALLY_FILLED, "0.0004"), (first,)))
        (sold,) = desk.claim_exit(desk.exit(lot_id=desk.held()[0].lot.id)).sent
        late = fill_of(sent, "0.0002", fill_id="f2")
        desk.apply(
            desk.filled(sold, "0.00039", fill_id="f3"),
            Outcome(sent.id, report_of(OrderState.FILLED, "0.0006"), (late,)),
        )
        (left,) = desk.held()
        assert left.lot.quantity == Quantity(Decimal("0.0003996") - Decimal("0.00039") + Decimal("0.0001998"))
