"""Live prices of a changing set of symbols."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.support.ws_venue import WsVenue, ws_venue

from tradewind.core.money import Price
from tradewind.infra.clock import SystemClock, from_ms, to_ms
from tradewind.venues.base import MarketEvents, Ticker
from tradewind.venues.binance.stream_market import BinanceMarketEvents
from tradewind.venues.ratelimit import IpBudget, WindowLimit
from tradewind.venues.stream_socket import StreamRules

RULES = StreamRules(
    tick_s=0.02, silence_s=30, answer_s=0.6, rotate_s=3_600, backoff_s=0.05, backoff_s_max=0.1, connect_s=2
)
T0 = 1_760_000_000_000


class Prices:
    """The price stream under test, and what it told."""

    def __init__(self, url: str, rules: StreamRules) -> None:
        clock = SystemClock()
        budget = IpBudget(clock, lambda: to_ms(clock.now()), [WindowLimit(60_000, 6_000)])
        self.port: MarketEvents = BinanceMarketEvents(url, clock, budget, rules)
        self._events = self.port.events()

    async def next(self) -> Ticker:
        async with asyncio.timeout(5):
            return await anext(self._events)


@asynccontextmanager
async def prices(rules: StreamRules = RULES) -> AsyncIterator[tuple[WsVenue, Prices]]:
    async with ws_venue() as venue:
        venue.answer = lambda asked: {"result": None, "id": asked["id"]}
        it = Prices(venue.url, rules)
        running = asyncio.create_task(it.port.run())
        try:
            yield venue, it
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def book(symbol: str, bid: str, ask: str) -> dict[str, Any]:
    data = {"u": 1, "s": symbol, "b": bid, "B": "1", "a": ask, "A": "1"}
    return {"stream": f"{symbol.lower()}@bookTicker", "data": data}


def mini(symbol: str, close: str, at: int = T0) -> dict[str, Any]:
    data = {"e": "24hrMiniTicker", "E": at, "s": symbol, "c": close}
    return {"stream": f"{symbol.lower()}@miniTicker", "data": data}


async def test_watch_when_symbols_are_added_then_subscribed_in_one_message_and_prices_come() -> None:
    async with prices() as (venue, it):
        it.port.watch(["BTCUSDT", "ETHUSDT", "BTCUSDT"])
        await venue.until(lambda: venue.asked)
        (asked,) = venue.asked
        assert asked["method"] == "SUBSCRIBE"
        assert asked["params"] == [
            "btcusdt@bookTicker",
            "btcusdt@miniTicker",
            "ethusdt@bookTicker",
            "ethusdt@miniTicker",
        ]
        await venue.say(book("BTCUSDT", "10", "11"))
        first = await it.next()
        assert (first.last, first.bid, first.ask) == (Price(Decimal(10)), Price(Decimal(10)), Price(Decimal(11)))
        await venue.say(mini("BTCUSDT", "10.5"))
        second = await it.next()
        assert (second.last, second.bid, second.at) == (Price(Decimal("10.5")), Price(Decimal(10)), from_ms(T0))
        await venue.say(book("BTCUSDT", "9", "0.00000000"))
        third = await it.next()
        assert (third.last, third.bid, third.ask) == (Price(Decimal("10.5")), Price(Decimal(9)), None)


async def test_watch_when_more_symbols_come_later_then_only_those_are_subscribed() -> None:
    async with prices() as (venue, it):
        it.port.watch(["A"])
        await venue.until(lambda: venue.asked)
        it.port.watch(["A", "B"])
        await venue.until(lambda: len(venue.asked) == 2)
        assert venue.asked[1]["params"] == ["b@bookTicker", "b@miniTicker"]


async def test_watch_when_many_symbols_then_batches_within_the_message_limit() -> None:
    async with prices() as (venue, it):
        it.port.watch([f"S{number}" for number in range(250)])
        started = asyncio.get_running_loop().time()
        await venue.until(lambda: len(venue.asked) == 3)
        assert asyncio.get_running_loop().time() - started > 0.9  # at most two messages a second
        assert sum(len(asked["params"]) for asked in venue.asked) == 500


async def test_watch_when_symbols_exceed_a_connection_then_another_is_opened() -> None:
    async with prices(replace(RULES, symbols_per_connection=2)) as (venue, it):
        it.port.watch(["A", "B", "C"])
        await venue.until(lambda: len(venue.asked) == 2)
        assert len(venue.connections) == 2


async def test_connection_when_lost_then_all_symbols_are_subscribed_again() -> None:
    async with prices() as (venue, it):
        it.port.watch(["A", "B"])
        await venue.until(lambda: venue.asked)
        venue.connections[0].transport.abort()
        await venue.until(lambda: len(venue.asked) == 2)
        assert venue.asked[0]["params"] == venue.asked[1]["params"]
        await venue.say(book("A", "1", "2"))
        assert (await it.next()).symbol == "A"


async def test_connection_when_silent_then_asked_and_given_up_without_an_answer() -> None:
    async with prices(replace(RULES, silence_s=0.1, answer_s=0.6)) as (venue, it):
        it.port.watch(["A"])
        await venue.until(lambda: any(asked["method"] == "LIST_SUBSCRIPTIONS" for asked in venue.asked))
        assert len(venue.connections) == 1
        venue.answer = lambda asked: None
        await venue.until(lambda: len(venue.connections) >= 2)


async def test_connection_when_server_announces_shutdown_then_renewed() -> None:
    async with prices() as (venue, it):
        it.port.watch(["A"])
        await venue.until(lambda: venue.asked)
        await venue.say({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": T0}})
        await venue.until(lambda: len(venue.connections) == 2)


async def test_events_when_reader_is_slow_then_the_newest_price_of_each_symbol_is_told() -> None:
    async with prices() as (venue, it):
        it.port.watch(["A", "B"])
        await venue.until(lambda: venue.asked)
        for number in range(1, 200):
            await venue.say(mini("A", str(number)))
        await venue.say(mini("B", "5"))
        await asyncio.sleep(0.3)
        assert (await it.next()).last == Price(Decimal(199))
        assert (await it.next()).symbol == "B"


async def test_frames_when_they_cannot_be_read_then_prices_go_on() -> None:
    async with prices() as (venue, it):
        it.port.watch(["A"])
        await venue.until(lambda: venue.asked)
        await venue.say("not json")
        await venue.say(mini("A", "NaN"))
        await venue.say(mini("A", "0.00000000"))
        await venue.say(mini("A", "7"))
        assert (await it.next()).last == Price(Decimal(7))
        assert len(venue.connections) == 1
