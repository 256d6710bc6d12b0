"""The ladder, rung by rung, and that a lot is always in exactly one state (order-protocol.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.clock import ManualClock
from tests.support.core_builders import btcusdt, empty_lot
from tests.support.journal import journal_desk

from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import BINANCE, Environment, Instrument, InstrumentStatus, VenueName
from tradewind.core.money import Price, Quantity
from tradewind.core.protection import ExitCause, OcoWanted, PositionState, StopOnly
from tradewind.execution.ladder import Ladder, TrailingSteps
from tradewind.execution.lots import place_of
from tradewind.execution.outside import OutsideDesk
from tradewind.execution.scene import LotScene
from tradewind.execution.triggers import Triggers
from tradewind.execution.verdicts import AskForCoins, ExitSeen, Leave, Put, Verdict
from tradewind.portfolio.holding import Holding
from tradewind.venues.base import Protection, Signer, VenueClient


@dataclass
class _Desk:
    """A desk whose market is what the test says."""

    price: Price | None = None
    listed: Instrument | None = None
    blind: bool = False
    native: Protection = Protection.OCO

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument:
        if self.listed is None:
            raise NotFound("unknown_symbol", "not listed")
        return self.listed

    def fresh_price(self, venue: VenueName, environment: Environment, symbol: str) -> Price | None:
        return self.price

    def protection(self, venue: VenueName, environment: Environment) -> Protection:
        return self.native

    def is_blind(self, account_id: AccountId) -> bool:
        return self.blind

    async def confirm_status(self, venue: VenueName, environment: Environment, symbol: str) -> None:
        raise NotImplementedError

    def client(self, venue: VenueName, environment: Environment) -> VenueClient:
        raise NotImplementedError

    def signer(self, account_id: AccountId) -> Signer:
        raise NotImplementedError


def price(text: str) -> Price:
    return Price(Decimal(text))


class _Bench:
    """A ladder over a market of the test's making."""

    def __init__(self, folder: Path, desk: _Desk, **lot: Any) -> None:
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

    def judge(self, seen: ExitSeen | None = None) -> Verdict:
        return self.ladder.judge(LotScene(self.holding, (), None, frozenset()), seen)


def test_lot_when_the_venue_has_lists_then_a_list_is_put_up_and_the_watch_covers_it_meanwhile(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("50000"), btcusdt()))
    verdict = bench.judge()
    assert verdict.state is PositionState.PROTECTED_WATCHED
    assert isinstance(verdict.act, Put)
    assert isinstance(verdict.act.wanted, OcoWanted)
    assert bench.triggers.watch.is_armed(bench.holding.lot.id)


def test_lot_without_target_then_the_stop_alone_rests_at_the_venue(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("50000"), btcusdt()), target=None)
    verdict = bench.judge()
    assert isinstance(verdict.act, Put)
    assert isinstance(verdict.act.wanted, StopOnly)


def test_lot_when_the_venue_holds_nothing_native_then_watched_and_nothing_is_sent(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("50000"), btcusdt(), native=Protection.WATCHED))
    verdict = bench.judge()
    assert (verdict.state, verdict.act) == (PositionState.PROTECTED_WATCHED, None)


def test_watch_when_its_price_is_not_confirmed_then_unprotected_for_want_of_a_price(tmp_path: Path) -> None:
    """order-protocol.md section 5: a watch is protection only while its own venue's price was confirmed."""
    bench = _Bench(tmp_path, _Desk(None, btcusdt(), native=Protection.WATCHED))
    verdict = bench.judge()
    assert (verdict.state, verdict.reason, verdict.act) == (PositionState.UNPROTECTED, "no_price", None)


def test_price_when_already_beyond_then_market_at_once(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("48000"), btcusdt()))
    for text, cause in (("48000", ExitCause.STOP), ("54000", ExitCause.TARGET)):
        bench.desk.price = price(text)
        verdict = bench.judge()
        assert isinstance(verdict.act, Leave)
        assert verdict.act.cause is cause


def test_fault_48_symbol_when_no_longer_listed_then_halted_with_its_watch_kept_and_nothing_sent(tmp_path: Path) -> None:
    """order-protocol.md section 5: HALTED; nothing is invented, nothing cancelled."""
    bench = _Bench(tmp_path, _Desk(price("40000"), None))
    verdict = bench.judge()
    assert (verdict.state, verdict.reason, verdict.act) == (PositionState.HALTED, "not_listed", None)
    assert bench.triggers.watch.is_armed(bench.holding.lot.id)


def test_symbol_when_halted_then_halted_and_nothing_is_sent(tmp_path: Path) -> None:
    halted = replace(btcusdt(), status=InstrumentStatus.HALTED)
    verdict = _Bench(tmp_path, _Desk(price("50000"), halted)).judge()
    assert (verdict.state, verdict.act) == (PositionState.HALTED, None)


def test_key_when_refused_then_blind_before_anything_else_and_the_watch_stays(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("40000"), btcusdt(), blind=True))
    verdict = bench.judge()
    assert (verdict.state, verdict.act) == (PositionState.BLIND, None)
    assert bench.triggers.watch.is_armed(bench.holding.lot.id)


def test_time_exit_when_its_time_has_come_then_sold_unless_an_exit_covers_it(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("50000"), btcusdt()))
    late = replace(bench.holding.lot, time_exit_at=bench.clock.now() - timedelta(seconds=1))
    bench.holding = replace(bench.holding, lot=late)
    verdict = bench.judge()
    assert isinstance(verdict.act, Leave)
    assert verdict.act.cause is ExitCause.TIME
    assert bench.judge(ExitSeen(is_selling=True, is_halted=False)).act is None
    # While a failed exit waits for its next try the lot is protected again.
    assert isinstance(bench.judge(ExitSeen(is_selling=False, is_halted=False)).act, Put)


def test_watched_stop_when_reached_then_sold_and_not_twice_beside_an_exit(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("50000"), btcusdt(), native=Protection.WATCHED))
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
    bench = _Bench(tmp_path, _Desk(price("50000"), btcusdt()))
    bench.outside.suspect([bench.holding.lot.id])
    assert isinstance(bench.judge().act, AskForCoins)


def test_quantity_when_below_the_venues_minimum_then_dust_and_the_watch_goes(tmp_path: Path) -> None:
    bench = _Bench(tmp_path, _Desk(price("50000"), btcusdt()), quantity=Quantity(Decimal("0.00001")))
    verdict = bench.judge()
    assert (verdict.state, verdict.act) == (PositionState.DUST, None)
    assert not bench.triggers.watch.is_armed(bench.holding.lot.id)
