"""Instruments, prices and their age, with a venue that speaks, is silent, or fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from tests.support.clock import ManualClock
from tests.support.database import address
from tests.support.market_builders import OutsideVenue, instrument, ticker

from tradewind.core.errors import NotFound
from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.core.money import Asset
from tradewind.infra.bus import InProcessBus, Message
from tradewind.infra.clock import from_ms
from tradewind.infra.db import Db, metadata
from tradewind.market import store
from tradewind.market.prices import INFINITE_AGE_S, MarketKey, PricePoint, PriceSource
from tradewind.market.service import Market, MarketSettings
from tradewind.market.store import Catalogue
from tradewind.venues.base import VenueClient
from tradewind.venues.errors import RateLimited, VenueDown

LIVE = Environment.LIVE
BTC, ETH, USDT, USDC = (Asset(a) for a in ("BTC", "ETH", "USDT", "USDC"))
BTCUSDT, BTCUSDC, ETHBTC = (
    instrument("BTCUSDT", "BTC", "USDT"),
    instrument("BTCUSDC", "BTC", "USDC"),
    instrument("ETHBTC", "ETH", "BTC"),
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    made = Db.open(address(tmp_path / "market.db", is_migrated=True))
    metadata.create_all(made.engine)
    yield made
    made.close()


class Floor:
    """A market over one outside venue."""

    def __init__(self, db: Db, settings: MarketSettings | None = None) -> None:
        self.clock, self.bus, self.db = ManualClock(), InProcessBus(), db
        self.venue = OutsideVenue(self.clock, listed=[BTCUSDT, BTCUSDC, ETHBTC], prices={"BTCUSDT": "67000"})
        self.market = self.build(settings)
        self.seen: list[tuple[MarketKey, PricePoint]] = []
        self.market.on_price(lambda key, point: self.seen.append((key, point)))

    def build(self, settings: MarketSettings | None = None) -> Market:
        client = cast("VenueClient", self.venue)
        return Market({(BINANCE, LIVE): client}, self.clock, self.db, self.bus, settings)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        await self.market.start()
        running = asyncio.create_task(self.market.run())
        await self.clock.advance(0)
        yield
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    async def say(self, last: str, *, symbol: str = "BTCUSDT", lag_s: float = 0) -> None:
        at = from_ms(self.venue.venue_now_ms()) - timedelta(seconds=lag_s)
        self.venue.stream.say(ticker(symbol, last, at))
        await self.clock.advance(0)

    def price(self, symbol: str = "BTCUSDT") -> PricePoint:
        point = self.market.price(BINANCE, LIVE, symbol)
        assert point is not None
        return point


@pytest.fixture
def floor(db: Db) -> Floor:
    return Floor(db)


# --- instruments -----------------------------------------------------------------------------------


async def test_instruments_when_started_are_found_by_symbol_and_by_base(floor: Floor) -> None:
    market = floor.market
    assert market.instrument(BINANCE, LIVE, "BTCUSDT") is None
    assert market.is_listed(BTC) is None
    async with floor.open():
        assert market.instrument(BINANCE, LIVE, "BTCUSDT") == BTCUSDT
        assert market.instrument(BINANCE, LIVE, "NOPE") is None
        assert market.find(BINANCE, LIVE, BTC) == BTCUSDT
        assert market.find(BINANCE, LIVE, BTC, USDC) == BTCUSDC
        assert market.find(BINANCE, LIVE, ETH) is None
        assert market.find(BINANCE, LIVE, ETH, signal_quote=BTC) == ETHBTC
        assert market.find(VenueName("upbit"), LIVE, BTC) is None
        assert (market.is_listed(BTC), market.is_listed(Asset("NOPE"))) == (True, False)
        assert market.similar_bases(Asset("BTTC")) == ["BTC"]
        with pytest.raises(NotFound):
            market.instruments(BINANCE, Environment.TESTNET)


async def test_instruments_when_the_venue_is_away_at_start_come_from_the_last_list(floor: Floor) -> None:
    async with floor.open():
        await floor.db.write(lambda tx: None)
    floor.venue.failure = VenueDown("unreachable", "no answer")
    floor.market = floor.build()
    async with floor.open():
        assert floor.market.instrument(BINANCE, LIVE, "BTCUSDT") == BTCUSDT
        # It is asked again soon, not in an hour.
        floor.venue.failure = None
        floor.venue.listed = [BTCUSDT]
        await floor.clock.advance(32)
        assert floor.market.instruments(BINANCE, LIVE) == (BTCUSDT,)


async def test_instruments_when_an_hour_has_passed_are_read_again_and_kept(floor: Floor) -> None:
    async with floor.open():
        floor.venue.listed = [BTCUSDT]
        await floor.clock.advance(3_500)
        assert floor.venue.listings == 1
        await floor.clock.advance(110)
        assert floor.market.instruments(BINANCE, LIVE) == (BTCUSDT,)
        # Writes are carried out one after the other: when this one is done, the list is kept.
        await floor.db.write(lambda tx: None)
    kept = floor.db.read_now(lambda tx: store.find_catalogue(tx, BINANCE, LIVE))
    assert kept is not None
    assert kept.instruments == (BTCUSDT,)


async def test_list_when_suddenly_empty_is_not_believed(floor: Floor) -> None:
    async with floor.open():
        floor.venue.listed = []
        await floor.clock.advance(3_700)
        assert floor.market.find(BINANCE, LIVE, BTC) == BTCUSDT


async def test_refused_orders_in_a_row_when_they_ask_for_a_refresh_cause_one(floor: Floor) -> None:
    async with floor.open():
        await floor.clock.advance(100)
        for _ in range(5):
            floor.market.refresh_soon(BINANCE, LIVE)
            await floor.clock.advance(2)
        assert floor.venue.listings == 2
        # Asked for within the gap after a reading: once more when the gap is over.
        await floor.clock.advance(60)
        assert floor.venue.listings == 3
        floor.market.refresh_soon(VenueName("nowhere"), LIVE)


def test_catalogue_when_kept_is_read_back_exactly(db: Db) -> None:
    odd = instrument("1000PEPEUSDT", "1000PEPE", "USDT")
    now = ManualClock().now()
    db.write_now(lambda tx: store.save_catalogue(tx, BINANCE, LIVE, Catalogue((BTCUSDT,), now)))
    db.write_now(lambda tx: store.save_catalogue(tx, BINANCE, LIVE, Catalogue((BTCUSDT, odd), now)))
    kept = db.read_now(lambda tx: store.find_catalogue(tx, BINANCE, LIVE))
    assert kept == Catalogue((BTCUSDT, odd), now)
    assert kept.instruments[0].tick == Decimal("0.01")
    assert db.read_now(lambda tx: store.find_catalogue(tx, BINANCE, Environment.TESTNET)) is None


def test_catalogue_when_an_older_release_wrote_it_is_left_alone(db: Db) -> None:
    now = ManualClock().now()
    db.write_now(lambda tx: store.save_catalogue(tx, BINANCE, LIVE, Catalogue((), now)))
    db.write_now(lambda tx: tx.execute(store.catalogues.update().values(body='[{"symbol":"BTCUSDT"}]')))
    assert db.read_now(lambda tx: store.find_catalogue(tx, BINANCE, LIVE)) is None


# --- prices ----------------------------------------------------------------------------------------


async def test_price_when_streamed_is_young_and_told_to_listeners(floor: Floor) -> None:
    async with floor.open():
        floor.market.watch(BINANCE, LIVE, ["BTCUSDT", "BTCUSDT"])
        floor.market.watch(BINANCE, LIVE, ["BTCUSDT"])
        assert floor.venue.stream.watched == ["BTCUSDT"]
        await floor.say("67000.5")
        point = floor.price()
        assert (str(point.price), point.source, point.age_s(floor.clock.now())) == ("67000.5", PriceSource.STREAM, 0)
        assert floor.seen == [(MarketKey(BINANCE, LIVE, "BTCUSDT"), point)]
        assert floor.market.price(BINANCE, LIVE, "ETHUSDT") is None


async def test_price_when_it_travelled_long_is_as_old_as_the_venue_said(floor: Floor) -> None:
    async with floor.open():
        await floor.say("67000", lag_s=20)
        assert floor.price().age_s(floor.clock.now()) == pytest.approx(20)


@pytest.mark.parametrize("ahead_ms", [-30_000, 30_000])
async def test_price_when_the_venues_clock_differs_is_aged_by_the_venues_clock(floor: Floor, ahead_ms: int) -> None:
    floor.venue.ahead_ms = ahead_ms
    async with floor.open():
        await floor.say("67000", lag_s=1)
        assert floor.price().age_s(floor.clock.now()) == pytest.approx(1)


async def test_watched_price_when_the_stream_falls_silent_is_asked_for_before_it_is_old(floor: Floor) -> None:
    async with floor.open():
        floor.market.watch(BINANCE, LIVE, ["BTCUSDT"])
        await floor.say("67000")
        floor.venue.prices["BTCUSDT"] = "66000"
        oldest = 0.0
        for _ in range(120):
            await floor.clock.advance(0.25)
            oldest = max(oldest, floor.price().age_s(floor.clock.now()))
        assert oldest <= 5
        assert (str(floor.price().price), floor.price().source) == ("66000", PriceSource.REST)
        # One request each time, about every five seconds.
        assert len(floor.venue.asked) <= 8


async def test_watched_price_when_nobody_answers_grows_old_and_the_venue_is_left_in_peace(floor: Floor) -> None:
    async with floor.open():
        floor.market.watch(BINANCE, LIVE, ["BTCUSDT"])
        await floor.say("67000")
        floor.venue.failure = VenueDown("unreachable", "no answer")
        await floor.clock.advance(60)
        assert not floor.price().is_fresh(floor.clock.now(), 5)
        assert len(floor.venue.asked) <= 8
        floor.venue.failure = None
        await floor.clock.advance(16)
        assert floor.price().is_fresh(floor.clock.now(), 5)


async def test_poll_when_rate_limited_waits_until_the_venue_said(floor: Floor) -> None:
    async with floor.open():
        floor.market.watch(BINANCE, LIVE, ["BTCUSDT"])
        until = floor.venue.venue_now_ms() + 40_000
        floor.venue.failure = RateLimited("limit", "slow down", retry_at_ms=until)
        await floor.clock.advance(39)
        assert len(floor.venue.asked) == 1
        floor.venue.failure = None
        await floor.clock.advance(3)
        assert floor.price().is_fresh(floor.clock.now(), 5)


async def test_price_when_our_clock_is_set_back_is_of_unknown_age(floor: Floor) -> None:
    async with floor.open():
        floor.market.watch(BINANCE, LIVE, ["BTCUSDT"])
        await floor.say("67000")
        floor.clock.step_wall(-3_600)
        assert floor.price().age_s(floor.clock.now()) == INFINITE_AGE_S
        await floor.clock.advance(2)
        assert floor.price().age_s(floor.clock.now()) <= 2


async def test_price_when_a_rest_answer_was_overtaken_by_the_stream_stays_the_newer(floor: Floor) -> None:
    async with floor.open():
        floor.venue.ticker_delay_s = 2
        asking = asyncio.create_task(floor.market.confirm_prices(BINANCE, LIVE, ["BTCUSDT"]))
        await floor.clock.advance(1)
        await floor.say("68000")
        await floor.clock.advance(1.5)
        assert str((await asking)["BTCUSDT"].price) == "68000"


async def test_prices_when_asked_for_by_many_at_once_cost_one_request(floor: Floor) -> None:
    async with floor.open():
        floor.venue.ticker_delay_s = 0.1
        asking = [asyncio.create_task(floor.market.confirm_prices(BINANCE, LIVE, ["BTCUSDT"])) for _ in range(20)]
        await floor.clock.advance(0.5)
        answers = await asyncio.gather(*asking)
        assert {str(answer["BTCUSDT"].price) for answer in answers} == {"67000"}
        assert len(floor.venue.asked) == 1
        await floor.market.confirm_prices(BINANCE, LIVE, ["BTCUSDT"])
        assert len(floor.venue.asked) == 1


async def test_prices_when_the_venue_does_not_say_are_missing(floor: Floor) -> None:
    async with floor.open():
        assert list(await floor.market.confirm_prices(BINANCE, LIVE, ["BTCUSDT", "ETHBTC"])) == ["BTCUSDT"]
        floor.venue.failure = VenueDown("unreachable", "no answer")
        await floor.clock.advance(6)
        assert await floor.market.confirm_prices(BINANCE, LIVE, ["BTCUSDT"]) == {}


async def test_stream_when_it_breaks_is_started_again(floor: Floor) -> None:
    floor.venue.stream.failures = [RuntimeError("a bug"), RuntimeError("another")]
    async with floor.open():
        await floor.clock.advance(3)
        assert floor.venue.stream.runs == 3
        await floor.say("67000")
        assert floor.seen


async def test_listener_when_it_fails_costs_the_others_nothing(floor: Floor) -> None:
    def broken(_key: MarketKey, _point: PricePoint) -> None:
        raise RuntimeError("a bug")

    later: list[str] = []
    floor.market.on_price(broken)
    floor.market.on_price(lambda key, _point: later.append(key.symbol))
    async with floor.open():
        await floor.say("67000")
        await floor.say("67001")
    assert later == ["BTCUSDT", "BTCUSDT"]


# --- ticks -----------------------------------------------------------------------------------------


async def test_ticks_when_prices_rush_are_published_twice_a_second_with_the_newest(floor: Floor) -> None:
    told: list[Message] = []
    subscription = floor.bus.subscribe("tick")
    async with floor.open():
        for n in range(20):
            await floor.say(str(67_000 + n))
            await floor.clock.advance(0.1)
        await floor.clock.advance(5)
    subscription.close()
    told = [message async for message in subscription]
    assert len(told) <= 5
    assert [message.payload["n"] for message in told] == list(range(1, len(told) + 1))
    last = told[-1].payload
    assert last["topic"] == "price.binance.live"
    assert last["data"]["BTCUSDT"]["price"] == "67019"
    assert told[-1].user_id is None
