"""Prices as the port speaks of them: tickers, books, candles. Imported from venues/base.py, which is the whole port."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tradewind.core.money import Price, Quantity


@dataclass(frozen=True, slots=True)
class Ticker:
    """Best known price of a symbol. `bid`/`ask` may be missing; `at` is the venue's time or receipt."""

    symbol: str
    last: Price
    at: datetime
    bid: Price | None = None
    ask: Price | None = None


@dataclass(frozen=True, slots=True)
class DepthLevel:
    """One price level of a book."""

    price: Price
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class Depth:
    """A snapshot of the book, best first."""

    bids: tuple[DepthLevel, ...]
    asks: tuple[DepthLevel, ...]


@dataclass(frozen=True, slots=True)
class CandleRow:
    """One candle as the venue tells it; `open_at` is its start."""

    open_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    base_volume: Decimal
    quote_volume: Decimal
