"""Reconcile per account: what happened while nobody listened is known, and entries wait for it, account by account."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from tests.support.platform import Person, World, open_alert, world

from tradewind.core.ids import AccountId
from tradewind.core.plan import PlanName
from tradewind.execution.recovery import Recovery

LIST_CALLS = ["GET /api/v3/openOrders"]
ACCOUNT_CALLS = ["GET /api/v3/account"]
ORDER_CALLS = ["POST /api/v3/order"]
QUERY_CALLS = ["GET /api/v3/order"]


async def _bought(place: World, person: Person) -> dict[str, Any]:
    _, opened = await place.alert(open_alert())
    await place.settled(opened["id"])
    return (await place.protected(person))[0]


async def _reports(place: World, person: Person, cause: str) -> list[dict[str, Any]]:
    status, answer = await place.call("GET", f"/accounts/{person.account_id}/recovery", person)
    assert status == 200, answer
    return [each for each in answer["items"] if each["cause"] == cause]


async def _green(place: World, person: Person, cause: str) -> dict[str, Any]:
    """Wait until a reconcile for this cause has found the account in order; return its report."""

    async def find() -> dict[str, Any] | None:
        found = [each for each in await _reports(place, person, cause) if each["green_at"] is not None]
        return found[0] if found else None

    return dict(await place.until(find))


async def _below(place: World, position: dict[str, Any]) -> None:
    price = Decimal(position["stop"]) * Decimal("0.99")
    await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(price)})


async def test_fault_05_stop_when_filled_while_down_then_booked_reported_and_told(tmp_path: Path) -> None:
    """order-protocol.md section 2 and product.md E8: journal against venue at start, with a report."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        position = await _bought(place, person)
        await place.stop_platform()
        await _below(place, position)
        await place.start_platform()
        report = await _green(place, person, "start")
        kinds = {each["kind"] for each in report["details"]}
        assert report["differences"] >= 1
        assert kinds == {"order_moved"}
        assert report["fills_booked"] >= 1
        assert report["waits_for"] is None
        assert await place.positions(person) == []
        assert report["orders"] == 2


async def test_start_when_nothing_happened_then_every_account_is_green_without_differences(tmp_path: Path) -> None:
    """product.md E8: a report for every account, differences or not."""
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO] * 3)
        await place.start_platform()
        for person in people:
            await place.link(person)
        await _bought(place, people[0])
        for person in people:
            await place.protected(person)
        await place.stop_platform()
        await place.start_platform()
        for person in people:
            report = await _green(place, person, "start")
            assert report["details"] == []
            assert report["not_ours"] == 0
        status, overview = await place.call("GET", "/recovery", place.operator)
        assert status == 200
        assert [each["accounts"] for each in overview["outstanding"]] == [0]
        assert (await place.call("GET", "/recovery", people[0]))[0] == 403
        assert (await place.call("GET", f"/accounts/{people[0].account_id}/recovery", people[1]))[0] == 404


async def test_entries_when_one_account_cannot_be_looked_at_then_it_waits_and_the_other_goes_on(
    tmp_path: Path,
) -> None:
    """product.md E8: entries wait for a green account; other accounts go on."""
    async with world(tmp_path) as place:
        stuck, free = place.people([PlanName.PRO] * 2)
        await place.start_platform()
        for person in (stuck, free):
            await place.link(person)
        await place.stop_platform()
        await place.fault("status", calls=ACCOUNT_CALLS, uid=stuck.uid, status=503)
        await place.start_platform()
        await _green(place, free, "start")
        _, answer = await place.alert(open_alert())

        await place.protected(free)
        assert [each["state"] for each in await place.orders(stuck)] == ["INTENDED"]
        _, status = await place.call("GET", "/trading/status", stuck)
        assert [each["code"] for each in status["accounts"][0]["reasons"]] == ["reconciling"]
        (report,) = await place.until(lambda: _reports(place, stuck, "start"))
        assert report["green_at"] is None
        assert report["waits_for"].startswith("no answer")
        await place.control("DELETE", "faults")
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 2}


