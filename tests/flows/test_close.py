"""Closes: they go before what has not left, and end flat (order-protocol.md section 4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.platform import close_alert, open_alert, world

from tradewind.core.plan import PlanName


async def test_close_when_one_second_after_open_with_trial_then_superseded_and_flat(tmp_path: Path) -> None:
    """order-protocol.md section 4: open-then-close inside a plan delay ends flat."""
    async with world(tmp_path) as place:
        trial, pro = place.people([PlanName.TRIAL, PlanName.PRO])
        await place.start_platform()
        await place.link(trial)
        await place.link(pro)
        _, opened = await place.alert(open_alert())
        await asyncio.sleep(1)
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"])
        board = await place.settled(opened["id"])
        reasons = {each["account"]: (each["state"], each["reason"]) for each in board["cells"]}
        assert reasons[trial.account_id] == ("DENIED", "superseded")
        assert reasons[pro.account_id][0] == "FILLED"

        async def is_flat() -> bool:
            return not await place.positions(trial) and not await place.positions(pro)

        await place.until(is_flat)
        # Past the trial plan's release: nothing of it ever reached the venue.
        await asyncio.sleep(2.5)
        assert await place.venue_orders(trial.uid) == []
        sells = [each for each in await place.venue_orders(pro.uid) if each["status"] == "FILLED"]
        assert [each["side"] for each in sells] == ["BUY", "SELL"]


async def test_close_when_position_protected_then_oco_cancelled_and_all_sold(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        assert await place.positions(person) == []
        states = {(each["leg"], each["state"]) for each in await place.orders(person)}
        assert states == {("entry", "FILLED"), ("stop", "CANCELED"), ("target", "CANCELED"), ("exit", "FILLED")}


async def test_fault_17_close_when_nothing_held_then_skipped(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["skip_reasons"] == {"nothing_held": 1}


async def test_stop_when_price_falls_then_sold_by_the_venue_and_booked(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        position = (await place.protected(person))[0]
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(float(position["stop"]) * 0.99)})

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        states = {each["leg"]: each["state"] for each in await place.orders(person)}
        assert states == {"entry": "FILLED", "stop": "FILLED", "target": "EXPIRED"}
