"""Emergency stop through HTTP: in the middle of a fan-out, by scope, with flatten, and what a resume opens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.command import Command
from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.core.plan import PlanName

ORDER_CALLS = ["POST /api/v3/order"]
OPERATOR_PASSWORD = "heron lattice quarry monsoon"


async def _stop(place: World, person: Person, **body: Any) -> dict[str, Any]:
    status, answer = await place.call("POST", "/emergency/stop", person, body)
    assert status == 200, answer
    return dict(answer)


async def _planned(place: World, signal_id: str, count: int) -> None:
    async def is_planned() -> bool:
        return bool((await place.fan(signal_id))["counts"]["states"].get("INTENDED", 0) == count)

    await place.until(is_planned)


async def test_fault_60_stop_during_fanout_when_plans_still_wait_then_none_of_them_is_sent(tmp_path: Path) -> None:
    """order-protocol.md section 6."""
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO, PlanName.PRO, PlanName.TRIAL, PlanName.TRIAL])
        await place.start_platform()
        for person in people:
            await place.link(person)
        _, answer = await place.alert(open_alert())
        await _planned(place, answer["id"], 2)
        for person in people[:2]:
            await place.protected(person)
        done = await _stop(place, place.operator, scope="platform", reason="drill")
        assert (done["denied"], done["is_recorded"]) == (2, True)
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 2, "DENIED": 2}
        assert {cell["reason"] for cell in board["cells"] if cell["state"] == "DENIED"} == {"stopped"}
        # Positions and their protection stand; nothing of the late plans ever reached the venue.
        for person in people[:2]:
            assert [each["protection"] for each in await place.positions(person)] == ["protected_native"]
        for person in people[2:]:
            assert await place.venue_orders(person.uid) == []


async def test_user_stop_when_others_are_in_the_same_fan_then_they_go_on(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        stopped, other = place.people([PlanName.TRIAL, PlanName.TRIAL])
        await place.start_platform()
        await place.link(stopped)
        await place.link(other)
        _, answer = await place.alert(open_alert())
        await _planned(place, answer["id"], 2)
        done = await _stop(place, stopped)
        assert (done["denied"], done["stop"]["by"]) == (1, "you")
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 1, "DENIED": 1}
        assert await place.venue_orders(stopped.uid) == []
        _, status = await place.call("GET", "/trading/status", stopped)
        assert [reason["code"] for reason in status["reasons"]] == ["emergency_stop"]
        assert "(you)" in status["reasons"][0]["text"]
        _, mine = await place.call("GET", "/emergency", stopped)
        _, theirs = await place.call("GET", "/emergency", other)
        assert (mine["is_stopped"], theirs["is_stopped"]) == (True, False)
        # What is decided while stopped says so, and a close still sells.
        _, again = await place.alert(open_alert("ETHUSDT"))
        board = await place.settled(again["id"])
        assert sorted((cell["state"], cell["reason"]) for cell in board["cells"])[-1] == ("SKIPPED", "stopped")
        assert (await place.call("POST", "/trading/buy", stopped, {"symbol": "BTC/USDT", "amount": "50"}))[0] == 409


async def test_stop_when_asked_for_what_is_not_theirs_then_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person, other = place.people([PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        await place.link(other)
        for body, expected in (
            ({"scope": "platform"}, 403),
            ({"scope": "venue", "subject": "binance"}, 403),
            ({"scope": "user", "subject": other.id}, 404),
            ({"scope": "account", "subject": other.account_id}, 404),
            ({"scope": "account"}, 422),
            ({"policy": "flatten"}, 422),
        ):
            status, answer = await place.call("POST", "/emergency/stop", person, body)
            assert status == expected, (body, answer)
        status, _ = await place.call("POST", "/emergency/stop", place.operator, {"scope": "venue", "subject": "mars"})
        assert status == 404
        assert place.app is not None
        assert place.app.engine.latch.closed_scopes == frozenset()


async def test_flatten_when_positions_are_protected_then_all_sold_and_flat(tmp_path: Path) -> None:
    """order-protocol.md section 6: signed entries are resolved, then cancelled or flattened."""
    async with world(tmp_path) as place:
        first, second, late = place.people([PlanName.PRO, PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        for person in (first, second, late):
            await place.link(person)
        # The third entry is filled and its answer is lost: its lot comes to light after the stop.
        await place.fault("execute_drop", calls=ORDER_CALLS, uid=late.uid, times=1)
        await place.fault("stream_mute", stream="user")
        await place.alert(open_alert())

        async def is_bought() -> bool:
            return [each["status"] for each in await place.venue_orders(late.uid)] == ["FILLED"]

        # An entry waits until its account was found in order: one that has not left would be stopped.
        await place.until(is_bought)
        for person in (first, second):
            await place.protected(person)
        done = await _stop(place, place.operator, scope="platform", policy="flatten", confirm="FLATTEN")
        assert done["stop"]["policy"] == "flatten"

        async def is_flat() -> bool:
            _, shown = await place.call("GET", "/emergency", place.operator)
            left = [lot for person in (first, second, late) for lot in await place.positions(person)]
            return not left and bool(shown["items"][0]["is_settled"])

        await place.until(is_flat)
        for person in (first, second, late):
            orders = await place.venue_orders(person.uid)
            assert [each["status"] for each in orders if each["side"] == "SELL" and each["type"] == "MARKET"] == [
                "FILLED"
            ]
            assert [each for each in orders if each["status"] == "NEW"] == []


async def test_flatten_when_killed_half_way_then_the_next_process_ends_flat(tmp_path: Path) -> None:
    """order-protocol.md section 6."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.alert(open_alert())
        await place.protected(person)
        await place.fault("busy_1008", calls=ORDER_CALLS)
        await _stop(place, person, policy="flatten", confirm="FLATTEN")
        await asyncio.sleep(0.5)
        await place.stop_platform()
        await place.control("DELETE", "faults")
        await place.start_platform()

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        _, shown = await place.call("GET", "/emergency", person)
        assert shown["is_stopped"]


