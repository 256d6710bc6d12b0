"""The symbols of the simulated exchange and their filters, derived from price magnitude.

The tape records prices, not the venue's filter table, so the filters are a declared model in the venue's own shape
(binance-spot-api-docs `filters.md`, 2026-07-21). Rules:
- tick and step are powers of ten: the tick is at most about 1/10,000 of the price (floor: the venue's 8 decimals),
  one step is worth between about 0.01 and 1 USDT for prices above 0.1 USDT, and a whole coin below that;
- they are fixed by the first price of the tape and never move while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

# Binance spot keeps 8 decimals for every asset (baseAssetPrecision, quoteAssetPrecision on live captures, Sept 2026).
ASSET_PRECISION = 8

# (price from, tick). Below the last row the tick is the smallest price the venue can write.
_TICKS: tuple[tuple[Decimal, Decimal], ...] = (
    (Decimal(100), Decimal("0.01")),
    (Decimal(10), Decimal("0.001")),
    (Decimal(1), Decimal("0.0001")),
    (Decimal("0.1"), Decimal("0.00001")),
    (Decimal("0.01"), Decimal("0.000001")),
    (Decimal("0.001"), Decimal("0.0000001")),
)
_SMALLEST = Decimal("0.00000001")

_STEPS: tuple[tuple[Decimal, Decimal], ...] = (
    (Decimal(10000), Decimal("0.00001")),
    (Decimal(1000), Decimal("0.0001")),
    (Decimal(100), Decimal("0.001")),
    (Decimal(10), Decimal("0.01")),
    (Decimal(1), Decimal("0.1")),
)
_WHOLE = Decimal(1)


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """One symbol with every filter it publishes. A bound of 0 switches that test off, as at the venue."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    market_min_qty: Decimal
    market_max_qty: Decimal
    market_step: Decimal
    min_notional: Decimal = Decimal(5)
    apply_min_to_market: bool = True
    max_notional: Decimal = Decimal(9_000_000)
    apply_max_to_market: bool = False
    bid_multiplier_up: Decimal = Decimal(5)
    bid_multiplier_down: Decimal = Decimal("0.2")
    ask_multiplier_up: Decimal = Decimal(5)
    ask_multiplier_down: Decimal = Decimal("0.2")
    avg_price_mins: int = 5
    iceberg_parts: int = 100
    max_orders: int = 200
    max_algo_orders: int = 5
    max_order_lists: int = 20
    max_amends: int = 10
    min_trailing_delta: int = 10
    max_trailing_delta: int = 2000

    def floor_price(self, price: Decimal) -> Decimal:
        """Round a price down to the tick grid."""
        return floor_to(price, self.tick)

    def floor_qty(self, quantity: Decimal) -> Decimal:
        """Round a quantity down to the step grid."""
        return floor_to(quantity, self.step)


def floor_to(value: Decimal, grid: Decimal) -> Decimal:
    """Round a non-negative value down to a multiple of `grid` (a power of ten, as all grids here are)."""
    return value.quantize(grid, rounding=ROUND_DOWN)


def tick_for(price: Decimal) -> Decimal:
    """Price step of a symbol that trades around `price`."""
    return next((tick for bound, tick in _TICKS if price >= bound), _SMALLEST)


def step_for(price: Decimal) -> Decimal:
    """Quantity step of a symbol that trades around `price`."""
    return next((step for bound, step in _STEPS if price >= bound), _WHOLE)


def rules_for(symbol: str, base: str, quote: str, first_price: Decimal) -> SymbolRules:
    """Derive a symbol's filters from its first price; deterministic."""
    tick, step = tick_for(first_price), step_for(first_price)
    # One order may be worth ten to a hundred million quote units at most, MARKET a tenth of it.
    cap = Decimal(10) ** (7 - first_price.adjusted())
    max_qty = max(cap, step)
    return SymbolRules(
        symbol=symbol,
        base=base,
        quote=quote,
        tick=tick,
        min_price=tick,
        max_price=Decimal(10) ** (first_price.adjusted() + 2),
        step=step,
        min_qty=step,
        max_qty=max_qty,
        # live symbols publish "0.00000000" here: the test is off and LOT_SIZE still applies
        market_min_qty=Decimal(0),
        market_max_qty=max(max_qty / 10, step),
        market_step=Decimal(0),
    )
