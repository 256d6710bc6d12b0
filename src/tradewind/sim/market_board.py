"""What the public sees of a market: last trades, candles, 24-hour figures.

Everything here is counted from the prints that have been played since the server started; there is no
history before that. Two things are modelled and said so in `describe`: the tape does not record who was the
taker, so a print above the last one counts as bought and one below as sold (equal: as before), and one print
is one trade and one aggregate trade.
Candles are kept per minute (bounded) and put together to longer ones when asked; seconds come from the
kept trades.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from tradewind.sim.types import ZERO, Print

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
# The venue gives at most 1000 trades and 1000 candles per call; a day of minutes covers every short candle.
_TRADES_KEPT: Final = 1000
_MINUTES_KEPT: Final = 1440
_HOURS_KEPT: Final = 1000

INTERVALS_MS: Final[dict[str, int]] = {
    "1s": 1000,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    # Weeks begin on Monday; see `_open_of`.
    "1w": 7 * DAY_MS,
    # Months have no fixed length; 31 days are enough to say when one cannot be over yet.
    "1M": 31 * DAY_MS,
}
# 1970-01-01 was a Thursday; weekly candles open on Mondays.
_FIRST_MONDAY_MS: Final = 4 * DAY_MS


class Trade(NamedTuple):
    """One public trade."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    quote: Decimal
    at_ms: int
    is_buyer_maker: bool


@dataclass(slots=True)
class Candle:
    """Open, high, low, close and volumes of one span."""

    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    base: Decimal = ZERO
    quote: Decimal = ZERO
    taker_base: Decimal = ZERO
    taker_quote: Decimal = ZERO
    trades: int = 0
    first_id: int = -1
    last_id: int = -1

    def add(self, trade: Trade) -> None:
        """Count one trade."""
        self.high = max(self.high, trade.price)
        self.low = min(self.low, trade.price)
        self.close = trade.price
        self.base += trade.quantity
        self.quote += trade.quote
        if not trade.is_buyer_maker:
            self.taker_base += trade.quantity
            self.taker_quote += trade.quote
        self.trades += 1
        if self.first_id < 0:
            self.first_id = trade.trade_id
        self.last_id = trade.trade_id

    def join(self, later: Candle) -> None:
        """Add a later candle to this one."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.base += later.base
        self.quote += later.quote
        self.taker_base += later.taker_base
        self.taker_quote += later.taker_quote
        self.trades += later.trades
        self.last_id = later.last_id

    def copy(self, open_ms: int) -> Candle:
        """Give a copy that begins at `open_ms`."""
        return Candle(
            open_ms,
            self.open,
            self.high,
            self.low,
            self.close,
            self.base,
            self.quote,
            self.taker_base,
            self.taker_quote,
            self.trades,
            self.first_id,
            self.last_id,
        )


def _candle_of(open_ms: int, trade: Trade) -> Candle:
    candle = Candle(open_ms, trade.price, trade.price, trade.price, trade.price)
    candle.add(trade)
    return candle


@dataclass(slots=True)
class Market:
    """One symbol's public record; `update_id` grows with every change of its book."""

    symbol: str
    first_price: Decimal
    started_ms: int
    update_id: int
    last: Trade | None = None
    trades: deque[Trade] = field(default_factory=lambda: deque(maxlen=_TRADES_KEPT))
    minutes: deque[Candle] = field(default_factory=lambda: deque(maxlen=_MINUTES_KEPT))
    hours: deque[Candle] = field(default_factory=lambda: deque(maxlen=_HOURS_KEPT))

    def add(self, trade: Trade) -> None:
        """Record a trade."""
        self.update_id += 1
        self.last = trade
        self.trades.append(trade)
        for candles, length in ((self.minutes, MINUTE_MS), (self.hours, HOUR_MS)):
            open_ms = trade.at_ms - trade.at_ms % length
            if candles and candles[-1].open_ms >= open_ms:
                candles[-1].add(trade)
            else:
                candles.append(_candle_of(open_ms, trade))

    def next_trade(self, tick: Print) -> Trade:
        """Turn a print into the next trade."""
        previous = self.last
        sold = previous is not None and (
            tick.price < previous.price or (tick.price == previous.price and previous.is_buyer_maker)
        )
        trade_id = self.update_id if previous is None else previous.trade_id + 1
        return Trade(trade_id, tick.price, tick.quantity, tick.price * tick.quantity, tick.at_ms, sold)

    def day(self, now_ms: int) -> Candle:
        """Sum up the last 24 hours, in whole hours."""
        since = now_ms - DAY_MS
        total: Candle | None = None
        for candle in self.hours:
            if candle.open_ms + HOUR_MS <= since:
                continue
            if total is None:
                total = candle.copy(max(since, self.started_ms))
            else:
                total.join(candle)
        if total is None:
            price = self.last.price if self.last is not None else self.first_price
            total = Candle(since, price, price, price, price)
        return total

    def candles(self, interval: str) -> Iterator[Candle]:
        """Give all kept candles of an interval, oldest first."""
        length = INTERVALS_MS[interval]
        if interval == "1s":
            return _from_trades(self.trades)
        return _grouped(self.minutes if length < HOUR_MS else self.hours, interval)


def _from_trades(trades: Iterable[Trade]) -> Iterator[Candle]:
    current: Candle | None = None
    for trade in trades:
        open_ms = trade.at_ms - trade.at_ms % 1000
        if current is not None and current.open_ms == open_ms:
            current.add(trade)
            continue
        if current is not None:
            yield current
        current = _candle_of(open_ms, trade)
    if current is not None:
        yield current


def _grouped(parts: Iterable[Candle], interval: str) -> Iterator[Candle]:
    current: Candle | None = None
    for part in parts:
        open_ms = open_of(part.open_ms, interval)
        if current is not None and current.open_ms == open_ms:
            current.join(part)
            continue
        if current is not None:
            yield current
        current = part.copy(open_ms)
    if current is not None:
        yield current


def open_of(at_ms: int, interval: str) -> int:
    """Give the opening time of the candle that covers `at_ms`, UTC."""
    length = INTERVALS_MS[interval]
    if interval == "1w":
        return at_ms - (at_ms - _FIRST_MONDAY_MS) % length
    if interval == "1M":
        return _month_start(at_ms)
    return at_ms - at_ms % length


def close_of(open_ms: int, interval: str) -> int:
    """Give the last millisecond of a candle."""
    if interval == "1M":
        return _month_start(open_ms + INTERVALS_MS["1M"]) - 1
    return open_ms + INTERVALS_MS[interval] - 1


def _month_start(at_ms: int) -> int:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


class MarketBoard:
    """All markets."""

    def __init__(self, first_prices: dict[str, Decimal], started_ms: int) -> None:
        # Ids begin at the start time, so they keep growing over restarts without being stored.
        self._markets = {
            symbol: Market(symbol, price, started_ms, started_ms) for symbol, price in first_prices.items()
        }

    def market(self, symbol: str) -> Market:
        """Give one market. Raises KeyError when unknown."""
        return self._markets[symbol]

    def find(self, symbol: str) -> Market | None:
        """Look a market up by its symbol."""
        return self._markets.get(symbol)

    def record(self, prints: Iterable[Print]) -> list[tuple[Market, Trade]]:
        """Record prints in order and give the trades they became."""
        recorded: list[tuple[Market, Trade]] = []
        for tick in prints:
            market = self._markets[tick.symbol]
            trade = market.next_trade(tick)
            market.add(trade)
            recorded.append((market, trade))
        return recorded
