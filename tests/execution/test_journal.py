"""Claims: age and gate are read again, exits sell what is sellable and no more, restarts leave doubt."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError
from tests.support.journal import BTCUSDT, Desk, journal_desk, report_of, venue_now

from tradewind.core.money import Quantity
from tradewind.core.order import AbsenceProven, Leg, Order, OrderState, OutcomeLost
from tradewind.execution.journal import Claim, next_generation
from tradewind.execution.outcomes import Outcome
from tradewind.execution.sellable import Market, sells_open
from tradewind.execution.store import Stored


def _claim_exit(desk: Desk, order: Order) -> Claim:
    return desk.db.write_now(
        lambda tx: desk.journal.claim_exits(tx, {order.id: Market(BTCUSDT, None)}, venue_now, desk.clock.now())
    )


def test_fault_18_entry_when_older_than_its_time_then_denied_as_stale(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        order = desk.entry(fresh_until=(desk.clock.now() - timedelta(seconds=1)).isoformat())
        assert desk.claim(order) == []
        after = desk.order(order)
        assert (after.state, after.reason) == (OrderState.DENIED, "stale")


def test_entry_when_gate_closes_then_denied_with_its_reason(tmp_path: Path) -> None:
    """order-protocol.md section 3."""
    with journal_desk(tmp_path) as desk:
        order = desk.entry()
        claim = desk.db.write_now(
            lambda tx: desk.journal.claim_entries(
                tx, [order.id], lambda _tx, due: {due[0].id: "paused"}, venue_now, desk.clock.now()
            )
        )
        assert claim.sent == ()
        assert [move.after.reason for move in claim.denied] == ["paused"]


def test_entry_when_claimed_twice_then_sent_once(tmp_path: Path) -> None:
    """order-protocol.md section 3."""
    with journal_desk(tmp_path) as desk:
        order = desk.entry()
        assert len(desk.claim(order)) == 1
        assert desk.claim(order) == []


def test_next_generation_when_the_one_before_was_executed_after_all_then_denied(tmp_path: Path) -> None:
    """order-protocol.md section 11, I-1: at most one entry generation of a Decision executes anything."""
    with journal_desk(tmp_path) as desk:
        (first,) = desk.claim(desk.entry())
        desk.apply(Outcome(first.id, OutcomeLost(desk.clock.now(), "timeout", 1)))
        desk.apply(Outcome(first.id, AbsenceProven(desk.clock.now())))
        again = next_generation(desk.order(first), desk.ids, desk.clock.now())
        desk.db.write_now(lambda tx: desk.journal.intend(tx, None, [again], desk.clock.now()))
        desk.apply(desk.filled(first))
        assert desk.order(first).state is OrderState.NEVER_ARRIVED
        assert desk.claim(again) == []
        assert (desk.order(again).state, desk.order(again).reason) == (OrderState.DENIED, "bought_before")


def test_exit_when_nothing_is_held_then_denied(tmp_path: Path) -> None:
    """order-protocol.md section 4: nothing held: DENIED(nothing_held)."""
    with journal_desk(tmp_path) as desk:
        claim = _claim_exit(desk, desk.exit())
        assert [(move.after.state, move.after.reason) for move in claim.denied] == [(OrderState.DENIED, "nothing_held")]


def test_exit_when_another_sell_is_in_doubt_then_only_the_rest_is_sold(tmp_path: Path) -> None:
    """order-protocol.md section 4: sellable is what is held less our sells not ended."""
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        stop = desk.leg(lot, Leg.STOP, quantity="0.0002")
        now = desk.clock.now()
        desk.db.write_now(lambda tx: desk.journal.claim_protective(tx, [[stop.id]], venue_now, now))
        claim = _claim_exit(desk, desk.exit(lot_id=lot.lot.id))
        assert [order.quantity for order in claim.sent] == [Quantity(Decimal("0.00019"))]


def test_exit_when_all_is_in_a_sell_already_then_waits(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        first = _claim_exit(desk, desk.exit(lot_id=lot.lot.id))
        assert len(first.sent) == 1
        second = _claim_exit(desk, desk.exit(lot_id=lot.lot.id))
        assert (second.sent, second.denied) == ((), ())


def test_protective_pair_when_position_was_sold_meanwhile_then_denied(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        assert len(_claim_exit(desk, desk.exit(lot_id=lot.lot.id)).sent) == 1
        stop, target = desk.leg(lot, Leg.STOP), desk.leg(lot, Leg.TARGET)
        now = desk.clock.now()
        sent = desk.db.write_now(lambda tx: desk.journal.claim_protective(tx, [[stop.id, target.id]], venue_now, now))
        assert sent.sent == ()
        assert {desk.order(leg).state for leg in (stop, target)} == {OrderState.DENIED}


def test_sells_when_legs_of_one_list_then_counted_once(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        legs = [Stored(desk.leg(lot, leg), Decimal(0)) for leg in (Leg.STOP, Leg.TARGET)]
        assert sells_open(legs) == [Quantity(Decimal("0.00039"))]


def test_sells_when_filled_but_not_booked_then_still_counted(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        (sent,) = _claim_exit(desk, desk.exit(lot_id=lot.lot.id)).sent
        desk.apply(Outcome(sent.id, report_of(OrderState.FILLED, "0.00039")))
        assert desk.order(sent).state is OrderState.FILLED
        again = _claim_exit(desk, desk.exit(lot_id=lot.lot.id))
        assert (again.sent, again.denied) == ((), ())


def test_process_when_started_again_then_sent_is_unknown_and_nothing_is_sent(tmp_path: Path) -> None:
    """order-protocol.md section 2."""
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        waiting = desk.entry()
        undone = desk.db.write_now(lambda tx: desk.journal.recover(tx, desk.clock.now()))
        states = {each.id: each.state for each in undone}
        assert states == {sent.id: OrderState.UNKNOWN, waiting.id: OrderState.INTENDED}


def test_generation_when_next_then_new_id_and_clean_figures(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        desk.apply(Outcome(sent.id, report_of(OrderState.EXPIRED)))
        again = next_generation(desk.order(sent), desk.ids, desk.clock.now())
        assert again.generation == 1
        assert again.client_order_id != sent.client_order_id
        assert (again.state, again.attempt, again.venue_order_id) == (OrderState.INTENDED, 0, None)


def test_client_id_when_recorded_twice_then_refused_by_the_database(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        order = desk.entry()
        with pytest.raises(IntegrityError):
            desk.db.write_now(lambda tx: desk.journal.intend(tx, None, [order], desk.clock.now()))
