"""A signal tried again for those who did not get theirs; dead letters and their alarm (order-protocol.md section 9)."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, text, update
from tests.support.platform import Person, World, close_alert, open_alert, world
from tests.support.served import environment_of

from tradewind.accounts.store import mandates
from tradewind.core.plan import PlanName
from tradewind.execution.tables import decisions, incidents, orders
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Tx
from tradewind.infra.outbox import outbox
from tradewind.signals.tables import SignalState, inbox

ORDER_CALLS = ["POST /api/v3/order"]


async def _retry(place: World, signal_id: str, **body: Any) -> tuple[int, Any]:
    return await place.call("POST", f"/signals/{signal_id}/retry", place.operator, body)


async def _write(place: World, work: Any) -> None:
    assert place.app is not None
    await place.app.db.write(work)


async def _denied(place: World, person: Person, reason: str) -> str:
    """Let an entry be denied, and say it was for this reason."""
    await place.call("POST", f"/accounts/{person.account_id}/pause", person)
    await place.call("POST", f"/accounts/{person.account_id}/resume", person)
    _, answer = await place.alert(open_alert())

    async def is_planned() -> bool:
        return "INTENDED" in (await place.fan(answer["id"]))["counts"]["states"]

    await place.until(is_planned)
    await place.call("POST", f"/accounts/{person.account_id}/pause", person)
    await place.settled(answer["id"])
    await place.call("POST", f"/accounts/{person.account_id}/resume", person)
    changed = update(orders).where(orders.c.account_id == person.account_id).values(reason=reason)
    await _write(place, lambda tx: tx.execute(changed))
    return str(answer["id"])


async def test_retry_when_denied_for_a_passing_reason_then_decided_again_and_filled_once(tmp_path: Path) -> None:
    """order-protocol.md section 9: accounts whose order ended DENIED for a passing reason."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        await place.reconciled(person)
        signal_id = await _denied(place, person, "venue_unhealthy")
        status, answer = await _retry(place, signal_id)
        assert status == 200
        assert [(each["is_done"], each["text"]) for each in answer["accounts"]] == [(True, "decided again: placed")]
        await place.protected(person)
        board = await place.settled(signal_id)
        assert board["counts"]["states"] == {"FILLED": 1}
        assert board["counts"]["accounts"] == 1
        buys = [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
        assert len(buys) == 1
        _, again = await _retry(place, signal_id)
        assert [(each["is_done"], each["text"]) for each in again["accounts"]] == [
            (False, "has it: its order was filled")
        ]


async def test_retry_when_denied_for_a_reason_that_stays_then_left_as_it_is(tmp_path: Path) -> None:
    """order-protocol.md section 9: only passing reasons."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        await place.reconciled(person)
        signal_id = await _denied(place, person, "paused")
        _, answer = await _retry(place, signal_id)
        assert [(each["is_done"], each["text"]) for each in answer["accounts"]] == [(False, "stays as it is: paused")]
        assert await place.venue_orders(person.uid) == []


async def test_retry_when_skipped_for_a_passing_reason_then_decided_again(tmp_path: Path) -> None:
    """order-protocol.md section 9: accounts that were Skipped for a passing reason; one Decision stays one."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        # No balance in the quote asset is no passing reason; "not known" is.
        await place.call("POST", f"/accounts/{person.account_id}/pause", person)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.call("POST", f"/accounts/{person.account_id}/resume", person)
        skipped = update(decisions).values(reason="no_price")
        await _write(place, lambda tx: tx.execute(skipped))
        _, retried = await _retry(place, answer["id"])
        assert [each["text"] for each in retried["accounts"]] == ["decided again: placed"]
        await place.protected(person)
        board = await place.settled(answer["id"])
        assert (board["counts"]["placed"], board["counts"]["skipped"]) == (1, 0)


async def test_retry_when_what_never_arrived_was_executed_after_all_then_not_bought_again(tmp_path: Path) -> None:
    """order-protocol.md section 11, I-1: an ended row keeps its state, and its fills are booked all the same."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        (lot,) = await place.protected(person)
        entry = update(orders).where(orders.c.account_id == person.account_id, orders.c.leg == "entry")
        await _write(place, lambda tx: tx.execute(entry.values(state="NEVER_ARRIVED")))
        price = str(Decimal(lot["stop"]) * Decimal("0.99"))
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": price})

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        _, retried = await _retry(place, answer["id"])
        assert [(each["is_done"], each["text"]) for each in retried["accounts"]] == [
            (False, "has it: its order was filled")
        ]
        assert len([each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]) == 1


async def test_retry_when_an_order_is_in_doubt_then_blocked_and_told(tmp_path: Path) -> None:
    """order-protocol.md section 9: UNKNOWN and BLIND block it."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        await place.fault("execute_drop", calls=ORDER_CALLS, times=1)
        await place.fault("stream_mute", stream="user")
        await place.fault("status", calls=["GET /api/v3/order", "GET /api/v3/allOrders"], status=503)
        _, answer = await place.alert(open_alert())

        async def is_unknown() -> bool:
            return "UNKNOWN" in (await place.fan(answer["id"]))["counts"]["states"]

        await place.until(is_unknown)
        _, retried = await _retry(place, answer["id"])
        assert [(each["is_done"], each["text"]) for each in retried["accounts"]] == [
            (False, "blocked: nobody knows yet what became of its order (UNKNOWN)")
        ]
        await place.control("DELETE", "faults")
        await place.settled(answer["id"])
        assert len([each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]) == 1


async def test_retry_when_superseded_then_stays_so(tmp_path: Path) -> None:
    """order-protocol.md sections 4 and 9: superseded stays superseded, on retry too."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        await place.reconciled(person)
        signal_id = await _denied(place, person, "venue_unhealthy")
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"])
        status, answer = await _retry(place, signal_id, max_age_s=3_600)
        assert (status, answer["code"]) == (409, "superseded")
        assert await place.venue_orders(person.uid) == []


async def test_retry_when_too_old_then_only_with_an_age(tmp_path: Path) -> None:
    """order-protocol.md section 9: older than max age needs --max-age."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        await place.reconciled(person)
        signal_id = await _denied(place, person, "stale")
        old = SystemClock().now().replace(year=2025)
        aged = update(inbox).values(alert_at=old, dated_at=old, received_at=old)
        await _write(place, lambda tx: tx.execute(aged))
        status, answer = await _retry(place, signal_id)
        assert (status, answer["code"]) == (422, "too_old")


async def test_retry_by_command_when_the_platform_runs_then_carried_out_by_it(tmp_path: Path) -> None:
    """order-protocol.md section 9: the request of the command line is a row that the owner of the journal takes up."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        await place.reconciled(person)
        signal_id = await _denied(place, person, "venue_unhealthy")
        command = (sys.executable, "-m", "tradewind", "signals", "retry", signal_id)
        process = await asyncio.create_subprocess_exec(
            *command, env=environment_of(place), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        told, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode()
        assert "1 of 1 accounts tried again" in told.decode()
        await place.protected(person)


async def test_fault_76_close_when_given_up_then_told_as_an_alarm_and_retry_takes_it_up_again(tmp_path: Path) -> None:
    """order-protocol.md section 4: a close that ends in the dead-letter box raises an alarm."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        assert place.app is not None
        worker, db = place.app.engine.worker, place.app.db
        decide, attempts = worker.outlooks.decider, [0]

        class Poisoned:
            """A decider that fails on this one signal, as a poison message would make it."""

            max_age_s = decide.max_age_s

            def __getattr__(self, name: str) -> Any:
                attempts[0] += 1
                raise ValueError("poison")

        worker.outlooks.decider = Poisoned()  # type: ignore[assignment]
        _, closed = await place.alert(close_alert())

        async def is_dead() -> bool:
            # Read past the API: asking it this often for this long would be refused as too much.
            query = select(inbox.c.state).where(inbox.c.id == closed["id"])
            state = await db.read(lambda tx: tx.execute(query).scalar_one())
            return bool(state == SignalState.DEAD)

        await place.until(is_dead, 40)
        worker.outlooks.decider = decide

        def alarms(tx: Tx) -> tuple[list[str], list[str]]:
            kinds = tx.execute(select(incidents.c.kind).where(incidents.c.account_id == person.account_id))
            told = tx.execute(select(outbox.c.payload).where(outbox.c.topic == "notice"))
            return list(kinds.scalars()), list(told.scalars())

        kinds, told = await place.app.db.read(alarms)
        assert "close_given_up" in kinds
        assert any('"is_alarm":true' in each for each in told)
        _, answer = await _retry(place, closed["id"])
        assert answer["reopened"]

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)


