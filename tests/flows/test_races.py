"""Things that happen at the same time: closes against re-sends, sells against sells, cancels against fills."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.config.settings import VenueSection
from tradewind.core.ids import FillId, OrderId, VenueOrderId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import Price, Quantity
from tradewind.core.order import OrderState, Side, VenueReport
from tradewind.core.plan import PlanName
from tradewind.execution.outcomes import Outcome
from tradewind.infra.db import Db
from tradewind.venues.base import VenueFill

ORDER_CALLS = ["POST /api/v3/order"]
OCO_CALLS = ["POST /api/v3/orderList/oco"]
CANCEL_CALLS = ["DELETE /api/v3/orderList", "DELETE /api/v3/order"]


async def _bought(place: World, person: Person) -> str:
    _, answer = await place.alert(open_alert())
    await place.settled(answer["id"])
    await place.protected(person)
    return str(answer["id"])


async def _has_state(place: World, person: Person, state: str) -> None:
    async def is_there() -> bool:
        return any(each["state"] == state for each in await place.orders(person))

    await place.until(is_there)


def _sold(orders: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(each["executedQty"]) for each in orders if each["side"] == "SELL"), Decimal(0))


async def test_close_when_entry_is_unknown_and_never_arrived_then_not_sent_again(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("drop_before", calls=ORDER_CALLS, times=1)
        _, opened = await place.alert(open_alert())
        await _has_state(place, person, "UNKNOWN")
        _, closed = await place.alert(close_alert())
        await _has_state(place, person, "NEVER_ARRIVED")
        await place.settled(closed["id"])
        await asyncio.sleep(1.5)
        assert await place.positions(person) == []
        assert await place.venue_orders(person.uid) == []
        assert (await place.fan(opened["id"]))["counts"]["states"] == {"NEVER_ARRIVED": 1}


async def test_hand_sell_when_not_executed_at_first_then_sent_again(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked(balances={"USDT": "1000", "BTC": "0.01"})
        await place.fault("busy_1008", calls=ORDER_CALLS, times=1)
        body = {"symbol": "BTCUSDT", "quantity": "0.005"}
        status, order = await place.call("POST", "/trading/sell", person, body)
        assert status == 202, order
        await _has_state(place, person, "FILLED")
        assert _sold(await place.venue_orders(person.uid)) == Decimal("0.005")


async def test_hand_sells_when_two_at_once_then_never_the_coins_of_a_lot(tmp_path: Path) -> None:
    """order-protocol.md section 4."""
    async with world(tmp_path) as place:
        person = await place.one_linked(balances={"USDT": "1000", "BTC": "0.0003"})
        await place.fault("refuse", calls=OCO_CALLS, code=-1013, msg="Filter failure: MAX_NUM_ALGO_ORDERS")
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])

        async def is_watched() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["protected_watched"]

        await place.until(is_watched)
        body = {"symbol": "BTCUSDT", "quantity": "0.0002"}
        await asyncio.gather(*(place.call("POST", "/trading/sell", person, body) for _ in range(2)))
        await _has_state(place, person, "FILLED")
        await asyncio.sleep(2)
        assert _sold(await place.venue_orders(person.uid)) <= Decimal("0.0003")


async def test_close_when_a_hand_sell_is_in_doubt_then_sells_once_it_is_known(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await _bought(place, person)
        await place.fault("drop_before", calls=ORDER_CALLS, times=1)
        body = {"symbol": "BTCUSDT", "all": True, "include_protected": True}
        assert (await place.call("POST", "/trading/sell", person, body))[0] == 202
        await _has_state(place, person, "UNKNOWN")
        await place.alert(close_alert())
        await place.flat(person)
        assert len([each for each in await place.venue_orders(person.uid) if each["status"] == "FILLED"]) == 2


async def test_cancel_when_the_venue_is_busy_then_tried_again_and_never_counted_as_the_users(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        body = {"symbol": "BTC/USDT", "amount": "300"}
        assert (await place.call("POST", "/trading/buy", person, body))[0] == 202
        await place.protected(person)
        for number in range(2):
            await place.fault("busy_1008", calls=CANCEL_CALLS, times=1)
            sell = {"symbol": "BTCUSDT", "quantity": "0.0005", "include_protected": True}
            status, order = await place.call("POST", "/trading/sell", person, sell)
            assert status == 202, (number, order)

            async def is_sold(order_id: str = order["id"]) -> bool:
                return bool((await place.call("GET", f"/orders/{order_id}", person))[1]["state"] == "FILLED")

            await place.until(is_sold)
            await place.protected(person)


async def test_exit_when_refused_again_and_again_then_protected_meanwhile_and_told(tmp_path: Path) -> None:
    """order-protocol.md section 4."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await _bought(place, person)
        await place.fault("refuse", calls=ORDER_CALLS, code=-2010, msg="Market is closed.")
        await place.alert(close_alert())

        async def has_backed_off() -> bool:
            refused = [each for each in await place.orders(person) if each["state"] == "REJECTED"]
            resting = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
            return len(refused) >= 3 and len(resting) == 2

        await place.until(has_backed_off)
        await place.control("DELETE", "faults")
        await place.flat(person)


