from __future__ import annotations
import asyncio, sqlite3, time
from decimal import Decimal
from pathlib import Path
import pytest
from tests.support.platform import close_alert, open_alert, world
from tests.review_tmp.test_break_a import show, ORDER_CALLS
from tradewind.core.plan import PlanName

CANCELS = ["DELETE /api/v3/orderList", "DELETE /api/v3/order"]

async def test_our_cancels_counted_as_the_users(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p)
        s, o = await place.call("POST", "/trading/buy", p, {"symbol": "BTC/USDT", "amount": "300"})
        await place.protected(p)
        for n in range(2):
            await place.fault("busy_1008", calls=CANCELS, times=1)
            s, order = await place.call("POST", "/trading/sell", p, {"symbol": "BTCUSDT", "quantity": "0.0005", "include_protected": True})
            assert s == 202, order
            async def done():
                return [x for x in await place.orders(p) if x["id"] == order["id"]][0]["state"] == "FILLED"
            await place.until(done)
            await asyncio.sleep(3)
            await show(place, p, f"after {n}")
        assert (await place.positions(p))[0]["protection"] == "protected_native"


async def test_unprotected_by_you_is_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p)
        _, o = await place.alert(open_alert()); await place.settled(o["id"]); await place.protected(p)
        for n in range(2):
            live = [e for e in await place.venue_orders(p.uid) if e["status"] == "NEW"]
            await place.control("POST", "external-cancel", {"uid": p.uid, "symbol": "BTCUSDT", "order_id": live[0]["orderId"]})
            if n == 0:
                await asyncio.sleep(0.5); await place.protected(p)
        async def theirs(): return [e["protection"] for e in await place.positions(p)] == ["unprotected_by_you"]
        await place.until(theirs)
        stop = Decimal((await place.positions(p))[0]["stop"])
        t = time.monotonic(); n = 0
        while time.monotonic() - t < 40 and await place.positions(p):
            for k in range(20):
                await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str((stop * Decimal("0.99")).quantize(Decimal("0.01")) + (k % 2))})
                n += 1
        print("ticks", n, "seconds", time.monotonic() - t)
        await show(place, p, "unprotected by you")
        assert await place.positions(p), "sold against the user's will"


async def test_dust_stop_and_time_loop(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p, time_exit_s=4)
        await place.fault("partial_fill", calls=ORDER_CALLS, times=1, value=0.12)
        _, o = await place.alert(open_alert()); 
        async def dust(): return [e["protection"] for e in await place.positions(p)] == ["dust"]
        await place.until(dust)
        await show(place, p, "dust"); await asyncio.sleep(14)
        await show(place, p, "dust after the time exit")
        assert len([x for x in await place.orders(p) if x["leg"] == "exit"]) <= 1


async def test_recorder_survives_one_poison_outcome(tmp_path: Path) -> None:
    from tradewind.execution.outcomes import Outcome
    from tradewind.core.order import VenueReport, OrderState
    from tradewind.execution import store
    from tradewind.core.money import Quantity, Price
    from tradewind.core.order import Side
    from tradewind.venues.base import VenueFill
    from datetime import datetime, UTC
    async with world(tmp_path) as place:
        a, b = place.people([PlanName.PRO] * 2); await place.start_platform(); await place.link(a); await place.link(b)
        _, o = await place.alert(open_alert()); await place.settled(o["id"]); await place.protected(a); await place.protected(b)
        rows = await place.orders(a)
        stop = next(x for x in rows if x["leg"] == "stop"); entry = next(x for x in rows if x["leg"] == "entry")
        eng = place.app.engine
        vf = [f for v in await place.venue_orders(a.uid) if v["side"] == "BUY" for f in v["fills"]][0]
        print(vf)
        fill = VenueFill(fill_id=str(vf.get("tradeId", vf.get("id"))), venue_order_id=entry["venue_order_id"], symbol="BTCUSDT", side=Side.SELL,
            quantity=Quantity(Decimal("0.00001")), price=Price(Decimal("80000")), quote_amount=Decimal("0.8"), fee=None, at=datetime.now(UTC), is_maker=False)
        task = asyncio.create_task(eng.recorder.record([Outcome(stop["id"], VenueReport(datetime.now(UTC), OrderState.PARTIALLY_FILLED, Quantity(Decimal("0.00001")), Decimal("0.8")), (fill,))]))
        await asyncio.sleep(1)
        # another account, another asset: does anything of it still get recorded?
        _, c = await place.alert(open_alert("ETHUSDT"))
        await asyncio.sleep(8)
        await show(place, b, "other account after the poison")
        task.cancel()
        states = {x["state"] for x in await place.orders(b) if x["symbol"] == "ETHUSDT"}
        assert "FILLED" in states, states


