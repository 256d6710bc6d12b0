"""The control API and the referee's log."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.sim_binance import Sim, running_sim

from tradewind.sim.faults import FaultKind


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        yield running


async def refused(sim: Sim, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    url = sim.addresses.control_url + path
    async with sim.session.request(method, url, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_health_tells_time_tape_and_counts(sim: Sim) -> None:
    health = await sim.control("GET", "/health")
    assert (health["status"], health["profile"], health["accounts"]) == ("ok", "production", 0)
    assert health["tape"]["is_paused"] is True


async def test_several_keys_may_belong_to_one_account(sim: Sim) -> None:
    first = await sim.control("POST", "/keys", {"balances": {"USDT": "100"}})
    second = await sim.control("POST", "/keys", {"uid": first["uid"], "permissions": {"trading": False}})
    assert first["uid"] == second["uid"]
    assert first["api_key"] != second["api_key"]
    account = await sim.control("GET", f"/accounts/{first['uid']}")
    assert account["balances"] == {"USDT": {"free": "100.00000000", "locked": "0.00000000"}}
    assert account["keys"] == [first["api_key"][:8], second["api_key"][:8]]


async def test_revoked_key_is_unknown_and_changed_rights_count_at_once(sim: Sim) -> None:
    trader = await sim.trader()
    await sim.control("PATCH", f"/keys/{trader.api_key}", {"trading": False})
    assert (await trader.market_buy()).code == -2015
    await sim.control("DELETE", f"/keys/{trader.api_key}")
    assert (await trader.call("GET", "/api/v3/account")).code == -2015


async def test_lapsed_trading_right_still_reads(sim: Sim) -> None:
    trader = await sim.trader(expires_ms=sim.clock() - 1)
    assert (await trader.market_buy()).code == -2015
    rights = (await trader.call("GET", "/sapi/v1/account/apiRestrictions")).json
    assert rights["tradingAuthorityExpirationTime"] < sim.clock()


async def test_deposit_and_withdrawal_change_the_balance(sim: Sim) -> None:
    trader = await sim.trader()
    after = await sim.control("POST", "/deposit", {"uid": trader.uid, "asset": "BTC", "amount": "0.25"})
    assert after["balances"]["BTC"]["free"] == "0.25000000"
    after = await sim.control("POST", "/deposit", {"uid": trader.uid, "asset": "BTC", "amount": "-0.05"})
    assert after["balances"]["BTC"]["free"] == "0.20000000"
    status, problem = await refused(sim, "POST", "/deposit", {"uid": trader.uid, "asset": "BTC", "amount": "-9"})
    assert (status, problem["code"]) == (409, -2010)


async def test_account_settings_change_fees_and_the_right_to_trade(sim: Sim) -> None:
    trader = await sim.trader()
    await sim.control("POST", f"/accounts/{trader.uid}", {"taker_bps": "0"})
    assert (await trader.market_buy()).json["fills"][0]["commission"] == "0.00000000"
    await sim.control("POST", f"/accounts/{trader.uid}", {"can_trade": False})
    assert (await trader.market_buy()).json["msg"] == "This action is disabled on this account."
    assert (await trader.call("GET", "/api/v3/account")).json["canTrade"] is False


async def test_log_tells_every_request_in_pages(sim: Sim) -> None:
    trader = await sim.trader()
    await trader.market_buy(client_id="one")
    await trader.order(symbol="BTCUSDT", side="BUY", type="LIMIT")
    await trader.call("GET", "/api/v3/account")
    page = await sim.control("GET", "/log?kind=requests&limit=2")
    assert [row["call"] for row in page["requests"]] == ["order.place", "order.place"]
    assert page["next_after"] == 2
    placed, failed = page["requests"]
    assert (placed["executed"], placed["status"], placed["client_ids"]) == (True, 200, ["one"])
    assert (placed["uid"], placed["api_key"], placed["route"]) == (trader.uid, trader.api_key[:8], "POST /api/v3/order")
    assert (failed["executed"], failed["status"], failed["code"]) == (False, 400, -1102)
    rest = await sim.control("GET", "/log?kind=requests&after=2&limit=2")
    assert [row["call"] for row in rest["requests"]] == ["account.status"]
    assert rest["next_after"] is None


async def test_log_tells_every_step_of_every_order(sim: Sim) -> None:
    trader = await sim.trader()
    await trader.market_buy(client_id="one")
    events = (await sim.control("GET", f"/log?kind=events&uid={trader.uid}"))["events"]
    assert [event["kind"] for event in events] == ["TRANSFER", "NEW", "TRADE"]
    assert {event["client_order_id"] for event in events[1:]} == {"one"}
    orders = (await sim.control("GET", f"/accounts/{trader.uid}/orders"))["orders"]
    assert [order["clientOrderId"] for order in orders] == ["one"]
    assert orders[0]["fills"][0]["id"] == events[2]["trade_id"]


async def test_external_order_is_the_users_own_dealing(sim: Sim) -> None:
    trader = await sim.trader()
    body = {"uid": trader.uid, "symbol": "BTCUSDT", "side": "BUY", "quote_quantity": "100"}
    assert (await sim.control("POST", "/external-order", body))["status"] == "FILLED"
    resting = {**body, "type": "LIMIT", "time_in_force": "GTC", "price": "60000", "quantity": "0.01"}
    del resting["quote_quantity"]
    order_id = (await sim.control("POST", "/external-order", resting))["order_id"]
    cancel = {"uid": trader.uid, "symbol": "BTCUSDT", "order_id": order_id}
    assert (await sim.control("POST", "/external-cancel", cancel))["order_ids"] == [order_id]
    assert (await sim.control("GET", "/log?kind=requests"))["requests"] == []


async def test_tape_is_paused_resumed_sped_up_and_moved(sim: Sim) -> None:
    await sim.control("POST", "/tape", {"action": "seek", "value": "60"})
    assert (await sim.control("GET", "/tape"))["position_ms"] == 60_000
    await sim.control("POST", "/tape", {"action": "speed", "value": "5"})
    view = await sim.control("POST", "/tape", {"action": "resume"})
    assert (view["is_paused"], view["speed"]) == (False, "5")
    sim.clock.offset_ms += 2000
    await sim.control("POST", "/tape", {"action": "pause"})
    moved = (await sim.control("GET", "/tape"))["position_ms"]
    sim.server.spot.play()
    assert moved >= 60_000
    status, _ = await refused(sim, "POST", "/tape", {"action": "speed"})
    assert status == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("GET", "/accounts/1", None, 404),
        ("GET", "/accounts/one", None, 404),
        ("POST", "/keys", {"colour": "red"}, 422),
        ("POST", "/keys", {"permissions": {"withdraw": True}}, 422),
        ("POST", "/keys", {"ip_list": ["here"]}, 422),
        ("POST", "/keys", {"balances": {"USDT": "-1"}}, 422),
        ("DELETE", "/keys/nobody", None, 422),
        ("POST", "/price", {"symbol": "NOPE", "price": "1"}, 409),
        ("GET", "/log?kind=secrets", None, 422),
        ("GET", "/log?after=x", None, 422),
    ],
)
async def test_bad_control_request_is_refused(sim: Sim, method: str, path: str, body: object, status: int) -> None:
    answered, problem = await refused(sim, method, path, body)
    assert answered == status
    assert problem["error"]


async def test_web_page_may_not_control_the_venue(sim: Sim) -> None:
    status, _ = await refused(sim, "POST", "/keys", {}, Origin="https://example.org")
    assert status == 403


async def test_control_costs_no_weight(sim: Sim) -> None:
    await sim.control("GET", "/health")
    assert (await sim.public("/api/v3/ping")).headers["x-mbx-used-weight-1m"] == "1"


async def test_describe_names_what_is_recorded_modelled_and_every_fault(sim: Sim) -> None:
    text = await sim.control("GET", "/describe")
    assert "RECORDED" in text
    assert "MODELLED" in text
    assert "Apache-2.0" in text
    for kind in FaultKind:
        assert f"  {kind.value}" in text
