"""Prices as values: what a symbol cost, and how long ago that was certain.

A price's age runs from the moment the venue said it, in our own time: a quote that travelled for 20 s is
20 s old when it arrives, and a quiet market that a REST answer has just confirmed is fresh. Unknown age is
infinite age, never zero: a watch that trusts it would be no protection (order-protocol.md section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import Price
from tradewind.venues.base import Ticker

INFINITE_AGE_S = float("inf")
# Our own wall clock may be set back by this much without prices losing their age.
_BACK_STEP_MAX_S = 1.0


class PriceSource(StrEnum):
    """How we heard of a price."""

    STREAM = "stream"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class MarketKey:
    """One symbol at one venue in one environment."""

    venue: VenueName
    environment: Environment
    symbol: str


@dataclass(frozen=True, slots=True)
class PricePoint:
    """The last known price; `at` is when it was certain, in our UTC time."""

    price: Price
    at: datetime
    source: PriceSource
    bid: Price | None = None
    ask: Price | None = None

    def age_s(self, now: datetime) -> float:
        """Seconds since the price was certain; infinite if our clock was set back past it."""
        age = (now - self.at).total_seconds()
        if age < -_BACK_STEP_MAX_S:
            return INFINITE_AGE_S
        return max(0.0, age)

    def is_fresh(self, now: datetime, age_max_s: float) -> bool:
        """Say whether the price was certain within the last `age_max_s` seconds."""
        return self.age_s(now) <= age_max_s


def point_of(ticker: Ticker, source: PriceSource, known_at: datetime, venue_now: datetime) -> PricePoint:
    """Make a price point of a ticker.

    `known_at`: our time at which it is known to have been true: receipt for a stream, the moment of asking
    for REST. `venue_now`: the venue's time then. A stream's own time, where it lags, makes it older.
    """
    lag = timedelta(0)
    if source is PriceSource.STREAM:
        lag = max(lag, venue_now - ticker.at)
    return PricePoint(ticker.last, known_at - lag, source, ticker.bid, ticker.ask)
