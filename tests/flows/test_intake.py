"""What waits in the inbox: it is tried again while fresh, holds up nobody else, and ends with its reason (S5)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from tests.support.platform import FAST_ORDERS, Person, World, close_alert, open_alert, world
from tests.support.signal_builders import alerts

from tradewind.config.settings import VenueSection
from tradewind.core.ids import SourceId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.plan import PlanName
from tradewind.core.signal import Signal
from tradewind.execution.outlook import Outlook, OutlookDesk
from tradewind.infra import points
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Tx
from tradewind.infra.ids import RandomIds
from tradewind.infra.points import Point
from tradewind.signals import service as signals
from tradewind.signals.service import Alert
from tradewind.signals.sources import find_by_token
from tradewind.signals.tables import inbox
from tradewind.web.principal import Role

ORDER_CALLS = ["POST /api/v3/order"]


class _Busy(sqlite3.OperationalError):
    """What SQLite raises for a database that somebody else writes to."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY


def _busy_at(point: Point, times: int) -> Callable[[Point], None]:
    """Let the database be busy at a point, so many times."""
    left = [times]

    def drive(reached: Point) -> None:
        if reached is point and left[0]:
            left[0] -= 1
            raise OperationalError("INSERT", {}, _Busy("database is locked"))

    return drive


async def _state(place: World, signal_id: str) -> dict[str, Any]:
    status, answer = await place.call("GET", f"/signals/{signal_id}", place.operator)
    assert status == 200, answer
    return dict(answer)


async def _source(place: World, name: str) -> tuple[str, str]:
    """Add a source; its id and the token of its address."""
    status, answer = await place.call("POST", "/sources", place.operator, {"name": name})
    assert status == 201, answer
    return answer["id"], answer["token"]


async def _obey(place: World, person: Person, source_id: str) -> None:
    body = {"account_id": person.account_id, "source_id": source_id}
    status, answer = await place.call("POST", "/mandates", person, body)
    assert status == 201, answer


def _change(place: World, statement: str, **values: Any) -> None:
    assert place.app is not None
    place.app.db.write_now(lambda tx: tx.execute(text(statement), values))


# --- what waits ------------------------------------------------------------------------------------