async def test_fault_39_stream_when_cut_during_a_fill_then_filled_in_after_the_reconnect(tmp_path: Path) -> None:
    """reliability.md L-5: what the stream missed is asked for once it is back."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        position = await _bought(place, person)
        await place.fault("stream_mute", stream="user")
        await _below(place, position)
        await place.fault("stream_drop", stream="user")

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        sells = [each for each in await place.orders(person) if each["side"] == "sell" and each["state"] == "FILLED"]
        assert len(sells) == 1


async def test_fault_51_orders_when_not_ours_then_counted_and_left_alone(tmp_path: Path) -> None:
    """order-protocol.md section 4: product.md E8: orders at the venue that are not ours are left alone and reported."""
    async with world(tmp_path) as place:
        person = await place.one_linked(balances={"USDT": "1000", "BTC": "0.5"})
        target = Decimal((await _bought(place, person))["target"]) + 100
        price = str(target.quantize(Decimal(1)))
        body = {"uid": person.uid, "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "quantity": "0.1"}
        await place.control("POST", "external-order", {**body, "price": price, "time_in_force": "GTC"})
        await place.stop_platform()
        await place.start_platform()
        report = await _green(place, person, "start")
        assert (report["not_ours"], report["differences"]) == (1, 0)
        theirs = [each for each in await place.venue_orders(person.uid) if each["price"].startswith(price)]
        assert [each["status"] for each in theirs] == ["NEW"]


async def test_fault_52_coins_when_gone_from_the_account_then_held_told_and_open_again_when_certain(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: a shortfall counts once it was read twice; recovery tells it and decides nothing."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        position = await _bought(place, person)
        stop = next(each for each in await place.venue_orders(person.uid) if each["type"] == "STOP_LOSS")
        await place.stop_platform()
        await place.control(
            "POST", "external-cancel", {"uid": person.uid, "symbol": "BTCUSDT", "order_id": int(stop["orderId"])}
        )
        sold = {"uid": person.uid, "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.0001"}
        await place.control("POST", "external-order", sold)
        await place.start_platform()

        async def is_told() -> dict[str, Any] | None:
            found = await _reports(place, person, "start")
            return found[0] if found and "shortfall" in {each["kind"] for each in found[0]["details"]} else None

        report = await place.until(is_told)
        (short,) = [each for each in report["details"] if each["kind"] == "shortfall"]
        assert short["ours"] == position["quantity"]
        assert Decimal(short["venue"]) == Decimal(position["quantity"]) - Decimal("0.0001")


async def test_id_when_it_arrives_after_never_arrived_then_cancelled_and_told(tmp_path: Path) -> None:
    """order-protocol.md sections 1 and 2: an ended id stays watched for 24 h; found alive, it is cancelled."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("drop_before", calls=ORDER_CALLS, times=1)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        stop = Decimal((await place.protected(person))[0]["stop"])
        price = str(stop.quantize(Decimal(1)))
        lost = next(each for each in await place.orders(person) if each["state"] == "NEVER_ARRIVED")
        await place.stop_platform()
        await place.control(
            "POST",
            "external-order",
            {
                "uid": person.uid,
                "symbol": "BTCUSDT",
                "side": "BUY",
                "type": "LIMIT",
                "quantity": "0.001",
                "price": price,
                "time_in_force": "GTC",
                "client_order_id": lost["client_order_id"],
            },
        )
        await place.start_platform()

        async def is_cancelled() -> bool:
            late = [each for each in await place.venue_orders(person.uid) if each["price"].startswith(price)]
            return [each["status"] for each in late] == ["CANCELED"]

        await place.until(is_cancelled)
        rows = [each for each in await place.orders(person) if each["id"] == lost["id"]]
        assert [each["state"] for each in rows] == ["NEVER_ARRIVED"]


async def test_fault_32_id_when_it_fills_after_never_arrived_then_booked_and_protected(tmp_path: Path) -> None:
    """order-protocol.md section 2: a fact after the end is recorded, booked, and protection follows it."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.fault("drop_before", calls=ORDER_CALLS, times=1)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        lost = next(each for each in await place.orders(person) if each["state"] == "NEVER_ARRIVED")
        await place.stop_platform()
        late = {"uid": person.uid, "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001"}
        await place.control("POST", "external-order", {**late, "client_order_id": lost["client_order_id"]})
        await place.start_platform()

        async def are_both_protected() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["protected_native"] * 2

        await place.until(are_both_protected)


async def test_fault_40_stream_when_connected_and_silent_then_found_by_comparing_and_subscribed_anew(
    tmp_path: Path,
) -> None:
    """reliability.md L-5: a stream that is up and deaf is found out by comparing the account with its venue."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await _bought(place, person)
        assert place.app is not None
        await place.fault("stream_mute", stream="user")
        stop = next(each for each in await place.venue_orders(person.uid) if each["type"] == "STOP_LOSS")
        gone = {"uid": person.uid, "symbol": "BTCUSDT", "order_id": int(stop["orderId"])}
        await place.control("POST", "external-cancel", gone)
        # 5 and 50 s in production, as far as the venue's budget reaches.
        place.app.engine.recovery.streams.deaf_after_s = 0.3
        place.app.engine.recovery.compare_every(0.5)
        reports = await place.until(lambda: _reports(place, person, "routine"))
        assert {each["kind"] for each in reports[0]["details"]} == {"order_moved"}

        async def is_protected_again() -> bool:
            sells = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
            return [each["status"] for each in sells].count("NEW") == 2

        await place.until(is_protected_again)
        # How long it took until it was heard again is in the report.
        assert (await _green(place, person, "stream_deaf"))["waits_for"] is None


