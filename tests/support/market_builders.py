"""A venue at the port, for tests of the market room: what it lists, what it says prices are, how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from tests.support.clock import ManualClock

from tradewind.core.instrument import BINANCE, Environment, Instrument, VenueName
from tradewind.core.money import Asset, Price
from tradewind.infra.clock import to_ms
from tradewind.venues.base import (
    Capabilities,
    MarketEvents,
    Protection,
    ResendRule,
    Ticker,
    UserEvents,
    VenueHealth,
)

D = Decimal


def instrument(symbol: str, base: str, quote: str, venue: VenueName = BINANCE) -> Instrument:
    """A market with steps of its own."""
    return Instrument(
        venue, symbol, Asset(base), Asset(quote), D("0.01"), D("0.00001"), D("0.00001"), D(9_000), D(5), D(9_000_000)
    )


def ticker(symbol: str, last: str, at: datetime) -> Ticker:
    """A price as a venue says it."""
    return Ticker(symbol, Price(D(last)), at)


class OutsideStream:
    """A public price stream driven by the test."""

    def __init__(self) -> None:
        self.watched: list[str] = []
        self.runs = 0
        self.failures: list[Exception] = []
        self._queue: asyncio.Queue[Ticker] = asyncio.Queue(100)

    async def run(self) -> None:
        self.runs += 1
        if self.failures:
            raise self.failures.pop(0)
        await asyncio.Event().wait()

    def watch(self, symbols: Sequence[str]) -> None:
        self.watched.extend(symbols)

    async def events(self) -> AsyncIterator[Ticker]:
        while True:
            yield await self._queue.get()

    def say(self, told: Ticker) -> None:
        self._queue.put_nowait(told)


@dataclass
class OutsideVenue:
    """One venue in one environment; only its market side answers."""

    clock: ManualClock
    venue: VenueName = BINANCE
    environment: Environment = Environment.LIVE
    listed: list[Instrument] = field(default_factory=list)
    prices: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    ticker_delay_s: float = 0
    asked: list[tuple[str, ...]] = field(default_factory=list)
    listings: int = 0
    ahead_ms: int = 0
    stream: OutsideStream = field(default_factory=OutsideStream)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            self.venue,
            frozenset({self.environment}),
            Protection.OCO,
            ResendRule.NEW,
            has_test_order=True,
            has_permission_reading=True,
            has_amend=False,
            checks_timestamp=True,
            recv_window_ms=3_000,
            processing_ms_max=10_000,
            repeated_id="accepted again once the first is filled",
            main_quote=Asset("USDT"),
        )

    def venue_now_ms(self) -> int:
        return to_ms(self.clock.now()) + self.ahead_ms

    def confirmed_venue_ms(self) -> int:
        return self.venue_now_ms()

    def health(self) -> VenueHealth:
        is_healthy = self.failure is None
        return VenueHealth(self.venue, self.environment, is_healthy, self.clock.now(), 12, 20.25, 80.0, None, 40, None)

    async def instruments(self) -> Sequence[Instrument]:
        self.listings += 1
        if self.failure is not None:
            raise self.failure
        return list(self.listed)

    async def tickers(self, symbols: Sequence[str]) -> Sequence[Ticker]:
        self.asked.append(tuple(symbols))
        if self.ticker_delay_s:
            await self.clock.sleep(self.ticker_delay_s)
        if self.failure is not None:
            raise self.failure
        # A REST ticker's own time may be that of the last trade, long ago.
        at = datetime.fromtimestamp(0, self.clock.now().tzinfo)
        return [ticker(symbol, self.prices[symbol], at) for symbol in symbols if symbol in self.prices]

    def market_events(self) -> MarketEvents:
        return self.stream

    def user_events(self) -> UserEvents:
        raise AssertionError("the market asks for no private stream")

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"the market does not call {name}")
