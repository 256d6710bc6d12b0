"""The modelled order book. Nothing in it is recorded: the tape has prints only.

The book around the last print (the mid) is a declared model, shown by `describe()`:
- best bid and ask lie `half_spread_bps` away from the mid, rounded away from it to the tick grid (at least one tick);
- each further level lies `level_step_bps` deeper (again at least one tick);
- each level offers about `level_quote` of quote value; the amount differs by symbol and level between `1 - jitter` and
  `1 + jitter` times that, fixed by the symbol's name (no random numbers: the same symbol and mid give the same book);
- the book is whole again for every order: orders of the simulated accounts move no price and are not shown in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple
from zlib import crc32

from tradewind.sim.instruments import SymbolRules
from tradewind.sim.types import Side

_BPS = Decimal(10_000)
_ONE = Decimal(1)


class Level(NamedTuple):
    price: Decimal
    quantity: Decimal


class Book(NamedTuple):
    """Best level first on both sides."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class BookModel:
    """Parameters of the modelled book; bps are of the mid, `level_quote` is in quote units (USDT)."""

    half_spread_bps: Decimal = Decimal(2)
    level_step_bps: Decimal = Decimal(2)
    levels: int = 20
    level_quote: Decimal = Decimal(10_000)
    jitter: Decimal = Decimal("0.5")
    # symbol -> factor on level_quote, for a market that should be thinner or deeper than the rest
    depth_factors: tuple[tuple[str, Decimal], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.half_spread_bps <= 0 or self.level_step_bps < 0 or self.levels < 1:
            raise ValueError("book model: half spread must be positive, level step not negative, levels at least 1")
        if self.level_quote <= 0 or not 0 <= self.jitter < 1:
            raise ValueError("book model: level_quote must be positive, jitter within [0, 1)")

    def book(self, rules: SymbolRules, mid: Decimal, levels: int | None = None) -> Book:
        """Both sides around `mid`, at most `levels` deep."""
        depth = self.levels if levels is None else min(levels, self.levels)
        return Book(
            bids=tuple(self._take(rules, Side.BUY, mid, depth)),
            asks=tuple(self._take(rules, Side.SELL, mid, depth)),
        )

    def best(self, rules: SymbolRules, side: Side, mid: Decimal) -> Decimal | None:
        """Best price on one side (BUY: bids, SELL: asks); None where the tick leaves no room for a bid."""
        return self._price(rules, side, mid, 0)

    def side(self, rules: SymbolRules, side: Side, mid: Decimal) -> Iterator[Level]:
        """Yield one side's levels, best first, computed as they are asked for (an order rarely needs them all)."""
        return self._take(rules, side, mid, self.levels)

    def describe(self) -> str:
        """Say in words what is modelled."""
        low, high = _ONE - self.jitter, _ONE + self.jitter
        lines = [
            "MODELLED (never recorded): the order book around each print",
            f"  half spread      {self.half_spread_bps} bps of the mid, at least one tick",
            f"  further levels   {self.levels} a side, {self.level_step_bps} bps apart, at least one tick",
            f"  size per level   about {self.level_quote} quote units, times {low} to {high} by symbol and level",
            "  refill           the book is whole again for every order; accounts' orders move no price",
        ]
        lines += [f"  depth factor     {symbol}: {factor}" for symbol, factor in self.depth_factors]
        return "\n".join(lines)

    def _take(self, rules: SymbolRules, side: Side, mid: Decimal, depth: int) -> Iterator[Level]:
        size = self.level_quote * self._depth_factor(rules.symbol)
        last: Decimal | None = None
        for index in range(depth):
            price = self._price(rules, side, mid, index)
            if price is None:
                return
            if last is not None:
                price = max(price, last + rules.tick) if side is Side.SELL else min(price, last - rules.tick)
            if price <= 0:
                return
            quantity = rules.floor_qty(size * self._wobble(rules.symbol, side, index) / price)
            yield Level(price, max(quantity, rules.step))
            last = price

    def _price(self, rules: SymbolRules, side: Side, mid: Decimal, index: int) -> Decimal | None:
        away = mid * (self.half_spread_bps + self.level_step_bps * index) / _BPS
        if side is Side.SELL:
            return (mid + away).quantize(rules.tick, rounding=ROUND_CEILING)
        price = (mid - away).quantize(rules.tick, rounding=ROUND_FLOOR)
        return price if price > 0 else None

    def _wobble(self, symbol: str, side: Side, index: int) -> Decimal:
        # crc32 because Python's own hash changes with every process
        share = Decimal(crc32(f"{symbol}:{side}:{index}".encode()) % 1001) / 1000
        return _ONE + self.jitter * (2 * share - 1)

    def _depth_factor(self, symbol: str) -> Decimal:
        return next((factor for name, factor in self.depth_factors if name == symbol), _ONE)
