"""Public market data in the venue's JSON: REST names spelt out, stream names one letter each.

Sources: rest-api.md and web-socket-streams.md, 2026-07-21. A candle's unused twelfth field is the string "0".
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from tradewind.sim.binance_shapes import Json, number
from tradewind.sim.market_board import Candle, Market, Trade, close_of
from tradewind.sim.pricing import Book, Level
from tradewind.sim.types import ZERO

_PERCENT = Decimal(100)


def levels(side: Iterable[Level]) -> list[list[str]]:
    """Shape one side of a book."""
    return [[number(level.price), number(level.quantity)] for level in side]


def depth(book: Book, update_id: int) -> Json:
    """Shape a depth snapshot; the partial depth streams use the same."""
    return {"lastUpdateId": update_id, "bids": levels(book.bids), "asks": levels(book.asks)}


def trade(item: Trade) -> Json:
    """Shape one public trade."""
    return {
        "id": item.trade_id,
        "price": number(item.price),
        "qty": number(item.quantity),
        "quoteQty": number(item.quote),
        "time": item.at_ms,
        "isBuyerMaker": item.is_buyer_maker,
        "isBestMatch": True,
    }


def aggregate_trade(item: Trade) -> Json:
    """Shape one aggregate trade; every print is its own aggregate here."""
    return {
        "a": item.trade_id,
        "p": number(item.price),
        "q": number(item.quantity),
        "f": item.trade_id,
        "l": item.trade_id,
        "T": item.at_ms,
        "m": item.is_buyer_maker,
        "M": True,
    }


def candle(item: Candle, interval: str) -> list[object]:
    """Shape one line of klines."""
    return [
        item.open_ms,
        number(item.open),
        number(item.high),
        number(item.low),
        number(item.close),
        number(item.base),
        close_of(item.open_ms, interval),
        number(item.quote),
        item.trades,
        number(item.taker_base),
        number(item.taker_quote),
        "0",
    ]


def average_of(item: Candle) -> Decimal:
    """Give the volume-weighted price of a span, its close when nothing traded."""
    return item.quote / item.base if item.base else item.close


def best(book: Book) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Give best bid and ask as (bid, bid quantity, ask, ask quantity); zeros for an empty side."""
    bid = book.bids[0] if book.bids else Level(ZERO, ZERO)
    ask = book.asks[0] if book.asks else Level(ZERO, ZERO)
    return bid.price, bid.quantity, ask.price, ask.quantity


def book_ticker(symbol: str, book: Book) -> Json:
    """Shape ticker/bookTicker."""
    bid, bid_qty, ask, ask_qty = best(book)
    return {
        "symbol": symbol,
        "bidPrice": number(bid),
        "bidQty": number(bid_qty),
        "askPrice": number(ask),
        "askQty": number(ask_qty),
    }


def day_ticker(market: Market, book: Book, now_ms: int) -> Json:
    """Shape ticker/24hr in full."""
    day = market.day(now_ms)
    change = day.close - day.open
    shape: Json = {
        "symbol": market.symbol,
        "priceChange": number(change),
        "priceChangePercent": _percent(change, day.open),
        "weightedAvgPrice": number(average_of(day)),
        "prevClosePrice": number(day.open),
        "lastPrice": number(day.close),
        "lastQty": number(market.last.quantity if market.last else ZERO),
    }
    quotes = book_ticker(market.symbol, book)
    del quotes["symbol"]
    shape.update(quotes)
    shape.update(_day_tail(day, now_ms))
    return shape


def mini_ticker(market: Market, now_ms: int) -> Json:
    """Shape ticker/24hr of type MINI."""
    day = market.day(now_ms)
    return {"symbol": market.symbol, "lastPrice": number(day.close), **_day_tail(day, now_ms)}