async def test_resume_when_lifted_then_new_signals_go_and_the_stopped_one_does_not(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.FLEX])
        await place.set_password(place.operator, OPERATOR_PASSWORD)
        await place.start_platform()
        await place.link(person)
        _, stopped = await place.alert(open_alert())
        await _planned(place, stopped["id"], 1)
        await _stop(place, place.operator, scope="user", subject=person.id)
        # Without the password, with a wrong one, and by the one who was stopped by the operator: no.
        for caller, body, expected in (
            (place.operator, {"subject": person.id}, 422),
            (place.operator, {"subject": person.id, "password": "not this one at all"}, 403),
            (person, {"password": "whatever they type"}, 403),
        ):
            status, answer = await place.call("POST", "/emergency/resume", caller, body)
            assert status == expected, answer
        body = {"subject": person.id, "password": OPERATOR_PASSWORD}
        status, answer = await place.call("POST", "/emergency/resume", place.operator, body)
        assert (status, answer["is_stopped"]) == (200, False)
        _, fresh = await place.alert(open_alert("ETHUSDT"))
        board = await place.settled(fresh["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        assert (await place.fan(stopped["id"]))["counts"]["states"] == {"DENIED": 1}
        assert {each["symbol"] for each in await place.venue_orders(person.uid)} == {"ETHUSDT"}
        _, closed = await place.alert(close_alert("ETHUSDT"))
        await place.settled(closed["id"])


async def test_stop_when_sent_twice_with_one_key_then_one_stop(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": "once"}
        answers = []
        for _ in range(2):
            url = f"{place.url}/api/v1/emergency/stop"
            async with place.http.post(url, json={"reason": "drill"}, headers=headers) as answer:
                answers.append((answer.status, await answer.json(), answer.headers.get("Idempotency-Replayed")))
        assert answers[0][:2] == answers[1][:2]
        assert [replayed for *_, replayed in answers] == [None, "true"]


async def test_fault_60_stop_during_fanout_when_orders_are_on_the_wire_then_each_is_filled_or_never_left(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 6: stopped at once, in the middle of the sending itself."""
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO] * 24)
        await place.set_password(place.operator, OPERATOR_PASSWORD)
        await place.start_platform()
        for person in people:
            await place.link(person)
        for symbol, sent_first in (("BTCUSDT", 1), ("ETHUSDT", 8)):
            await place.fault("delay_ms", calls=ORDER_CALLS, value=40, where="engine")
            _, answer = await place.alert(open_alert(symbol))

            async def has_begun(signal_id: str = answer["id"], least: int = sent_first) -> bool:
                states = (await place.fan(signal_id))["counts"]["states"]
                gone = sum(count for state, count in states.items() if state not in ("INTENDED", "DENIED"))
                return bool(gone >= least)

            await place.until(has_begun)
            await _stop(place, place.operator, scope="venue", subject="binance")
            await place.control("DELETE", "faults")
            board = await place.settled(answer["id"], 40)
            states = {cell["account"]: cell["state"] for cell in board["cells"]}
            assert set(states.values()) <= {"FILLED", "DENIED"}
            for person in people:
                bought = [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
                here = [each["status"] for each in bought if each["symbol"] == symbol]
                assert here == (["FILLED"] if states[person.account_id] == "FILLED" else [])
            body = {"scope": "venue", "subject": "binance", "password": OPERATOR_PASSWORD}
            assert (await place.call("POST", "/emergency/resume", place.operator, body))[0] == 200


async def test_stop_by_command_when_a_platform_runs_then_it_obeys_and_goes_on_after_the_resume(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        stopped, other = place.people([PlanName.TRIAL, PlanName.TRIAL])
        await place.start_platform()
        for person in (stopped, other):
            await place.link(person)
        _, first = await place.alert(open_alert())
        await _planned(place, first["id"], 2)
        # Whatever else runs on the database: the platform sees it there, and shows what was denied.
        said = await _command(place, "stop", "--user", "user0@example.org")
        assert "1 entries that waited are denied" in said
        board = await place.settled(first["id"])
        assert sorted(cell["state"] for cell in board["cells"]) == ["DENIED", "FILLED"]
        await _resume_by_command(place, "--user", "user0@example.org")
        _, second = await place.alert(open_alert("ETHUSDT"))
        assert (await place.settled(second["id"]))["counts"]["states"] == {"FILLED": 2}


async def test_flatten_when_of_one_user_then_the_others_keep_theirs_and_dust_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        stopped, other = place.people([PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        for person in (stopped, other):
            await place.link(person)
        await place.alert(open_alert("ETHUSDT"))
        for person in (stopped, other):
            await place.protected(person)
        await place.fault("partial_fill", calls=ORDER_CALLS, uid=stopped.uid, times=1, value=0.12)
        await place.alert(open_alert())

        async def is_dust() -> bool:
            return "dust" in [each["protection"] for each in await place.positions(stopped)]

        await place.until(is_dust)
        await _stop(place, stopped, policy="flatten", confirm="FLATTEN")

        async def is_settled() -> bool:
            _, shown = await place.call("GET", "/emergency", stopped)
            return bool(shown["items"][0]["is_settled"])

        await place.until(is_settled)
        assert [each["protection"] for each in await place.positions(stopped)] == ["dust"]
        _, shown = await place.call("GET", "/emergency", stopped)
        assert shown["items"][0]["progress"]["positions_dust"] == 1
        exits = [each for each in await place.orders(stopped) if each["leg"] == "exit"]
        assert [(each["symbol"], each["state"], each["why"]) for each in exits] == [
            ("ETHUSDT", "FILLED", "engine_exit")
        ]
        assert len(await place.positions(other)) == 2


async def _command(place: World, *arguments: str) -> str:
    command = Command(place.folder, {"TRADEWIND_KEK_FILE": str(place.settings.kek_file)})
    return await asyncio.to_thread(command.out, "--database", place.settings.database_url, "emergency", *arguments)


async def _resume_by_command(place: World, *scope: str) -> None:
    """Lift a stop from outside, and wait until the running platform lets entries pass again."""
    await _command(place, "resume", "--yes", *scope)
    assert place.app is not None
    latch = place.app.engine.latch

    async def is_open() -> bool:
        return not latch.closed_scopes

    await place.until(is_open, 5)
