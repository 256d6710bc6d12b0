"""The book of doubts: who is in it, when each is asked, and that a fact not stored keeps its doubt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.journal import Desk, journal_desk, report_of

from tradewind.core.order import Order, OrderState, OutcomeLost
from tradewind.execution.doubts import DoubtBook
from tradewind.execution.outcomes import Moved, Outcome


def _in_doubt(desk: Desk) -> Order:
    (sent,) = desk.claim(desk.entry())
    desk.apply(Outcome(sent.id, OutcomeLost(desk.clock.now(), "timeout", 1)))
    return desk.order(sent)


def test_doubt_when_the_order_is_found_out_about_then_gone(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        order = _in_doubt(desk)
        book.add([order])
        assert [each.order_id for each in book.take_due(desk.clock.monotonic())] == [order.id]
        book.on_moved(desk.apply(desk.filled(order)))
        assert len(book) == 0


async def test_doubt_when_its_outcome_could_not_be_stored_then_stays_whatever_else_moves(tmp_path: Path) -> None:
    """A fact not stored is asked for until it is: the journal's word "settled" does not know of it."""
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        order = _in_doubt(desk)
        book.add([order])
        book.poisoned([order.id])
        assert book.take_due(desk.clock.monotonic()) == []
        settled = replace(order, state=OrderState.FILLED)
        book.on_moved([Moved(order, settled)])
        await desk.clock.advance(2.1)
        (doubt,) = book.take_due(desk.clock.monotonic())
        assert doubt.is_poisoned


def test_doubt_when_the_answer_is_stored_at_last_then_ends(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        order = _in_doubt(desk)
        book.poisoned([order.id])
        book.about_to_store(order.id)
        book.on_moved(desk.apply(desk.filled(order)))
        assert len(book) == 0


def test_doubt_when_storing_fails_again_then_poisoned_again(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        order = _in_doubt(desk)
        book.poisoned([order.id])
        book.about_to_store(order.id)
        book.poisoned([order.id])
        book.on_moved([Moved(order, replace(order, state=OrderState.FILLED))])
        assert len(book) == 1


def test_doubt_when_poisoned_before_anybody_doubted_then_entered(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        order = _in_doubt(desk)
        book.poisoned([order.id])
        assert [each.order_id for each in book.values()] == [order.id]


def test_sent_order_when_silent_then_doubtful_only_after_every_deadline(tmp_path: Path) -> None:
    """order-protocol.md section 2: SENT without outcome at send_by + request timeout."""
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        (sent,) = desk.claim(desk.entry())
        book.on_moved([Moved(sent, sent)])
        assert book.take_due(desk.clock.monotonic() + 4.9) == []
        assert [each.order_id for each in book.take_due(desk.clock.monotonic() + 5.0)] == [sent.id]


def test_due_when_entries_and_sells_are_in_doubt_then_sells_first(tmp_path: Path) -> None:
    """order-protocol.md section 3: exits first."""
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        lot = desk.bought()
        entry = _in_doubt(desk)
        exit_order = desk.exit(lot_id=lot.lot.id)
        book.add([entry, exit_order])
        assert [each.order_id for each in book.take_due(desk.clock.monotonic())] == [exit_order.id, entry.id]


def test_order_when_executed_more_than_booked_then_its_fills_are_asked_for(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        order = _in_doubt(desk)
        book.on_moved(desk.apply(Outcome(order.id, report_of(OrderState.FILLED, "0.0004"))))
        assert [each.order_id for each in book.values()] == [order.id]


async def test_due_when_most_orders_are_settled_or_asked_about_then_only_the_others_come_up(tmp_path: Path) -> None:
    """order-protocol.md section 3: only doubt costs; what was overtaken is never asked about."""
    with journal_desk(tmp_path) as desk:
        book = DoubtBook(desk.clock, 5.0)
        settled, asked, again = _in_doubt(desk), _in_doubt(desk), _in_doubt(desk)
        book.add([settled, asked, again])
        book.settle(settled.id)
        doubts = book.take_due(desk.clock.monotonic())
        assert [each.order_id for each in doubts] == [asked.id, again.id]
        assert book.take_due(desk.clock.monotonic() + 60) == []
        assert book.next_due() is None
        book.asked(doubts[1])
        assert book.next_due() == desk.clock.monotonic() + 0.2
        assert [each.order_id for each in book.take_due(desk.clock.monotonic() + 0.2)] == [again.id]
        # One that is doubted anew while it is asked about is another doubt; the old question's end changes nothing.
        book.settle(asked.id)
        book.add([asked])
        book.asked(doubts[0])
        assert [each.order_id for each in book.take_due(desk.clock.monotonic())] == [asked.id]
