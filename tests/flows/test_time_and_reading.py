"""Clocks that differ, networks that are slow, a reading side that says nothing: still one order each."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.platform import open_alert, world

from tradewind.core.plan import PlanName

ORDER_CALLS = ["POST /api/v3/order"]
QUERY_CALLS = ["GET /api/v3/order"]
UNKNOWN_ORDER = -2013


@pytest.mark.parametrize("offset_ms", [10_000, -10_000])
async def test_fault_30_clock_when_ten_seconds_off_then_orders_are_signed_in_the_venues_time(
    tmp_path: Path, offset_ms: int
) -> None:
    """order-protocol.md section 3.4: the timestamp in the request is the venue's time."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.fault("clock_offset_ms", value=offset_ms)
        await place.start_platform()
        await place.link(person)
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        await place.protected(person)
        assert len([each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]) == 1


async def test_fault_33_order_when_queries_never_find_it_then_the_list_does_and_it_is_not_sent_again(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 2: NEVER_ARRIVED needs empty lists as well as two "not found"."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("execute_drop", calls=ORDER_CALLS, times=1)
        await place.fault("stream_mute", stream="user")
        await place.fault("refuse", calls=QUERY_CALLS, code=UNKNOWN_ORDER, msg="Order does not exist.", status=400)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        rows = [each for each in await place.orders(person) if each["leg"] == "entry"]
        assert [each["state"] for each in rows] == ["FILLED"]
        assert len([each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]) == 1


async def test_fault_38_request_when_under_way_for_too_long_then_refused_by_its_age_and_sent_once_more(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 3, fence: what arrives after its window is never executed."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("delay_ms", value=1_500, where="before", calls=ORDER_CALLS, times=1)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        rows = [each for each in await place.orders(person) if each["leg"] == "entry"]
        assert [each["state"] for each in rows] == ["NEVER_ARRIVED", "FILLED"]
        bought = [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
        assert [each["origClientOrderId"] for each in bought] == [rows[1]["client_order_id"]]
