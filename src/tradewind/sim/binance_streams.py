"""Public market streams: who listens to what, and when it is sent.

Stream names as in web-socket-streams.md (2026-07-21), symbols in lower case. Trades and best prices go out
with every print; tickers once a second, candles every two seconds (one-second candles every second), partial
and difference depth every second or every 100 ms with the `@100ms` suffix, and only when something changed.
Like the venue, a subscription to a stream of an unknown symbol is accepted and stays silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec

from tradewind.sim import binance_market_shapes as shapes
from tradewind.sim.binance_shapes import Json
from tradewind.sim.market_board import INTERVALS_MS, Candle, Market, MarketBoard, Trade, close_of
from tradewind.sim.pricing import Book, Level
from tradewind.sim.types import ZERO

_encode = msgspec.json.Encoder().encode
_SECOND_MS: Final = 1000
_KLINE_MS: Final = 2000
_FAST_MS: Final = 100
_DEPTH_LEVELS: Final = 20

_STREAM = re.compile(
    r"(?P<symbol>[^@!A-Z]{1,20})@(?P<kind>trade|aggTrade|bookTicker|miniTicker|ticker|avgPrice"
    r"|kline_(?P<interval>\w{2,3})|depth(?P<levels>5|10|20)?(?P<fast>@100ms)?)"
)
ALL_MINI: Final = "!miniTicker@arr"


class Listener(Protocol):
    """A connection that hears streams."""

    def deliver(self, stream: str, payload: str) -> None:
        """Send one encoded payload of a stream."""


def is_stream_name(name: str) -> bool:
    """Tell whether the venue knows streams of this form."""
    if name == ALL_MINI:
        return True
    match = _STREAM.fullmatch(name)
    if match is None:
        return False
    return match["interval"] is None or match["interval"] in INTERVALS_MS


class MarketStreams:
    """All public subscriptions."""

    def __init__(self, board: MarketBoard, book: Callable[[str, int], Book]) -> None:
        self._board = board
        self._book = book
        self._listeners: dict[str, set[Listener]] = {}
        self._changed: dict[str, set[str]] = {"fast": set(), "second": set(), "kline": set()}
        self._due: dict[str, int] = {"fast": 0, "second": 0, "kline": 0}
        self._sent_books: dict[str, tuple[int, Book]] = {}
        self._sent_candles: dict[str, int] = {}
        self.is_muted = False

    def add(self, name: str, listener: Listener) -> None:
        """Subscribe a connection to a stream."""
        self._listeners.setdefault(name, set()).add(listener)

    def remove(self, name: str, listener: Listener) -> None:
        """Unsubscribe; nothing happens when it was not subscribed."""
        heard = self._listeners.get(name)
        if heard is None:
            return
        heard.discard(listener)
        if not heard:
            del self._listeners[name]
            self._sent_books.pop(name, None)
            self._sent_candles.pop(name, None)

    def listeners(self) -> set[Listener]:
        """List every connection with at least one stream."""
        return {listener for heard in self._listeners.values() for listener in heard}

    def on_trades(self, trades: Sequence[tuple[Market, Trade]], now_ms: int) -> None:
        """Send what goes out with every print and note what changed."""
        if not self._listeners:
            return
        for market, trade in trades:
            for names in self._changed.values():
                names.add(market.symbol)
            self._send_trade(market, trade, now_ms)

    def flush(self, now_ms: int) -> None:
        """Send what goes out by the clock; call it often, it keeps its own times."""
        if not self._listeners:
            return
        for pace, length, send in (
            ("fast", _FAST_MS, self._send_fast),
            ("second", _SECOND_MS, self._send_second),
            ("kline", _KLINE_MS, self._send_candles),
        ):
            if now_ms - self._due[pace] < length:
                continue
            self._due[pace] = now_ms
            changed, self._changed[pace] = self._changed[pace], set()
            send(changed, now_ms)

    def _send(self, name: str, make: Callable[[], object]) -> None:
        heard = self._listeners.get(name)
        if not heard or self.is_muted:
            return
        payload = _encode(make()).decode()
        for listener in tuple(heard):
            listener.deliver(name, payload)

    def _send_trade(self, market: Market, trade: Trade, now_ms: int) -> None:
        symbol, low = market.symbol, market.symbol.lower()
        self._send(f"{low}@trade", lambda: shapes.trade_event(symbol, trade, now_ms))
        self._send(f"{low}@aggTrade", lambda: shapes.aggregate_trade_event(symbol, trade, now_ms))
        self._send(
            f"{low}@bookTicker",
            lambda: shapes.book_ticker_event(symbol, self._book(symbol, 1), market.update_id),
        )

    def _send_fast(self, changed: Iterable[str], now_ms: int) -> None:
        for symbol in changed:
            self._send_depth(symbol, "@100ms", now_ms)

    def _send_second(self, changed: Iterable[str], now_ms: int) -> None:
        minis: list[Json] = []
        for symbol in changed:
            market, low = self._board.market(symbol), symbol.lower()
            self._send(f"{low}@miniTicker", partial(shapes.mini_ticker_event, market, now_ms))
            self._send(
                f"{low}@ticker",
                partial(self._ticker_event, market, now_ms),
            )
            self._send_candle(market, "1s", now_ms)
            self._send_depth(symbol, "", now_ms)
            if ALL_MINI in self._listeners:
                minis.append(shapes.mini_ticker_event(market, now_ms))
        if minis:
            self._send(ALL_MINI, lambda: minis)

    def _send_candles(self, _changed: Iterable[str], now_ms: int) -> None:
        # By name, not by change: a candle that ends in silence must still be sent as closed.
        for name in [name for name in self._listeners if "@kline_" in name]:
            low, _, interval = name.partition("@kline_")
            market = self._board.find(low.upper())
            if market is not None and interval in INTERVALS_MS and interval != "1s":
                self._send_candle(market, interval, now_ms)

    def _send_candle(self, market: Market, interval: str, now_ms: int) -> None:
        name = f"{market.symbol.lower()}@kline_{interval}"
        if name not in self._listeners:
            return
        candles = list(market.candles(interval))[-2:]
        if not candles:
            return
        sent = self._sent_candles.get(name, candles[-1].open_ms)
        for item in candles:
            if item.open_ms >= sent:
                self._send(name, partial(self._candle_event, market.symbol, item, interval, now_ms))
        is_closed = close_of(candles[-1].open_ms, interval) < now_ms
        self._sent_candles[name] = candles[-1].open_ms + (1 if is_closed else 0)

    def _ticker_event(self, market: Market, now_ms: int) -> Json:
        return shapes.ticker_event(market, self._book(market.symbol, 1), now_ms)

    def _depth(self, symbol: str, count: int, update_id: int) -> Json:
        return shapes.depth(self._book(symbol, count), update_id)

    def _candle_event(self, symbol: str, item: Candle, interval: str, now_ms: int) -> Json:
        is_closed = close_of(item.open_ms, interval) < now_ms
        return shapes.candle_event(symbol, item, interval, now_ms=now_ms, is_closed=is_closed)

    def _send_depth(self, symbol: str, suffix: str, now_ms: int) -> None:
        low, update_id = symbol.lower(), self._board.market(symbol).update_id
        for count in (5, 10, 20):
            self._send(f"{low}@depth{count}{suffix}", partial(self._depth, symbol, count, update_id))
        name = f"{low}@depth{suffix}"
        if name in self._listeners:
            self._send_difference(name, symbol, update_id, now_ms)

    def _send_difference(self, name: str, symbol: str, update_id: int, now_ms: int) -> None:
        book = self._book(symbol, _DEPTH_LEVELS)
        # The first message of a stream carries the whole book: it differs from nothing.
        sent_id, sent = self._sent_books.get(name, (update_id - 1, Book((), ())))
        change = Book(_difference(sent.bids, book.bids), _difference(sent.asks, book.asks))
        self._sent_books[name] = (update_id, book)
        self._send(name, lambda: shapes.depth_event(symbol, change, sent_id + 1, update_id, now_ms))


def _difference(before: Iterable[Level], after: Iterable[Level]) -> tuple[Level, ...]:
    """Give the levels that changed; a level that is gone has quantity 0."""
    old = {level.price: level.quantity for level in before}
    new = {level.price: level.quantity for level in after}
    gone = [Level(price, ZERO) for price in old if price not in new]
    changed = [Level(price, quantity) for price, quantity in new.items() if old.get(price) != quantity]
    return tuple(gone + changed)
