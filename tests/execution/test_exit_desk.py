"""Exits, decided one by one and written for many: what is recorded once, what waits, what goes at once (section 4)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from tests.support.journal import BTCUSDT, Desk, journal_desk, report_of, venue_now
from tests.support.market_desk import ExitBench, MarketDesk, exit_bench

from tradewind.core.ids import AccountId
from tradewind.core.instrument import InstrumentStatus
from tradewind.core.money import Price
from tradewind.core.order import Leg, Order, OrderState
from tradewind.core.protection import ExitCause, PositionState
from tradewind.execution import intent_store, store
from tradewind.execution.exits import Departure, first_sales
from tradewind.execution.outcomes import Outcome
from tradewind.execution.scene import EXIT_KINDS
from tradewind.execution.settle import Settlement
from tradewind.execution.verdicts import Leave, Verdict
from tradewind.portfolio.holding import Holding

PRICE = Price(Decimal(50_000))


def _exits(room: Desk, lot: Holding) -> list[Order]:
    found = room.db.read_now(lambda tx: store.list_of_lot(tx, lot.lot.id))
    return [each.order for each in found if each.order.leg is Leg.EXIT]


def _recorded(bench: ExitBench, *holdings: Holding) -> list[str]:
    wanted = [Departure(each, ExitCause.EMERGENCY, "flatten") for each in holdings]
    now = bench.room.clock.now()
    return list(bench.room.db.write_now(lambda tx: bench.exits.record_all(tx, wanted, now)))


def _refused(bench: ExitBench, order: Order, times: int) -> Order:
    """Let an exit be refused so often in a row; return its next try, which waits."""
    for _ in range(times):
        bench.room.clock.step_wall(max(0.0, (order.release_at - bench.room.clock.now()).total_seconds()))
        (sent,) = bench.claim(bench.decide(order)).sent
        refusal = replace(report_of(OrderState.REJECTED), reason="filter_market_lot_size")
        bench.room.apply(Outcome(sent.id, refusal))
        move = bench.decide(sent)
        bench.write(move)
        assert move.again is not None
        order = move.again
    return order


def test_exits_of_many_lots_when_recorded_twice_then_each_lot_once(tmp_path: Path) -> None:
    """order-protocol.md section 4: one exit of a lot at a time, whoever wants another."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        first, second = room.bought(), room.bought()
        assert _recorded(bench, first) == [first.lot.id]
        assert _recorded(bench, first, second) == [second.lot.id]
        assert len(_exits(room, first)) == len(_exits(room, second)) == 1


def test_exits_when_a_close_of_the_source_is_under_way_then_its_lots_are_left_to_it(tmp_path: Path) -> None:
    """order-protocol.md section 4: one sell of a lot at a time."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        mine, other = room.bought(source="a", seq=1), room.bought(source="b", seq=2)
        room.close("a", 3)
        assert _recorded(bench, mine, other) == [other.lot.id]


def test_exit_when_another_covers_the_lot_already_then_what_fired_is_not_forgotten(tmp_path: Path) -> None:
    """order-protocol.md section 5: a stop that fired has had its effect only when an exit was recorded for it."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        settlement = Settlement(room.journal, bench.exits, bench.market)
        lot = room.bought(source="a", seq=1)
        verdict = Verdict(lot, PositionState.PROTECTED_WATCHED, "exit_stop", Leave(ExitCause.STOP, "watched"))
        # Recorded after the verdict was reached, before it is written.
        room.close("a", 2)
        settled = room.db.write_now(lambda tx: settlement.write(tx, [verdict], [], room.clock.now()))
        assert settled.acted == []
        later = room.bought(source="b", seq=3)
        verdict = replace(verdict, holding=later)
        settled = room.db.write_now(lambda tx: settlement.write(tx, [verdict], [], room.clock.now()))
        assert settled.acted == [later.lot.id]


def test_exit_when_refused_then_backs_off_and_is_hurried_by_a_stop_into_its_next_generation(tmp_path: Path) -> None:
    """order-protocol.md section 4: back-off; section 1: the next generation only after the one before has ended."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        lot = room.bought()
        _recorded(bench, lot)
        waiting = _refused(bench, _exits(room, lot)[0], times=4)
        move = bench.decide(waiting)
        assert move.sold is None
        assert move.seen.waiting == waiting
        room.db.write_now(lambda tx: bench.exits.hurry(tx, waiting, ExitCause.STOP, room.clock.now()))
        orders = _exits(room, lot)
        assert [(each.state, each.reason) for each in orders[-2:]] == [
            (OrderState.DENIED, "stop_reached"),
            (OrderState.INTENDED, None),
        ]
        assert orders[-1].generation == waiting.generation + 1
        (sent,) = bench.claim(bench.decide(orders[-1])).sent
        assert sent.quantity == BTCUSDT.floor_quantity(lot.lot.quantity)


def test_exit_when_it_was_sent_before_or_goes_already_then_not_hurried(tmp_path: Path) -> None:
    """order-protocol.md section 2: what the venue holds back is not hurried; what is claimed is left alone."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        lot = room.bought()
        _recorded(bench, lot)
        (sent,) = bench.claim(bench.decide(_exits(room, lot)[0])).sent
        denied = room.db.write_now(lambda tx: bench.exits.hurry(tx, sent, ExitCause.STOP, room.clock.now()))
        assert denied == []
        assert [each.state for each in _exits(room, lot)] == [OrderState.SENT]


