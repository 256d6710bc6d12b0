"""The price feed of one venue in one environment: its stream, and its REST ticker where the stream is silent.

The stream is trusted for as long as it speaks; a watched symbol that was not confirmed for 5 s is asked for
(order-protocol.md section 5). Prices of other venues never stand in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from tradewind.core.instrument import Environment, VenueName
from tradewind.infra.clock import Clock, from_ms
from tradewind.infra.log import logger
from tradewind.market.prices import INFINITE_AGE_S, MarketKey, PricePoint, PriceSource, point_of
from tradewind.venues.base import VenueClient
from tradewind.venues.errors import RateLimited, VenueDown, VenueError

# "A watch is protection only while its own venue's price was confirmed within 5 s": ask before that.
POLL_AGE_S = 4.0
_POLL_EVERY_S = 1.0
# A venue that does not answer is asked less and less often, but never less than this.
_POLL_PAUSE_MAX_S = 15.0
# Longest wait for one REST answer; the client has its own shorter ones.
_ASK_TIMEOUT_S = 5.0
_RESTART_PAUSE_S = 1.0

_log = logger("market.feed")
OnPrice = Callable[[MarketKey, PricePoint], None]


class Feed:
    """Keeps the prices of the watched symbols; its owner runs `run`."""

    def __init__(self, client: VenueClient, clock: Clock, on_price: OnPrice) -> None:
        self.venue: VenueName = client.capabilities.venue
        self.environment: Environment = client.environment
        self._client = client
        self._clock = clock
        self._on_price = on_price
        self._stream = client.market_events()
        self._watched: set[str] = set()
        self._points: dict[str, PricePoint] = {}
        self._asking = asyncio.Lock()

    @property
    def watched(self) -> frozenset[str]:
        return frozenset(self._watched)

    def watch(self, symbols: Iterable[str]) -> None:
        """Keep these symbols' prices fresh from now on (idempotent)."""
        new = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._watched]
        if new:
            self._watched.update(new)
            self._stream.watch(new)

    def point(self, symbol: str) -> PricePoint | None:
        """Return the last known price, however old."""
        return self._points.get(symbol)

    def points(self) -> dict[str, PricePoint]:
        """Return all last known prices."""
        return dict(self._points)

    async def run(self) -> None:
        """Keep prices coming until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_alive("stream", self._stream.run))
            tasks.create_task(self._keep_alive("events", self._listen))
            tasks.create_task(self._keep_alive("poll", self._poll))

    async def confirm(self, symbols: Iterable[str], age_max_s: float) -> None:
        """Ask the venue for those of the symbols whose price is older than `age_max_s`.

        Callers who come at the same time share one request. Raises VenueError where the venue does not answer.
        """
        wanted = dict.fromkeys(symbols)
        if not self._older(wanted, age_max_s):
            return
        async with self._asking:
            # Whoever held the lock before may have asked for the same ones.
            missing = self._older(wanted, age_max_s)
            if missing:
                await self._ask(missing)

    async def _ask(self, symbols: list[str]) -> None:
        # True at the latest when asked: the answer may have been on its way for a while.
        asked_at, venue_at = self._clock.now(), from_ms(self._client.venue_now_ms())
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                tickers = await self._client.tickers(symbols)
        except TimeoutError:
            raise VenueDown("ticker_timeout", f"No answer within {_ASK_TIMEOUT_S:.0f} s.") from None
        for ticker in tickers:
            self._take(ticker.symbol, point_of(ticker, PriceSource.REST, asked_at, venue_at))

    async def _listen(self) -> None:
        async for ticker in self._stream.events():
            venue_at = from_ms(self._client.venue_now_ms())
            self._take(ticker.symbol, point_of(ticker, PriceSource.STREAM, self._clock.now(), venue_at))

    async def _poll(self) -> None:
        pause_s = _POLL_EVERY_S
        while True:
            await self._clock.sleep(pause_s)
            try:
                await self.confirm(sorted(self._watched), POLL_AGE_S)
                pause_s = _POLL_EVERY_S
            except VenueError as error:
                pause_s = self._pause_after(error, pause_s)
                _log.warning("market.feed.poll_failed", venue=self.venue, code=error.code, pause_s=pause_s)

    def _pause_after(self, error: VenueError, pause_s: float) -> float:
        if isinstance(error, RateLimited) and error.retry_at_ms is not None:
            return max(_POLL_EVERY_S, (error.retry_at_ms - self._client.venue_now_ms()) / 1_000)
        return min(_POLL_PAUSE_MAX_S, pause_s * 2)

    async def _keep_alive(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                # A bug in one venue's stream must not take down every other venue: REST goes on meanwhile.
                _log.exception("market.feed.restarted", venue=self.venue, environment=self.environment, part=name)
            await self._clock.sleep(_RESTART_PAUSE_S)

    def _older(self, symbols: Iterable[str], age_max_s: float) -> list[str]:
        now = self._clock.now()
        points = ((symbol, self._points.get(symbol)) for symbol in symbols)
        return [symbol for symbol, point in points if point is None or not point.is_fresh(now, age_max_s)]

    def _take(self, symbol: str, point: PricePoint) -> None:
        known = self._points.get(symbol)
        # A REST answer that was overtaken by the stream says nothing new.
        if known is not None and known.at > point.at and known.age_s(self._clock.now()) != INFINITE_AGE_S:
            return
        self._points[symbol] = point
        self._on_price(MarketKey(self.venue, self.environment, symbol), point)
