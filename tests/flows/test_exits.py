"""Exits that meet: two at once, one that cannot cancel, one that a new position comes after."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

from tests.support.platform import Person, World, close_alert, open_alert, world

ORDER_CALLS = ["POST /api/v3/order"]
CANCEL_CALLS = ["DELETE /api/v3/orderList", "DELETE /api/v3/order"]
SELL_ALL = {"symbol": "BTCUSDT", "all": True, "include_protected": True}


async def _held(place: World) -> Person:
    person = await place.one_linked(allows_adding=True)
    _, answer = await place.alert(open_alert())
    await place.settled(answer["id"])
    await place.protected(person)
    return person


async def test_sell_all_when_pressed_twice_at_once_then_sold_once_and_the_other_denied(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await _held(place)
        answers = await asyncio.gather(*(place.call("POST", "/trading/sell", person, SELL_ALL) for _ in range(2)))
        assert {status for status, _ in answers} <= {202, 422}
        await place.flat(person)

        async def have_ended() -> bool:
            exits = [each for each in await place.orders(person) if each["leg"] == "exit"]
            return all(each["ended_at"] for each in exits)

        await place.until(have_ended)
        sold = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert len([each for each in sold if each["status"] == "FILLED"]) == 1


async def test_close_when_it_came_back_unsent_and_a_person_sells_too_then_flat(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await _held(place)
        await place.fault("busy_1008", calls=ORDER_CALLS, times=2)
        await place.alert(close_alert())
        await asyncio.sleep(0.3)
        await place.call("POST", "/trading/sell", person, SELL_ALL)
        await place.flat(person)


async def test_cancel_when_the_venue_stays_busy_then_asked_about_once_a_quarter_second_at_most(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await _held(place)
        await place.fault("busy_1008", calls=CANCEL_CALLS)
        await place.alert(close_alert())
        await asyncio.sleep(2)
        log = await place.control("GET", f"log?kind=requests&uid={person.uid}&limit=1000")
        cancels = [each for each in log["requests"] if "DELETE" in str(each)]
        assert 1 <= len(cancels) <= 12
        await place.control("DELETE", "faults")
        await place.flat(person)


async def test_open_when_a_close_is_still_in_doubt_then_the_new_lot_is_not_sold_by_it(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await _held(place)
        old = {each["id"] for each in await place.positions(person)}
        await place.fault("drop_before", calls=ORDER_CALLS, times=1)
        await place.alert(close_alert())

        async def is_in_doubt() -> bool:
            return any(each["state"] == "UNKNOWN" for each in await place.orders(person))

        await place.until(is_in_doubt)
        # A whole second later, so that the new alert is the later one by its own time.
        await asyncio.sleep(1.1)
        _, opened = await place.alert(open_alert())

        async def is_old_sold() -> bool:
            held = {each["id"] for each in await place.positions(person)}
            return bool(held) and not held & old

        await place.until(is_old_sold)
        await asyncio.sleep(1.5)
        assert await is_old_sold()
        assert (await place.fan(opened["id"]))["counts"]["states"] == {"FILLED": 1}


async def test_time_exit_when_the_user_cancelled_the_stop_twice_then_still_carried_out(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked(time_exit_s=5)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        for number in range(2):
            live = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
            body = {"uid": person.uid, "symbol": "BTCUSDT", "order_id": live[0]["orderId"]}
            await place.control("POST", "external-cancel", body)
            if number == 0:
                await asyncio.sleep(0.3)
                await place.protected(person)
        await place.flat(person)
        exits = [each for each in await place.orders(person) if each["leg"] == "exit"]
        assert [each["state"] for each in exits] == ["FILLED"]
        assert Decimal(exits[0]["executed"]) > 0


async def test_time_exit_when_its_time_comes_while_the_process_is_away_then_sold_after_the_start(
    tmp_path: Path,
) -> None:
    """product.md E4: the time exit is the engine's and survives a restart; it sells before anything else there."""
    async with world(tmp_path) as place:
        person = await place.one_linked(time_exit_s=3)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        assert (await place.protected(person))[0]["time_exit_at"] is not None
        await place.stop_platform()
        await asyncio.sleep(3)
        await place.start_platform()
        await place.flat(person)
        sold = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert len([each for each in sold if each["status"] == "FILLED"]) == 1


async def test_time_exit_when_the_venue_is_away_then_waits_and_sells_when_it_is_back(tmp_path: Path) -> None:
    """order-protocol.md section 6: an exit waits, first in line, while a venue is down."""
    async with world(tmp_path) as place:
        person = await place.one_linked(time_exit_s=2)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        await place.fault("status", calls=[*ORDER_CALLS, *CANCEL_CALLS], status=503, executed=False)
        await asyncio.sleep(4)
        assert await place.positions(person)
        await place.control("DELETE", "faults")
        await place.flat(person)
        sold = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert len([each for each in sold if each["status"] == "FILLED"]) == 1
