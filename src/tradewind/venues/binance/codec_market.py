"""Markets on the wire, pure: exchangeInfo, prices, candles, book, time (rest-api.md, filters.md, 2026-07-21).

Rules of this file: steps and minimums are the venue's own; where two filters speak of the same thing the
stricter one is taken, so a size that passes here passes there. A symbol we cannot read is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from tradewind.core.instrument import BINANCE, Instrument, InstrumentStatus
from tradewind.core.money import ZERO, Asset
from tradewind.venues.base import CandleRow, Depth, DepthLevel, Ticker
from tradewind.venues.binance.codec import (
    NotUnderstood,
    WireCall,
    moment,
    number,
    price,
    price_or_none,
    quantity,
    query_of,
    read,
    symbols_param,
)
from tradewind.venues.ratelimit import WindowLimit, window_ms

# 24hr tickers cost 2 for up to 20 symbols and 40 beyond; two lists of all symbols cost 4 each.
TICKERS_PER_CALL = 20
INTERVALS = frozenset(
    ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
)
_CANDLES_MAX = 1_000
_DEPTH_MAX = 5_000
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (_DEPTH_MAX, 250))
_ALGO_ORDERS = 5  # live symbols publish 5; taken where a symbol publishes none
_STATUS = {"TRADING": InstrumentStatus.TRADING, "CANCEL_ONLY": InstrumentStatus.CANCEL_ONLY}

TIME_CALL = WireCall("GET", "/api/v3/time", "", 1)
# Permission sets are two thirds of the answer and of no use here.
INSTRUMENTS_CALL = WireCall("GET", "/api/v3/exchangeInfo", "showPermissionSets=false", 20)


@dataclass(frozen=True, slots=True)
class ExchangeInfo:
    """The catalogue: instruments, the venue's limits, and symbols where only stop-LIMIT orders exist."""

    instruments: tuple[Instrument, ...]
    weight_limits: tuple[WindowLimit, ...]
    order_limits: tuple[WindowLimit, ...]
    without_stop_market: frozenset[str]
    left_out: int


# --- requests --------------------------------------------------------------------------------------


def instrument_call(symbol: str) -> WireCall:
    """Build exchangeInfo of one symbol."""
    params = [("symbol", symbol), ("showPermissionSets", "false")]
    return WireCall("GET", "/api/v3/exchangeInfo", query_of(params), 20)


def tickers_call(symbols: Sequence[str]) -> WireCall:
    """Build the 24hr tickers of at most TICKERS_PER_CALL symbols."""
    return WireCall("GET", "/api/v3/ticker/24hr", query_of([("symbols", symbols_param(symbols))]), 2)


ALL_PRICES_CALL = WireCall("GET", "/api/v3/ticker/price", "", 4)
ALL_BOOKS_CALL = WireCall("GET", "/api/v3/ticker/bookTicker", "", 4)


def candles_call(symbol: str, interval: str, limit: int) -> WireCall:
    """Build klines, the newest `limit` (1 to 1000). Raises ValueError for an interval Binance lacks."""
    if interval not in INTERVALS:
        raise ValueError(f"Binance has no candles of {interval!r}")
    count = min(max(limit, 1), _CANDLES_MAX)
    params = [("symbol", symbol), ("interval", interval), ("limit", str(count))]
    return WireCall("GET", "/api/v3/klines", query_of(params), 2)


def depth_call(symbol: str, limit: int) -> WireCall:
    """Build a book snapshot of `limit` levels (1 to 5000)."""
    count = min(max(limit, 1), _DEPTH_MAX)
    weight = next(cost for most, cost in _DEPTH_WEIGHTS if count <= most)
    return WireCall("GET", "/api/v3/depth", query_of([("symbol", symbol), ("limit", str(count))]), weight)


# --- exchangeInfo ----------------------------------------------------------------------------------


class _Limit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str
    tick_size: str = "0"
    step_size: str = "0"
    min_qty: str = "0"
    max_qty: str = "0"
    min_notional: str = "0"
    max_notional: str = "0"
    max_num_algo_orders: int | None = None


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    quote_asset_precision: int
    order_types: list[str]
    filters: list[_Filter]
    oco_allowed: bool
    quote_order_qty_market_allowed: bool
    is_spot_trading_allowed: bool


class _Listing(msgspec.Struct, rename="camel"):
    rate_limits: list[_Limit]
    symbols: list[msgspec.Raw]


def read_exchange_info(body: bytes) -> ExchangeInfo:
    """Read exchangeInfo. Raises NotUnderstood if not one symbol can be read."""
    found = read(body, _Listing)
    instruments: list[Instrument] = []
    without_stop: set[str] = set()
    left_out = 0
    for raw in found.symbols:
        try:
            symbol = read(bytes(raw), _Symbol)
            instrument = _instrument(symbol)
        except NotUnderstood:
            left_out += 1
            continue
        if instrument is not None:
            instruments.append(instrument)
            if "STOP_LOSS" not in symbol.order_types:
                without_stop.add(symbol.symbol)
    if found.symbols and left_out == len(found.symbols):
        raise NotUnderstood("a catalogue without one readable symbol")
    return ExchangeInfo(
        instruments=tuple(instruments),
        weight_limits=_limits(found.rate_limits, {"REQUEST_WEIGHT": False, "RAW_REQUESTS": True}),
        order_limits=_limits(found.rate_limits, {"ORDERS": False}),
        without_stop_market=frozenset(without_stop),
        left_out=left_out,
    )


