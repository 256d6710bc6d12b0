"""The ladder, rung by rung, and that a lot is always in exactly one state (order-protocol.md section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.clock import ManualClock
from tests.support.core_builders import btcusdt, empty_lot, order
from tests.support.journal import journal_desk
from tests.support.market_desk import MarketDesk

from tradewind.core.ids import UserId
from tradewind.core.instrument import BINANCE, Environment, InstrumentStatus
from tradewind.core.money import Price, Quantity
from tradewind.core.order import Leg, OrderState, Side
from tradewind.core.protection import ExitCause, OcoWanted, PositionState, StopOnly
from tradewind.execution.ladder import Ladder, TrailingSteps
from tradewind.execution.lots import place_of
from tradewind.execution.outside import OutsideDesk
from tradewind.execution.scene import LotScene
from tradewind.execution.store import Stored
from tradewind.execution.triggers import Triggers
from tradewind.execution.verdicts import AskForCoins, ExitSeen, Hurry, Leave, Put, TakeDown, Verdict
from tradewind.portfolio.holding import Holding
from tradewind.venues.base import Protection


def price(text: str) -> Price:
    return Price(Decimal(text))


class _Bench:
    """A ladder over a market of the test's making."""

    def __init__(self, folder: Path, desk: MarketDesk, **lot: Any) -> None:
        self.clock = ManualClock()
        self.desk = desk
        self.triggers = Triggers(self.clock, 5.0)
        with journal_desk(folder) as room:
            outside = OutsideDesk(room.db, room.journal, desk, self.clock, 10.0)
        self.outside = outside
        self.ladder = Ladder(desk, self.clock, self.triggers, outside, TrailingSteps())
        terms = {"quantity": Quantity(Decimal("0.01")), "stop": price("48500"), "target": price("53000"), **lot}
        held = replace(empty_lot(), **terms)
        self.holding = Holding(
            held, UserId("u1"), BINANCE, Environment.PAPER, "unprotected", "just_filled", None, 0, held.opened_at
        )

    def judge(
        self, seen: ExitSeen | None = None, *, legs: Sequence[Stored] = (), entry: Stored | None = None
    ) -> Verdict:
        return self.ladder.judge(LotScene(self.holding, tuple(legs), entry, frozenset()), seen)

    def tick(self, text: str) -> None:
        """Let the price of the lot's own market come to a level."""
        self.desk.price = price(text)
        for crossing in self.triggers.watch.on_price(place_of(self.holding), price(text)):
            self.triggers.take(crossing, self.holding)


def _resting_stop(quantity: str, *, executed: str = "0", booked: str = "0", at: str = "48500") -> Stored:
    size = Quantity(Decimal(quantity))
    state = OrderState.PARTIALLY_FILLED if Decimal(executed) else OrderState.ACCEPTED
    stop = order(leg=Leg.STOP, side=Side.SELL, quantity=size, stop_price=price(at), state=state)
    return Stored(replace(stop, executed=Quantity(Decimal(executed))), Decimal(booked))


def test_lot_when_the_venue_has_lists_then_a_list_is_put_up_and_the_watch_covers_it_meanwhile(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt()))
    verdict = bench.judge()
    assert verdict.state is PositionState.PROTECTED_WATCHED
    assert isinstance(verdict.act, Put)
    assert isinstance(verdict.act.wanted, OcoWanted)
    assert bench.triggers.watch.is_armed(bench.holding.lot.id)


def test_lot_without_target_then_the_stop_alone_rests_at_the_venue(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt()), target=None)
    verdict = bench.judge()
    assert isinstance(verdict.act, Put)
    assert isinstance(verdict.act.wanted, StopOnly)


def test_lot_when_the_venue_holds_nothing_native_then_watched_and_nothing_is_sent(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt(), native=Protection.WATCHED))
    verdict = bench.judge()
    assert (verdict.state, verdict.act) == (PositionState.PROTECTED_WATCHED, None)


def test_watch_when_its_price_is_not_confirmed_then_unprotected_for_want_of_a_price(tmp_path: Path) -> None:
    """order-protocol.md section 5: a watch is protection only while its own venue's price was confirmed."""
    bench = _Bench(tmp_path, MarketDesk(None, btcusdt(), native=Protection.WATCHED))
    verdict = bench.judge()
    assert (verdict.state, verdict.reason, verdict.act) == (PositionState.UNPROTECTED, "no_price", None)


def test_price_when_already_beyond_then_market_at_once(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("48000"), btcusdt()))
    for text, cause in (("48000", ExitCause.STOP), ("54000", ExitCause.TARGET)):
        bench.desk.price = price(text)
        verdict = bench.judge()
        assert isinstance(verdict.act, Leave)
        assert verdict.act.cause is cause


def test_fault_48_symbol_when_no_longer_listed_then_halted_with_its_watch_kept_and_nothing_sent(tmp_path: Path) -> None:
    """order-protocol.md section 5: HALTED; nothing is invented, nothing cancelled."""
    bench = _Bench(tmp_path, MarketDesk(price("40000"), None))
    verdict = bench.judge()
    assert (verdict.state, verdict.reason, verdict.act) == (PositionState.HALTED, "not_listed", None)
    assert bench.triggers.watch.is_armed(bench.holding.lot.id)


