"""What a stop's policy asks for: carried out soon, whatever a look before it had to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from tests.support.journal import ACCOUNT, USER, Desk, journal_desk
from tests.support.market_desk import exit_bench

from tradewind.audit.service import Audit
from tradewind.core.ids import LotId
from tradewind.core.order import Leg
from tradewind.execution import flatten, store
from tradewind.execution.emergency import Emergency, StopRequest
from tradewind.execution.emergency_store import PLATFORM, Policy, Scope, ScopeKind
from tradewind.execution.exits import Departure, ExitDesk
from tradewind.execution.flatten import Flattener
from tradewind.infra.db import Tx
from tradewind.vault.cipher import LocalKek
from tradewind.vault.secret import Secret
from tradewind.vault.service import Vault

_PATIENCE_S = 20.0


def _emergency(room: Desk) -> Emergency:
    vault = Vault(LocalKek([Secret(bytes(range(32)))]), room.clock)
    return Emergency(room.journal, Audit(vault, room.clock), room.clock, lambda _tx, _scope: [USER])


async def _until(is_true: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if is_true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


def _is_leaving(room: Desk, lot_id: LotId) -> bool:
    found = room.db.read_now(lambda tx: store.list_of_lot(tx, lot_id))
    return any(each.order.leg is Leg.EXIT for each in found)


async def test_flatten_when_a_round_had_to_wait_for_the_database_then_a_late_lot_is_sold_soon_all_the_same(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 6: what a stop asks for is not put off by how long the look before it took."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room)
        emergency = _emergency(room)
        flattener = Flattener(room.db, room.clock, emergency, bench.exits, bench.market, lambda _key: None)
        first = room.bought()
        # Sent before the stop, filled after it.
        (sent,) = room.claim(room.entry())
        wanted = StopRequest(PLATFORM, Policy.FLATTEN, "cli", "test")
        room.db.write_now(lambda tx: emergency.stop(tx, wanted))
        is_held, may_go_on = threading.Event(), threading.Event()

        def hold(_tx: object) -> None:
            is_held.set()
            may_go_on.wait(_PATIENCE_S)

        holder = asyncio.create_task(room.db.write(hold))
        await _until(is_held.is_set)
        running = asyncio.create_task(flattener.run())
        try:
            await asyncio.sleep(0.3)
            await room.clock.advance(30)
            may_go_on.set()
            await holder
            await _until(lambda: room.clock.has_sleepers)
            assert _is_leaving(room, first.lot.id)
            (move,) = room.apply(room.filled(sent))
            (late,) = move.new_lots
            flattener.on_moved([move])
            await room.clock.advance(3)
            await _until(lambda: _is_leaving(room, late.lot.id))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("where", ["exits", "stops"])
async def test_flatten_when_one_lot_or_one_stop_makes_trouble_then_the_others_are_sold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """order-protocol.md section 6: what a stop asks for is done for everybody whom nothing keeps from it."""
    with journal_desk(tmp_path) as room:
        bench = exit_bench(room)
        emergency = _emergency(room)
        flattener = Flattener(room.db, room.clock, emergency, bench.exits, bench.market, lambda _key: None)
        broken, whole = room.bought(), room.bought()
        for scope in (Scope(ScopeKind.ACCOUNT, ACCOUNT), PLATFORM):
            request = StopRequest(scope, Policy.FLATTEN, "cli", "test")
            room.db.write_now(partial(emergency.stop, wanted=request))
        drawn_up, read = ExitDesk._drawn_up, flatten.read_scene

        def exit_fails(desk: ExitDesk, departure: Departure, now: datetime) -> object:
            if where == "exits" and departure.holding.lot.id == broken.lot.id:
                raise ValueError("this lot cannot be sold")
            return drawn_up(desk, departure, now)

        def read_fails(tx: Tx, scope: Scope) -> flatten.Scene:
            if where == "stops" and scope != PLATFORM:
                raise ValueError("this stop cannot be read")
            return read(tx, scope)

        monkeypatch.setattr(ExitDesk, "_drawn_up", exit_fails)
        monkeypatch.setattr(flatten, "read_scene", read_fails)
        running = asyncio.create_task(flattener.run())
        try:
            await _until(lambda: _is_leaving(room, whole.lot.id))
            assert _is_leaving(room, broken.lot.id) is (where == "stops")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