async def test_dust_when_its_time_is_up_then_left_in_peace(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked(time_exit_s=2)
        await place.fault("partial_fill", calls=ORDER_CALLS, times=1, value=0.12)
        await place.alert(open_alert())

        async def is_dust() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["dust"]

        await place.until(is_dust)
        await asyncio.sleep(4)
        assert await is_dust()
        assert [each for each in await place.orders(person) if each["leg"] == "exit"] == []


async def test_position_when_left_unprotected_by_the_user_then_no_tick_sells_it(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await _bought(place, person)
        for number in range(2):
            live = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
            body = {"uid": person.uid, "symbol": "BTCUSDT", "order_id": live[0]["orderId"]}
            await place.control("POST", "external-cancel", body)
            if number == 0:
                await asyncio.sleep(0.5)
                await place.protected(person)

        async def is_theirs() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["unprotected_by_you"]

        await place.until(is_theirs)
        stop = Decimal((await place.positions(person))[0]["stop"])
        for number in range(60):
            price = str((stop * Decimal("0.99")).quantize(Decimal("0.01")) + number % 2)
            await place.control("POST", "price", {"symbol": "BTCUSDT", "price": price})
            await asyncio.sleep(0.05)
        assert await is_theirs()


async def test_outcome_when_it_cannot_be_stored_then_other_accounts_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        poisoned, other = place.people([PlanName.PRO] * 2)
        await place.start_platform()
        await place.link(poisoned)
        await place.link(other)
        await _bought(place, poisoned)
        assert place.app is not None
        stop = next(each for each in await place.orders(poisoned) if each["leg"] == "stop")
        # A fill without its amount: no row of the journal takes it.
        fill = VenueFill(
            fill_id=FillId("1"),
            venue_order_id=VenueOrderId(stop["venue_order_id"]),
            symbol="BTCUSDT",
            side=Side.SELL,
            quantity=Quantity(Decimal("0.00001")),
            price=Price(Decimal(80_000)),
            quote_amount=None,  # type: ignore[arg-type]
            fee=None,
            at=datetime.now(UTC),
        )
        report = VenueReport(
            datetime.now(UTC), OrderState.PARTIALLY_FILLED, Quantity(Decimal("0.00001")), Decimal("0.8")
        )
        assert await place.app.engine.recorder.record([Outcome(OrderId(stop["id"]), report, (fill,))]) == []
        _, answer = await place.alert(open_alert("ETHUSDT"))
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 2}
        assert len(await place.positions(other)) == 2


async def test_fault_66_database_when_locked_by_another_for_long_then_the_platform_lives(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await _bought(place, person)
        other = Db.open(place.settings.database_url)
        try:
            with other.engine.connect() as writing, writing.begin() as lock:
                await place.fault("stream_drop", stream="user", times=1)
                await asyncio.sleep(7)
                lock.rollback()
        finally:
            other.close()
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"], 30)
        assert board["counts"]["states"] == {"FILLED": 1}


async def test_start_when_a_position_is_at_a_venue_switched_off_then_the_rest_runs(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await _bought(place, person)
        await place.stop_platform()
        off = {**place.settings.venues, (BINANCE, Environment.PAPER): VenueSection(enabled=False)}
        place.settings = replace(place.settings, venues=off)
        await place.start_platform()
        assert len(await place.positions(person)) == 1
        assert (await place.call("GET", "/health", None))[0] == 200
