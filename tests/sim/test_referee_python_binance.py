"""python-binance, which we did not write and changed but for the addresses, trades on the simulator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from tests.support.sim_binance import Sim, Trader, running_sim

binance = pytest.importorskip("binance")


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        await running.price("BTCUSDT", "80000")
        yield running


@asynccontextmanager
async def client(sim: Sim, trader: Trader) -> AsyncIterator[Any]:
    """Give a client class whose addresses are the simulator's."""

    addresses = {
        "API_URL": sim.addresses.rest_url + "/api",
        "MARGIN_API_URL": sim.addresses.rest_url + "/sapi",
        "WS_API_URL": sim.addresses.ws_api_url,
    }
    our_client: Any = type("OurClient", (binance.AsyncClient,), addresses)
    opened = await our_client.create(trader.api_key, trader.secret)
    # Its closing waits for one whole read timeout; the default would cost every test ten seconds.
    opened.ws_api.TIMEOUT = 2
    try:
        yield opened
    finally:
        await opened.close_connection()


async def test_python_binance_reads_markets_and_rights(sim: Sim) -> None:
    async with client(sim, await sim.trader()) as opened:
        info = await opened.get_symbol_info("BTCUSDT")
        assert info["filters"][0]["filterType"] == "PRICE_FILTER"
        assert (await opened.get_symbol_ticker(symbol="BTCUSDT"))["price"] == "80000.00000000"
        assert len((await opened.get_order_book(symbol="BTCUSDT", limit=10))["bids"]) == 10
        rights = await opened.get_account_api_permissions()
        assert rights["enableSpotAndMarginTrading"] is True
        assert rights["enableWithdrawals"] is False
        assert (await opened.get_system_status())["status"] == 0
        balance = await opened.get_asset_balance(asset="USDT")
        assert balance["free"] == "10000.00000000"


async def test_python_binance_trades_queries_and_cancels(sim: Sim) -> None:
    async with client(sim, await sim.trader()) as opened:
        bought = await opened.order_market_buy(symbol="BTCUSDT", quoteOrderQty="500", newClientOrderId="pb-1")
        assert bought["status"] == "FILLED"
        found = await opened.get_order(symbol="BTCUSDT", origClientOrderId="pb-1")
        assert found["orderId"] == bought["orderId"]
        trades = await opened.get_my_trades(symbol="BTCUSDT")
        assert sum(Decimal(trade["qty"]) for trade in trades) == Decimal(bought["executedQty"])
        limit = await opened.order_limit_buy(symbol="BTCUSDT", quantity="0.001", price="70000")
        assert [one["orderId"] for one in await opened.get_open_orders(symbol="BTCUSDT")] == [limit["orderId"]]
        gone = await opened.cancel_order(symbol="BTCUSDT", orderId=limit["orderId"])
        assert gone["status"] == "CANCELED"
        assert len(await opened.get_all_orders(symbol="BTCUSDT")) == 2
        assert await opened.create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="10") == {}


async def test_python_binance_places_an_oco(sim: Sim) -> None:
    async with client(sim, await sim.trader()) as opened:
        await opened.order_market_buy(symbol="BTCUSDT", quoteOrderQty="1000")
        placed = await opened.create_oco_order(
            symbol="BTCUSDT",
            side="SELL",
            quantity="0.01",
            aboveType="LIMIT_MAKER",
            abovePrice="90000",
            belowType="STOP_LOSS_LIMIT",
            belowStopPrice="75000",
            belowPrice="74900",
            belowTimeInForce="GTC",
        )
        assert {report["type"] for report in placed["orderReports"]} == {"LIMIT_MAKER", "STOP_LOSS_LIMIT"}
        await sim.price("BTCUSDT", "90100")
        statuses = {one["type"]: one["status"] for one in await opened.get_all_orders(symbol="BTCUSDT")}
        assert statuses == {"MARKET": "FILLED", "LIMIT_MAKER": "FILLED", "STOP_LOSS_LIMIT": "EXPIRED"}


async def test_python_binance_hears_its_user_stream_and_trades_over_the_socket(sim: Sim) -> None:
    async with client(sim, await sim.trader()) as opened:
        sockets = binance.BinanceSocketManager(opened)
        async with sockets.user_socket() as stream:
            placed = await opened.ws_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="100")
            async with asyncio.timeout(5):
                events = [await stream.recv() for _ in range(3)]
    assert [event["e"] for event in events] == ["executionReport", "executionReport", "outboundAccountPosition"]
    assert [event.get("X") for event in events[:2]] == ["NEW", "FILLED"]
    assert {event["i"] for event in events[:2]} == {placed["orderId"]}


async def test_python_binance_raises_our_codes(sim: Sim) -> None:
    trader = await sim.trader()
    async with client(sim, trader) as opened:
        with pytest.raises(binance.BinanceAPIException) as refused:
            await opened.order_market_buy(symbol="BTCUSDT", quantity="100")
        assert (refused.value.status_code, refused.value.code) == (400, -2010)
        await sim.fault("status", status=503, times=1)
        with pytest.raises(binance.BinanceAPIException) as broken:
            await opened.order_market_buy(symbol="BTCUSDT", quoteOrderQty="20")
        assert broken.value.status_code == 503
    assert [order["status"] for order in await sim.orders_of(trader)] == ["FILLED"]
