"""The gate is asked again at the claim; protection goes down the ladder and never away (sections 5 and 6)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from tests.support.platform import close_alert, open_alert, world

from tradewind.core.plan import PlanName

OCO_CALLS = ["POST /api/v3/orderList/oco"]


async def test_entry_when_paused_between_decision_and_release_then_denied(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        _, answer = await place.alert(open_alert())

        async def is_planned() -> bool:
            return "INTENDED" in (await place.fan(answer["id"]))["counts"]["states"]

        await place.until(is_planned)
        await place.call("POST", f"/accounts/{person.account_id}/pause", person)
        board = await place.settled(answer["id"])
        assert [(each["state"], each["reason"]) for each in board["cells"]] == [("DENIED", "paused")]
        assert await place.venue_orders(person.uid) == []


async def test_position_when_paused_then_close_still_sells(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        await place.call("POST", f"/accounts/{person.account_id}/pause", person)
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        assert await place.positions(person) == []


async def test_protection_when_no_native_slot_then_watched_and_sold_at_the_stop(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("refuse", calls=OCO_CALLS, code=-1013, msg="Filter failure: MAX_NUM_ALGO_ORDERS")
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])

        async def is_watched() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["protected_watched"]

        await place.until(is_watched)
        stop = Decimal((await place.positions(person))[0]["stop"])
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(stop * Decimal("0.99"))})

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        sells = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert [each["status"] for each in sells] == ["FILLED"]


async def test_protection_when_answer_is_lost_then_found_and_only_one_list(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("execute_drop", calls=OCO_CALLS, times=1)
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        sells = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert len(sells) == 2


async def test_protection_when_not_executed_then_placed_again_after_the_fence(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("status", calls=OCO_CALLS, times=1, status=502, executed=False)
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        legs = [each for each in await place.orders(person) if each["leg"] == "stop"]
        assert [each["state"] for each in legs] == ["NEVER_ARRIVED", "ACCEPTED"]
        assert legs[0]["client_order_id"] != legs[1]["client_order_id"]


async def test_protection_when_user_cancels_it_once_then_placed_again_twice_then_their_will(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)

        async def cancel_all() -> None:
            live = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
            body = {"uid": person.uid, "symbol": live[0]["symbol"], "order_id": live[0]["orderId"]}
            await place.control("POST", "external-cancel", body)

        async def lists() -> int:
            return len([each for each in await place.venue_orders(person.uid) if each["type"] == "STOP_LOSS"])

        await cancel_all()

        async def is_again() -> bool:
            return await lists() == 2

        await place.until(is_again)
        await place.protected(person)
        await cancel_all()

        async def is_theirs() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["unprotected_by_you"]

        await place.until(is_theirs)
        await asyncio.sleep(1.5)
        assert await lists() == 2


async def test_restart_when_oco_rests_then_asked_about_and_not_placed_again(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        stop = Decimal((await place.protected(person))[0]["stop"])
        await place.stop_platform()
        # The stop is hit while nobody listens.
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(stop * Decimal("0.99"))})
        await place.start_platform()

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        sells = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert sorted(each["status"] for each in sells) == ["EXPIRED", "FILLED"]