async def test_exit_sells_once_when_trades_lag(tmp_path: Path) -> None:
    """The answer to the exit is lost, the order is found FILLED, myTrades (Data Source: Database) lags 2 s, stream late."""
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform()
        await place.link(p, balances={"USDT": "1000", "BTC": "1"})
        _, o = await place.alert(open_alert()); await place.settled(o["id"]); await place.protected(p)
        client = place.app.engine.desk.client("binance", __import__("tradewind.core.instrument", fromlist=["Environment"]).Environment.PAPER)
        real = type(client).fills; until = time.monotonic() + 4
        async def lagging(self, *x, **k):
            return [] if time.monotonic() < until else await real(self, *x, **k)
        type(client).fills = lagging
        try:
            await place.fault("late_fills", value=4000)
            await place.fault("execute_drop", calls=ORDER_CALLS, times=1)
            await place.alert(close_alert())
            await asyncio.sleep(9)
        finally:
            type(client).fills = real
        await show(place, p, "exit with lagging trades")
        sold = [v for v in await place.venue_orders(p.uid) if v["side"] == "SELL" and v["status"] == "FILLED"]
        assert len(sold) == 1, f"sold {len(sold)} times: the user's own coins"


async def test_close_when_entry_filled_but_fills_lag_then_flat(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p)
        client = place.app.engine.desk.client("binance", __import__("tradewind.core.instrument", fromlist=["Environment"]).Environment.PAPER)
        real = type(client).fills; until = time.monotonic() + 4
        async def lagging(self, *x, **k):
            return [] if time.monotonic() < until else await real(self, *x, **k)
        type(client).fills = lagging
        try:
            await place.fault("late_fills", value=4000)
            await place.fault("execute_drop", calls=ORDER_CALLS, times=1)
            _, o = await place.alert(open_alert())
            await place.settled(o["id"])
            _, c = await place.alert(close_alert())
            await asyncio.sleep(8)
        finally:
            type(client).fills = real
        print((await place.fan(c["id"]))["counts"])
        await show(place, p, "close while the entry's fills lag")
        assert await place.positions(p) == []


async def test_db_locked_long_platform_lives(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (p,) = place.people([PlanName.PRO]); await place.start_platform(); await place.link(p)
        _, o = await place.alert(open_alert()); await place.settled(o["id"]); await place.protected(p)
        url = place.settings.database_url.removeprefix("sqlite:///")
        con = sqlite3.connect(url, isolation_level=None, check_same_thread=False)
        con.execute("BEGIN IMMEDIATE")
        await place.fault("stream_drop", stream="user")
        await asyncio.sleep(20)
        con.execute("ROLLBACK"); con.close()
        await asyncio.sleep(4)
        task = next(t for t in place._tasks if t.get_name() == "platform")
        dead = task.done()
        if dead:
            e = task.exception()
            while hasattr(e, "exceptions"): e = e.exceptions[0]
            import traceback; traceback.print_exception(e)
        place._tasks = [t for t in place._tasks if not t.done()]
        assert not dead
