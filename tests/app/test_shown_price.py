"""Prices to show: the account's own venue first, else the platform's price venue; stops see only their own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.support.clock import ManualClock
from tests.support.journal import BTCUSDT

from tradewind.app.desk import Desk
from tradewind.core.instrument import BINANCE, Environment, Instrument, VenueName
from tradewind.core.money import Asset, Price
from tradewind.market.prices import PricePoint, PriceSource

OTHER = VenueName("upbit")
LIVE = Environment.LIVE
PRIMARY = (BINANCE, LIVE)


@dataclass(slots=True)
class _Market:
    """Stands where the market room does: instruments and prices by place."""

    listed: dict[tuple[VenueName, Environment, str], Instrument]
    points: dict[tuple[VenueName, Environment, str], PricePoint] = field(default_factory=dict)
    watched: list[str] = field(default_factory=list)

    def price(self, *key: Any) -> PricePoint | None:
        return self.points.get(key)

    def instrument(self, *key: Any) -> Instrument | None:
        return self.listed.get(key)

    def find(self, venue: VenueName, environment: Environment, base: Asset, quote: Asset) -> Instrument | None:
        found = [each for key, each in self.listed.items() if key[:2] == (venue, environment) and each.base == base]
        return next((each for each in found if each.quote == quote), found[0] if found else None)

    def watch(self, _venue: VenueName, _environment: Environment, symbols: list[str]) -> None:
        self.watched += symbols


def _desk(market: _Market, clock: ManualClock) -> Desk:
    return Desk(None, None, market, clock, 5.0, None, PRIMARY)  # type: ignore[arg-type]


def _point(clock: ManualClock, price: str) -> PricePoint:
    return PricePoint(Price(Decimal(price)), clock.now() - timedelta(seconds=2), PriceSource.REST)


def _market(quote: str = "USDT") -> _Market:
    own = replace(BTCUSDT, venue=OTHER, symbol=f"{quote}-BTC", quote=Asset(quote))
    return _Market({(OTHER, LIVE, own.symbol): own, (*PRIMARY, "BTCUSDT"): BTCUSDT})


def test_price_when_the_own_venue_has_said_one_then_that() -> None:
    clock, market = ManualClock(), _market()
    market.points = {(OTHER, LIVE, "USDT-BTC"): _point(clock, "1"), (*PRIMARY, "BTCUSDT"): _point(clock, "2")}
    shown = _desk(market, clock).shown_price(OTHER, LIVE, "USDT-BTC")
    assert shown is not None
    assert (shown.price, shown.age_s, shown.venue) == (Price(Decimal(1)), 2.0, OTHER)


def test_price_when_the_own_venue_is_silent_then_the_price_venues_and_it_says_so() -> None:
    clock, market = ManualClock(), _market()
    market.points = {(*PRIMARY, "BTCUSDT"): _point(clock, "2")}
    desk = _desk(market, clock)
    shown = desk.shown_price(OTHER, LIVE, "USDT-BTC")
    assert shown is not None
    assert (shown.price, shown.venue) == (Price(Decimal(2)), BINANCE)
    assert market.watched == ["BTCUSDT"]
    # order-protocol.md section 5: prices of other venues never trigger.
    assert desk.fresh_price(OTHER, LIVE, "USDT-BTC") is None


def test_price_when_only_another_quote_is_known_then_none() -> None:
    clock, market = ManualClock(), _market("KRW")
    market.points = {(*PRIMARY, "BTCUSDT"): _point(clock, "2")}
    assert _desk(market, clock).shown_price(OTHER, LIVE, "KRW-BTC") is None
