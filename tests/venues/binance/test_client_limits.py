"""Budgets, bans and the breaker on a scripted venue: what is not sent."""

import asyncio
from dataclasses import replace

import pytest
from tests.support.binance_values import (
    buy,
    filled_body,
    ref,
    sell,
)
from tests.support.binance_venue import (
    Says,
    Signer,
    error,
    quick_options,
    venue,
    window,
)

from tradewind.venues.errors import (
    NotExecuted,
    NotSent,
    OutcomeUnknown,
    RateLimited,
)

ORDER = ("POST", "/api/v3/order")


# --- limits and bans --------------------------------------------------------------------------------


async def test_fault_28_place_when_banned_then_zero_requests_of_any_kind_until_it_ends() -> None:
    async with venue() as (script, client):
        text = "Way too much request weight used; IP banned until 1."
        script.on(*ORDER, error(-1003, text, 418, ("Retry-After: 1",)), Says(filled_body()))
        with pytest.raises(NotExecuted) as caught:
            await client.place(Signer(), buy(), window(client))
        assert caught.value.code == "rate_limited"
        until = caught.value.retry_at_ms
        assert until is not None
        assert 500 < until - client.venue_now_ms() <= 1_000
        heard = len(script.asked)
        with pytest.raises(NotSent) as order:
            await client.place(Signer("a2"), sell(), window(client))
        with pytest.raises(RateLimited) as read:
            await client.account(Signer())
        with pytest.raises(NotSent):
            await client.cancel(Signer(), ref("28"))
        with pytest.raises(RateLimited):
            await client.server_time()
        assert order.value.retry_at_ms == read.value.retry_at_ms == until
        assert len(script.asked) == heard
        assert client.health().banned_until_ms == until
        assert not client.health().is_healthy
        await asyncio.sleep(1.05)
        await client.place(Signer(), buy(), window(client))


async def test_fault_27_read_when_429_then_orders_stop_too() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/klines", error(-1003, "Too much request weight used", 429, ("Retry-After: 30",)))
        with pytest.raises(RateLimited) as caught:
            await client.candles("BTCUSDT", "1m", 5)
        assert caught.value.retry_at_ms is not None
        with pytest.raises(NotSent):
            await client.place(Signer(), buy(), window(client))
        assert script.calls(*ORDER) == []


async def test_place_when_order_count_is_used_up_then_only_that_account_waits() -> None:
    async with venue() as (script, client):
        full = error(-1015, "Too many new orders; current limit is 100 orders per 10 SECOND.", 429)
        script.on(*ORDER, full, Says(filled_body()))
        with pytest.raises(NotExecuted) as caught:
            await client.place(Signer("a1"), buy(), window(client))
        assert caught.value.code == "order_count"
        assert caught.value.retry_at_ms is not None
        with pytest.raises(NotSent) as again:
            await client.place(Signer("a1"), buy(), window(client))
        assert again.value.code == "order_count"
        await client.place(Signer("a2"), buy(), window(client))


async def test_fault_29_place_when_forbidden_by_a_page_then_unknown_and_everything_pauses() -> None:
    async with venue() as (script, client):
        script.on(*ORDER, Says(b"<html>403</html>", status=403))
        with pytest.raises(OutcomeUnknown):
            await client.place(Signer(), buy(), window(client))
        with pytest.raises(RateLimited):
            await client.server_time()


async def test_ban_when_it_comes_while_requests_wait_for_a_connection_then_they_are_not_sent() -> None:
    async with venue(options=quick_options(connections_max=1)) as (script, client):
        banned = error(-1003, "Way too much request weight used; IP banned", 418, ("Retry-After: 60",))
        script.on(*ORDER, replace(banned, delay_s=0.1))
        calls = [client.place(Signer(f"a{n}"), buy(), window(client)) for n in range(4)]
        results = await asyncio.gather(*calls, client.server_time(), return_exceptions=True)
        assert sum(isinstance(each, NotExecuted) for each in results) == 1
        not_sent = [each for each in results if isinstance(each, NotSent)]
        assert [each.code for each in not_sent] == ["banned"] * 3
        assert isinstance(results[-1], RateLimited)
        assert len(script.asked) == 1


async def test_budget_when_venue_states_its_figure_then_it_is_the_health_of_the_venue() -> None:
    async with venue() as (script, client):
        script.on("GET", "/api/v3/klines", Says([], headers=("x-mbx-used-weight-1m: 1234",)))
        await client.candles("BTCUSDT", "1m", 5)
        assert client.health().used_weight == 1234


async def test_budget_when_orders_succeed_then_they_cost_nothing() -> None:
    async with venue() as (script, client):
        script.on(*ORDER, Says(filled_body()))
        for _ in range(5):
            await client.place(Signer(), buy(), window(client))
        assert client.health().used_weight == 0
