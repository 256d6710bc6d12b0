"""The database is away: nothing is sent, what fires is told at once and goes first, and a stop holds all the same."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command
from tests.support.database import SQLITE, started_server
from tests.support.platform import Person, World, open_alert, world

from tradewind.core.plan import PlanName
from tradewind.demo.private_postgresql import PrivatePostgreSQL
from tradewind.execution.emergency_store import PLATFORM

OCO_CALLS = ["POST /api/v3/orderList/oco"]


@dataclass(slots=True)
class Outage:
    """Takes the database of a world away and gives it back: a foreign lock at SQLite, a stopped server else."""

    place: World
    server: PrivatePostgreSQL | None
    _lock: sqlite3.Connection | None = None

    async def begin(self) -> None:
        """Away from now on, for writing at least."""
        if self.server is not None:
            await asyncio.to_thread(self.server.stop)
            return
        path = self.place.settings.database_url.removeprefix("sqlite:///")
        self._lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock.execute("BEGIN IMMEDIATE")

    async def end(self) -> None:
        """Back again (idempotent)."""
        if self.server is not None:
            await asyncio.to_thread(self.server.start)
        elif self._lock is not None:
            self._lock.close()
            self._lock = None


@contextlib.asynccontextmanager
async def fragile_world(folder: Path, kind: str) -> AsyncIterator[tuple[World, Outage]]:
    """A world whose database may be taken away."""
    server = None if kind == SQLITE else await asyncio.to_thread(started_server)
    settings: dict[str, Any] = {} if server is None else {"database": server.make_database("fragile")}
    try:
        async with world(folder, **settings) as place:
            outage = Outage(place, server)
            try:
                yield place, outage
            finally:
                if kind == SQLITE:
                    await outage.end()
    finally:
        if server is not None:
            await asyncio.to_thread(server.remove)


async def _watched(place: World, person: Person) -> dict[str, Any]:
    """Buy, and wait until the engine's own watch is what protects the position."""
    await place.fault("refuse", calls=OCO_CALLS, code=-1013, msg="Filter failure: MAX_NUM_ALGO_ORDERS")
    _, answer = await place.alert(open_alert())
    await place.settled(answer["id"])

    async def is_watched() -> bool:
        return [each["protection"] for each in await place.positions(person)] == ["protected_watched"]

    await place.until(is_watched)
    return (await place.positions(person))[0]


async def _notice(place: World, person: Person, seconds: float = 20.0) -> dict[str, Any]:
    """Read a person's stream until it tells of an exit that could not be recorded."""
    url = f"{place.url}/api/v1/stream"
    async with place.http.ws_connect(url, headers={"Authorization": f"Bearer {person.token}"}) as socket:
        async with asyncio.timeout(seconds):
            while True:
                frame: dict[str, Any] = await socket.receive_json()
                if frame.get("topic") == "notice" and frame["data"]["kind"] == "exit_not_recorded":
                    return frame


async def _sells(place: World, person: Person) -> list[dict[str, Any]]:
    return [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]


async def test_fault_61_watched_stop_when_the_database_is_away_then_told_at_once_and_sold_first_when_it_is_back(
    tmp_path: Path, database: str
) -> None:
    """order-protocol.md section 6."""
    async with fragile_world(tmp_path, database) as (place, outage):
        holder, late = place.people([PlanName.PRO, PlanName.TRIAL])
        await place.start_platform()
        await place.link(holder)
        position = await _watched(place, holder)
        await place.link(late)
        _, waiting = await place.alert(open_alert("ETHUSDT"))

        async def is_planned() -> bool:
            return bool((await place.fan(waiting["id"]))["counts"]["states"].get("INTENDED"))

        await place.until(is_planned)
        told = [asyncio.create_task(_notice(place, person)) for person in (holder, place.operator)]
        await asyncio.sleep(0.5)
        sold_before = len(await _sells(place, holder))
        await outage.begin()
        price = str((Decimal(position["stop"]) * Decimal("0.99")).quantize(Decimal("0.01")))
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": price})
        own, operators = await asyncio.gather(*told)
        assert own["data"]["lot_id"] == operators["data"]["lot_id"] == position["id"]
        assert "goes out before anything else" in own["data"]["text"]
        # The entry's time has come meanwhile: neither it nor the exit leaves while nothing can be recorded.
        await asyncio.sleep(2.0)
        assert len(await _sells(place, holder)) == sold_before
        assert await place.venue_orders(late.uid) == []
        await outage.end()

        async def is_flat() -> bool:
            held = [each for each in await place.positions(holder) if each["symbol"] == "BTCUSDT"]
            return not held

        await place.until(is_flat, 40)
        await place.settled(waiting["id"], 40)
        sold = [each for each in await _sells(place, holder) if each["type"] == "MARKET"]
        bought = await place.venue_orders(late.uid)
        assert [each["status"] for each in sold] == ["FILLED"]
        assert bought, "the entry goes too, once the exit has gone"
        assert sold[0]["time"] <= min(each["time"] for each in bought)


