"""Lost answers, dead processes, late fills: one order at the venue, one in the journal, always."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.platform import Person, World, open_alert, world

from tradewind.core.plan import PlanName

ORDER_CALLS = ["POST /api/v3/order"]


def entries(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in orders if each["side"] == "BUY"]


async def _one_order_each(place: World, people: list[Person]) -> None:
    for person in people:
        at_venue = entries(await place.venue_orders(person.uid))
        ours = [each for each in await place.orders(person) if each["leg"] == "entry"]
        filled = [each for each in ours if each["state"] == "FILLED"]
        assert len(at_venue) == 1
        assert [each["client_order_id"] for each in filled] == [at_venue[0]["clientOrderId"]]
        assert len(await place.protected(person)) == 1


async def test_fault_24_answers_when_dropped_after_execution_then_one_order_each_and_one_row(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO] * 3)
        await place.start_platform()
        for person in people:
            await place.link(person)
        await place.fault("execute_drop", calls=ORDER_CALLS, times=3)
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 3}
        await _one_order_each(place, people)
        for person in people:
            rows = [each for each in await place.orders(person) if each["leg"] == "entry"]
            assert len(rows) == 1


@pytest.mark.parametrize("is_executed", [True, False])
async def test_fault_25_answer_503_when_executed_or_not_then_fate_is_found_out(
    tmp_path: Path, is_executed: bool
) -> None:
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(people[0])
        await place.fault("status", calls=ORDER_CALLS, times=1, status=503, executed=is_executed)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await _one_order_each(place, people)
        rows = [each for each in await place.orders(people[0]) if each["leg"] == "entry"]
        states = [each["state"] for each in rows]
        assert states == (["FILLED"] if is_executed else ["NEVER_ARRIVED", "FILLED"])


async def test_fault_34_connection_when_cut_before_execution_then_sent_again_under_a_new_id(tmp_path: Path) -> None:
    """order-protocol.md section 1."""
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(people[0])
        await place.fault("drop_before", calls=ORDER_CALLS, times=1)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await _one_order_each(place, people)
        rows = [each for each in await place.orders(people[0]) if each["leg"] == "entry"]
        assert [each["state"] for each in rows] == ["NEVER_ARRIVED", "FILLED"]
        assert rows[0]["client_order_id"] != rows[1]["client_order_id"]


async def test_process_when_ended_between_acceptance_and_answer_then_one_order_protected(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(people[0])
        # Executed at once, the answer held back: the platform ends in between.
        await place.fault("delay_ms", calls=ORDER_CALLS, times=1, where="after", value=30_000)
        await place.fault("stream_mute", stream="user")
        _, answer = await place.alert(open_alert())

        async def is_executed() -> bool:
            return len(entries(await place.venue_orders(people[0].uid))) == 1

        await place.until(is_executed)
        await place.stop_platform()
        await place.control("DELETE", "faults")
        await place.start_platform()
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        await _one_order_each(place, people)


async def test_fault_41_fills_when_repeated_and_late_on_the_stream_then_booked_once(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(people[0])
        await place.fault("duplicate_fills")
        await place.fault("execute_drop", calls=ORDER_CALLS, times=1)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        positions = await place.protected(people[0])
        at_venue = entries(await place.venue_orders(people[0].uid))
        fee = sum((_number(fill["commission"]) for fill in at_venue[0]["fills"]), start=_number("0"))
        assert _number(positions[0]["quantity"]) == _number(at_venue[0]["executedQty"]) - fee


def _number(text: str) -> Decimal:
    return Decimal(text)
