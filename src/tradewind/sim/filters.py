"""Filter checks in exact decimals; names and order of tests as binance-spot-api-docs `filters.md` (2026-07-21).

A check answers with the first filter that fails, or None. The reference price of the percent and notional filters is
the volume-weighted average of the last `avg_price_mins` minutes, or the last price when nothing traded in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from tradewind.sim.instruments import ASSET_PRECISION, SymbolRules
from tradewind.sim.types import (
    MARKET_LIKE_TYPES,
    STOP_TYPES,
    TRIGGER_TYPES,
    NewOrder,
    OrderType,
    Side,
)


class FilterName(StrEnum):
    PRICE_FILTER = "PRICE_FILTER"
    PERCENT_PRICE_BY_SIDE = "PERCENT_PRICE_BY_SIDE"
    LOT_SIZE = "LOT_SIZE"
    MARKET_LOT_SIZE = "MARKET_LOT_SIZE"
    NOTIONAL = "NOTIONAL"
    ICEBERG_PARTS = "ICEBERG_PARTS"
    TRAILING_DELTA = "TRAILING_DELTA"
    MAX_NUM_ORDERS = "MAX_NUM_ORDERS"
    MAX_NUM_ALGO_ORDERS = "MAX_NUM_ALGO_ORDERS"
    MAX_NUM_ORDER_LISTS = "MAX_NUM_ORDER_LISTS"


@dataclass(frozen=True, slots=True)
class FilterFailure:
    filter: FilterName

    @property
    def message(self) -> str:
        """The venue's text for code -1013."""
        return f"Filter failure: {self.filter}"


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """What an account has open on the symbol before the new order."""

    orders: int = 0
    algo_orders: int = 0
    order_lists: int = 0


def check_precision(new: NewOrder) -> str | None:
    """Name of the first parameter with more decimals than an asset can have (code -1111), or None."""
    fields = (
        ("quantity", new.quantity),
        ("quoteOrderQty", new.quote_quantity),
        ("price", new.price),
        ("stopPrice", new.stop_price),
        ("icebergQty", new.iceberg_quantity),
    )
    return next((name for name, value in fields if value is not None and _has_too_many_decimals(value)), None)


def check_order(rules: SymbolRules, new: NewOrder, reference: Decimal) -> FilterFailure | None:
    """First failing filter of the order itself; `reference` is the average price the venue would use."""
    return (
        _check_prices(rules, new)
        or _check_percent(rules, new, reference)
        or _check_lot(rules, new)
        or _check_market_lot(rules, new)
        or _check_notional(rules, new, reference)
        or _check_iceberg_parts(rules, new)
        or _check_trailing(rules, new)
    )


def check_counts(rules: SymbolRules, counts: OpenCounts, new: OpenCounts) -> FilterFailure | None:
    """First failing count filter when `new` is added to what is open (an OCO adds 2 orders and 1 list)."""
    tests = (
        (FilterName.MAX_NUM_ORDERS, counts.orders, new.orders, rules.max_orders),
        (FilterName.MAX_NUM_ALGO_ORDERS, counts.algo_orders, new.algo_orders, rules.max_algo_orders),
        (FilterName.MAX_NUM_ORDER_LISTS, counts.order_lists, new.order_lists, rules.max_order_lists),
    )
    return next((FilterFailure(name) for name, have, add, limit in tests if add and have + add > limit), None)


def _has_too_many_decimals(value: Decimal) -> bool:
    exponent = value.normalize().as_tuple().exponent
    return isinstance(exponent, int) and -exponent > ASSET_PRECISION


def _is_off_grid(value: Decimal, low: Decimal, high: Decimal, grid: Decimal) -> bool:
    return bool((low and value < low) or (high and value > high) or (grid and value % grid))


def _check_prices(rules: SymbolRules, new: NewOrder) -> FilterFailure | None:
    for price in (new.price, new.stop_price):
        if price is not None and _is_off_grid(price, rules.min_price, rules.max_price, rules.tick):
            return FilterFailure(FilterName.PRICE_FILTER)
    return None


def _check_percent(rules: SymbolRules, new: NewOrder, reference: Decimal) -> FilterFailure | None:
    if new.price is None:
        return None
    if new.side is Side.BUY:
        down, up = rules.bid_multiplier_down, rules.bid_multiplier_up
    else:
        down, up = rules.ask_multiplier_down, rules.ask_multiplier_up
    if reference * down <= new.price <= reference * up:
        return None
    return FilterFailure(FilterName.PERCENT_PRICE_BY_SIDE)


def _check_lot(rules: SymbolRules, new: NewOrder) -> FilterFailure | None:
    for quantity in (new.quantity, new.iceberg_quantity):
        if quantity is not None and _is_off_grid(quantity, rules.min_qty, rules.max_qty, rules.step):
            return FilterFailure(FilterName.LOT_SIZE)
    return None


def _check_market_lot(rules: SymbolRules, new: NewOrder) -> FilterFailure | None:
    if new.type is not OrderType.MARKET or new.quantity is None:
        return None
    if _is_off_grid(new.quantity, rules.market_min_qty, rules.market_max_qty, rules.market_step):
        return FilterFailure(FilterName.MARKET_LOT_SIZE)
    return None


def _check_notional(rules: SymbolRules, new: NewOrder, reference: Decimal) -> FilterFailure | None:
    is_market = new.type in MARKET_LIKE_TYPES
    if new.quote_quantity is not None:
        notional = new.quote_quantity
    else:
        price = reference if new.price is None else new.price
        notional = price * (new.quantity or Decimal(0))
    if (rules.apply_min_to_market or not is_market) and notional < rules.min_notional:
        return FilterFailure(FilterName.NOTIONAL)
    if (rules.apply_max_to_market or not is_market) and notional > rules.max_notional:
        return FilterFailure(FilterName.NOTIONAL)
    return None


def _check_iceberg_parts(rules: SymbolRules, new: NewOrder) -> FilterFailure | None:
    if not new.iceberg_quantity or new.quantity is None:
        return None
    parts = (new.quantity / new.iceberg_quantity).to_integral_value(rounding=ROUND_CEILING)
    return FilterFailure(FilterName.ICEBERG_PARTS) if parts > rules.iceberg_parts else None


def _check_trailing(rules: SymbolRules, new: NewOrder) -> FilterFailure | None:
    if new.trailing_delta is None:
        return None
    if rules.min_trailing_delta <= new.trailing_delta <= rules.max_trailing_delta:
        return None
    return FilterFailure(FilterName.TRAILING_DELTA)


def triggers_above(side: Side, order_type: OrderType) -> bool:
    """True when the order fires at or above its trigger: STOP_LOSS BUY and TAKE_PROFIT SELL (`rest-api.md`)."""
    assert order_type in TRIGGER_TYPES
    return (side is Side.BUY) == (order_type in STOP_TYPES)
