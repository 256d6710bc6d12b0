"""The market's doors, through HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from tests.support.market_builders import OutsideVenue, instrument
from tests.support.people import People, browser, people

from tradewind.core.instrument import BINANCE, Environment
from tradewind.infra.bus import InProcessBus
from tradewind.market.routes import build_router
from tradewind.market.service import Market
from tradewind.venues.base import VenueClient
from tradewind.venues.errors import VenueDown


@pytest.fixture
def base(tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as made:
        yield made


@pytest.fixture
def venue(base: People) -> OutsideVenue:
    listed = [instrument("BTCUSDT", "BTC", "USDT"), instrument("ETHUSDT", "ETH", "USDT")]
    return OutsideVenue(base.clock, environment=Environment.PAPER, listed=listed, prices={"BTCUSDT": "67000.10"})


@pytest.fixture
async def market(base: People, venue: OutsideVenue) -> Market:
    made = Market({(BINANCE, Environment.PAPER): cast("VenueClient", venue)}, base.clock, base.db, InProcessBus())
    await made.start()
    return made


@pytest.fixture
async def user(base: People, market: Market) -> AsyncIterator[httpx.AsyncClient]:
    app = base.app(build_router(market, base.clock))
    async with browser(app, base.add_token(base.add_user("ann"))) as client:
        yield client


async def test_health_when_asked_by_a_stranger_says_it_serves_and_no_more(
    base: People, market: Market, venue: OutsideVenue
) -> None:
    async with browser(base.app(build_router(market, base.clock))) as stranger:
        venue.failure = VenueDown("unreachable", "no answer")
        answer = await stranger.get("/api/v1/health")
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "time": base.clock.now().isoformat().replace("+00:00", "Z"),
            "database": "ok",
            "venues_healthy": 0,
            "venues": 1,
        }
        for path in ("/venues", "/markets/binance", "/prices?venue=binance&symbols=BTCUSDT"):
            assert (await stranger.get(f"/api/v1{path}")).status_code == 401


async def test_venues_when_listed_show_health_clock_and_protection(user: httpx.AsyncClient) -> None:
    (seen,) = (await user.get("/api/v1/venues")).json()
    assert (seen["venue"], seen["environment"], seen["is_healthy"]) == ("binance", "paper", True)
    assert (seen["clock_offset_ms"], seen["latency_p50_ms"], seen["instruments"]) == (12, "20.2", 2)
    assert seen["protection"] == "oco"


async def test_markets_when_filtered_show_steps_as_strings(user: httpx.AsyncClient) -> None:
    answer = await user.get("/api/v1/markets/binance", params={"base": "btc"})
    (seen,) = answer.json()
    assert (seen["symbol"], seen["step"], seen["min_notional"]) == ("BTCUSDT", "0.00001", "5")
    assert len((await user.get("/api/v1/markets/binance", params={"quote": "USDT"})).json()) == 2
    assert (await user.get("/api/v1/markets/nowhere")).status_code == 404
    assert (await user.get("/api/v1/markets/binance", params={"environment": "testnet"})).status_code == 404


@pytest.mark.parametrize("written", ["BTCUSDT", "btc/usdt", "BINANCE:BTCUSDT", "BTC", "BTC-USDT,BTCUSDT"])
async def test_price_when_asked_for_in_any_usual_form_is_given_with_its_age(
    user: httpx.AsyncClient, written: str
) -> None:
    answer = await user.get("/api/v1/prices", params={"venue": "binance", "symbols": written})
    (seen,) = answer.json()
    assert (seen["symbol"], seen["price"], seen["age_s"], seen["source"]) == ("BTCUSDT", "67000.1", "0.000", "rest")


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"venue": "binance", "symbols": "NOPEUSDT"}, 422, "unknown_symbol"),
        ({"venue": "binance", "symbols": "BTCEUR"}, 422, "unknown_symbol"),
        ({"venue": "binance", "symbols": "BTCUSDT.P"}, 422, "derivative_symbol"),
        ({"venue": "binance", "symbols": " , "}, 422, "symbols_out_of_bounds"),
        ({"venue": "binance", "symbols": ",".join(f"A{n}USDT" for n in range(201))}, 422, "symbols_out_of_bounds"),
        ({"venue": "nowhere", "symbols": "BTCUSDT"}, 404, "venue_not_found"),
        ({"symbols": "BTCUSDT"}, 422, "invalid_request"),
    ],
)
async def test_price_that_cannot_be_given_is_told_why(
    user: httpx.AsyncClient, params: dict[str, Any], status: int, code: str
) -> None:
    answer = await user.get("/api/v1/prices", params=params)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_price_when_the_venue_says_nothing_is_missing_and_never_old(
    user: httpx.AsyncClient, venue: OutsideVenue
) -> None:
    answer = await user.get("/api/v1/prices", params={"venue": "binance", "symbols": "ETHUSDT"})
    assert (answer.status_code, answer.json()) == (200, [])
