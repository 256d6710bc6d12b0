"""Watched triggers: the right lots, at the right venue, each told once, and nothing else (section 5)."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.core.money import Price
from tradewind.execution.watch import Armed, Crossing, Level, Watch

HERE = (BINANCE, Environment.PAPER, "BTCUSDT")
ELSEWHERE = (BINANCE, Environment.PAPER, "ETHUSDT")


def price(value: int | str) -> Price:
    return Price(Decimal(value))


def told(watch: Watch, at: int | str) -> list[tuple[str, Level, bool]]:
    return [(each.lot_id, each.level, each.is_reached) for each in watch.on_price(HERE, price(at))]


def test_price_when_at_or_past_a_level_then_that_lot_is_told_once() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), price(110)))
    watch.arm(HERE, Armed("b", price(80), None))
    assert told(watch, 100) == []
    assert told(watch, 90) == [("a", Level.STOP, True)]
    assert told(watch, 89) == []
    assert told(watch, 79) == [("b", Level.STOP, True)]
    assert told(watch, 80) == []
    assert told(watch, 81) == [("b", Level.STOP, False)]
    assert told(watch, 110) == [("a", Level.STOP, False), ("a", Level.TARGET, True)]
    assert told(watch, 109) == [("a", Level.TARGET, False)]


def test_price_when_it_gaps_from_beyond_the_target_to_beyond_the_stop_then_both_are_told() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), price(110)))
    assert told(watch, 150) == [("a", Level.TARGET, True)]
    assert told(watch, 50) == [("a", Level.TARGET, False), ("a", Level.STOP, True)]
    assert told(watch, 150) == [("a", Level.STOP, False), ("a", Level.TARGET, True)]


def test_price_when_of_another_venue_or_environment_then_nothing_is_reached() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), None))
    for place in [
        (VenueName("upbit"), Environment.PAPER, "BTCUSDT"),
        (BINANCE, Environment.LIVE, "BTCUSDT"),
        ELSEWHERE,
    ]:
        assert list(watch.on_price(place, price(1))) == []


def test_lot_when_disarmed_or_armed_again_then_only_the_last_levels_count() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), None))
    watch.arm(HERE, Armed("a", price(50), None))
    assert told(watch, 80) == []
    watch.disarm("a")
    watch.disarm("a")
    assert told(watch, 1) == []
    assert not watch.is_armed("a")
    assert len(watch) == 0


def test_level_when_armed_again_unchanged_then_not_told_a_second_time_and_when_moved_it_is() -> None:
    watch = Watch()
    watch.arm(HERE, Armed("a", price(90), price(110)))
    assert told(watch, 85) == [("a", Level.STOP, True)]
    watch.arm(HERE, Armed("a", price("90.0"), price(110)))
    assert told(watch, 85) == []
    watch.arm(HERE, Armed("a", price(91), price(110)))
    assert told(watch, 85) == [("a", Level.STOP, True)]


def test_lots_when_many_share_one_price_then_all_are_told_and_one_may_go_meanwhile() -> None:
    watch = Watch()
    for number in range(500):
        watch.arm(HERE, Armed(f"lot{number}", price(90), None))
    reached = watch.on_price(HERE, price(90))
    assert {each.lot_id for each in reached} == {f"lot{number}" for number in range(500)}
    for each in reached:
        watch.disarm(each.lot_id)
    assert told(watch, 1) == []
    assert len(watch) == 0


_LEVELS = st.one_of(st.none(), st.integers(min_value=1, max_value=12))
_LOTS = st.sampled_from(["a", "b", "c", "d", "e"])
_PLACES = st.sampled_from([HERE, ELSEWHERE])


class _WatchAgainstScan(RuleBasedStateMachine):
    """The index says what a scan of every lot would say, whatever is armed, moved or removed in between."""

    def __init__(self) -> None:
        super().__init__()
        self.watch = Watch()
        self.armed: dict[str, tuple[tuple[VenueName, Environment, str], dict[Level, Decimal]]] = {}
        self.reached: set[tuple[str, Level]] = set()

    @rule(lot=_LOTS, place=_PLACES, at=st.tuples(_LEVELS, _LEVELS, _LEVELS))
    def arm(
        self, lot: str, place: tuple[VenueName, Environment, str], at: tuple[int | None, int | None, int | None]
    ) -> None:
        levels = [None if value is None else price(value) for value in at]
        self.watch.arm(place, Armed(lot, *levels))
        wanted = {level: value.value for level, value in zip(Level, levels, strict=True) if value is not None}
        before_place, before = self.armed.get(lot, (place, {}))
        for level in Level:
            if before_place != place or before.get(level) != wanted.get(level):
                self.reached.discard((lot, level))
        self.armed[lot] = (place, wanted)

    @rule(lot=_LOTS)
    def disarm(self, lot: str) -> None:
        self.watch.disarm(lot)
        self.armed.pop(lot, None)
        self.reached -= {(lot, level) for level in Level}

    @rule(place=_PLACES, at=st.integers(min_value=1, max_value=12), drop=st.booleans())
    def tick(self, place: tuple[VenueName, Environment, str], at: int, drop: bool) -> None:
        found = self.watch.on_price(place, price(at))
        assert {(each.lot_id, each.level, each.is_reached) for each in found} == self._scan(place, Decimal(at))
        assert len(found) == len({(each.lot_id, each.level) for each in found})
        if drop and found:
            self._remove_first(found[0])

    @invariant()
    def knows_the_same_lots(self) -> None:
        assert len(self.watch) == len(self.armed)
        assert all(self.watch.is_armed(lot) for lot in self.armed)

    def _remove_first(self, crossing: Crossing) -> None:
        self.disarm(crossing.lot_id)

    def _scan(self, place: tuple[VenueName, Environment, str], at: Decimal) -> set[tuple[str, Level, bool]]:
        changes = set()
        for lot, (there, levels) in self.armed.items():
            for level, value in levels.items():
                is_there = at <= value if level is Level.STOP else at >= value
                if there == place and is_there != ((lot, level) in self.reached):
                    changes.add((lot, level, is_there))
        for lot, level, is_there in changes:
            (self.reached.add if is_there else self.reached.discard)((lot, level))
        return changes


_WatchAgainstScan.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWatchAgainstScan = _WatchAgainstScan.TestCase
