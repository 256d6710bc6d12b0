"""The disk is full: nothing leaves without a record, reads go on, and the platform continues with room."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from tests.support.platform import Person, World, close_alert, open_alert, world
from tests.support.small_disk import small_disk

from tradewind.infra.db import Tx

# A server keeps its own disk.
pytestmark = pytest.mark.database("sqlite")

_WITHOUT_LIMIT = 1_073_741_823
_ALERTS = 5


async def _limit(place: World, pages: int) -> None:
    """Let the database's file grow to so many pages: SQLite's own error for a full disk.

    The limit is a connection's own: it is set where the platform writes, on the writing thread.
    """
    assert place.app is not None
    await place.app.db.write(lambda tx: tx.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar())


async def _fill(place: World) -> None:
    """Use up what room is left, down to the last row that fits."""
    assert place.app is not None
    await place.app.db.write(lambda tx: tx.exec_driver_sql("CREATE TABLE ballast (text TEXT)"))
    await _limit(place, 1)
    for size in (100_000, 3_000, 300):
        with contextlib.suppress(OperationalError):
            while True:
                await place.app.db.write(partial(_put_ballast, size=size))


def _put_ballast(tx: Tx, size: int) -> None:
    tx.exec_driver_sql("INSERT INTO ballast VALUES (?)", ("x" * size,))


async def _demand_recorded(place: World, person: Person) -> None:
    """Whatever the venue has was written down by us before; a cancelled order bears the cancel's id there."""
    recorded = {each["client_order_id"] for each in await place.orders(person)}
    at_venue = [each for each in await place.venue_orders(person.uid) if each["status"] != "CANCELED"]
    assert {each["clientOrderId"] for each in at_venue} <= recorded


async def test_fault_67_disk_when_full_then_nothing_leaves_unrecorded_and_it_goes_on_with_room(tmp_path: Path) -> None:
    """order-protocol.md section 3: intent before effect, whatever the disk says; reliability.md section 3."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        await _fill(place)
        # An alert that still finds room is taken in and waits; one that does not is refused, and sent again later.
        answers = [await place.alert(open_alert("ETHUSDT")) for _ in range(_ALERTS)]
        assert {status for status, _ in answers} <= {200, 202, 503}
        health = (await place.call("GET", "/health", None))[1]
        assert (health["status"], health["database"]) == ("degraded", "full")
        assert len(await place.positions(person)) >= 1
        await _demand_recorded(place, person)

        await _limit(place, _WITHOUT_LIMIT)
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"], 40)

        async def is_flat() -> bool:
            return "BTCUSDT" not in {each["symbol"] for each in await place.positions(person)}

        await place.until(is_flat, 40)

        async def is_well() -> bool:
            return bool((await place.call("GET", "/health", None))[1]["status"] == "ok")

        await place.until(is_well)
        await _demand_recorded(place, person)


async def test_fault_67_disk_when_full_then_the_reserve_closes_what_is_open_and_nothing_is_opened(
    tmp_path: Path,
) -> None:
    """reliability.md section 3: the reserve file is freed to write exits, new entries are refused, health is red."""
    with small_disk(tmp_path, "12m") as disk:
        async with world(tmp_path, database=f"sqlite:///{disk.place}/tradewind.db", disk_reserve_mb=3) as place:
            person = await place.one_linked(allows_adding=True)
            for symbol in ("BTCUSDT", "ETHUSDT"):
                _, answer = await place.alert(open_alert(symbol))
                await place.settled(answer["id"])
            await place.protected(person)
            assert place.app is not None
            db = place.app.db
            await db.write(lambda tx: tx.exec_driver_sql("CREATE TABLE ballast (text TEXT)"))
            disk.fill()
            while not db.is_short:
                # Refused for want of room, and written all the same.
                await db.write(partial(_put_ballast, size=9_000))
            assert (await place.call("GET", "/health", None))[1]["database"] == "full"
            bought = len(await _buys(place, person))
            status, refused = await place.alert(open_alert("XRPUSDT"))
            assert (status, refused["code"]) == (503, "disk_full")
            _, closed = await place.alert(close_alert())
            board = await place.settled(closed["id"], 40)
            assert board["counts"]["states"] == {"FILLED": 1}
            stop = next(each["stop"] for each in await place.positions(person) if each["symbol"] == "ETHUSDT")
            below = str(Decimal(stop) * Decimal("0.99"))
            await place.control("POST", "price", {"symbol": "ETHUSDT", "price": below})

            async def is_flat() -> bool:
                return not {"BTCUSDT", "ETHUSDT"} & {each["symbol"] for each in await place.positions(person)}

            await place.until(is_flat, 40)
            assert len(await _buys(place, person)) == bought
            disk.free()

            async def is_well() -> bool:
                return bool((await place.call("GET", "/health", None))[1]["status"] == "ok")

            await place.until(is_well, 40)
            _, answer = await place.alert(open_alert("ADAUSDT"))
            board = await place.settled(answer["id"])
            assert board["counts"]["states"] == {"FILLED": 1}
            await _demand_recorded(place, person)


async def _buys(place: World, person: Person) -> list[str]:
    return [each["symbol"] for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
