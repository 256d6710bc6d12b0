"""Watched triggers: prices of a venue against the stops and targets of lots there.

Rules of this file:
1. Prices of other venues never trigger: every level stands under its venue, environment and symbol.
2. A symbol keeps the nearest level on either side of its price. A tick between the two costs two comparisons,
   however many lots are held; arming, replacing and disarming cost the logarithm of their number.
3. A level is told when the price reaches it and again only after the price has left it: a crash that holds
   5,000 stops under water costs each of them once, not once a tick.
4. Exact: levels are compared as the Decimals they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from heapq import heapify, heappop, heappush
from itertools import count

from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import ZERO, Price

Place = tuple[VenueName, Environment, str]

_ENDLESS = Decimal("Infinity")
# Dead entries of a heap are swept out when they outnumber the living by this many.
_DEAD_SPARE = 64


class Level(StrEnum):
    """What a price stands for: a stop below, a target above, or where a trailing stop goes up."""

    STOP = "stop"
    TARGET = "target"
    RAISE = "raise"


@dataclass(frozen=True, slots=True)
class Armed:
    """One lot's levels; `raise_at` is the price at which its trailing stop has moved by a step."""

    lot_id: str
    stop: Price | None
    target: Price | None
    raise_at: Price | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """The price reached a level, or (`is_reached` False) left one it had reached."""

    lot_id: str
    level: Level
    price: Price
    is_reached: bool


@dataclass(slots=True, eq=False)
class _Mark:
    """One level of one lot, for as long as it is wanted."""

    lot_id: str
    level: Level
    at: Decimal
    is_reached: bool = False
    is_wanted: bool = True


_Entry = tuple[Decimal, int, _Mark]


class _Pile:
    """Marks by price, the nearest on top; one that is not wanted any more is dropped when it comes up."""

    def __init__(self, *, is_highest_first: bool) -> None:
        self._is_highest_first = is_highest_first
        self._heap: list[_Entry] = []
        self._dead = 0

    def push(self, mark: _Mark, number: int) -> None:
        # `copy_negate` and not unary minus: that would round to the context.
        heappush(self._heap, (mark.at.copy_negate() if self._is_highest_first else mark.at, number, mark))

    def top(self) -> _Mark | None:
        heap = self._heap
        while heap and not heap[0][2].is_wanted:
            heappop(heap)
            self._dead -= 1
        return heap[0][2] if heap else None

    def pop(self) -> _Mark:
        return heappop(self._heap)[2]

    def note_dead(self) -> None:
        """A mark in here is not wanted any more."""
        self._dead += 1
        if self._dead > len(self._heap) // 2 + _DEAD_SPARE:
            self._heap = [entry for entry in self._heap if entry[2].is_wanted]
            heapify(self._heap)
            self._dead = 0


class _Symbol:
    """All levels of one symbol. Between `low` and `high` nothing happens."""

    __slots__ = ("_above", "_below", "_numbers", "_over", "_under", "high", "low", "marks")

    def __init__(self) -> None:
        # Stops under the price, stops it has fallen through; targets above it, targets it has passed.
        self._below = _Pile(is_highest_first=True)
        self._under = _Pile(is_highest_first=False)
        self._above = _Pile(is_highest_first=False)
        self._over = _Pile(is_highest_first=True)
        self._numbers = count()
        self.low, self.high = ZERO, _ENDLESS
        self.marks: dict[str, dict[Level, _Mark]] = {}

    def put(self, armed: Armed) -> None:
        marks = self.marks.setdefault(armed.lot_id, {})
        for level, price in ((Level.STOP, armed.stop), (Level.TARGET, armed.target), (Level.RAISE, armed.raise_at)):
            known = marks.get(level)
            wanted = None if price is None else price.value
            if known is not None and known.at == wanted:
                continue
            if known is not None:
                self._drop(marks.pop(level))
            if wanted is not None:
                mark = marks[level] = _Mark(armed.lot_id, level, wanted)
                (self._below if level is Level.STOP else self._above).push(mark, next(self._numbers))
        self._refresh()

    def remove(self, lot_id: str) -> None:
        for mark in self.marks.pop(lot_id, {}).values():
            self._drop(mark)
        self._refresh()

    def cross(self, price: Price) -> list[Crossing]:
        """Return what this price reaches and leaves, stops first."""
        value = price.value
        found: list[Crossing] = []
        # Left first: what is reached by this very price must not be looked at twice.
        while (mark := self._under.top()) is not None and value > mark.at:
            found.append(self._move(self._under, self._below, price))
        while (mark := self._over.top()) is not None and value < mark.at:
            found.append(self._move(self._over, self._above, price))
        while (mark := self._below.top()) is not None and value <= mark.at:
            found.append(self._move(self._below, self._under, price))
        while (mark := self._above.top()) is not None and value >= mark.at:
            found.append(self._move(self._above, self._over, price))
        self._refresh()
        return found

    def _move(self, source: _Pile, target: _Pile, price: Price) -> Crossing:
        mark = source.pop()
        mark.is_reached = not mark.is_reached
        target.push(mark, next(self._numbers))
        return Crossing(mark.lot_id, mark.level, price, mark.is_reached)

    def _drop(self, mark: _Mark) -> None:
        mark.is_wanted = False
        if mark.level is Level.STOP:
            (self._under if mark.is_reached else self._below).note_dead()
        else:
            (self._over if mark.is_reached else self._above).note_dead()

    def _refresh(self) -> None:
        below, over = self._below.top(), self._over.top()
        above, under = self._above.top(), self._under.top()
        self.low = max(ZERO if below is None else below.at, ZERO if over is None else over.at)
        self.high = min(_ENDLESS if above is None else above.at, _ENDLESS if under is None else under.at)


class Watch:
    """All armed lots of this process."""

    def __init__(self) -> None:
        self._symbols: dict[Place, _Symbol] = {}
        self._places: dict[str, Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def arm(self, place: Place, armed: Armed) -> None:
        """Watch a lot's levels from now on; a level that changed is watched afresh, the others go on."""
        if self._places.get(armed.lot_id, place) != place:
            self.disarm(armed.lot_id)
        self._places[armed.lot_id] = place
        symbol = self._symbols.get(place)
        if symbol is None:
            symbol = self._symbols[place] = _Symbol()
        symbol.put(armed)

    def disarm(self, lot_id: str) -> None:
        """Stop watching a lot (idempotent)."""
        place = self._places.pop(lot_id, None)
        if place is None:
            return
        symbol = self._symbols[place]
        symbol.remove(lot_id)
        if not symbol.marks:
            del self._symbols[place]

    def is_armed(self, lot_id: str) -> bool:
        """Say whether a lot is watched."""
        return lot_id in self._places

    def on_price(self, place: Place, price: Price) -> Sequence[Crossing]:
        """Return the levels that this price reaches or leaves, each told once."""
        symbol = self._symbols.get(place)
        if symbol is None or symbol.low < price.value < symbol.high:
            return ()
        return symbol.cross(price)