def _day_tail(day: Candle, now_ms: int) -> Json:
    return {
        "openPrice": number(day.open),
        "highPrice": number(day.high),
        "lowPrice": number(day.low),
        "volume": number(day.base),
        "quoteVolume": number(day.quote),
        "openTime": day.open_ms,
        "closeTime": now_ms,
        "firstId": day.first_id,
        "lastId": day.last_id,
        "count": day.trades,
    }


def _percent(change: Decimal, base: Decimal) -> str:
    return f"{change * _PERCENT / base:.3f}" if base else "0.000"


def trade_event(symbol: str, item: Trade, now_ms: int) -> Json:
    """Shape `<symbol>@trade`."""
    return {
        "e": "trade",
        "E": now_ms,
        "s": symbol,
        "t": item.trade_id,
        "p": number(item.price),
        "q": number(item.quantity),
        "T": item.at_ms,
        "m": item.is_buyer_maker,
        "M": True,
    }


def aggregate_trade_event(symbol: str, item: Trade, now_ms: int) -> Json:
    """Shape `<symbol>@aggTrade`."""
    return {"e": "aggTrade", "E": now_ms, "s": symbol, **aggregate_trade(item)}


def book_ticker_event(symbol: str, book: Book, update_id: int) -> Json:
    """Shape `<symbol>@bookTicker`, which carries neither event type nor time."""
    bid, bid_qty, ask, ask_qty = best(book)
    return {
        "u": update_id,
        "s": symbol,
        "b": number(bid),
        "B": number(bid_qty),
        "a": number(ask),
        "A": number(ask_qty),
    }


def candle_event(symbol: str, item: Candle, interval: str, *, now_ms: int, is_closed: bool) -> Json:
    """Shape `<symbol>@kline_<interval>`."""
    return {
        "e": "kline",
        "E": now_ms,
        "s": symbol,
        "k": {
            "t": item.open_ms,
            "T": close_of(item.open_ms, interval),
            "s": symbol,
            "i": interval,
            "f": item.first_id,
            "L": item.last_id,
            "o": number(item.open),
            "c": number(item.close),
            "h": number(item.high),
            "l": number(item.low),
            "v": number(item.base),
            "n": item.trades,
            "x": is_closed,
            "q": number(item.quote),
            "V": number(item.taker_base),
            "Q": number(item.taker_quote),
            "B": "0",
        },
    }


def mini_ticker_event(market: Market, now_ms: int) -> Json:
    """Shape `<symbol>@miniTicker`."""
    day = market.day(now_ms)
    return {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": market.symbol,
        "c": number(day.close),
        "o": number(day.open),
        "h": number(day.high),
        "l": number(day.low),
        "v": number(day.base),
        "q": number(day.quote),
    }


def ticker_event(market: Market, book: Book, now_ms: int) -> Json:
    """Shape `<symbol>@ticker`."""
    day = market.day(now_ms)
    change = day.close - day.open
    bid, bid_qty, ask, ask_qty = best(book)
    return {
        "e": "24hrTicker",
        "E": now_ms,
        "s": market.symbol,
        "p": number(change),
        "P": _percent(change, day.open),
        "w": number(average_of(day)),
        "x": number(day.open),
        "c": number(day.close),
        "Q": number(market.last.quantity if market.last else ZERO),
        "b": number(bid),
        "B": number(bid_qty),
        "a": number(ask),
        "A": number(ask_qty),
        "o": number(day.open),
        "h": number(day.high),
        "l": number(day.low),
        "v": number(day.base),
        "q": number(day.quote),
        "O": day.open_ms,
        "C": now_ms,
        "F": day.first_id,
        "L": day.last_id,
        "n": day.trades,
    }


def depth_event(symbol: str, change: Book, first_id: int, last_id: int, now_ms: int) -> Json:
    """Shape `<symbol>@depth`: the levels that changed, quantity 0 for those that are gone."""
    return {
        "e": "depthUpdate",
        "E": now_ms,
        "s": symbol,
        "U": first_id,
        "u": last_id,
        "b": levels(change.bids),
        "a": levels(change.asks),
    }
