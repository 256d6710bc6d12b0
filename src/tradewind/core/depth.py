"""How much of a book a fan-out may take, and in which slices (product.md E9).

Rules of this file:
1. What counts is the quote value of the asks within a distance of the best one: what market buys can take without
   moving the price further than that.
2. A slice never holds more than its share of that, except where a single entry is larger: an order is not cut.
3. All slices together never hold more than a second, larger share; what would pass it is refused.
4. With the book unknown the allowance stands for it: small fan-outs pass, large ones go slowly, very large ones end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from tradewind.core.money import BPS, EXACT, ONE, ZERO, Price, Quantity

_PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthRules:
    """The operator's numbers. `allowance_orders` counts smallest orders of the venue; 0 checks every fan-out."""

    allowance_orders: int
    within_bps: int
    slice_pct: int
    refuse_pct: int
    slice_every: timedelta

    def allowance(self, min_notional: Decimal) -> Decimal:
        """Return what the entries of one signal may add up to without a look at the book, in quote."""
        return EXACT.multiply(Decimal(self.allowance_orders), min_notional)

    def bounds(self, visible: Decimal | None, allowance: Decimal) -> tuple[Decimal, Decimal]:
        """Return the largest slice and the largest total, in quote; `visible` None: the book is not known."""
        if visible is None:
            return allowance, EXACT.divide(EXACT.multiply(allowance, Decimal(self.refuse_pct)), Decimal(self.slice_pct))
        return _share(visible, self.slice_pct), _share(visible, self.refuse_pct)


def _share(of: Decimal, percent: int) -> Decimal:
    return EXACT.divide(EXACT.multiply(of, Decimal(percent)), _PERCENT)


def visible_asks(asks: Sequence[tuple[Price, Quantity]], within_bps: int) -> Decimal:
    """Add up the asks within a distance of the best one, in quote; best first.

    >>> rows = [(Price(Decimal(p)), Quantity(Decimal(q))) for p, q in (("100", "2"), ("100.5", "1"), ("101", "9"))]
    >>> visible_asks(rows, 50)
    Decimal('300.5')
    """
    if not asks:
        return ZERO
    limit = EXACT.multiply(asks[0][0].value, ONE + Decimal(within_bps) / BPS)
    total = ZERO
    for price, quantity in asks:
        if price.value <= limit:
            total = EXACT.add(total, price.cost(quantity))
    return total


def slice_numbers(spends: Sequence[Decimal], slice_most: Decimal, total_most: Decimal) -> list[int | None]:
    """Number the slice of each entry, in the order given; None for one that would pass the total.

    >>> slice_numbers([Decimal(n) for n in (40, 40, 40, 200, 40)], Decimal(100), Decimal(200))
    [0, 0, 1, None, 1]
    """
    numbers: list[int | None] = []
    current, in_slice, total = 0, ZERO, ZERO
    for spend in spends:
        if EXACT.add(total, spend) > total_most:
            numbers.append(None)
            continue
        if in_slice > ZERO and EXACT.add(in_slice, spend) > slice_most:
            current, in_slice = current + 1, ZERO
        in_slice, total = EXACT.add(in_slice, spend), EXACT.add(total, spend)
        numbers.append(current)
    return numbers
