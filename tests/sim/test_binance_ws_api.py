"""The WebSocket API: signing, sessions, subscriptions, events, limits."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.sim_binance import Sim, Trader, WsClient, running_sim

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "70000",
}


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        await running.price("BTCUSDT", "80000")
        yield running


@pytest.fixture
async def trader(sim: Sim) -> Trader:
    return await sim.trader()


async def test_answer_echoes_the_id_with_status_and_limits(sim: Sim) -> None:
    async with sim.ws_api() as ws:
        answer = await ws.call("v3/time")
    assert list(answer) == ["id", "status", "result", "rateLimits"]
    assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
    # Connecting costs 2, the call 1.
    assert answer["rateLimits"][0]["count"] == 3


async def test_limits_are_left_out_when_not_wanted(sim: Sim) -> None:
    async with sim.ws_api() as ws:
        assert "rateLimits" not in await ws.call("ping", {"returnRateLimits": False})


async def test_order_goes_through_all_its_calls(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        placed = await ws.call("order.place", trader.ws_params(**LIMIT, newClientOrderId="mine"))
        assert (placed["status"], placed["result"]["status"]) == (200, "NEW")
        assert [limit["rateLimitType"] for limit in placed["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
        ids = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
        assert (await ws.call("order.status", trader.ws_params(**ids)))["result"]["status"] == "NEW"
        assert len((await ws.call("openOrders.status", trader.ws_params()))["result"]) == 1
        assert (await ws.call("order.cancel", trader.ws_params(**ids)))["result"]["status"] == "CANCELED"
        assert len((await ws.call("allOrders", trader.ws_params(symbol="BTCUSDT")))["result"]) == 1
        assert (await ws.call("myTrades", trader.ws_params(symbol="BTCUSDT")))["result"] == []
        account = await ws.call("account.status", trader.ws_params())
        assert account["result"]["uid"] == trader.uid
        assert (await ws.call("order.test", trader.ws_params(**LIMIT)))["result"] == {}


async def test_number_is_signed_as_the_client_wrote_it(sim: Sim, trader: Trader) -> None:
    text = json.dumps({"id": 1, "method": "order.place", "params": trader.ws_params(**{**LIMIT, "quantity": "0.010"})})
    async with sim.ws_api() as ws:
        await ws.ws.send_str(text.replace('"0.010"', "0.010"))
        answer = await ws.receive()
    assert (answer["status"], answer["result"]["origQty"]) == (200, "0.01000000")


async def test_refusals_carry_status_and_code(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        params = trader.ws_params()
        params["signature"] = "0" * 64
        assert (await ws.call("account.status", params))["error"] == {
            "code": -1022,
            "msg": "Signature for this request is not valid.",
        }
        answer = await ws.call("account.status", {**trader.ws_params(), "apiKey": "short"})
        assert (answer["status"], answer["error"]["code"]) == (401, -2014)
        assert (await ws.call("no.such.method"))["status"] == 400
        gone = await ws.call("userDataStream.start", {"apiKey": trader.api_key})
        assert gone["status"] == 410
        await ws.ws.send_str("{nonsense")
        broken = await ws.receive()
        assert (broken["id"], broken["status"], broken["error"]["code"]) == (None, 400, -1135)


async def test_over_the_limit_the_error_says_when_to_come_back(sim: Sim) -> None:
    async with sim.ws_api() as ws:
        await sim.control("POST", "/limits", {"weight_per_minute": 0})
        answer = await ws.call("ping")
    assert (answer["status"], answer["error"]["code"]) == (429, -1003)
    data = answer["error"]["data"]
    assert 0 < data["retryAfter"] - data["serverTime"] <= 60_000


async def test_market_order_reports_new_then_trade_then_balances(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        assert (await ws.call("userDataStream.subscribe.signature", trader.ws_params()))["result"] == {
            "subscriptionId": 0
        }
        placed = (await trader.market_buy(client_id="tw-1")).json
        frames = [await ws.event() for _ in range(3)]
    assert {frame["subscriptionId"] for frame in frames} == {0}
    new, trade, position = (frame["event"] for frame in frames)
    assert (new["e"], new["x"], new["X"]) == ("executionReport", "NEW", "NEW")
    assert (trade["x"], trade["X"], trade["i"], trade["c"]) == ("TRADE", "FILLED", placed["orderId"], "tw-1")
    assert (trade["t"], trade["L"]) == (placed["fills"][0]["tradeId"], placed["fills"][0]["price"])
    assert (trade["n"], trade["N"]) == (placed["fills"][0]["commission"], "BTC")
    assert Decimal(trade["Z"]) == Decimal(placed["cummulativeQuoteQty"])
    assert position["e"] == "outboundAccountPosition"
    assert {line["a"] for line in position["B"]} == {"BTC", "USDT"}
    documented = "e E s c S o f q p P F g C x X r i l z L n N T t v I w m M O Z Y Q V"
    assert set(documented.split()) <= set(trade)


async def test_cancel_reports_the_new_and_the_original_id(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        await ws.call("userDataStream.subscribe.signature", trader.ws_params())
        await trader.order(**LIMIT, newClientOrderId="mine")
        await ws.events_until("outboundAccountPosition")
        await trader.call(
            "DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="undo"
        )
        report = (await ws.event())["event"]
    assert (report["x"], report["c"], report["C"], report["w"]) == ("CANCELED", "undo", "mine", False)


async def test_oco_reports_its_list_and_its_end(sim: Sim, trader: Trader) -> None:
    await trader.market_buy(quote="2000")
    async with sim.ws_api() as ws:
        await ws.call("userDataStream.subscribe.signature", trader.ws_params())
        await ws.call(
            "orderList.place.oco",
            trader.ws_params(
                symbol="BTCUSDT",
                side="SELL",
                quantity="0.02",
                aboveType="LIMIT_MAKER",
                abovePrice="90000",
                belowType="STOP_LOSS",
                belowStopPrice="75000",
            ),
        )
        started = [frame["event"] for frame in ws.events]
        ws.events.clear()
        await sim.price("BTCUSDT", "74000")
        ended = await ws.events_until("outboundAccountPosition")
    lists = [event for event in started + ended if event["e"] == "listStatus"]
    assert (lists[0]["l"], lists[0]["L"]) == ("EXEC_STARTED", "EXECUTING")
    assert (lists[-1]["l"], lists[-1]["L"]) == ("ALL_DONE", "ALL_DONE")
    expired = [event for event in ended if event.get("x") == "EXPIRED"]
    assert [(event["X"], event["eR"]) for event in expired] == [("EXPIRED", "OCO_TRIGGER")]
    assert [event["X"] for event in ended if event.get("x") == "TRADE"][-1] == "FILLED"


async def test_deposit_is_reported_as_a_balance_update(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        await ws.call("userDataStream.subscribe.signature", trader.ws_params())
        await sim.control("POST", "/deposit", {"uid": trader.uid, "asset": "BTC", "amount": "0.5"})
        events = [(await ws.event())["event"] for _ in range(2)]
    update = next(event for event in events if event["e"] == "balanceUpdate")
    assert (update["a"], update["d"]) == ("BTC", "0.50000000")


async def test_many_accounts_are_heard_on_one_connection(sim: Sim, trader: Trader) -> None:
    other = await sim.trader()
    async with sim.ws_api() as ws:
        for index, one in enumerate((trader, other)):
            answer = await ws.call("userDataStream.subscribe.signature", one.ws_params())
            assert answer["result"]["subscriptionId"] == index
        await other.market_buy()
        assert (await ws.event())["subscriptionId"] == 1
        await ws.events_until("outboundAccountPosition")
        await trader.market_buy()
        assert (await ws.event())["subscriptionId"] == 0


async def test_second_subscription_of_an_account_is_refused(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        await ws.call("userDataStream.subscribe.signature", trader.ws_params())
        again = await ws.call("userDataStream.subscribe.signature", trader.ws_params())
        assert (again["status"], again["error"]["code"]) == (400, -2035)


async def test_unsubscribe_ends_the_events_with_a_last_one(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        await ws.call("userDataStream.subscribe.signature", trader.ws_params())
        assert (await ws.call("userDataStream.unsubscribe", {"subscriptionId": 0}))["result"] == {}
        assert ws.events[0]["event"]["e"] == "eventStreamTerminated"
        ws.events.clear()
        await trader.market_buy()
        assert (await ws.call("ping"))["status"] == 200
        assert ws.events == []
        assert (await ws.call("userDataStream.unsubscribe"))["error"]["code"] == -2036


class EdTrader:
    """A caller with an Ed25519 key."""

    def __init__(self, api_key: str, pem: str, sim: Sim) -> None:
        private = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(private, Ed25519PrivateKey)
        self.private, self.api_key, self.sim = private, api_key, sim

    def params(self, **params: object) -> dict[str, object]:
        sent: dict[str, object] = {"apiKey": self.api_key, "timestamp": self.sim.clock(), **params}
        payload = "&".join(f"{name}={sent[name]}" for name in sorted(sent))
        sent["signature"] = base64.b64encode(self.private.sign(payload.encode())).decode()
        return sent


@pytest.fixture
async def ed(sim: Sim) -> EdTrader:
    issued: Any = await sim.control("POST", "/keys", {"kind": "ed25519", "balances": {"USDT": "1000"}})
    return EdTrader(issued["api_key"], issued["secret"], sim)


async def test_logged_on_session_needs_no_key_and_no_signature(sim: Sim, ed: EdTrader) -> None:
    async with sim.ws_api() as ws:
        assert (await ws.call("session.status"))["result"]["apiKey"] is None
        logged_on = await ws.call("session.logon", ed.params())
        assert logged_on["result"]["apiKey"] == ed.api_key
        assert (await ws.call("userDataStream.subscribe"))["result"] == {"subscriptionId": 0}
        placed = await ws.call("order.place", {**LIMIT, "timestamp": sim.clock()})
        assert placed["status"] == 200
        assert (await ws.call("session.subscriptions"))["result"] == [{"subscriptionId": 0}]
        late = await ws.call("order.place", {**LIMIT, "timestamp": sim.clock() - 9000})
        assert late["error"]["code"] == -1021
        await sim.control("PATCH", f"/keys/{ed.api_key}", {"trading": False})
        assert (await ws.call("order.place", {**LIMIT, "timestamp": sim.clock()}))["error"]["code"] == -2015
        await ws.call("session.logout")
        assert (await ws.call("order.place", {**LIMIT, "timestamp": sim.clock()}))["error"]["code"] == -2014


async def test_log_on_takes_ed25519_keys_only(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        assert (await ws.call("session.logon", trader.ws_params()))["status"] == 400
        assert (await ws.call("userDataStream.subscribe"))["error"]["code"] == -2015


async def test_ed25519_key_signs_rest_calls_too(sim: Sim, ed: EdTrader) -> None:
    query = f"timestamp={sim.clock()}"
    signature = quote(base64.b64encode(ed.private.sign(query.encode())), safe="")
    trader = Trader(ed.api_key, "", 0, sim.addresses.rest_url, sim.session, sim.clock)
    assert (await trader.send("GET", "/api/v3/account", f"{query}&signature={signature}")).status == 200


async def test_dropped_answer_cuts_the_connection_after_executing(sim: Sim, trader: Trader) -> None:
    await sim.fault("execute_drop", times=1)
    async with sim.ws_api() as ws:
        with pytest.raises(ConnectionError):
            await ws.call("order.place", trader.ws_params(**LIMIT))
    assert len(await sim.orders_of(trader)) == 1


async def test_silent_peer_is_cut_and_an_answering_one_is_kept() -> None:
    async with running_sim(ping_every_s=0.02, pong_within_s=0.1) as sim:
        async with sim.session.ws_connect(sim.addresses.ws_api_url, autoping=False) as silent:
            kinds: list[aiohttp.WSMsgType] = []
            while not kinds or kinds[-1] is aiohttp.WSMsgType.PING:
                kinds.append((await silent.receive(timeout=5)).type)
            assert kinds[-1] in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE}
            assert len(kinds) > 2
        async with sim.ws_api() as ws:
            for _ in range(10):
                assert (await ws.call("ping"))["status"] == 200
                await let_a_ping_pass(ws)


async def let_a_ping_pass(ws: WsClient) -> None:
    """Listen for longer than a ping interval; the client library answers the pings meanwhile."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.03):
            await ws.ws.receive()


async def test_connection_ends_with_a_server_shutdown_event() -> None:
    async with running_sim(connection_lifetime_s=0.1) as sim, sim.ws_api() as ws:
        farewell = await ws.event()
        assert farewell["event"]["e"] == "serverShutdown"
        with pytest.raises(ConnectionError):
            await ws.event()