def test_exits_of_one_account_when_two_want_to_sell_then_one_is_claimed_and_the_other_looked_at_again(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4, sellable: claims of one account are one after the other."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        first, second = room.bought(), room.bought()
        _recorded(bench, first, second)
        moves = [bench.decide(_exits(room, each)[0]) for each in (first, second)]
        now = room.clock.now()
        chosen = first_sales(moves, now)
        assert [move.sold is None for move in chosen] == [False, True]
        assert chosen[1].progress.look_again_at == now
        # The claim itself does not rely on that.
        claim = bench.claim(*moves)
        assert [order.lot_id for order in claim.sent] == [first.lot.id]
        assert bench.claim(moves[1]).sent[0].lot_id == second.lot.id


def test_claim_when_one_of_many_holds_nothing_any_more_then_it_alone_is_denied(tmp_path: Path) -> None:
    """order-protocol.md section 4: decided anew at the claim, account by account."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        lot = room.bought()
        _recorded(bench, lot)
        elsewhere = replace(lot, lot=replace(lot.lot, account_id=AccountId("account-2")))
        # Its coins have gone since it was seen: nothing of this account is held any more.
        _recorded(bench, elsewhere)
        orders = room.db.read_now(lambda tx: store.list_in_states(tx, [OrderState.INTENDED]))
        markets = {each.order.id: bench.decide(_exits(room, lot)[0]).sold for each in orders}
        now = room.clock.now()
        claim = room.db.write_now(
            lambda tx: room.journal.claim_exits(
                tx, {order_id: sold[1] for order_id, sold in markets.items() if sold}, venue_now, now
            )
        )
        assert [order.account_id for order in claim.sent] == [lot.lot.account_id]
        assert [(move.after.account_id, move.after.reason) for move in claim.denied] == [("account-2", "nothing_held")]


def test_exit_when_protection_rests_and_waits_then_one_is_cancelled_and_the_other_denied_before_a_sale(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: arm the watch, cancel, wait, sell."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        lot, waiting = room.bought(source="a", seq=1), room.bought(source="a", seq=2)
        legs = [room.leg(lot, Leg.STOP), room.leg(lot, Leg.TARGET)]
        room.db.write_now(
            lambda tx: room.journal.claim_protective(tx, [[leg.id for leg in legs]], venue_now, room.clock.now())
        )
        room.apply(*(Outcome(leg.id, report_of(OrderState.ACCEPTED)) for leg in legs))
        unsent = room.leg(waiting, Leg.STOP, list_id="other")
        close = room.close("a", 3)
        move = bench.decide(close)
        assert move.sold is None
        assert {order.id for order in move.resting} == {leg.id for leg in legs}
        assert [order.id for order in move.denied] == [unsent.id]
        bench.write(move)
        assert (room.order(unsent).state, room.order(unsent).reason) == (OrderState.DENIED, "exit_instead")


async def test_exit_when_its_market_stands_still_then_nothing_is_cancelled_and_the_market_is_asked(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: the symbol's status is read first."""
    with journal_desk(tmp_path) as room:
        halted = replace(BTCUSDT, status=InstrumentStatus.HALTED)
        bench = ExitBench(room, MarketDesk(PRICE, halted))
        lot = room.bought()
        close = room.exit(lot_id=lot.lot.id)
        room.leg(lot, Leg.STOP)
        move = bench.decide(close)
        assert (move.progress.is_halted, move.resting, move.denied, move.sold) == (True, (), (), None)


def test_exit_when_all_is_sold_and_booked_then_closed(tmp_path: Path) -> None:
    """order-protocol.md section 4: until flat."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room, price=PRICE)
        lot = room.bought()
        _recorded(bench, lot)
        (sent,) = bench.claim(bench.decide(_exits(room, lot)[0])).sent
        room.apply(room.filled(sent, "0.00039"))
        move = bench.decide(sent)
        assert move.is_closed
        bench.write(move)
        assert room.db.read_now(lambda tx: intent_store.list_open_intents(tx, EXIT_KINDS)) == []
