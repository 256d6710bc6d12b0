"""The price tape: public trades in the order they happened, and the player that makes them due.

Rules:
- A tape knows *played time*: milliseconds since its first print with the holes of the recording taken out (`Holes`), so
  a player never waits for a market that was not recorded. `source_ms` keeps the true time of every print.
- Prices are whole numbers of the symbol's tick, quantities of its unit: exact, compact, no binary fractions.
- A player has no clock: `advance(now_ms)` hands out what became due since the last call, each print once, in order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from tradewind.sim.instruments import SymbolRules, rules_for
from tradewind.sim.types import Print


class TapeError(Exception):
    """A tape cannot be found or read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TapeSymbol:
    """One offered symbol.

    `first_price` is its price before the first due print; `scale_price` the one its tick and filters are derived from,
    the same for all windows of one recording.
    """

    symbol: str
    base: str
    quote: str
    first_price: Decimal
    scale_price: Decimal
    tick: Decimal
    quantity_unit: Decimal


@dataclass(frozen=True, slots=True)
class Holes:
    """How silence is shortened: a pause longer than `longer_than_ms` lasts `played_as_ms` instead."""

    longer_than_ms: int = 5_000
    played_as_ms: int = 1_000

    def __post_init__(self) -> None:
        if not 0 <= self.played_as_ms <= self.longer_than_ms:
            raise ValueError("holes: played_as_ms must lie between 0 and longer_than_ms")

    def played(self, gap_ms: int) -> int:
        """Played length of a pause."""
        return self.played_as_ms if gap_ms > self.longer_than_ms else gap_ms


@dataclass(frozen=True, slots=True)
class TapeColumns:
    """Prints as parallel columns, sorted by played time; one print costs 34 bytes."""

    offset_ms: array[int]
    source_ms: array[int]
    symbol_index: array[int]
    price_ticks: array[int]
    quantity_units: array[int]


@dataclass(frozen=True, slots=True)
class Tape:
    """A named run of prints; `is_recorded` is False for prices someone made up.

    `facts` name what was recorded, `notes` how the prints were derived from it.
    """

    name: str
    source: str
    licence: str
    is_recorded: bool
    facts: str
    symbols: tuple[TapeSymbol, ...]
    columns: TapeColumns
    holes: Holes
    hole_count: int
    skipped_ms: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns.offset_ms)

    @property
    def duration_ms(self) -> int:
        """Played time from the first print to the last."""
        return self.columns.offset_ms[-1] if len(self) else 0

    def print_at(self, index: int, at_ms: int) -> Print:
        """The index-th print, due at `at_ms`."""
        columns = self.columns
        known = self.symbols[columns.symbol_index[index]]
        return Print(
            at_ms,
            known.symbol,
            columns.price_ticks[index] * known.tick,
            columns.quantity_units[index] * known.quantity_unit,
            columns.source_ms[index],
        )

    @property
    def events(self) -> Iterator[Print]:
        """All prints, `at_ms` being the played time."""
        return (self.print_at(index, self.columns.offset_ms[index]) for index in range(len(self)))

    def prices_at(self, offset_ms: int = 0) -> dict[str, Decimal]:
        """Last price of every symbol at a played time; a symbol that has not traded yet has its first price."""
        prices = {known.symbol: known.first_price for known in self.symbols}
        columns = self.columns
        for index in range(bisect_right(columns.offset_ms, offset_ms)):
            known = self.symbols[columns.symbol_index[index]]
            prices[known.symbol] = columns.price_ticks[index] * known.tick
        return prices

    def rules(self) -> dict[str, SymbolRules]:
        """Filters of every symbol."""
        return {s.symbol: rules_for(s.symbol, s.base, s.quote, s.scale_price) for s in self.symbols}

    def describe(self) -> str:
        """Say in words what the tape holds, what of it is recorded and what is derived."""
        times, holes = self.columns.source_ms, self.holes
        kind = "RECORDED        " if self.is_recorded else "MADE UP         "
        longer, played = _seconds(holes.longer_than_ms), _seconds(holes.played_as_ms)
        silence = (
            f"{self.hole_count} pauses longer than {longer} last {played} each; {_length(self.skipped_ms)} skipped"
        )
        lines = [
            f"tape {self.name}: {len(self):,} prints in {len(self.symbols)} markets",
            f"  source           {self.source}",
            f"  licence          {self.licence}",
            f"  {kind} {self.facts}",
            f"  span             {_utc(min(times))} .. {_utc(max(times))} UTC",
            f"  played           {_length(self.duration_ms)} at speed 1",
            f"  holes            {silence}",
        ]
        return "\n".join([*lines, *(f"  note             {note}" for note in self.notes)])


def set_played_time(columns: TapeColumns, holes: Holes) -> tuple[int, int]:
    """Fill in `offset_ms` from `source_ms`; returns how many holes were shortened and by how much altogether."""
    count = skipped = played = 0
    last = columns.source_ms[0] if columns.source_ms else 0
    for at_ms in columns.source_ms:
        gap = at_ms - last
        step = holes.played(gap)
        count, skipped = count + (step != gap), skipped + gap - step
        played, last = played + step, at_ms
        columns.offset_ms.append(played)
    return count, skipped


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _seconds(length_ms: int) -> str:
    return f"{Decimal(length_ms) / 1000} s"