def _limits(found: Sequence[_Limit], wanted: dict[str, bool]) -> tuple[WindowLimit, ...]:
    limits = []
    for kind, counts_calls in wanted.items():
        for limit in found:
            span_ms = window_ms(limit.interval, limit.interval_num)
            if limit.rate_limit_type == kind and span_ms is not None and limit.limit > 0:
                limits.append(WindowLimit(span_ms, limit.limit, counts_calls))
    return tuple(sorted(limits, key=lambda limit: (limit.counts_calls, limit.span_ms)))


def _instrument(found: _Symbol) -> Instrument | None:
    filters = {each.filter_type: each for each in found.filters}
    lot = filters.get("LOT_SIZE")
    if lot is None or not found.is_spot_trading_allowed or not 0 <= found.quote_asset_precision <= 20:
        return None
    none = _Filter(filter_type="")
    market_lot = filters.get("MARKET_LOT_SIZE", none)
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or none
    algo = filters.get("MAX_NUM_ALGO_ORDERS", none).max_num_algo_orders
    types = found.order_types
    has_stop = "STOP_LOSS" in types or "STOP_LOSS_LIMIT" in types
    return Instrument(
        venue=BINANCE,
        symbol=found.symbol,
        base=Asset(found.base_asset),
        quote=Asset(found.quote_asset),
        tick=number(filters.get("PRICE_FILTER", none).tick_size),
        # A step of 0 in MARKET_LOT_SIZE means off, as live symbols publish it.
        step=max(number(lot.step_size), number(market_lot.step_size)),
        min_quantity=max(number(lot.min_qty), number(market_lot.min_qty)),
        max_quantity=number(lot.max_qty),
        min_notional=number(notional.min_notional),
        max_notional=_above_zero(notional.max_notional),
        max_market_quantity=_above_zero(market_lot.max_qty),
        quote_step=Decimal(1).scaleb(-found.quote_asset_precision),
        status=_STATUS.get(found.status, InstrumentStatus.HALTED),
        has_oco=found.oco_allowed and has_stop and "LIMIT_MAKER" in types,
        has_market_by_quote=found.quote_order_qty_market_allowed and "MARKET" in types,
        max_algo_orders=_ALGO_ORDERS if algo is None else algo,
    )


def _above_zero(text: str) -> Decimal | None:
    value = number(text)
    return value if value > ZERO else None


# --- prices ----------------------------------------------------------------------------------------


class _Time(msgspec.Struct, rename="camel"):
    server_time: int


class _DayTicker(msgspec.Struct, rename="camel"):
    symbol: str
    last_price: str
    close_time: int
    bid_price: str | None = None
    ask_price: str | None = None


class _PriceOnly(msgspec.Struct):
    symbol: str
    price: str


class _BookTop(msgspec.Struct, rename="camel"):
    symbol: str
    bid_price: str
    ask_price: str


class _Depth(msgspec.Struct):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_Kline = tuple[int, str, str, str, str, str, int, str, int, str, str, str]


def read_time(body: bytes) -> int:
    """Read the server's time in ms. Raises NotUnderstood."""
    stated = read(body, _Time).server_time
    moment(stated)
    return stated


def read_tickers(body: bytes) -> list[Ticker]:
    """Read 24hr tickers; a symbol that never traded has no price and is left out."""
    tickers = []
    for row in read(body, list[_DayTicker]):
        last = price_or_none(row.last_price)
        if last is not None:
            bid, ask = price_or_none(row.bid_price), price_or_none(row.ask_price)
            tickers.append(Ticker(row.symbol, last, moment(row.close_time), bid, ask))
    return tickers


def read_all_tickers(prices: bytes, books: bytes, symbols: frozenset[str], at: datetime) -> list[Ticker]:
    """Join the lists of all last prices and all best bids and asks, for some symbols; `at` is receipt."""
    tops = {row.symbol: row for row in read(books, list[_BookTop]) if row.symbol in symbols}
    tickers = []
    for row in read(prices, list[_PriceOnly]):
        last = price_or_none(row.price) if row.symbol in symbols else None
        if last is None:
            continue
        top = tops.get(row.symbol)
        bid, ask = (price_or_none(top.bid_price), price_or_none(top.ask_price)) if top else (None, None)
        tickers.append(Ticker(row.symbol, last, at, bid, ask))
    return tickers


def read_candles(body: bytes) -> list[CandleRow]:
    """Read klines, oldest first; the last one may still be forming."""
    return [_candle(row) for row in read(body, list[_Kline])]


def _candle(row: _Kline) -> CandleRow:
    opened, highest, lowest, closed = (number(text) for text in row[1:5])
    return CandleRow(moment(row[0]), opened, highest, lowest, closed, number(row[5]), number(row[7]))


def read_depth(body: bytes) -> Depth:
    """Read a book snapshot, best first."""
    found = read(body, _Depth)
    return Depth(bids=_levels(found.bids), asks=_levels(found.asks))


def _levels(rows: list[tuple[str, str]]) -> tuple[DepthLevel, ...]:
    return tuple(DepthLevel(price(value), quantity(size)) for value, size in rows)
