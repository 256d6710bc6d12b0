"""Live prices: best bid and ask and last trade of a changing set of symbols (web-socket-streams.md, 2026-07-21).

Rules of this file: at most 5 messages a second go out (the venue cuts the connection beyond), so symbols are
subscribed in batches; the newest price of a symbol replaces an older one nobody has read yet; a silent
connection is asked a question and given up if it does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from tradewind.core.money import Price
from tradewind.infra.clock import Clock
from tradewind.infra.log import logger
from tradewind.venues.base import Ticker
from tradewind.venues.binance import codec_stream
from tradewind.venues.binance.codec import NotUnderstood
from tradewind.venues.binance.codec_stream import BookTop, LastPrice, Reply, Shutdown
from tradewind.venues.ratelimit import IpBudget
from tradewind.venues.stream_socket import Backoff, Socket, SocketEnded, StreamRules, open_socket

_log = logger(__name__)

# Two streams a symbol. The venue's limit is 5 messages a second, pongs included: 2 leaves room for those.
_SYMBOLS_PER_MESSAGE = 100
_MESSAGES_PER_S = 2.0


class BinanceMarketEvents:
    """Implements tradewind.venues.base.MarketEvents."""

    def __init__(self, url: str, clock: Clock, budget: IpBudget, rules: StreamRules) -> None:
        self._url = url
        self._clock = clock
        self._budget = budget
        self._rules = rules
        self._feeds: list[_Feed] = []
        self._known: set[str] = set()
        self._changed = asyncio.Event()
        self._board = _Board(clock)

    async def run(self) -> None:
        """Keep the connections alive until cancelled."""
        started = 0
        async with asyncio.TaskGroup() as group:
            while True:
                for feed in self._feeds[started:]:
                    group.create_task(feed.run())
                started = len(self._feeds)
                self._changed.clear()
                await self._changed.wait()

    def watch(self, symbols: Sequence[str]) -> None:
        """Add symbols (idempotent)."""
        for symbol in dict.fromkeys(symbols):
            if symbol not in self._known:
                self._known.add(symbol)
                self._feed_with_room().add(symbol)
        self._changed.set()

    def events(self) -> AsyncIterator[Ticker]:
        """Yield prices; of one symbol only the newest waits to be read."""
        return self._board.read()

    def _feed_with_room(self) -> _Feed:
        if not self._feeds or self._feeds[-1].size >= self._rules.symbols_per_connection:
            self._feeds.append(_Feed(self._url, self._clock, self._budget, self._rules, self._board))
        return self._feeds[-1]


class _Board:
    """The newest price of each symbol, and which of them nobody has read yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: dict[str, Ticker] = {}
        self._unread: dict[str, None] = {}
        self._arrived = asyncio.Event()

    def take(self, found: BookTop | LastPrice) -> None:
        ticker = self._merged(found)
        if ticker is not None:
            self._newest[ticker.symbol] = ticker
            self._unread[ticker.symbol] = None
            self._arrived.set()

    def _merged(self, found: BookTop | LastPrice) -> Ticker | None:
        known = self._newest.get(found.symbol)
        if isinstance(found, LastPrice):
            bid, ask = (known.bid, known.ask) if known is not None else (None, None)
            return Ticker(found.symbol, found.last, found.at, bid, ask)
        last: Price | None = known.last if known is not None else None
        # Before the first trade is seen: what a sell would get, else what a buy would pay.
        last = last or found.bid or found.ask
        # bookTicker carries no time of the venue; receipt is the best there is.
        return Ticker(found.symbol, last, self._clock.now(), found.bid, found.ask) if last is not None else None

    async def read(self) -> AsyncIterator[Ticker]:
        while True:
            while self._unread:
                symbol = next(iter(self._unread))
                del self._unread[symbol]
                yield self._newest[symbol]
            self._arrived.clear()
            await self._arrived.wait()


class _Feed:
    """Some symbols and their connection."""

    def __init__(self, url: str, clock: Clock, budget: IpBudget, rules: StreamRules, board: _Board) -> None:
        self._url = url
        self._clock = clock
        self._budget = budget
        self._rules = rules
        self._board = board
        self._symbols: list[str] = []
        self._subscribed = 0
        self._count = 0
        self._sent_at = 0.0
        self._heard_at = 0.0
        self._asked_at: float | None = None
        self._is_ending = False

    @property
    def size(self) -> int:
        return len(self._symbols)

    def add(self, symbol: str) -> None:
        self._symbols.append(symbol)

    async def run(self) -> None:
        """Connect, serve, begin anew; for ever."""
        backoff = Backoff(self._clock, self._rules)
        while True:
            backoff.started()
            try:
                await self._serve()
            except SocketEnded as ended:
                _log.info("venues.prices.ended", reason=ended.reason, symbols=len(self._symbols))
            except Exception:
                _log.exception("venues.prices.crashed", symbols=len(self._symbols))
            await backoff.wait()

    async def _serve(self) -> None:
        async with open_socket(self._url, self._budget, self._rules) as socket:
            opened_at = self._heard_at = self._clock.monotonic()
            self._subscribed, self._asked_at, self._is_ending = 0, None, False
            while not self._is_ending and self._clock.monotonic() - opened_at < self._rules.rotate_s:
                await self._ask(socket)
                frame = await socket.receive()
                if frame is not None:
                    self._heard_at = self._clock.monotonic()
                    self._take(frame)

    async def _ask(self, socket: Socket) -> None:
        """Send at most one message: symbols not subscribed yet, else a question to a silent connection."""
        now = self._clock.monotonic()
        if self._asked_at is not None and now - self._asked_at > self._rules.answer_s:
            raise SocketEnded("silent")
        if now - self._sent_at < 1 / _MESSAGES_PER_S:
            return
        batch = self._symbols[self._subscribed : self._subscribed + _SYMBOLS_PER_MESSAGE]
        if batch:
            streams = [f"{symbol.lower()}@{kind}" for symbol in batch for kind in ("bookTicker", "miniTicker")]
            self._subscribed += len(batch)
            await self._send(socket, "SUBSCRIBE", streams)
        elif self._asked_at is None and now - self._heard_at > self._rules.silence_s:
            await self._send(socket, "LIST_SUBSCRIPTIONS", [])

    async def _send(self, socket: Socket, method: str, streams: list[str]) -> None:
        self._count += 1
        self._sent_at = self._asked_at = self._clock.monotonic()
        await socket.send(codec_stream.market_frame(self._count, method, streams))

    def _take(self, frame: bytes) -> None:
        try:
            found = codec_stream.read_market_frame(frame)
        except NotUnderstood:
            _log.warning("venues.prices.unreadable", bytes=len(frame))
            return
        if isinstance(found, BookTop | LastPrice):
            self._board.take(found)
        elif isinstance(found, Reply):
            self._asked_at = None
            if found.is_error:
                raise SocketEnded("a subscription was refused")
        elif isinstance(found, Shutdown):
            self._is_ending = True