def _length(length_ms: int) -> str:
    minutes, seconds = divmod(length_ms // 1000, 60)
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min {seconds:02d} s"


class TapePlayer:
    """Plays a tape against a clock it is told: `speed` played seconds per second, from `offset_s` of played time on.

    With `loop` the tape starts over after its end (prices jump back to its beginning, as `describe` says); one round
    then lasts the tape's duration plus one shortened hole. Pausing or changing the speed loses and repeats no print.
    """

    def __init__(
        self,
        tape: Tape,
        speed: Decimal | int,
        started_at_ms: int,
        *,
        offset_s: Decimal | int = 0,
        loop: bool = False,
    ) -> None:
        if speed <= 0:
            raise ValueError("tape speed must be positive")
        if len(tape) == 0:
            raise ValueError(f"tape {tape.name} holds no prints")
        self._tape = tape
        self._speed = Decimal(speed)
        self._loop = loop
        self._round_ms = tape.duration_ms + max(tape.holes.played_as_ms, 1)
        self._paused = False
        self._round = self._index = self._seen_ms = 0
        self._anchor_played_ms, self._anchor_ms = 0, started_at_ms
        self._jump(int(offset_s * 1000), started_at_ms)

    @property
    def tape(self) -> Tape:
        return self._tape

    @property
    def speed(self) -> Decimal:
        return self._speed

    @property
    def is_paused(self) -> bool:
        return self._paused

    @property
    def position_ms(self) -> int:
        """Played time within the current round, as of the last call."""
        return self._seen_ms % self._round_ms if self._loop else min(self._seen_ms, self._tape.duration_ms)

    @property
    def rounds(self) -> int:
        """How often the tape has started over."""
        return self._seen_ms // self._round_ms if self._loop else 0

    @property
    def is_finished(self) -> bool:
        return not self._loop and self._index >= len(self._tape)

    def first_prices(self) -> dict[str, Decimal]:
        """Last price of every symbol where the player stands: start the exchange with these."""
        return self._tape.prices_at(self.position_ms)

    def advance(self, now_ms: int) -> list[Print]:
        """All prints due since the last call, oldest first; empty when time stood still or ran backwards.

        A jump of more than one round of a looping tape hands out the last round only.
        """
        target = max(self._seen_ms, self._played(now_ms))
        self._seen_ms = target
        offsets = self._tape.columns.offset_ms
        due: list[Print] = []
        if self._loop and target // self._round_ms - 1 > self._round:
            self._round, self._index = target // self._round_ms - 1, 0
        while True:
            base = self._round * self._round_ms
            end = bisect_right(offsets, target - base, lo=self._index)
            due += [self._tape.print_at(i, self._due_ms(base + offsets[i])) for i in range(self._index, end)]
            self._index = end
            if not self._loop or end < len(offsets):
                return due
            self._round, self._index = self._round + 1, 0

    def set_speed(self, speed: Decimal | int, now_ms: int) -> None:
        """Go on from here at another speed."""
        if speed <= 0:
            raise ValueError("tape speed must be positive")
        self._anchor(now_ms)
        self._speed = Decimal(speed)

    def pause(self, now_ms: int) -> None:
        """Let time stand still; nothing becomes due until `resume`."""
        self._anchor(now_ms)
        self._paused = True

    def resume(self, now_ms: int) -> None:
        """Go on from where it was paused."""
        self._anchor(now_ms)
        self._paused = False

    def seek(self, offset_s: Decimal | int, now_ms: int) -> None:
        """Jump to a played time; prints in between are not handed out."""
        self._jump(int(offset_s * 1000), now_ms)

    def describe(self) -> str:
        """Say how the tape is played."""
        end = "then starts over (prices jump back to the beginning)" if self._loop else "then prices stand still"
        return f"{self._tape.describe()}\n  playing          speed {self._speed}, to the end, {end}"

    def _played(self, now_ms: int) -> int:
        if self._paused:
            return self._anchor_played_ms
        return self._anchor_played_ms + int((now_ms - self._anchor_ms) * self._speed)

    def _due_ms(self, played_ms: int) -> int:
        return self._anchor_ms + int((played_ms - self._anchor_played_ms) / self._speed)

    def _anchor(self, now_ms: int) -> None:
        self._anchor_played_ms = max(self._seen_ms, self._played(now_ms))
        self._anchor_ms = now_ms

    def _jump(self, played_ms: int, now_ms: int) -> None:
        if not 0 <= played_ms <= self._tape.duration_ms:
            raise ValueError(f"tape {self._tape.name} lasts {_seconds(self._tape.duration_ms)}: no such place")
        self._round = 0
        self._index = bisect_right(self._tape.columns.offset_ms, played_ms - 1)
        self._seen_ms = self._anchor_played_ms = played_ms
        self._anchor_ms = now_ms
