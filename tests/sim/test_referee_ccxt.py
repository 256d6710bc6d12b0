"""ccxt, which we did not write and changed but for the address, trades on the simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from tests.support.sim_binance import Sim, Trader, running_sim

ccxt = pytest.importorskip("ccxt.async_support")


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        await running.price("BTCUSDT", "80000")
        yield running


@asynccontextmanager
async def client(sim: Sim, trader: Trader | None = None) -> AsyncIterator[Any]:
    """Give a ccxt client that talks to the simulator; spot only, so it asks no other Binance product."""
    exchange = ccxt.binance(
        {
            "options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False},
            "enableRateLimit": False,
        }
    )
    if trader is not None:
        exchange.apiKey, exchange.secret = trader.api_key, trader.secret
    for name, url in exchange.urls["api"].items():
        if isinstance(url, str):
            exchange.urls["api"][name] = url.replace("https://api.binance.com", sim.addresses.rest_url)
    try:
        yield exchange
    finally:
        await exchange.close()


async def test_ccxt_loads_the_markets_with_their_limits(sim: Sim) -> None:
    async with client(sim) as exchange:
        markets = await exchange.load_markets()
        market = markets["BTC/USDT"]
        assert len(markets) == len(sim.server.spot.exchange.symbols())
        assert (market["spot"], market["active"], market["base"], market["quote"]) == (True, True, "BTC", "USDT")
        rules = sim.server.spot.exchange.rules("BTCUSDT")
        assert Decimal(str(market["precision"]["price"])) == rules.tick
        assert Decimal(str(market["precision"]["amount"])) == rules.step
        assert market["limits"]["cost"]["min"] == 5
        ticker = await exchange.fetch_ticker("BTC/USDT")
        assert ticker["last"] == 80000
        book = await exchange.fetch_order_book("BTC/USDT", 5)
        assert book["bids"][0][0] < 80000 < book["asks"][0][0]
        candles = await exchange.fetch_ohlcv("BTC/USDT", "1m")
        assert candles[-1][4] == 80000
        assert len(await exchange.fetch_trades("BTC/USDT")) == 1
        assert abs(await exchange.fetch_time() - sim.clock()) < 1000


async def test_ccxt_buys_at_market_and_finds_its_trades(sim: Sim) -> None:
    async with client(sim, await sim.trader()) as exchange:
        await exchange.load_markets()
        assert (await exchange.fetch_balance())["USDT"]["free"] == 10000
        order = await exchange.create_order("BTC/USDT", "market", "buy", 0.01, params={"newClientOrderId": "tw-ccxt-1"})
        assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", 0.01, "tw-ccxt-1")
        assert order["fees"][0]["currency"] == "BTC"
        found = await exchange.fetch_order(None, "BTC/USDT", {"origClientOrderId": "tw-ccxt-1"})
        assert (found["id"], found["cost"]) == (order["id"], order["cost"])
        trades = await exchange.fetch_my_trades("BTC/USDT")
        assert sum(trade["amount"] for trade in trades) == pytest.approx(0.01)
        balance = await exchange.fetch_balance()
        assert balance["BTC"]["total"] == pytest.approx(0.01 * 0.999)
        assert balance["USDT"]["total"] == pytest.approx(10000 - order["cost"])
        spent = await exchange.create_market_buy_order_with_cost("BTC/USDT", 50)
        assert 49 < spent["cost"] <= 50


async def test_ccxt_places_queries_and_cancels_a_limit_order(sim: Sim) -> None:
    async with client(sim, await sim.trader()) as exchange:
        await exchange.load_markets()
        order = await exchange.create_order("BTC/USDT", "limit", "buy", 0.01, 70000)
        assert order["status"] == "open"
        assert [one["id"] for one in await exchange.fetch_open_orders("BTC/USDT")] == [order["id"]]
        assert (await exchange.fetch_balance())["USDT"]["used"] == 700
        cancelled = await exchange.cancel_order(order["id"], "BTC/USDT")
        assert cancelled["status"] == "canceled"
        assert [one["status"] for one in await exchange.fetch_orders("BTC/USDT")] == ["canceled"]
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(order["id"], "BTC/USDT")


async def test_ccxt_places_an_oco_and_a_stop_and_sees_them_end(sim: Sim) -> None:
    async with client(sim, await sim.trader()) as exchange:
        await exchange.load_markets()
        await exchange.create_order("BTC/USDT", "market", "buy", 0.03)
        placed = await exchange.private_post_orderlist_oco(
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "quantity": "0.01",
                "aboveType": "LIMIT_MAKER",
                "abovePrice": "90000",
                "belowType": "STOP_LOSS",
                "belowStopPrice": "75000",
            }
        )
        assert placed["listOrderStatus"] == "EXECUTING"
        stop = await exchange.create_order(
            "BTC/USDT", "limit", "sell", 0.01, 74000, {"stopLossPrice": 75500, "timeInForce": "GTC"}
        )
        await sim.price("BTCUSDT", "74900")
        orders = {one["info"]["type"]: one["status"] for one in await exchange.fetch_orders("BTC/USDT")}
        assert orders["STOP_LOSS"] == "closed"
        assert orders["LIMIT_MAKER"] == "expired"
        assert (await exchange.fetch_order(stop["id"], "BTC/USDT"))["status"] == "closed"


async def test_ccxt_raises_its_own_errors_for_our_refusals(sim: Sim) -> None:
    trader = await sim.trader()
    async with client(sim, trader) as exchange:
        await exchange.load_markets()
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order("BTC/USDT", "market", "buy", 1)
        with pytest.raises(ccxt.BadRequest):
            await exchange.create_order("BTC/USDT", "limit", "buy", 0.00001, 70000)
        await sim.fault("clock_offset_ms", value=20_000)
        with pytest.raises(ccxt.InvalidNonce):
            await exchange.fetch_balance()
        await exchange.load_time_difference()
        await exchange.fetch_balance()
        exchange.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.fetch_balance()
        await sim.fault("ban_s", value=5)
        with pytest.raises(ccxt.DDoSProtection):
            await exchange.fetch_time()


async def test_ccxt_believes_a_dropped_answer_failed_while_the_venue_executed(sim: Sim) -> None:
    trader = await sim.trader()
    async with client(sim, trader) as exchange:
        await exchange.load_markets()
        await sim.fault("execute_drop", times=1)
        with pytest.raises(ccxt.NetworkError):
            await exchange.create_order("BTC/USDT", "market", "buy", 0.01)
    assert [order["status"] for order in await sim.orders_of(trader)] == ["FILLED"]