def test_symbol_when_halted_then_halted_and_nothing_is_sent(tmp_path: Path) -> None:
    halted = replace(btcusdt(), status=InstrumentStatus.HALTED)
    verdict = _Bench(tmp_path, MarketDesk(price("50000"), halted)).judge()
    assert (verdict.state, verdict.act) == (PositionState.HALTED, None)


def test_key_when_refused_then_blind_before_anything_else_and_the_watch_stays(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("40000"), btcusdt(), blind=True))
    verdict = bench.judge()
    assert (verdict.state, verdict.act) == (PositionState.BLIND, None)
    assert bench.triggers.watch.is_armed(bench.holding.lot.id)


def test_time_exit_when_its_time_has_come_then_sold_unless_an_exit_covers_it(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt()))
    late = replace(bench.holding.lot, time_exit_at=bench.clock.now() - timedelta(seconds=1))
    bench.holding = replace(bench.holding, lot=late)
    verdict = bench.judge()
    assert isinstance(verdict.act, Leave)
    assert verdict.act.cause is ExitCause.TIME
    assert bench.judge(ExitSeen(is_selling=True, is_halted=False)).act is None
    # While a failed exit waits for its next try the lot is protected again.
    assert isinstance(bench.judge(ExitSeen(is_selling=False, is_halted=False)).act, Put)


def test_watched_stop_when_reached_then_sold_and_not_twice_beside_an_exit(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt(), native=Protection.WATCHED))
    bench.judge()
    for crossing in bench.triggers.watch.on_price(place_of(bench.holding), price("48000")):
        bench.triggers.take(crossing, bench.holding)
    bench.desk.price = price("50000")
    verdict = bench.judge()
    assert isinstance(verdict.act, Leave)
    assert verdict.act.cause is ExitCause.STOP
    assert bench.judge(ExitSeen(is_selling=True, is_halted=False)).act is None


def test_coins_when_suspected_missing_then_asked_for_before_anything_is_sent(tmp_path: Path) -> None:
    """order-protocol.md section 4: no error loop."""
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt()))
    bench.outside.suspect([bench.holding.lot.id])
    assert isinstance(bench.judge().act, AskForCoins)


def test_quantity_when_below_the_venues_minimum_then_dust_and_the_watch_goes(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt()), quantity=Quantity(Decimal("0.00001")))
    verdict = bench.judge()
    assert (verdict.state, verdict.act) == (PositionState.DUST, None)
    assert not bench.triggers.watch.is_armed(bench.holding.lot.id)


def test_stop_when_it_fires_while_an_exit_backs_off_then_that_exit_goes_at_once_and_only_once(tmp_path: Path) -> None:
    """order-protocol.md section 4 and 5: a back-off is for a venue that refuses, not for a stop that was reached."""
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt(), native=Protection.WATCHED))
    waiting = ExitSeen(is_selling=False, is_halted=False, waiting=order(leg=Leg.EXIT, side=Side.SELL))
    assert bench.judge(waiting).act is None
    bench.tick("48000")
    verdict = bench.judge(waiting)
    assert verdict.act == Hurry(ExitCause.STOP, order(leg=Leg.EXIT, side=Side.SELL))
    bench.triggers.acted(bench.holding.lot.id)
    # Refused again: it waits again, however long the price stays below.
    assert bench.judge(waiting).act is None
    bench.tick("49000")
    bench.tick("48000")
    assert isinstance(bench.judge(waiting).act, Hurry)


def test_stop_when_it_fires_while_an_exit_waits_by_the_venues_own_word_then_that_is_obeyed(tmp_path: Path) -> None:
    """order-protocol.md section 2: a retry-at of the venue is obeyed."""
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt(), native=Protection.WATCHED))
    seen = ExitSeen(is_selling=False, is_halted=False)
    bench.judge(seen)
    bench.tick("48000")
    assert not isinstance(bench.judge(seen).act, Hurry)
    # What it saw is not forgotten: an exit that ended is followed by one of its own.
    assert isinstance(bench.judge().act, Leave)


def test_stop_when_fills_of_the_entry_are_on_their_way_then_not_taken_down_for_being_too_small(tmp_path: Path) -> None:
    """order-protocol.md section 5: replaced once, when all that was bought is known."""
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt()))
    filled = order(leg=Leg.ENTRY, side=Side.BUY, state=OrderState.FILLED)
    on_the_way = Stored(replace(filled, executed=Quantity(Decimal("0.012"))), Decimal("0.01"))
    small = _resting_stop("0.008")
    verdict = bench.judge(legs=[small], entry=on_the_way)
    assert (verdict.state, verdict.act) == (PositionState.PROTECTED_WATCHED, None)
    assert verdict.again_at is not None
    all_there = replace(on_the_way, booked=Decimal("0.012"))
    assert isinstance(bench.judge(legs=[small], entry=all_there).act, TakeDown)


def test_stop_when_it_is_being_filled_and_its_fills_are_on_their_way_then_it_stands_and_acts_first(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 5: a stop that sells is neither replaced nor raced before its time is over."""
    bench = _Bench(tmp_path, MarketDesk(price("50000"), btcusdt()))
    filling = [_resting_stop("0.01", executed="0.006")]
    assert bench.judge(legs=filling).state is PositionState.PROTECTED_NATIVE
    bench.tick("48400")
    verdict = bench.judge(legs=filling)
    assert (verdict.state, verdict.act) == (PositionState.PROTECTED_NATIVE, None)
    assert verdict.again_at is not None
