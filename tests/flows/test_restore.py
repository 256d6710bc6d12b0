"""A backup of an hour ago put back: refused, then adopted from the venue; nothing twice (order-protocol.md 9)."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.backup import Backup
from tests.support.platform import close_alert, open_alert, world
from tests.support.restored import adopted, bought_in, buys_of, mark_settled, marks_at, refusal_of, restore_now
from tests.support.served import environment_of, served

from tradewind.core.plan import PlanName
from tradewind.execution import restoring
from tradewind.infra.db import Db

ORDER_CALLS = ["POST /api/v3/order"]
_START_S = 40.0
_PASSWORD = "heron lattice quarry monsoon"


async def test_fault_70_backup_when_put_back_then_refused_then_adopted_protected_and_nothing_twice(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 9: refused until told so; then adopted, booked, protected, reported."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        await mark_settled(place)
        backup = Backup.take(place.settings.database_url)
        await bought_in(place)
        (lot,) = await place.protected(person)
        await mark_settled(place)
        await place.stop_platform()
        backup.put_back(place.settings.database_url)
        assert "a backup was put back" in refusal_of(place)

        restore_now(place)
        await place.start_platform()
        report = await adopted(place, person)
        assert {each["kind"] for each in report["details"]} == {"adopted"}
        (again,) = await place.protected(person)
        assert Decimal(again["quantity"]) == Decimal(lot["quantity"])
        assert again["stop"] is not None
        assert len(await buys_of(place, person)) == 1
        resting = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
        assert len(resting) == 2
        rows = [each for each in await place.orders(person) if each["leg"] == "entry"]
        assert [each["state"] for each in rows] == ["FILLED"]
        # One mandate: the source is certain, and its next close reaches the adopted lot.
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"])
        assert await place.positions(person) == []


async def test_fault_70_position_when_sold_in_the_lost_time_then_not_sold_again(tmp_path: Path) -> None:
    """order-protocol.md section 9: exits included: what was sold is booked before anything may be sold."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        # Coins of the user's own, which a second sell would take.
        await place.link(person, balances={"USDT": "1000", "BTC": "1"})
        await bought_in(place)
        (lot,) = await place.protected(person)
        await mark_settled(place)
        backup = Backup.take(place.settings.database_url)
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"])
        await place.stop_platform()
        backup.put_back(place.settings.database_url)
        # Below the stop: the watch of the restored lot would sell at once.
        price = Decimal(lot["stop"]) * Decimal("0.98")
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(price)})
        restore_now(place)
        await place.start_platform()
        await adopted(place, person)
        assert await place.positions(person) == []
        sells = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert [each["status"] for each in sells].count("FILLED") == 1


async def test_fault_70_signal_when_undone_in_the_backup_then_dead_lettered_not_fired_again(tmp_path: Path) -> None:
    """order-protocol.md section 9: nothing from the lost time is fired again; an INTENDED order is asked about."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        await place.reconciled(person)
        # The plan's delay leaves the entry INTENDED for a while: the backup is taken then.
        _, answer = await place.alert(open_alert())

        async def is_planned() -> bool:
            return "INTENDED" in (await place.fan(answer["id"]))["counts"]["states"]

        await place.until(is_planned)
        backup = Backup.take(place.settings.database_url)
        await place.settled(answer["id"], 40)
        await place.protected(person)
        await place.stop_platform()
        backup.put_back(place.settings.database_url)
        restore_now(place)
        await place.start_platform()
        await adopted(place, person)
        assert len(await place.protected(person)) == 1
        assert len(await buys_of(place, person)) == 1
        (row,) = [each for each in await place.orders(person) if each["leg"] == "entry"]
        assert row["state"] == "FILLED"


@pytest.mark.database("sqlite")
async def test_serve_when_the_file_is_older_than_the_mark_then_refused_in_words_until_told(tmp_path: Path) -> None:
    """order-protocol.md section 9, with `tradewind serve` itself and a copy of the file."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        file = Path(place.settings.database_url.removeprefix("sqlite:///"))
        async with served(place):
            await place.link(person)
            await place.reconciled(person)
            _copy(file, tmp_path / "backup.db")
            await bought_in(place)
            await place.protected(person)
            await mark_settled(place)
        _put_back(tmp_path / "backup.db", file)
        refused = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tradewind", "serve", "--port", "0"),
            env=environment_of(place),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(refused.communicate(), _START_S)
        assert refused.returncode == 1
        assert re.search(rb"a backup was put back.*--after-restore", errors, re.DOTALL)
        assert b"Traceback" not in errors
        async with served(place, "--after-restore"):
            await adopted(place, person)
            assert len(await place.protected(person)) == 1
        # Taken into use: from now on it starts like any other, with the flag left in the unit too.
        async with served(place, "--after-restore"):
            assert len(await place.protected(person)) == 1
        db = Db.open(place.settings.database_url)
        try:
            assert len(db.read_now(restoring.list_restores)) == 1
        finally:
            db.close()
        assert len(await buys_of(place, person)) == 1