async def test_signal_when_the_database_is_busy_then_tried_again_and_carried_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """product.md S5: a signal that could not be carried out because the database is busy waits while it is fresh."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        monkeypatch.setattr(points, "driver", _busy_at(Point.DECISIONS_WRITTEN, times=6))
        _, answer = await place.alert(open_alert())
        # More failures than a mistake may have: what passes is not counted as an attempt.
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        assert (await _state(place, answer["id"]))["attempts"] == 1
        assert len([each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]) == 1


async def test_signal_when_another_sources_fails_in_the_same_asset_then_waits_for_it_only_where_accounts_are_shared(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: order is per account and asset; a signal that cannot be decided stops no other."""
    async with world(tmp_path) as place:
        first, second = place.people([PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        await place.link(first)
        own_source = place.source_id
        place.source_id, token = await _source(place, "other")
        await place.link(second)
        # Accepted, and put off in the same transaction, as after a try that failed.
        failing = _failing(place, own_source)
        _, answer = await place.alert(open_alert(), token=token)
        await place.settled(answer["id"])
        assert len(await place.positions(second)) == 1
        assert await place.positions(first) == []

        await _obey(place, first, place.source_id)
        _, later = await place.alert(open_alert(sent_by="later"), token=token)
        await asyncio.sleep(1)
        assert (await _state(place, later["id"]))["state"] == "new"
        _change(place, "UPDATE inbox SET state = 'dead' WHERE id = :id", id=failing)
        await place.settled(later["id"])


def _failing(place: World, source_id: str) -> str:
    """Leave a signal of a source undone, as one that is tried again much later."""
    assert place.app is not None
    app, now = place.app, SystemClock().now()
    (wanted,) = alerts(open_alert(), now)

    def accept(tx: Tx) -> str:
        (signal_id,) = signals.accept(tx, RandomIds(app.clock), SourceId(source_id), [wanted], now).ids
        later = update(inbox).where(inbox.c.id == signal_id)
        tx.execute(later.values(attempts=1, last_error="boom", not_before=now + timedelta(hours=1)))
        return signal_id

    return app.db.write_now(accept)


async def test_fault_18_signal_when_it_waited_too_long_then_entries_are_stale_and_exits_are_not(tmp_path: Path) -> None:
    """reliability.md fault 18; order-protocol.md section 10: exits never age."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        assert place.app is not None
        db, ids = place.app.db, RandomIds(SystemClock())
        # As if the queue had stood still for ten minutes with an entry and a close in it.
        long_ago = datetime.now(UTC) - timedelta(minutes=10)
        stale, close = db.write_now(lambda tx: _accept(tx, ids, place, long_ago))
        assert (await place.settled(stale))["counts"]["skip_reasons"] == {"stale": 1}
        assert (await place.settled(close))["counts"]["states"] == {"FILLED": 1}
        await place.flat(person)


def _accept(tx: Tx, ids: RandomIds, place: World, at: datetime) -> tuple[str, str]:
    source = find_by_token(tx, place.webhook_token)
    assert source is not None
    found: list[Alert] = [*alerts("buy ETHUSDT", at), *alerts("close BTCUSDT", at)]
    entry, close = signals.accept(tx, ids, source.id, found, at).ids
    return entry, close


async def test_fault_76_poisoned_signal_when_it_fails_then_its_neighbours_flow_and_it_is_tried_again(
    tmp_path: Path,
) -> None:
    """reliability.md fault 76: poison waits for its turn, the others do not wait for it."""
    async with world(tmp_path) as place:
        poisoned, fine = place.people([PlanName.PRO] * 2)
        await place.start_platform()
        await place.link(poisoned)
        await place.link(fine)
        other, token = await _source(place, "other")
        await _obey(place, fine, other)
        # A row that no release of ours writes: whoever reads this source's people stumbles over it.
        damage = "UPDATE users SET role = :n WHERE id = :a"
        _change(place, damage, n="KING", a=poisoned.id)
        _, bad = await place.alert(open_alert())
        _, good = await place.alert(open_alert("ETHUSDT"), token=token)
        board = await place.settled(good["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        waiting = await _state(place, bad["id"])
        assert (waiting["state"] in ("new", "claimed"), waiting["last_error"]) == (True, "ValueError")
        _change(place, damage, n=Role.USER.value, a=poisoned.id)
        board = await place.settled(bad["id"])
        assert board["counts"]["placed"] == 2


async def test_signal_when_deciding_it_outlasts_a_lease_then_the_lease_is_renewed_and_one_attempt_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """order-protocol.md section 3.1: thousands of accounts may take longer to decide than a lease lasts."""
    async with world(tmp_path, orders=replace(FAST_ORDERS, lease_s=1)) as place:
        await place.one_linked()
        assert place.app is not None
        db, decided = place.app.db, OutlookDesk.of

        async def slow(desk: OutlookDesk, signal: Signal, **more: Any) -> Outlook:
            """Take as long as it takes until the lease has been renewed often enough for a second one."""
            ends = select(inbox.c.lease_until).where(inbox.c.id == signal.id)
            first = latest = await db.read(lambda tx: tx.execute(ends).scalar_one())
            while latest <= first + timedelta(seconds=1):
                latest = await db.read(lambda tx: tx.execute(ends).scalar_one())
            return await decided(desk, signal, **more)

        monkeypatch.setattr(OutlookDesk, "of", slow)
        _, accepted = await place.alert(open_alert())
        board = await place.settled(accepted["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        attempts = select(inbox.c.attempts).where(inbox.c.id == accepted["id"])
        assert await db.read(lambda tx: tx.execute(attempts).scalar_one()) == 1


async def test_close_when_its_venue_is_switched_off_then_intended_and_carried_out_when_it_is_back(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 3.1: an account whose venue is missing is recorded INTENDED, and holds up nobody."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        venues = dict(place.settings.venues)
        here = (BINANCE, Environment.PAPER)
        await place.stop_platform()
        place.settings = replace(place.settings, venues={**venues, here: VenueSection(enabled=False)})
        await place.start_platform()
        _, closed = await place.alert(close_alert())

        async def is_decided() -> bool:
            return bool((await place.fan(closed["id"]))["cells"])

        await place.until(is_decided)
        assert (await place.fan(closed["id"]))["counts"]["states"] == {"INTENDED": 1}
        await place.stop_platform()
        place.settings = replace(place.settings, venues=venues)
        await place.start_platform()
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        await place.flat(person)


# --- the order of signals (order-protocol.md section 4) ----------------------------------------------


async def test_fault_17_open_when_older_than_the_last_close_then_superseded(tmp_path: Path) -> None:
    """order-protocol.md section 4: an open whose alert time is older than the source's last close is superseded."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        before = (datetime.now(UTC) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["skip_reasons"] == {"nothing_held": 1}
        _, late = await place.alert(open_alert(sent_at=before))
        board = await place.settled(late["id"])
        assert board["counts"]["skip_reasons"] == {"superseded": 1}
        assert await place.venue_orders(person.uid) == []


async def test_close_when_the_mandate_is_gone_then_it_reaches_the_lots_of_its_source_and_no_others(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: a close reaches every account that holds lots opened by that source, mandate or
    not, and sells those lots only."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        other, token = await _source(place, "other")
        await _obey(place, person, other)
        _, mine = await place.alert(open_alert())
        _, theirs = await place.alert(open_alert(), token=token)
        for signal in (mine, theirs):
            await place.settled(signal["id"])

        async def are_two_protected() -> bool:
            found = await place.positions(person)
            return [each["protection"] for each in found] == ["protected_native"] * 2

        await place.until(are_two_protected)
        _, mandates = await place.call("GET", "/mandates", person)
        for mandate in mandates["items"]:
            assert (await place.call("DELETE", f"/mandates/{mandate['id']}", person))[0] == 204
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 1}

        async def is_one_left() -> bool:
            return [each["source_id"] for each in await place.positions(person)] == [other]

        await place.until(is_one_left)
        orders = await place.orders(person)
        (sold,) = [each for each in orders if each["leg"] == "exit"]
        (bought,) = [each for each in orders if each["leg"] == "entry" and each["signal_id"] == mine["id"]]
        # What was left of it after the fee, rounded down to the step.
        executed, step = Decimal(bought["executed"]), Decimal("0.00001")
        assert executed - step <= Decimal(sold["executed"]) <= executed


async def test_close_when_an_entry_is_in_doubt_then_the_known_part_is_sold_now_and_the_rest_when_known(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: it sells the known part now and the rest when it is known."""
    async with world(tmp_path) as place:
        person = await place.one_linked(allows_adding=True)
        _, first = await place.alert(open_alert())
        await place.settled(first["id"])
        await place.protected(person)
        await place.fault("stream_mute", stream="user")
        await place.fault("execute_drop", calls=ORDER_CALLS, times=1)
        await place.fault("status", calls=["GET /api/v3/order"], status=503, executed=False, times=4)
        await place.alert(open_alert(id="second"))

        async def is_in_doubt() -> bool:
            return any(each["state"] == "UNKNOWN" for each in await place.orders(person))

        await place.until(is_in_doubt)
        _, closed = await place.alert(close_alert())
        await place.flat(person)
        await place.control("DELETE", "faults")

        async def is_all_sold() -> bool:
            at_venue = await place.venue_orders(person.uid)
            filled = [each for each in at_venue if each["status"] == "FILLED"]
            return [each["side"] for each in filled] == ["BUY", "BUY", "SELL", "SELL"] or (
                [each["side"] for each in filled] == ["BUY", "SELL", "BUY", "SELL"]
            )

        await place.until(is_all_sold)
        await place.flat(person)
        exits = [each for each in await place.orders(person) if each["leg"] == "exit"]
        assert [each["state"] for each in exits] == ["FILLED", "FILLED"]
        assert {each["signal_id"] for each in exits} == {closed["id"]}
