"""Which stretch of the tape is played, and in which markets: chosen by reading the tape before it is played. Pure.

A recording has dull hours. So that stops and targets are hit while somebody watches, the demo looks for a
stretch in which a lively market moves far enough in both directions, and takes one of the best by seed. The
prices themselves are played as they are on the tape.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate, groupby

from tradewind.core.errors import InvalidInput
from tradewind.core.plan import DEFAULT_PLANS
from tradewind.demo.cast import Fate, Person
from tradewind.sim.tape import Tape

# The acts, in real seconds after the tape starts.
OPEN_FIRST_S = 1.0
OPEN_SECOND_S = 5.5
CLOSE_SECOND_S = 12.0
WATCHED_S = 34.0
# Whatever happens, the story is over by now; the check says what is missing then.
BOUND_S = 75.0

# A fast recording is easier to read slowly; a candle file would take hours at speed 1.
SPEED_DEFAULT = Decimal(8)
_CANDIDATES = 8
_STEP_MS = 6_000
_LIVELY_PRINTS_MIN = 20
_BPS = 10_000
# A level counts as reached only when the price goes this much beyond it: fills happen at bid and ask.
_MARGIN_BPS = 12
# Protection stands at the venue about this long after the release.
_SETTLE_S = 1.5
# A hit in the last seconds might come after the curtain; one before the close-alert is lost in the crowd.
_LAST_S = 3.0
_EARLY_S = CLOSE_SECOND_S - 1.0
# Points below the best at which a stretch is still as good to look at.
_GOOD_ENOUGH = 2
_EARLIER_MARKETS = 3


@dataclass(frozen=True, slots=True)
class Market:
    """A market of the tape, by its parts."""

    symbol: str
    base: str
    quote: str


@dataclass(frozen=True, slots=True)
class Story:
    """What will be played: `first` keeps its positions for the tape, `second` is closed by an alert.

    `earlier` are the markets of the weekly account's small signals. `stops` and `targets` say how many the
    tape is expected to reach; prices of the story's markets at its start are in `prices`.
    """

    tape: str
    source: str
    is_recorded: bool
    first: Market
    second: Market
    earlier: tuple[Market, ...]
    offset_ms: int
    speed: Decimal
    prices: Mapping[str, Decimal]
    stops: int
    targets: int


@dataclass(frozen=True, slots=True)
class _Series:
    at_ms: Sequence[int]
    ticks: Sequence[int]

    def at(self, moment_ms: int) -> int | None:
        index = bisect_right(self.at_ms, moment_ms) - 1
        return self.ticks[index] if index >= 0 else None

    def between(self, start_ms: int, end_ms: int) -> Sequence[int]:
        return self.ticks[bisect_right(self.at_ms, start_ms) : bisect_right(self.at_ms, end_ms)]


@dataclass(frozen=True, slots=True)
class _Stretch:
    market: int
    offset_ms: int
    stops: int
    targets: int
    early: int
    open: int

    @property
    def score(self) -> int:
        # One of each matters most; a third stop is worth less than a first target.
        worth = min(self.stops, 4) + min(self.targets, 4) + 3 * min(self.stops, self.targets, 1) + min(self.open, 3)
        return worth - min(self.early, 4)


def choose_story(tape: Tape, cast: Sequence[Person], *, seed: int, speed: Decimal | None) -> Story:
    """Choose markets, stretch and speed. Raises InvalidInput for a tape that is too short or has too few markets."""
    counts = Counter(tape.columns.symbol_index)
    ranked = [index for index, _ in counts.most_common()]
    if len(ranked) < 2 + _EARLIER_MARKETS:
        raise InvalidInput(
            "tape_too_small",
            f"The tape {tape.name} has prints of {len(ranked)} markets; the demo needs {2 + _EARLIER_MARKETS}.",
        )
    played = _speed(tape, speed)
    lively = [index for index in ranked[:_CANDIDATES] if counts[index] >= _LIVELY_PRINTS_MIN] or ranked[:1]
    series = {index: _series(tape, index) for index in lively}
    stretches = [each for index in lively for each in _stretches(tape, index, series[index], cast, played)]
    rng = random.Random(f"tradewind story {seed}")  # noqa: S311 - repeatable on purpose
    chosen = _choose(stretches, lively[0], rng)
    calm = _calmest(tape, lively, chosen, series, played)
    others = [index for index in ranked if index not in (chosen.market, calm)][:_EARLIER_MARKETS]
    markets = [_market(tape, index) for index in (chosen.market, calm, *others)]
    prices = tape.prices_at(chosen.offset_ms)
    return Story(
        tape=tape.name,
        source=tape.source,
        is_recorded=tape.is_recorded,
        first=markets[0],
        second=markets[1],
        earlier=tuple(markets[2:]),
        offset_ms=chosen.offset_ms,
        speed=played,
        prices={market.symbol: prices[market.symbol] for market in markets},
        stops=chosen.stops,
        targets=chosen.targets,
    )


def _speed(tape: Tape, wanted: Decimal | None) -> Decimal:
    """The speed asked for, or the default, slowed down where the tape would be over before the story is."""
    if wanted is not None:
        return wanted
    longest = Decimal(tape.duration_ms) / 1_000 / Decimal(BOUND_S)
    return max(min(SPEED_DEFAULT, longest.quantize(Decimal("0.1"))), Decimal("0.1"))


def _series(tape: Tape, index: int) -> _Series:
    columns = tape.columns
    rows = [row for row, which in enumerate(columns.symbol_index) if which == index]
    return _Series([columns.offset_ms[row] for row in rows], [columns.price_ticks[row] for row in rows])


def _stretches(tape: Tape, market: int, series: _Series, cast: Sequence[Person], speed: Decimal) -> list[_Stretch]:
    last = tape.duration_ms - _tape_ms(WATCHED_S, speed)
    traders = [person for person in cast if person.fate is Fate.PLAIN]
    return [_look(market, offset, series, traders, speed) for offset in range(0, max(last, 1), _STEP_MS)]


def _look(market: int, offset_ms: int, series: _Series, traders: Sequence[Person], speed: Decimal) -> _Stretch:
    """Say what becomes of everybody's levels, were the story to start here."""
    price = series.at(offset_ms + _tape_ms(OPEN_FIRST_S, speed))
    if price is None:
        return _Stretch(market, offset_ms, 0, 0, 0, 0)
    early, end = offset_ms + _tape_ms(_EARLY_S, speed), offset_ms + _tape_ms(WATCHED_S - _LAST_S, speed)
    outcomes: Counter[str] = Counter()
    for delay_ms, people in groupby(traders, key=lambda person: DEFAULT_PLANS[person.plan].release_delay_ms):
        start = offset_ms + _tape_ms(OPEN_FIRST_S + delay_ms / 1_000 + _SETTLE_S, speed)
        path = _Path(series.between(start, end), len(series.between(start, early)))
        outcomes.update(path.outcome(price, person) for person in people)
    return _Stretch(market, offset_ms, outcomes["stop"], outcomes["target"], outcomes["early"], outcomes["open"])


