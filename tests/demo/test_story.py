"""The story: a stretch of the tape in which something happens, for every packaged tape and several seeds."""

from __future__ import annotations

from array import array
from decimal import Decimal

import pytest

from tradewind.core.errors import InvalidInput
from tradewind.demo.cast import build_cast
from tradewind.demo.story import BOUND_S, WATCHED_S, choose_story
from tradewind.sim.tape import Holes, Tape, TapeColumns, TapeSymbol
from tradewind.sim.tape_files import load_tape, packaged_tapes


@pytest.mark.parametrize("name", packaged_tapes())
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_story_when_chosen_from_a_packaged_tape_hits_stops_and_targets_within_it(name: str, seed: int) -> None:
    tape = load_tape(name)
    story = choose_story(tape, build_cast(seed), seed=seed, speed=None)
    assert story.stops >= 1
    assert story.targets >= 1
    markets = [story.first, story.second, *story.earlier]
    assert len({market.symbol for market in markets}) == 5
    assert set(story.prices) == {market.symbol for market in markets}
    played_ms = int(WATCHED_S * 1_000 * float(story.speed))
    assert 0 <= story.offset_ms <= tape.duration_ms - played_ms
    assert story == choose_story(tape, build_cast(seed), seed=seed, speed=None)


def test_story_when_a_speed_is_asked_for_takes_it() -> None:
    tape = load_tape(packaged_tapes()[1])
    assert choose_story(tape, build_cast(1), seed=1, speed=Decimal(3)).speed == 3


def small_tape(minutes: int, markets: int) -> Tape:
    """A tape on which every market steps up by one tick in ten a second and back."""
    at = [second * 1_000 for second in range(minutes * 60) for _ in range(markets)]
    which = [market for _ in range(minutes * 60) for market in range(markets)]
    ticks = [10_000 + 20 * ((moment // 1_000) % 40) for moment in at]
    symbols = tuple(
        TapeSymbol(f"C{n}USDT", f"C{n}", "USDT", Decimal(1), Decimal(1), Decimal("0.0001"), Decimal("0.1"))
        for n in range(markets)
    )
    times = array("q", at)
    columns = TapeColumns(times, times, array("i", which), array("q", ticks), array("q", [1] * len(at)))
    return Tape("small", "nowhere", "none", False, "nothing", symbols, columns, Holes(), 0, 0)


def test_story_when_the_tape_is_short_is_played_slowly_enough_to_last() -> None:
    story = choose_story(small_tape(minutes=2, markets=6), build_cast(1), seed=1, speed=None)
    assert story.speed * Decimal(BOUND_S) <= 120
    assert not story.is_recorded


def test_story_when_the_tape_has_too_few_markets_says_so() -> None:
    with pytest.raises(InvalidInput, match="needs 5"):
        choose_story(small_tape(minutes=2, markets=3), build_cast(1), seed=1, speed=None)
