"""A database that is put back under a platform: taken into use, refused, adopted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.platform import Person, World, open_alert

from tradewind.app.restore import begin_restore, demand_complete, marks_of, wants_restore
from tradewind.core.errors import Conflict
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db
from tradewind.infra.high_water import MarkFiles, read_mark
from tradewind.infra.ids import RandomIds


async def bought_in(place: World, symbol: str = "BTCUSDT") -> None:
    """Open a position by a signal."""
    _, answer = await place.alert(open_alert(symbol))
    await place.settled(answer["id"])


async def mark_settled(place: World) -> None:
    """Wait until the high-water mark has caught up with the database."""
    path = marks_at(place).written[0]
    last = None
    for _ in range(60):
        mark = await asyncio.to_thread(read_mark, path)
        seen = None if mark is None else (mark.journal, mark.inbox, mark.epoch, mark.stop_epoch)
        if seen is not None and seen == last:
            return
        last = seen
        await asyncio.sleep(0.7)
    raise AssertionError("the mark never settled")


def marks_at(place: World) -> MarkFiles:
    """Say where the marks of the world's database are."""
    db = Db.open(place.settings.database_url)
    try:
        return marks_of(db, place.settings)
    finally:
        db.close()


def is_restore_wanted(place: World) -> bool:
    """Say whether `--after-restore` would do anything now."""
    db = Db.open(place.settings.database_url)
    try:
        return wants_restore(db, place.settings, SystemClock())
    finally:
        db.close()


def restore_now(place: World) -> None:
    """Take the database into use as a restored one, as `serve --after-restore` does."""
    db = Db.open(place.settings.database_url)
    try:
        begin_restore(db, place.settings, SystemClock(), RandomIds(SystemClock()))
    finally:
        db.close()


def refusal_of(place: World) -> str:
    """Return the words with which a start is refused."""
    db = Db.open(place.settings.database_url)
    try:
        with pytest.raises(Conflict) as refused:
            demand_complete(db, place.settings, SystemClock())
        return refused.value.message
    finally:
        db.close()


async def adopted(place: World, person: Person) -> dict[str, Any]:
    """Wait for the report of the account's adoption."""

    async def find() -> dict[str, Any] | None:
        _, answer = await place.call("GET", f"/accounts/{person.account_id}/recovery", person)
        found = [each for each in answer["items"] if each["cause"] == "restore" and each["green_at"]]
        return found[0] if found else None

    return dict(await place.until(find, 40))


async def buys_of(place: World, person: Person) -> list[dict[str, Any]]:
    """Read a person's buys at the venue."""
    return [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