async def test_fault_79_retry_when_one_account_has_an_order_of_a_later_release_then_only_that_account_is_blocked(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 9: an unknown state is left alone, and holds up nobody else."""
    async with world(tmp_path) as place:
        strange, other = place.people([PlanName.TRIAL, PlanName.TRIAL])
        await place.start_platform()
        for person in (strange, other):
            await place.link(person)
            await place.reconciled(person)
        signal_id = await _denied(place, other, "venue_unhealthy")
        parked = update(orders).where(orders.c.account_id == strange.account_id).values(state="PARKED")
        await _write(place, lambda tx: tx.execute(parked))
        _, answer = await _retry(place, signal_id)
        texts = {each["account_id"]: each["text"] for each in answer["accounts"]}
        assert "cannot be read" in texts[strange.account_id]
        assert texts[other.account_id] == "decided again: placed"
        await place.protected(other)


async def test_fault_76_signal_when_one_mandate_cannot_be_read_then_skipped_told_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    """order-protocol.md sections 2 and 9: accounts = skipped + placed, always; retry takes it once it is mended."""
    async with world(tmp_path) as place:
        hurt, other = place.people([PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        for person in (hurt, other):
            await place.link(person)
            await place.reconciled(person)
        broken = update(mandates).where(mandates.c.account_id == hurt.account_id).values(stop_bps=20_000)
        await _write(place, lambda tx: tx.execute(broken))
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert (board["counts"]["states"], board["counts"]["skip_reasons"]) == ({"FILLED": 1}, {"mandate_damaged": 1})
        await place.protected(other)
        assert place.app is not None
        told = select(incidents.c.kind).where(incidents.c.account_id == hurt.account_id)
        assert await place.app.db.read(lambda tx: list(tx.execute(told).scalars())) == ["mandate_damaged"]
        _, listed = await place.call("GET", "/mandates", hurt)
        (mandate,) = listed["items"]
        # Budget and risk are lost with the rest: it does not trade on the defaults before somebody says so.
        for terms in ({"stop_bps": 300}, {"is_enabled": True}):
            status, mandate = await place.call("PATCH", f"/mandates/{mandate['id']}", hurt, terms)
            assert (status, mandate["is_enabled"]) == (200, "is_enabled" in terms)
        _, answer = await _retry(place, answer["id"])
        assert {each["account_id"]: each["is_done"] for each in answer["accounts"]} == {
            hurt.account_id: True,
            other.account_id: False,
        }
        await place.protected(hurt)


async def test_fault_76_signal_when_its_row_cannot_be_read_then_set_aside_told_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: one damaged row holds up no other; where it may be a close it is an alarm."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        assert place.app is not None
        app = place.app

        def damaged(tx: Tx) -> None:
            (row,) = tx.execute(select(inbox)).all()
            # A word of a later release, in the same asset as what comes after it.
            lost = {**row._mapping, "id": "lost", "seq": row.seq + 1, "dedupe_key": "lost", "action": "reverse"}
            tx.execute(insert(inbox), [{**lost, "state": SignalState.NEW, "lease_token": None, "lease_until": None}])

        if app.db.engine.dialect.name == "postgresql":
            await _write(place, lambda tx: tx.execute(text("SELECT nextval(pg_get_serial_sequence('inbox', 'seq'))")))
        await _write(place, damaged)
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"])
        assert await place.positions(person) == []
        rows = await app.db.read(
            lambda tx: tx.execute(select(inbox.c.state).where(inbox.c.id == "lost")).scalars().all()
        )
        assert rows == [SignalState.DEAD]
        kinds = select(incidents.c.kind).where(incidents.c.account_id == person.account_id)
        assert "close_given_up" in await app.db.read(lambda tx: list(tx.execute(kinds).scalars()))
        status, answer = await place.call("GET", "/signals/lost", place.operator)
        assert (status, answer["code"]) == (409, "signal_unreadable")
        status, answer = await place.call("GET", "/signals", place.operator)
        assert (status, len(answer["items"])) == (200, 2)


async def test_fault_76_close_when_its_leases_run_out_five_times_then_an_incident_of_every_account_it_was_to_reach(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: given up by a worker that died is given up like any other."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        assert place.app is not None
        clock, db = place.app.clock, place.app.db

        def worn_out(tx: Tx) -> None:
            (row,) = tx.execute(select(inbox)).all()
            lost = {**row._mapping, "id": "lost", "seq": row.seq + 1, "dedupe_key": "lost", "action": "close"}
            held = {"state": SignalState.CLAIMED, "lease_token": "gone", "lease_until": clock.now(), "attempts": 5}
            tx.execute(insert(inbox), [{**lost, **held}])

        await _write(place, worn_out)

        async def is_told() -> bool:
            kinds = select(incidents.c.kind).where(incidents.c.account_id == person.account_id)
            return "close_given_up" in await db.read(lambda tx: list(tx.execute(kinds).scalars()))

        await place.until(is_told)
