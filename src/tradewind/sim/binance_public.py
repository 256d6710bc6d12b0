"""Public calls on the wire: time, exchangeInfo, book, trades, candles, tickers.

`symbol`, `symbols` (a JSON array) or nothing select the markets; one unknown symbol fails the whole call
(-1121). Weights by limit and number of symbols as in rest-api.md, 2026-07-21.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from tradewind.sim import binance_errors as errors
from tradewind.sim import binance_market_shapes as market_shapes
from tradewind.sim import binance_shapes as shapes
from tradewind.sim.binance_call import Request
from tradewind.sim.binance_errors import VenueError, bad_symbol, illegal_characters
from tradewind.sim.binance_orders import listed_symbol
from tradewind.sim.binance_params import Params, checked_symbol
from tradewind.sim.binance_shapes import Json
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.market_board import INTERVALS_MS, Trade
from tradewind.sim.types import SymbolStatus

_BOOK_LEVELS = 5000
_UTC = frozenset({"0", "00:00", "+0", "+00:00"})
_SYMBOLS_PATTERN = r"^\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\]$"


class TickerType(StrEnum):
    """How much of a 24-hour ticker is told."""

    FULL = "FULL"
    MINI = "MINI"


def ping(_spot: BinanceSpot, _request: Request) -> Json:
    """GET /api/v3/ping."""
    return {}


def time(spot: BinanceSpot, _request: Request) -> Json:
    """GET /api/v3/time."""
    return {"serverTime": spot.now_ms()}


def system_status(_spot: BinanceSpot, _request: Request) -> Json:
    """GET /sapi/v1/system/status."""
    return {"status": 0, "msg": "normal"}


def exchange_info(spot: BinanceSpot, request: Request) -> Json:
    """GET /api/v3/exchangeInfo."""
    params = request.params
    wanted = params.choice("symbolStatus", SymbolStatus)
    if wanted is not None and ("symbol" in params or "symbols" in params):
        raise VenueError(errors.OPTIONAL_PARAMS_BAD_COMBO, "Combination of optional parameters invalid.")
    with_sets = params.boolean("showPermissionSets", default=True)
    symbols = _selected(spot, params) or spot.exchange.symbols()
    if "SPOT" not in params.get("permissions", "SPOT"):
        symbols = ()
    return {
        "timezone": "UTC",
        "serverTime": spot.now_ms(),
        "rateLimits": spot.limits.as_exchange_info(),
        "exchangeFilters": [],
        "symbols": [
            shapes.symbol_entry(spot.exchange.rules(symbol), status, with_permission_sets=with_sets)
            for symbol in symbols
            if (status := spot.exchange.symbol_status(symbol)) is wanted or wanted is None
        ],
    }


def depth(spot: BinanceSpot, request: Request) -> Json:
    """GET /api/v3/depth."""
    symbol = _status_checked(spot, request.params)
    book = spot.book(symbol, request.params.limit(100, _BOOK_LEVELS))
    return market_shapes.depth(book, spot.board.market(symbol).update_id)


def trades(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/trades: the newest, oldest first."""
    symbol = listed_symbol(spot, request.params)
    kept = list(spot.board.market(symbol).trades)
    return [market_shapes.trade(item) for item in kept[-request.params.limit(500, 1000) :]]


