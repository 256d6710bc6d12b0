"""The disk is full: nothing leaves without a record, reads go on, and the platform continues with room."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.core.plan import PlanName

_WITHOUT_LIMIT = 1_073_741_823
_ALERTS = 5


def _limit(place: World, pages: int) -> None:
    """Let the database's file grow to so many pages: SQLite's own error for a full disk."""
    assert place.app is not None
    place.app.db.write_now(lambda tx: tx.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar())


def _fill(place: World) -> None:
    """Use up what room is left, down to the last row that fits."""
    assert place.app is not None
    place.app.db.write_now(lambda tx: tx.exec_driver_sql("CREATE TABLE ballast (text TEXT)"))
    _limit(place, 1)
    for size in (100_000, 3_000, 300):
        with contextlib.suppress(OperationalError):
            while True:
                place.app.db.write_now(
                    lambda tx, size=size: tx.exec_driver_sql("INSERT INTO ballast VALUES (?)", ("x" * size,))  # type: ignore[misc]
                )


async def _demand_recorded(place: World, person: Person) -> None:
    """Whatever the venue has was written down by us before; a cancelled order bears the cancel's id there."""
    recorded = {each["client_order_id"] for each in await place.orders(person)}
    at_venue = [each for each in await place.venue_orders(person.uid) if each["status"] != "CANCELED"]
    assert {each["clientOrderId"] for each in at_venue} <= recorded


@pytest.mark.database("sqlite")
async def test_fault_67_disk_when_full_then_nothing_leaves_unrecorded_and_it_goes_on_with_room(tmp_path: Path) -> None:
    """order-protocol.md section 3: intent before effect, whatever the disk says; reliability.md section 3."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        _fill(place)
        # An alert that still finds room is taken in and waits; one that does not is refused, and sent again later.
        answers = [await place.alert(open_alert("ETHUSDT")) for _ in range(_ALERTS)]
        assert {status for status, _ in answers} <= {200, 202, 503}
        health = (await place.call("GET", "/health", None))[1]
        assert (health["status"], health["database"]) == ("degraded", "full")
        assert len(await place.positions(person)) >= 1
        await _demand_recorded(place, person)

        _limit(place, _WITHOUT_LIMIT)
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"], 40)

        async def is_flat() -> bool:
            return "BTCUSDT" not in {each["symbol"] for each in await place.positions(person)}

        await place.until(is_flat, 40)

        async def is_well() -> bool:
            return bool((await place.call("GET", "/health", None))[1]["status"] == "ok")

        await place.until(is_well)
        await _demand_recorded(place, person)