async def test_fault_61_stop_by_command_when_the_database_is_away_then_it_holds_after_a_restart(
    tmp_path: Path, database: str
) -> None:
    """order-protocol.md section 6: the flag is merged when the database is back, and the stop wins."""
    async with fragile_world(tmp_path, database) as (place, outage):
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        _, answer = await place.alert(open_alert())

        async def is_planned() -> bool:
            return bool((await place.fan(answer["id"]))["counts"]["states"].get("INTENDED"))

        await place.until(is_planned)
        assert place.app is not None
        latch = place.app.engine.latch
        await outage.begin()
        command = Command(tmp_path, {"TRADEWIND_KEK_FILE": str(tmp_path / "kek")})
        arguments = ("--database", place.settings.database_url, "emergency", "stop", "--reason", "drill")
        result = await asyncio.to_thread(command.run, *arguments)
        assert result.exit_code == 3, result.output
        assert "The database was NOT reached" in result.output

        async def is_latched() -> bool:
            return PLATFORM in latch.closed_scopes

        await place.until(is_latched, 5)
        await place.stop_platform()
        await outage.end()
        assert (tmp_path / "data" / "STOP").exists()
        await place.start_platform()
        board = await place.settled(answer["id"])
        assert [(cell["state"], cell["reason"]) for cell in board["cells"]] == [("DENIED", "stopped")]
        assert await place.venue_orders(person.uid) == []
        assert not (tmp_path / "data" / "STOP").exists()
        _, shown = await place.call("GET", "/emergency", person)
        assert (shown["is_stopped"], shown["items"][0]["reason"]) == (True, "drill")
        _, again = await place.alert(open_alert("ETHUSDT"))
        assert (await place.settled(again["id"]))["counts"]["skip_reasons"] == {"stopped": 1}


@pytest.mark.database(SQLITE)
async def test_fault_61_stop_button_when_the_database_cannot_be_written_then_stopped_and_recorded_when_it_can(
    tmp_path: Path,
) -> None:
    """The door works as long as it can tell who is asking: the database is there to be read and not to be written."""
    async with fragile_world(tmp_path, SQLITE) as (place, outage):
        person = await place.one_linked()
        await outage.begin()
        status, answer = await place.call("POST", "/emergency/stop", person, {"reason": "now"})
        assert (status, answer["is_recorded"]) == (202, False)
        _, shown = await place.call("GET", "/emergency", person)
        assert (shown["is_stopped"], shown["has_stop_file"], shown["items"]) == (True, True, [])
        await outage.end()

        async def is_recorded() -> bool:
            _, now = await place.call("GET", "/emergency", person)
            return bool([item["is_stopped"] for item in now["items"]] == [True] and not now["has_stop_file"])

        await place.until(is_recorded)
        assert place.app is not None
        assert [str(scope) for scope in place.app.engine.latch.closed_scopes] == [f"user:{person.id}"]


async def test_stop_file_when_touched_by_hand_then_the_running_platform_stops_and_takes_it_in(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.TRIAL])
        await place.start_platform()
        await place.link(person)
        _, answer = await place.alert(open_alert())
        # Decided, and waiting for the release of its plan: a stop before that would be a skip.
        await place.until(lambda: place.is_decided(answer["id"]))
        (tmp_path / "data" / "STOP").touch()
        board = await place.settled(answer["id"])
        assert [(cell["state"], cell["reason"]) for cell in board["cells"]] == [("DENIED", "stopped")]

        async def is_taken_in() -> bool:
            return not (tmp_path / "data" / "STOP").exists()

        await place.until(is_taken_in)
        _, shown = await place.call("GET", "/emergency", person)
        assert shown["items"][0]["by"] == "the operator"