class _Path:
    """What a market does from an entry on; the first `early` prints are too soon to be seen."""

    def __init__(self, prices: Sequence[int], early: int) -> None:
        # Lowest and highest so far: both move one way, so the first print beyond a level is found by halving.
        self._lows = list(accumulate(prices, min))
        self._highs = list(accumulate(prices, max))
        self._early = early

    def outcome(self, entry: int, person: Person) -> str:
        """Say which level of a person is reached first: stop, target, early (either, too soon) or open."""
        stop = entry * (_BPS - person.stop_bps - _MARGIN_BPS)
        target = entry * (_BPS + person.target_bps + _MARGIN_BPS)
        stopped = bisect_left(self._lows, -stop, key=lambda low: -low * _BPS)
        reached = bisect_left(self._highs, target, key=lambda high: high * _BPS)
        first = min(stopped, reached)
        if first == len(self._lows):
            return "open"
        if first < self._early:
            return "early"
        return "stop" if stopped < reached else "target"


def _choose(stretches: Sequence[_Stretch], fallback: int, rng: random.Random) -> _Stretch:
    if not stretches:
        return _Stretch(fallback, 0, 0, 0, 0, 0)
    best = max(each.score for each in stretches)
    good = [each for each in stretches if each.score >= best - _GOOD_ENOUGH]
    # Where some stretch has both a stop and a target, one without will not do.
    both = [each for each in good if min(each.stops, each.targets) > 0]
    return rng.choice(both or good)


def _calmest(tape: Tape, lively: Sequence[int], chosen: _Stretch, series: Mapping[int, _Series], speed: Decimal) -> int:
    """The market that moves least while its positions are held; they are to be closed by the alert, not by a stop."""
    others = [index for index in lively if index != chosen.market]
    if not others:
        return next(index for index in tape.columns.symbol_index if index != chosen.market)

    def swing(index: int) -> Decimal:
        start = chosen.offset_ms + _tape_ms(OPEN_SECOND_S, speed)
        seen = series[index].between(start, start + _tape_ms(CLOSE_SECOND_S, speed))
        return Decimal(max(seen) - min(seen)) / min(seen) if seen else Decimal(1)

    return min(others, key=swing)


def _market(tape: Tape, index: int) -> Market:
    known = tape.symbols[index]
    return Market(known.symbol, known.base, known.quote)


def _tape_ms(real_s: float, speed: Decimal) -> int:
    return int(Decimal(str(real_s)) * 1_000 * speed)