def aggregate_trades(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/aggTrades."""
    params = request.params
    kept: Sequence[Trade] = list(spot.board.market(listed_symbol(spot, params)).trades)
    limit = params.limit(500, 1000)
    from_id, since, until = (params.integer(name) for name in ("fromId", "startTime", "endTime"))
    within = [
        item
        for item in kept
        if (from_id is None or item.trade_id >= from_id)
        and (since is None or item.at_ms >= since)
        and (until is None or item.at_ms <= until)
    ]
    page = within[:limit] if from_id is not None or since is not None else within[-limit:]
    return [market_shapes.aggregate_trade(item) for item in page]


def klines(spot: BinanceSpot, request: Request) -> list[list[object]]:
    """GET /api/v3/klines (and uiKlines), from the prints played so far."""
    params = request.params
    interval = params["interval"]
    if interval not in INTERVALS_MS:
        raise VenueError(errors.BAD_INTERVAL, "Invalid interval.")
    if params.get("timeZone", "0") not in _UTC:
        # Candles are kept by UTC marks only; a shifted day would be a wrong answer.
        raise VenueError(errors.INVALID_PARAMETER, "Data sent for parameter 'timeZone' is not valid.")
    market = spot.board.market(listed_symbol(spot, params))
    limit = params.limit(500, 1000)
    since, until = params.integer("startTime"), params.integer("endTime")
    within = [
        item
        for item in market.candles(interval)
        if (since is None or item.open_ms >= since) and (until is None or item.open_ms <= until)
    ]
    page = within[:limit] if since is not None else within[-limit:]
    return [market_shapes.candle(item, interval) for item in page]


def average_price(spot: BinanceSpot, request: Request) -> Json:
    """GET /api/v3/avgPrice."""
    symbol, now = listed_symbol(spot, request.params), spot.now_ms()
    last = spot.board.market(symbol).last
    return {
        "mins": spot.exchange.rules(symbol).avg_price_mins,
        "price": shapes.number(spot.exchange.average_price(symbol, now)),
        "closeTime": last.at_ms if last is not None else now,
    }


def day_tickers(spot: BinanceSpot, request: Request) -> Json | list[Json]:
    """GET /api/v3/ticker/24hr."""
    now = spot.now_ms()
    kind = request.params.choice("type", TickerType) or TickerType.FULL

    def shape(symbol: str) -> Json:
        market = spot.board.market(symbol)
        if kind is TickerType.MINI:
            return market_shapes.mini_ticker(market, now)
        return market_shapes.day_ticker(market, spot.book(symbol, 1), now)

    return _each(spot, request.params, shape)


def price_tickers(spot: BinanceSpot, request: Request) -> Json | list[Json]:
    """GET /api/v3/ticker/price."""

    def shape(symbol: str) -> Json:
        return {"symbol": symbol, "price": shapes.number(spot.exchange.last_price(symbol))}

    return _each(spot, request.params, shape)


def book_tickers(spot: BinanceSpot, request: Request) -> Json | list[Json]:
    """GET /api/v3/ticker/bookTicker."""
    return _each(spot, request.params, lambda symbol: market_shapes.book_ticker(symbol, spot.book(symbol, 1)))


def depth_weight(params: Params) -> int:
    """Give the weight of depth by its limit."""
    limit = int(params["limit"]) if params.get("limit", "").isdecimal() else 100
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)


def day_weight(params: Params) -> int:
    """Give the weight of ticker/24hr by the number of symbols."""
    if params.get("symbol"):
        return 2
    symbols = params.get("symbols")
    count = symbols.count(",") + 1 if symbols else 10_000
    return next((weight for most, weight in ((20, 2), (100, 40)) if count <= most), 80)


def ticker_weight(params: Params) -> int:
    """Give the weight of the short tickers: one symbol, or several and all."""
    return 2 if params.get("symbol") else 4


def _each(spot: BinanceSpot, params: Params, shape: Callable[[str], Json]) -> Json | list[Json]:
    """Shape one market as an object, several or all as an array."""
    if "symbol" in params:
        return shape(_status_checked(spot, params))
    wanted = params.choice("symbolStatus", SymbolStatus)
    return [
        shape(symbol)
        for symbol in _selected(spot, params) or spot.exchange.symbols()
        if wanted is None or spot.exchange.symbol_status(symbol) is wanted
    ]


def _selected(spot: BinanceSpot, params: Params) -> Sequence[str]:
    """Read `symbol` or `symbols`; empty when neither was sent."""
    if "symbol" in params and "symbols" in params:
        raise VenueError(errors.OPTIONAL_PARAMS_BAD_COMBO, "Combination of optional parameters invalid.")
    if "symbol" in params:
        return [listed_symbol(spot, params)]
    if "symbols" not in params:
        return []
    try:
        names = msgspec.json.decode(params["symbols"].encode(), type=list[str])
    except msgspec.DecodeError:
        raise illegal_characters("symbols", _SYMBOLS_PATTERN) from None
    for name in names:
        if not spot.is_listed(checked_symbol(name, "symbols")):
            raise bad_symbol()
    return names


def _status_checked(spot: BinanceSpot, params: Params) -> str:
    """Read one symbol and hold it against `symbolStatus` (-1220)."""
    symbol = listed_symbol(spot, params)
    wanted = params.choice("symbolStatus", SymbolStatus)
    if wanted is not None and spot.exchange.symbol_status(symbol) is not wanted:
        raise VenueError(
            errors.SYMBOL_STATUS_MISMATCH,
            "The symbol's status does not match the requested symbolStatus.",
        )
    return symbol