async def test_hold_when_set_while_a_look_is_just_ending_then_it_is_a_hold_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """product.md E8: a look that began before a doubt says nothing of it."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        assert place.app is not None
        recovery, account_id = place.app.engine.recovery, AccountId(person.account_id)
        write, held = Recovery._write, list[bool]()

        async def writing(self: Recovery, account: Any, report: Any, *, is_green: bool) -> None:
            await write(self, account, report, is_green=is_green)
            if is_green and report.cause == "stream_lost":
                recovery.hold(account_id, "key_refused")

        async def releasing(self: Recovery, account: Any, report: Any) -> None:
            held.append(recovery.is_held(account_id))
            await release(self, account, report)

        release = Recovery._release
        monkeypatch.setattr(Recovery, "_write", writing)
        monkeypatch.setattr(Recovery, "_release", releasing)
        recovery.hold(account_id, "stream_lost")
        await _green(place, person, "key_refused")
        assert held == [True, False]


async def test_order_of_our_form_when_the_journal_does_not_know_it_then_entries_wait_until_it_is_gone(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 9: what a put-back journal has forgotten shows in what rests at the venue."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await _bought(place, person)
        assert place.app is not None
        stop = next(each for each in await place.venue_orders(person.uid) if each["type"] == "STOP_LOSS")
        # The row is known under another id from now on: the order at the venue is nobody's.
        with place.app.db.engine.connect() as tx:
            changed = text(
                "UPDATE orders SET client_order_id = :other, venue_order_id = '1' WHERE client_order_id = :id"
            )
            tx.execute(changed, {"id": stop["clientOrderId"], "other": "tw" + 26 * "a"})
            tx.commit()
        recovery, account_id = place.app.engine.recovery, AccountId(person.account_id)
        recovery.look_soon(account_id, "called")

        async def is_told() -> bool:
            found = await _reports(place, person, "unknown_orders")
            return bool(found) and "does not know" in (found[0]["waits_for"] or "")

        await place.until(is_told)
        assert recovery.is_held(account_id)


async def test_reconcile_when_neither_venue_nor_database_answers_then_the_platform_stays_and_tries_again(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 6: with the database away the watch goes on, so the process must."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        assert place.app is not None
        recovery, account_id = place.app.engine.recovery, AccountId(person.account_id)
        await place.fault("refuse", calls=ACCOUNT_CALLS, times=3, code=-1000, msg="An unknown error occurred.")
        with place.app.db.engine.connect() as tx:
            # Everything else goes on: the report alone cannot be written.
            tx.execute(text("ALTER TABLE recovery_reports RENAME TO reports_away"))
            tx.commit()
        recovery.hold(account_id, "stream_lost")
        await asyncio.sleep(1.5)
        assert recovery.is_held(account_id)
        with place.app.db.engine.connect() as tx:
            tx.execute(text("ALTER TABLE reports_away RENAME TO recovery_reports"))
            tx.commit()
        await place.reconciled(person)
        assert (await _green(place, person, "stream_lost"))["waits_for"] is None


async def test_account_when_its_link_could_not_be_read_then_its_entries_wait_until_it_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """product.md E8: nothing is bought on an account that nobody listens to."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        assert place.app is not None
        follower, tried = place.app.follower, [0]
        refresh = follower._refresh

        async def failing(account_id: AccountId) -> None:
            tried[0] += 1
            if tried[0] <= 2:
                raise OperationalError("SELECT", {}, Exception("away"))
            await refresh(account_id)

        monkeypatch.setattr(follower, "_refresh", failing)
        await place.link(person)
        _, answer = await place.alert(open_alert())

        async def is_planned() -> bool:
            return dict((await place.fan(answer["id"]))["counts"]["states"]) == {"INTENDED": 1}

        await place.until(is_planned)
        assert await place.venue_orders(person.uid) == []
        await place.protected(person)
        assert tried[0] > 2
