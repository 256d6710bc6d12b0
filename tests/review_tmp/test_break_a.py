from __future__ import annotations
import asyncio, sqlite3, time
from decimal import Decimal
from pathlib import Path
import pytest
from tests.support.platform import close_alert, open_alert, world
from tradewind.core.plan import PlanName

ORDER_CALLS = ["POST /api/v3/order"]

async def show(place, person, label):
    print("\n==", label)
    for o in await place.orders(person):
        print("  J", o["leg"], o["side"], o["state"], o["reason"], o["quantity"], o["executed"], "gen", o["generation"])
    for o in await place.venue_orders(person.uid):
        print("  V", o["side"], o["type"], o["status"], o["executedQty"])
    for p in await place.positions(person):
        print("  P", p["quantity"], p["protection"], p["protection_reason"])


async def test_close_while_entry_unknown_never_arrived(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p)
        await place.fault("drop_before", calls=ORDER_CALLS, times=1)
        _, o = await place.alert(open_alert())
        async def unk():
            return "UNKNOWN" in (await place.fan(o["id"]))["counts"]["states"]
        await place.until(unk)
        _, c = await place.alert(close_alert())
        await asyncio.sleep(6)
        await show(place, p, "close while unknown")
        print(await place.fan(o["id"])); print(await place.fan(c["id"]))
        assert await place.positions(p) == []


async def test_hand_sell_other_coins_not_executed_once(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform()
        await place.link(p, balances={"USDT": "1000", "BTC": "0.01"})
        await place.fault("busy_1008", calls=ORDER_CALLS, times=1)
        s, order = await place.call("POST", "/trading/sell", p, {"symbol": "BTCUSDT", "quantity": "0.005"})
        assert s == 202, order
        await asyncio.sleep(10)
        await show(place, p, "hand sell")
        assert (await place.orders(p))[0]["state"] == "FILLED"


async def test_cancel_busy_then_exit_latency(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p)
        _, o = await place.alert(open_alert()); await place.settled(o["id"]); await place.protected(p)
        await place.fault("busy_1008", calls=["DELETE /api/v3/orderList", "DELETE /api/v3/order"], times=1)
        t = time.monotonic()
        _, c = await place.alert(close_alert())
        async def flat(): return not await place.positions(p)
        await place.until(flat)
        print("exit took", time.monotonic() - t, "s; fence here is 1.9 s")
        await show(place, p, "cancel busy")
        assert time.monotonic() - t < 1.5


async def test_db_locked_longer_than_busy_timeout_kills_platform(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p)
        _, o = await place.alert(open_alert()); await place.settled(o["id"]); await place.protected(p)
        url = place.settings.database_url.removeprefix("sqlite:///")
        con = sqlite3.connect(url, isolation_level=None, check_same_thread=False)
        con.execute("BEGIN IMMEDIATE")
        await place.fault("stream_drop", stream="user")
        await asyncio.sleep(9)
        con.execute("ROLLBACK"); con.close()
        await asyncio.sleep(8)
        task = next(t for t in place._tasks if t.get_name() == "platform")
        dead = task.done()
        if dead:
            import traceback
            e = task.exception()
            traceback.print_exception(e)
        place._tasks = [t for t in place._tasks if not t.done()]
        assert not dead
