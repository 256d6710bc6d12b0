"""Pure matching: which slices of a book an order takes, and which resting orders a price reaches.

Rules:
- an order takes the best level first, and never a level beyond its limit;
- every slice is on the symbol's quantity step, so executed quantities respect LOT_SIZE;
- a ladder answers "whom does this price reach" in time proportional to the orders reached, not to the orders resting.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from decimal import Decimal

from tradewind.sim.instruments import floor_to
from tradewind.sim.pricing import Level
from tradewind.sim.types import ZERO, Side


def walk_quantity(levels: Iterable[Level], quantity: Decimal, side: Side, limit: Decimal | None) -> list[Level]:
    """Slices a taker of `side` gets for at most `quantity`, no worse than `limit` (None: any price)."""
    slices: list[Level] = []
    left = quantity
    for level in levels:
        if left <= 0 or (limit is not None and is_beyond(level.price, side, limit)):
            break
        taken = min(left, level.quantity)
        slices.append(Level(level.price, taken))
        left -= taken
    return slices


def walk_quote(levels: Iterable[Level], quote: Decimal, step: Decimal) -> tuple[list[Level], bool]:
    """Slices worth at most `quote` altogether, and whether the book ran out before the money did."""
    slices: list[Level] = []
    left = quote
    for level in levels:
        taken = min(floor_to(left / level.price, step), level.quantity)
        if taken > 0:
            slices.append(Level(level.price, taken))
            left -= taken * level.price
        if taken < level.quantity:
            return slices, False
    return slices, True


def cut(slices: list[Level], quantity: Decimal) -> list[Level]:
    """The first `quantity` of a walk."""
    return walk_quantity(slices, quantity, Side.BUY, None)


def quantity_of(slices: list[Level]) -> Decimal:
    """Total quantity of a walk."""
    return sum((level.quantity for level in slices), ZERO)


def cost_of(slices: list[Level]) -> Decimal:
    """Total quote value of a walk."""
    return sum((level.price * level.quantity for level in slices), ZERO)


def is_beyond(price: Decimal, side: Side, limit: Decimal) -> bool:
    """True when a taker of `side` with this limit must not trade at `price`."""
    return price > limit if side is Side.BUY else price < limit


class Ladder:
    """Order ids sorted by a price each waits for."""

    __slots__ = ("_rungs",)

    def __init__(self) -> None:
        self._rungs: list[tuple[Decimal, int]] = []

    def __len__(self) -> int:
        return len(self._rungs)

    def add(self, price: Decimal, order_id: int) -> None:
        """Let an order wait for a price."""
        insort(self._rungs, (price, order_id))

    def remove(self, price: Decimal, order_id: int) -> None:
        """Take an order off; it must be there."""
        at = bisect_left(self._rungs, (price, order_id))
        assert self._rungs[at] == (price, order_id)
        del self._rungs[at]

    def at_or_above(self, price: Decimal) -> list[int]:
        """Orders waiting for this price or a higher one: those a falling price has reached."""
        return [order_id for _, order_id in self._rungs[bisect_left(self._rungs, (price, 0)) :]]

    def at_or_below(self, price: Decimal) -> list[int]:
        """Orders waiting for this price or a lower one: those a rising price has reached."""
        return [order_id for _, order_id in self._rungs[: bisect_right(self._rungs, (price, _LAST))]]


# larger than any order id SQLite can hold
_LAST = 2**63
