"""Faults: what is decided (by scope, count and seed) and what the client hears."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from tests.support.sim_binance import Sim, Trader, running_sim

from tradewind.sim.faults import Fault, FaultBook, FaultKind, RequestFacts, Scope

BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)


def facts(**changes: Any) -> RequestFacts:
    known = {
        "call": "order.place",
        "route": "POST /api/v3/order",
        "uid": 7,
        "api_key": "k",
        "symbol": "BTCUSDT",
        "client_ids": ("tw-1",),
    }
    return RequestFacts(**{**known, **changes})


@pytest.mark.parametrize(
    ("scope", "hit"),
    [
        (Scope(), True),
        (Scope(uid=7), True),
        (Scope(uid=8), False),
        (Scope(api_key="other"), False),
        (Scope(symbol="ETHUSDT"), False),
        (Scope(client_id_prefix="tw-"), True),
        (Scope(client_id_prefix="x-"), False),
        (Scope(calls=frozenset({"order.cancel"})), False),
        (Scope(calls=frozenset({"POST /api/v3/order"})), True),
        (Scope(calls=frozenset({"*"})), True),
    ],
)
def test_scope_decides_whom_a_fault_touches(scope: Scope, hit: bool) -> None:
    assert Fault(1, FaultKind.DROP_BEFORE, scope).touches(facts()) is hit


def test_fault_without_calls_leaves_queries_alone() -> None:
    fault = Fault(1, FaultKind.DROP_BEFORE)
    assert not fault.touches(facts(call="exchangeInfo", route="GET /api/v3/exchangeInfo"))


def drawn(seed: int) -> list[bool]:
    book = FaultBook(seed, 10_000)
    book.add(Fault(1, FaultKind.DROP_BEFORE, probability=0.5))
    return [book.plan(facts()).breakage is not None for _ in range(40)]


def test_same_seed_gives_the_same_hits_and_another_seed_others() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 0 < sum(drawn(1)) < 40


def test_fault_acts_so_many_times_and_no_more() -> None:
    book = FaultBook(1, 10_000)
    book.add(Fault(1, FaultKind.DROP_BEFORE, times=2))
    assert [book.plan(facts()).breakage is not None for _ in range(4)] == [True, True, False, False]
    assert book.in_force() == []


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        yield running


@pytest.fixture
async def trader(sim: Sim) -> Trader:
    return await sim.trader()


async def executed(sim: Sim, trader: Trader) -> list[str]:
    return [order["status"] for order in await sim.orders_of(trader)]


async def last_request(sim: Sim) -> Any:
    rows = (await sim.control("GET", "/log?kind=requests"))["requests"]
    return rows[-1]


async def test_execute_drop_executes_and_says_nothing(sim: Sim, trader: Trader) -> None:
    await sim.fault("execute_drop", uid=trader.uid, times=1)
    with pytest.raises(BROKEN):
        await trader.market_buy(client_id="lost")
    assert await executed(sim, trader) == ["FILLED"]
    row = await last_request(sim)
    assert (row["executed"], row["heard"], row["client_ids"]) == (True, "abort", ["lost"])
    assert len(row["order_ids"]) == 1
    assert (await trader.market_buy()).status == 200


async def test_drop_before_executes_nothing(sim: Sim, trader: Trader) -> None:
    await sim.fault("drop_before", times=1)
    with pytest.raises(BROKEN):
        await trader.market_buy()
    assert await executed(sim, trader) == []
    assert (await last_request(sim))["executed"] is False


async def test_cut_mid_reply_executes_and_sends_half(sim: Sim, trader: Trader) -> None:
    await sim.fault("cut_mid_reply", times=1)
    with pytest.raises(BROKEN):
        await trader.market_buy()
    assert await executed(sim, trader) == ["FILLED"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("was_executed", [True, False])
async def test_status_answers_with_a_page_executed_or_not(
    sim: Sim, trader: Trader, status: int, was_executed: bool
) -> None:
    await sim.fault("status", status=status, executed=was_executed, times=1)
    reply = await trader.market_buy()
    assert reply.status == status
    assert reply.body.startswith(b"<html>")
    assert await executed(sim, trader) == (["FILLED"] if was_executed else [])


@pytest.mark.parametrize(("body", "expected"), [("empty", b""), ("json", b'{"code":-1000')])
async def test_status_may_come_with_json_or_nothing(sim: Sim, trader: Trader, body: str, expected: bytes) -> None:
    await sim.fault("status", body=body, times=1)
    assert (await trader.market_buy()).body[: len(expected) or 1] == expected


async def test_status_may_be_the_refusal_of_a_restricted_country(sim: Sim, trader: Trader) -> None:
    msg = "Service unavailable from a restricted location"
    await sim.fault("status", status=451, body="json", code=0, msg=msg, executed=False, times=1)
    reply = await trader.market_buy()
    assert (reply.status, reply.json) == (451, {"code": 0, "msg": msg})
    assert await executed(sim, trader) == []


@pytest.mark.parametrize("was_executed", [True, False])
async def test_timeout_is_1007_executed_or_not(sim: Sim, trader: Trader, was_executed: bool) -> None:
    await sim.fault("timeout_1007", executed=was_executed, value=10, times=1)
    reply = await trader.market_buy()
    assert (reply.status, reply.code) == (504, -1007)
    assert reply.json["msg"].endswith("execution status unknown.")
    assert await executed(sim, trader) == (["FILLED"] if was_executed else [])


async def test_garbage_body_is_a_page_with_status_200(sim: Sim, trader: Trader) -> None:
    await sim.fault("garbage_body", times=1)
    reply = await trader.market_buy()
    assert (reply.status, reply.body[:6]) == (200, b"<html>")
    assert await executed(sim, trader) == ["FILLED"]


async def test_busy_and_refuse_execute_nothing(sim: Sim, trader: Trader) -> None:
    await sim.fault("busy_1008", times=1)
    busy = await trader.market_buy()
    assert (busy.status, busy.code) == (503, -1008)
    await sim.fault("refuse", code=-2010, msg="This action is disabled on this account.", times=1)
    refused = await trader.market_buy()
    assert (refused.status, refused.code) == (400, -2010)
    assert await executed(sim, trader) == []


async def test_late_request_dies_at_the_last_timestamp_check_and_counts_as_an_order(sim: Sim, trader: Trader) -> None:
    await sim.fault("delay_ms", value=60, times=1)
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "20"}
    reply = await trader.order(**params, recvWindow=30)
    assert (reply.status, reply.code) == (400, -1021)
    assert await executed(sim, trader) == []
    assert sim.server.spot.orders.counts(trader.uid, sim.clock())[1] == 1


async def test_delay_behind_the_last_check_executes_late(sim: Sim, trader: Trader) -> None:
    await sim.fault("delay_ms", value=60, where="engine", times=1)
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "20"}
    reply = await trader.order(**params, recvWindow=30)
    assert reply.status == 200
    assert await executed(sim, trader) == ["FILLED"]


async def test_processing_over_the_timeout_is_1007_and_executes_behind_it() -> None:
    async with running_sim(processing_timeout_ms=30) as sim:
        trader = await sim.trader()
        await sim.fault("delay_ms", value=80, where="engine", times=1)
        reply = await trader.market_buy()
        assert (reply.status, reply.code) == (504, -1007)
        assert await executed(sim, trader) == []
        await eventually(lambda: executed(sim, trader), ["FILLED"])
        row = await last_request(sim)
        assert (row["executed"], row["status"], row["code"], row["heard"]) == (True, 504, -1007, "timeout -1007")


async def eventually(read: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    seen = await read()
    for _ in range(500):
        if seen == wanted:
            break
        await asyncio.sleep(0.01)
        seen = await read()
    assert seen == wanted


async def test_query_lag_hides_an_accepted_order_from_queries(sim: Sim, trader: Trader) -> None:
    fault_id = await sim.fault("query_lag_ms", value=3_600_000, uid=trader.uid)
    placed = (await trader.market_buy(client_id="hidden")).json
    query = {"symbol": "BTCUSDT", "origClientOrderId": "hidden"}
    assert (await trader.call("GET", "/api/v3/order", **query)).code == -2013
    assert (await trader.call("GET", "/api/v3/allOrders", symbol="BTCUSDT")).json == []
    assert (await trader.call("GET", "/api/v3/myTrades", symbol="BTCUSDT")).json == []
    await sim.control("DELETE", f"/faults/{fault_id}")
    assert (await trader.call("GET", "/api/v3/order", **query)).json["orderId"] == placed["orderId"]


async def test_partial_fill_leaves_a_remainder(sim: Sim, trader: Trader) -> None:
    await sim.fault("partial_fill", value=0.5, uid=trader.uid, times=1)
    placed = (await trader.market_buy()).json
    assert placed["status"] == "EXPIRED"
    assert 0 < Decimal(placed["executedQty"]) < Decimal(placed["origQty"])
    assert (await trader.market_buy()).json["status"] == "FILLED"


async def test_order_slots_leave_no_room_for_a_stop(sim: Sim, trader: Trader) -> None:
    await trader.market_buy(quote="2000")
    await sim.fault("order_slots", value=0, uid=trader.uid)
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.01", "stopPrice": "60000"}
    refused = await trader.order(**stop)
    assert (refused.code, refused.json["msg"]) == (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    await sim.control("DELETE", "/faults")
    assert (await trader.order(**stop)).status == 200


async def test_clock_offset_moves_the_venue_and_refuses_our_timestamps(sim: Sim, trader: Trader) -> None:
    await sim.fault("clock_offset_ms", value=7000)
    assert (await trader.call("GET", "/api/v3/account")).code == -1021
    served = (await sim.public("/api/v3/time")).json["serverTime"]
    assert 6000 < served - sim.clock() < 8000
    await sim.control("DELETE", "/faults")
    assert (await trader.call("GET", "/api/v3/account")).status == 200


async def test_ban_answers_418_to_everything_until_it_is_lifted(sim: Sim, trader: Trader) -> None:
    await sim.fault("ban_s", value=30)
    reply = await trader.market_buy()
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (418, -1003, "30")
    assert await executed(sim, trader) == []
    await sim.control("DELETE", "/faults")
    assert (await trader.market_buy()).status == 200


async def test_weight_limit_and_halt_are_undone_when_cleared(sim: Sim, trader: Trader) -> None:
    await sim.fault("weight_limit", value=0)
    assert (await sim.public("/api/v3/ping")).status == 429
    await sim.fault("halt", symbol="ETHUSDT")
    await sim.control("DELETE", "/faults")
    assert (await sim.public("/api/v3/ping")).status == 200
    assert (await trader.market_buy("ETHUSDT")).status == 200


async def subscribed(sim: Sim, trader: Trader, ws: Any) -> None:
    answer = await ws.call("userDataStream.subscribe.signature", trader.ws_params())
    assert answer["result"] == {"subscriptionId": 0}


async def test_duplicate_fills_send_the_same_execution_twice(sim: Sim, trader: Trader) -> None:
    await sim.fault("duplicate_fills", uid=trader.uid)
    async with sim.ws_api() as ws:
        await subscribed(sim, trader, ws)
        await trader.market_buy()
        events = await ws.events_until("outboundAccountPosition")
    trades = [event for event in events if event.get("x") == "TRADE"]
    assert [trade["I"] for trade in trades] == [trades[0]["I"]] * 2


async def test_late_fills_come_after_the_balances(sim: Sim, trader: Trader) -> None:
    await sim.fault("late_fills", value=30, uid=trader.uid)
    async with sim.ws_api() as ws:
        await subscribed(sim, trader, ws)
        await trader.market_buy()
        events = await ws.events_until("outboundAccountPosition")
        assert [event.get("x") for event in events] == ["NEW", None]
        assert (await ws.event())["event"]["x"] == "TRADE"


async def test_muted_stream_stays_open_and_silent(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws:
        await subscribed(sim, trader, ws)
        await sim.fault("stream_mute", uid=trader.uid)
        await trader.market_buy()
        assert (await ws.call("ping"))["result"] == {}
        assert ws.events == []
        await sim.control("DELETE", "/faults")
        await trader.market_buy()
        assert (await ws.event())["event"]["x"] == "NEW"


async def test_stream_drop_cuts_the_sockets_of_the_account_only(sim: Sim, trader: Trader) -> None:
    other = await sim.trader()
    async with sim.ws_api() as cut, sim.ws_api() as kept:
        await subscribed(sim, trader, cut)
        await subscribed(sim, other, kept)
        await sim.fault("stream_drop", uid=trader.uid)
        with pytest.raises(ConnectionError):
            await cut.event()
        assert (await kept.call("ping"))["status"] == 200


async def test_server_shutdown_is_announced_before_the_sockets_close(sim: Sim, trader: Trader) -> None:
    async with sim.ws_api() as ws, sim.stream("/stream?streams=btcusdt@trade") as market:
        await subscribed(sim, trader, ws)
        await sim.fault("server_shutdown", stream="all")
        assert (await ws.event())["event"]["e"] == "serverShutdown"
        assert (await market.event())["stream"] == "!serverShutdown"
        for ended in (ws, market):
            with pytest.raises(ConnectionError):
                await ended.event()


async def test_reordered_events_hold_the_same_facts(sim: Sim, trader: Trader) -> None:
    await sim.fault("reorder", uid=trader.uid)
    async with sim.ws_api() as ws:
        await subscribed(sim, trader, ws)
        orders = set()
        for _ in range(12):
            await trader.market_buy(quote="10")
            kinds = [(await ws.event())["event"] for _ in range(3)]
            orders.add(tuple(event.get("x", event["e"]) for event in kinds))
    assert len(orders) > 1
    assert {tuple(sorted(seen)) for seen in orders} == {("NEW", "TRADE", "outboundAccountPosition")}


async def test_storm_is_repeatable_by_seed() -> None:
    async def run(seed: int) -> list[str]:
        async with running_sim(seed=seed) as sim:
            trader = await sim.trader()
            await sim.fault("storm", probability=0.7)
            for _ in range(12):
                try:
                    await trader.market_buy(quote="10")
                except BROKEN:
                    continue
            rows = (await sim.control("GET", "/log?kind=requests"))["requests"]
            return [",".join(row["faults"]) for row in rows]

    assert await run(1) == await run(1) != await run(2)


async def test_storm_may_be_on_from_the_start() -> None:
    async with running_sim(storm=1.0) as sim:
        assert [fault["kind"] for fault in await sim.control("GET", "/faults")] == ["storm"]


async def test_faults_are_listed_and_refused_when_malformed(sim: Sim) -> None:
    fault_id = await sim.fault("delay_ms", value=1, uid=3, calls=["*"])
    assert [fault["fault_id"] for fault in await sim.control("GET", "/faults")] == [fault_id]
    for body in ({"kind": "no_such"}, {"kind": "halt"}, {"kind": "ban_s"}, {"kind": "storm", "probability": 2}):
        async with sim.session.post(sim.addresses.control_url + "/faults", json=body) as answer:
            assert answer.status == 422
