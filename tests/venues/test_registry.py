"""Which clients there are, and where they point."""

import asyncio

import pytest
from tests.support.binance_venue import Says, Script
from tests.support.raw_server import raw_server
from tests.venues.binance.test_codec_market import symbol_body

from tradewind.core.errors import NotFound
from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.infra.clock import SystemClock
from tradewind.venues.base import VenueClient
from tradewind.venues.binance.client import BinanceClient
from tradewind.venues.registry import Venues, VenueSettings

PAPER, TESTNET, LIVE = Environment.PAPER, Environment.TESTNET, Environment.LIVE


def setting(environment: Environment, **changes: object) -> VenueSettings:
    return VenueSettings(BINANCE, environment, **changes)  # type: ignore[arg-type]


def urls(client: VenueClient) -> tuple[str, str, str, bool]:
    assert isinstance(client, BinanceClient)
    profile = client._profile
    return profile.rest_url, profile.ws_api_url, profile.stream_url, profile.has_sapi


def test_client_when_set_up_then_one_for_each_venue_and_environment() -> None:
    venues = Venues([setting(LIVE), setting(TESTNET), setting(PAPER, rest_url="http://127.0.0.1:9")], SystemClock())
    assert len(venues.all()) == 3
    for environment in Environment:
        client = venues.client(BINANCE, environment)
        assert client.environment is environment
        assert venues.client(BINANCE, environment) is client
    assert [health.environment for health in venues.statuses()] == [LIVE, TESTNET, PAPER]
    assert not any(health.is_healthy for health in venues.statuses())


def test_client_when_not_set_up_then_not_found_names_the_setting() -> None:
    venues = Venues([setting(LIVE, is_enabled=False)], SystemClock())
    with pytest.raises(NotFound, match="switched off for live"):
        venues.client(BINANCE, LIVE)
    with pytest.raises(NotFound, match="binance is not set up for testnet"):
        venues.client(BINANCE, TESTNET)
    with pytest.raises(NotFound, match="upbit"):
        venues.client(VenueName("upbit"), LIVE)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([setting(PAPER)], "rest_url"),
        ([setting(LIVE), setting(LIVE)], "twice"),
        ([VenueSettings(VenueName("mtgox"), LIVE)], "known are: binance"),
        ([setting(PAPER, rest_url="https://api.binance.com")], "points at the live venue"),
        ([setting(TESTNET, rest_url="https://api3.binance.com")], "points at the live venue"),
        ([setting(TESTNET, ws_api_url="wss://ws-api.binance.com/ws-api/v3")], "points at the live venue"),
    ],
)
def test_venues_when_settings_cannot_be_meant_then_value_error_says_what(
    settings: list[VenueSettings], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Venues(settings, SystemClock())


def test_profiles_when_chosen_then_the_venues_own_places() -> None:
    clock = SystemClock()
    assert urls(Venues([setting(LIVE)], clock).client(BINANCE, LIVE)) == (
        "https://api.binance.com",
        "wss://ws-api.binance.com:443/ws-api/v3",
        "wss://stream.binance.com:9443/stream",
        True,
    )
    assert urls(Venues([setting(TESTNET)], clock).client(BINANCE, TESTNET))[0] == "https://testnet.binance.vision"
    demo = urls(Venues([setting(TESTNET, profile="demo")], clock).client(BINANCE, TESTNET))
    assert demo == (
        "https://demo-api.binance.com",
        "wss://demo-ws-api.binance.com/ws-api/v3",
        "wss://demo-stream.binance.com/stream",
        False,
    )
    paper = urls(Venues([setting(PAPER, rest_url="http://127.0.0.1:9000")], clock).client(BINANCE, PAPER))
    assert paper == (
        "http://127.0.0.1:9000",
        "ws://127.0.0.1:9000/ws-api/v3",
        "ws://127.0.0.1:9000/stream",
        True,
    )


async def test_start_when_one_venue_is_away_then_the_others_start() -> None:
    script = Script()
    script.on("GET", "/api/v3/exchangeInfo", Says({"rateLimits": [], "symbols": [symbol_body()]}))
    async with raw_server(script.serve) as server:
        settings = [
            setting(PAPER, rest_url=server.url),
            setting(TESTNET, rest_url="http://127.0.0.1:1", request_timeout_s=0.5),
        ]
        venues = Venues(settings, SystemClock())
        await venues.start()
        healthy = {health.environment: health.is_healthy for health in venues.statuses()}
        assert healthy == {PAPER: True, TESTNET: False}
        running = asyncio.create_task(venues.run())
        await asyncio.sleep(0.05)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await venues.close()
