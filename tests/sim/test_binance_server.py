"""The process: start, stop, restart, one owner of the file, the announcement."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.support.sim_binance import TestClock, Trader, WsClient, running_sim

from tradewind.sim.exchange_store import StoreBusy
from tradewind.sim.server import SimServer, SimSettings
from tradewind.sim.tape import TapeError


async def test_state_survives_a_restart_and_ids_go_on(tmp_path: Path) -> None:
    store = tmp_path / "venue.sqlite3"
    async with running_sim(store=store) as sim:
        trader = await sim.trader()
        filled = (await trader.market_buy(client_id="before")).json
        resting = (
            await trader.order(
                symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001", price="60000"
            )
        ).json
        before = (await trader.call("GET", "/api/v3/account")).json["balances"]
    async with running_sim(store=store) as sim:
        again = Trader(trader.api_key, trader.secret, trader.uid, sim.addresses.rest_url, sim.session, sim.clock)
        assert (await again.call("GET", "/api/v3/account")).json["balances"] == before
        found = await again.call("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="before")
        assert found.json["orderId"] == filled["orderId"]
        assert [o["orderId"] for o in (await again.call("GET", "/api/v3/openOrders")).json] == [resting["orderId"]]
        later = (await again.market_buy()).json
        assert later["orderId"] > resting["orderId"]
        assert later["fills"][0]["tradeId"] > filled["fills"][0]["tradeId"]
        gone = await again.call("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=resting["orderId"])
        assert gone.json["status"] == "CANCELED"


async def test_tape_goes_on_where_it_stood(tmp_path: Path) -> None:
    store = tmp_path / "venue.sqlite3"
    async with running_sim(store=store) as sim:
        await sim.control("POST", "/tape", {"action": "seek", "value": "90"})
    async with running_sim(store=store) as sim:
        assert (await sim.control("GET", "/tape"))["position_ms"] == 90_000
    async with running_sim(store=store, tape="upbit-2026-05-12-evening") as sim:
        assert (await sim.control("GET", "/tape"))["position_ms"] == 0


async def test_second_owner_of_the_store_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "venue.sqlite3"
    async with running_sim(store=store):
        second = SimServer(SimSettings(store=store), TestClock())
        with pytest.raises(StoreBusy):
            await second.start()
    async with running_sim(store=store) as sim:
        assert (await sim.public("/api/v3/ping")).status == 200


async def test_unknown_tape_and_taken_port_are_told_and_leave_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(TapeError):
        await SimServer(SimSettings(tape="no-such-tape")).start()
    store = tmp_path / "venue.sqlite3"
    async with running_sim() as sim:
        port = int(sim.addresses.rest_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await SimServer(SimSettings(port=port, store=store)).start()
    async with running_sim(store=store) as sim:
        assert (await sim.public("/api/v3/ping")).status == 200


async def test_stop_ends_open_sockets_and_waiting_requests_at_once() -> None:
    async with running_sim() as sim:
        trader = await sim.trader()
        await sim.fault("delay_ms", value=60_000, calls=["*"])
        async with sim.ws_api() as ws:
            await ws.ws.send_str(json.dumps({"id": 1, "method": "account.status", "params": trader.ws_params()}))
            await asyncio.gather(sim.server.stop(), hears_the_end(ws))
        await sim.server.stop()


async def hears_the_end(ws: WsClient) -> None:
    assert (await ws.receive())["event"]["e"] == "serverShutdown"
    with pytest.raises(ConnectionError):
        await ws.receive()


async def test_abrupt_clients_leave_the_server_well() -> None:
    async with running_sim() as sim:
        for _ in range(5):
            async with aiohttp.ClientSession() as session:
                ws = await session.ws_connect(sim.addresses.ws_api_url)
                connection = ws._response.connection
                assert connection is not None
                assert connection.transport is not None
                connection.transport.abort()
        assert (await sim.public("/api/v3/ping")).status == 200
        await sim.price("BTCUSDT", "80000")
        assert sim.server.spot.users.count() == 0


@contextmanager
def process(store: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    code = (
        "import sys; from pathlib import Path; from tradewind.sim.server import SimSettings, run_forever;"
        "run_forever(SimSettings(store=Path(sys.argv[1]), paused=True), announce=True)"
    )
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        try:
            assert child.stdout is not None
            yield child, json.loads(child.stdout.readline())
        finally:
            child.kill()


async def test_killed_process_keeps_every_order_it_answered(tmp_path: Path) -> None:
    store = tmp_path / "venue.sqlite3"
    clock = TestClock()
    async with aiohttp.ClientSession() as session:
        with process(store) as (child, addresses):
            assert addresses["event"] == "ready"
            async with session.post(addresses["control_url"] + "/keys", json={"balances": {"USDT": "1000"}}) as answer:
                key = await answer.json()
            trader = Trader(key["api_key"], key["secret"], key["uid"], addresses["rest_url"], session, clock)
            placed = [(await trader.market_buy(quote="10", client_id=f"n{i}")).json["orderId"] for i in range(20)]
            child.kill()
            child.wait(timeout=10)
        with process(store) as (child, addresses):
            trader = Trader(key["api_key"], key["secret"], key["uid"], addresses["rest_url"], session, clock)
            orders = (await trader.call("GET", "/api/v3/allOrders", symbol="BTCUSDT")).json
            assert [order["orderId"] for order in orders] == placed
            child.send_signal(signal.SIGTERM)
            assert child.wait(timeout=10) == 0