@pytest.mark.parametrize("scope", ["platform", "user"])
async def test_fault_70_stop_when_made_after_the_backup_then_it_holds_is_shown_and_can_be_lifted(
    tmp_path: Path, scope: str
) -> None:
    """order-protocol.md sections 6 and 9: the stop wins, whatever the database has forgotten."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.set_password(place.operator, _PASSWORD)
        await place.start_platform()
        await place.link(person)
        await place.reconciled(person)
        await mark_settled(place)
        backup = Backup.take(place.settings.database_url)
        target = {"scope": scope} if scope == "platform" else {"scope": scope, "subject": person.id}
        status, answer = await place.call("POST", "/emergency/stop", place.operator, {**target, "reason": "odd fills"})
        assert status == 200, answer
        epoch = answer["stop"]["epoch"]
        await mark_settled(place)
        await place.stop_platform()
        backup.put_back(place.settings.database_url)
        assert "a backup was put back" in refusal_of(place)
        restore_now(place)
        restore_now(place)  # interrupted and begun again: still one stop
        await place.start_platform()
        _, shown = await place.call("GET", "/emergency", person)
        stops = [each for each in shown["items"] if each["is_stopped"]]
        assert [(each["scope"], each["reason"]) for each in stops] == [(scope, "odd fills")]
        assert stops[0]["epoch"] > epoch
        await adopted(place, person)
        await bought_in(place)
        assert await place.venue_orders(person.uid) == []
        body = {**target, "password": _PASSWORD}
        status, answer = await place.call("POST", "/emergency/resume", place.operator, body)
        assert status == 200, answer
        await bought_in(place, "ETHUSDT")
        assert [each["symbol"] for each in await buys_of(place, person)] == ["ETHUSDT"]


@pytest.mark.database("sqlite")
async def test_serve_when_stopped_after_the_file_was_copied_then_after_restore_stays_stopped(tmp_path: Path) -> None:
    """order-protocol.md sections 6 and 9, with `serve` itself, stopped by the command line while nothing runs."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        file = Path(place.settings.database_url.removeprefix("sqlite:///"))
        async with served(place):
            await place.link(person)
            await place.reconciled(person)
            await mark_settled(place)
            _copy(file, tmp_path / "backup.db")
        command = (sys.executable, "-m", "tradewind", "emergency", "stop", "--reason", "odd fills")
        stopped = await asyncio.create_subprocess_exec(
            *command, env=environment_of(place), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await asyncio.wait_for(stopped.communicate(), _START_S)
        assert b"it starts stopped" in told
        _put_back(tmp_path / "backup.db", file)
        assert "a backup was put back" in refusal_of(place)
        async with served(place, "--after-restore"):
            await adopted(place, person)
            _, shown = await place.call("GET", "/emergency", person)
            assert [each["reason"] for each in shown["items"] if each["is_stopped"]] == ["odd fills"]
            await bought_in(place)
            assert await place.venue_orders(person.uid) == []


@pytest.mark.database("sqlite")
async def test_restore_when_the_mark_cannot_be_read_then_the_platform_is_stopped(tmp_path: Path) -> None:
    """order-protocol.md section 6: what was stopped since the backup nobody knows, so everything is."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await mark_settled(place)
        await place.stop_platform()
        marks_at(place).written[0].write_bytes(b'{"journal": 3, "st')
        restore_now(place)
        await place.start_platform()
        _, shown = await place.call("GET", "/emergency", person)
        assert [each["scope"] for each in shown["items"] if each["is_stopped"]] == ["platform"]


def _copy(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as one, sqlite3.connect(target) as other:
        one.backup(other)
    one.close()
    other.close()


def _put_back(backup: Path, file: Path) -> None:
    for part in ("", "-wal", "-shm"):
        file.with_name(file.name + part).unlink(missing_ok=True)
    _copy(backup, file)


async def test_account_when_linked_again_after_a_restore_then_its_own_past_is_not_adopted_a_second_time(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 9: what the journal knows under an account of before is no news."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        await place.reconciled(person)
        await place.stop_platform()
        restore_now(place)
        await place.start_platform()
        await adopted(place, person)
        await bought_in(place)
        await place.protected(person)
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"])
        assert await place.positions(person) == []
        status, answer = await place.call("DELETE", f"/accounts/{person.account_id}", person)
        assert status == 204, answer
        key = await place.issue_key({}, uid=person.uid)
        status, answer = await place.add_key(person, key)
        assert status == 201, answer
        person.account_id = answer["account"]["id"] if "account" in answer else answer["id"]
        report = await adopted(place, person)
        assert report["details"] == []
        assert len([each for each in await place.orders(person) if each["leg"] == "entry"]) == 1
