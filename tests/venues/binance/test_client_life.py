"""Prices, start, upkeep and health on a scripted venue."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.support.binance_values import (
    OUR_ID,
    STOP_ID,
    T0,
    TARGET_ID,
    buy,
    filled_body,
    leg_body,
    list_body,
    ref,
)
from tests.support.binance_venue import (
    API_KEY,
    HangUp,
    Says,
    Signer,
    error,
    quick_options,
    venue,
    window,
)
from tests.venues.binance.test_codec_market import symbol_body

from tradewind.core.instrument import Environment
from tradewind.venues.base import Protection, ResendRule, VenueClient
from tradewind.venues.binance.client import BinanceClient
from tradewind.venues.breaker import BreakerRules
from tradewind.venues.errors import (
    NotSent,
    OrderRefused,
    OutcomeUnknown,
    SymbolUnknown,
    VenueDown,
    VenueError,
)

ORDER = ("POST", "/api/v3/order")


# --- market and life --------------------------------------------------------------------------------


async def test_tickers_when_few_or_many_then_the_cheaper_calls() -> None:
    async with venue() as (script, client):

        def day(asked: Any) -> Says:
            names = asked.params["symbols"].strip("[]").replace('"', "").split(",")
            return Says(
                [
                    {"symbol": name, "lastPrice": "1", "closeTime": T0, "bidPrice": "1", "askPrice": "2"}
                    for name in names
                ]
            )

        script.on("GET", "/api/v3/ticker/24hr", day)
        names = [f"S{number}" for number in range(50)]
        script.on("GET", "/api/v3/ticker/price", Says([{"symbol": name, "price": "3"} for name in [*names, "OTHER"]]))
        script.on("GET", "/api/v3/ticker/bookTicker", Says([]))
        assert [each.symbol for each in await client.tickers(names[:25] + names[:2])] == names[:25]
        assert len(script.calls("GET", "/api/v3/ticker/24hr")) == 2
        assert [each.symbol for each in await client.tickers(names)] == names
        assert len(script.calls("GET", "/api/v3/ticker/24hr")) == 2


async def test_tickers_when_symbol_is_not_listed_then_symbol_unknown() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/ticker/24hr", error(-1121, "Invalid symbol."))
        with pytest.raises(SymbolUnknown):
            await client.tickers(["NOPE"])


async def test_start_when_venue_answers_then_clock_catalogue_and_limits_are_its_own() -> None:
    async with venue() as (script, client):
        script.clock_ahead_ms = 5_000
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 77}]
        script.on("GET", "/api/v3/exchangeInfo", Says({"rateLimits": limits, "symbols": [symbol_body()]}))
        await client.start()
        assert abs(client.venue_now_ms() - script.now_ms()) < 100
        assert 0 < client.confirmed_venue_ms() <= script.now_ms()
        assert [each.symbol for each in await client.instruments()] == ["TSLABUSDT"]
        assert client._rest.budget._windows[0].capacity == 77
        health = client.health()
        assert health.is_healthy
        assert health.offset_ms is not None
        assert abs(health.offset_ms - 5_000) < 100
        assert health.latency_p50_ms is not None
        assert script.calls("GET", "/api/v3/exchangeInfo")[0].params == {"showPermissionSets": "false"}


async def test_start_when_venue_is_away_then_venue_down() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/time", Says(b"", status=503))
        with pytest.raises(VenueDown):
            await client.start()
        assert client.health().last_error == "http_503"
        assert not client.health().is_healthy


async def test_run_when_venue_was_away_at_start_then_clock_and_catalogue_are_fetched_later() -> None:
    async with venue() as (script, client):
        loaded = asyncio.Event()

        def catalogue(_: Any) -> Says:
            loaded.set()
            return Says({"rateLimits": [], "symbols": [symbol_body()]})

        script.on("GET", "/api/v3/exchangeInfo", catalogue)
        running = asyncio.create_task(client.run())
        try:
            async with asyncio.timeout(5):
                await loaded.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert client.confirmed_venue_ms() > 0


async def test_breaker_when_reads_fail_in_a_row_then_orders_are_not_sent_but_order_failures_do_not_open_it() -> None:
    rules = BreakerRules(failures_max=3, pause_s=30, attempts=1)
    async with venue(options=quick_options(breaker=rules)) as (script, client):
        script.on(*ORDER, HangUp())
        for _ in range(5):
            with pytest.raises(OutcomeUnknown):
                await client.place(Signer(), buy(), window(client))
        script.on("GET", "/api/v3/klines", Says(b"", status=502))
        for _ in range(3):
            with pytest.raises(VenueDown):
                await client.candles("BTCUSDT", "1m", 5)
        with pytest.raises(NotSent) as caught:
            await client.place(Signer(), buy(), window(client))
        assert caught.value.code == "breaker_open"
        assert caught.value.retry_at_ms is not None
        assert len(script.calls(*ORDER)) == 5


async def test_capabilities_when_read_then_as_the_protocol_says_of_this_venue() -> None:
    async with venue() as (_, client):
        port: VenueClient = client  # the client keeps the whole port
        found = port.capabilities
        assert (found.protection, found.resend) == (Protection.OCO, ResendRule.NEW)
        assert found.fence_ms == 14_000
        assert found.main_quote == "USDT"
        assert port.environment is Environment.PAPER


async def test_errors_when_raised_then_no_key_signature_or_query_is_in_them() -> None:
    async with venue() as (script, client):
        script.on(*ORDER, HangUp(), error(-2010, "Duplicate order sent."), error(-2015, "Invalid API-key", 401))
        script.on("GET", "/api/v3/order", Says(b"", status=500))
        for _ in range(3):
            with pytest.raises(VenueError) as caught:
                await client.place(Signer(), buy(), window(client))
            for secret in (API_KEY, "signature=", "timestamp=", OUR_ID):
                assert secret not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
        with pytest.raises(VenueError) as read:
            await client.find_order(Signer(), ref())
        assert API_KEY not in repr(read.value)


async def test_place_many_when_venue_is_slow_then_each_gets_its_own_answer() -> None:
    async with venue(options=quick_options(connections_max=10)) as (script, client):

        def answer(asked: Any) -> Says:
            number = int(asked.params["newClientOrderId"].removeprefix("tw"))
            return Says(filled_body(clientOrderId=asked.params["newClientOrderId"], orderId=number), delay_s=0.005)

        script.on(*ORDER, answer)
        orders = [buy(client_order_id=f"tw{number}") for number in range(100)]
        acks = await asyncio.gather(
            *(client.place(Signer(f"a{n}"), order, window(client)) for n, order in enumerate(orders))
        )
        assert [ack.reports[0].venue_order_id for ack in acks] == [str(number) for number in range(100)]
        assert Decimal(sum(len(ack.fills) for ack in acks)) == 200


async def test_test_order_when_answer_is_a_page_then_venue_down_and_not_a_pass() -> None:
    async with venue() as (script, client):
        script.on("POST", "/api/v3/order/test", Says(b"<html>sign in to the hotel's network</html>"))
        with pytest.raises(VenueDown):
            await client.test_order(Signer(), buy())


async def test_cancel_when_one_leg_is_answered_with_its_list_then_both_are_reported() -> None:
    async with venue() as (script, client):
        legs = [
            leg_body("x", 10, "STOP_LOSS", status="CANCELED", origClientOrderId=STOP_ID),
            leg_body("x", 11, "LIMIT_MAKER", status="CANCELED", origClientOrderId=TARGET_ID),
        ]
        script.on("DELETE", "/api/v3/order", Says(list_body(orderReports=legs)))
        reports = await client.cancel(Signer(), ref("10", client_order_id=STOP_ID))
        assert [report.client_order_id for report in reports] == [STOP_ID, TARGET_ID]


def doubts(client: BinanceClient) -> bool:
    return client._catalogue.is_doubted


async def test_fault_49_run_when_an_order_was_refused_by_a_rule_then_catalogue_is_read_again() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/exchangeInfo", Says({"rateLimits": [], "symbols": [symbol_body()]}))
        script.on(*ORDER, error(-2010, "Account has insufficient balance for requested action."))
        await client.start()
        with pytest.raises(OrderRefused):
            await client.place(Signer(), buy(), window(client))
        assert not doubts(client)
        script.on(*ORDER, error(-1013, "Filter failure: LOT_SIZE"))
        with pytest.raises(OrderRefused):
            await client.place(Signer(), buy(), window(client))
        assert doubts(client)
        await client._catalogue.load()
        assert not doubts(client)


async def test_server_time_when_one_answer_jumps_then_it_is_no_time_to_pass_a_fence_by() -> None:
    async with venue() as (script, client):
        await client.server_time()
        confirmed = client.confirmed_venue_ms()
        script.clock_ahead_ms = 3_600_000
        with pytest.raises(VenueDown) as caught:
            await client.server_time()
        assert caught.value.code == "time_not_believed"
        assert client.confirmed_venue_ms() == confirmed
        assert await client.server_time() > confirmed + 3_000_000  # said again


async def test_health_when_venue_refuses_our_country_then_unhealthy_and_asking_again_is_spared() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/time", error(0, "Service unavailable from a restricted location.", 451))
        with pytest.raises(VenueDown):
            await client.start()
        assert len(script.calls("GET", "/api/v3/time")) == 1
        assert not client.health().is_healthy
