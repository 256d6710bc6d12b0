"""Prices for screens: newest per symbol, one bus message per venue at most every half second.

Screens need no more, and a market with a thousand symbols must not flood the sockets. The engine does not
read these: it listens to every price (`Market.on_price`).
"""

from __future__ import annotations

from typing import Any

from tradewind.core.instrument import Environment, VenueName
from tradewind.infra.bus import Bus, Message
from tradewind.market.prices import MarketKey, PricePoint


def tick_topic(venue: VenueName, environment: Environment) -> str:
    """The stream topic of a venue's prices: `price.binance.live`."""
    return f"price.{venue}.{environment}"


def price_json(point: PricePoint) -> dict[str, Any]:
    """A price as programs read it: decimals as strings, times in ISO 8601."""
    return {
        "price": str(point.price),
        "bid": None if point.bid is None else str(point.bid),
        "ask": None if point.ask is None else str(point.ask),
        "at": point.at.isoformat(),
        "source": point.source.value,
    }


class TickBoard:
    """Collects prices between two publications."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._changed: dict[str, dict[str, PricePoint]] = {}
        self._counts: dict[str, int] = {}

    def put(self, key: MarketKey, point: PricePoint) -> None:
        """Note the newest price of a symbol."""
        topic = tick_topic(key.venue, key.environment)
        self._changed.setdefault(topic, {})[key.symbol] = point

    async def publish(self) -> None:
        """Publish what changed since the last time."""
        changed, self._changed = self._changed, {}
        for topic, points in changed.items():
            n = self._counts[topic] = self._counts.get(topic, 0) + 1
            data = {symbol: price_json(point) for symbol, point in points.items()}
            await self._bus.publish(Message(0, "tick", None, {"topic": topic, "n": n, "data": data}))
