"""Watched stops that fired while nothing could be recorded: entries wait until they were on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.journal import Desk, journal_desk

from tradewind.core.order import Leg, OrderState, Side
from tradewind.core.protection import ExitCause
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Moved
from tradewind.execution.triggers import Fired, Triggers
from tradewind.execution.unrecorded import Unrecorded
from tradewind.infra.bus import InProcessBus


class _Fired(Triggers):
    """A watch that has seen what the test says."""

    seen: tuple[Fired, ...] = ()

    def fired(self) -> list[Fired]:
        return list(self.seen)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Desk]:
    with journal_desk(tmp_path) as room:
        yield room


async def test_entries_when_the_exit_is_recorded_and_not_sent_then_still_wait_until_it_has_its_answer(
    room: Desk,
) -> None:
    """order-protocol.md section 6: carried out first when the database is back."""
    triggers, latch = _Fired(room.clock, 1.0), Latch()
    unrecorded = Unrecorded(room.db, room.clock, InProcessBus(), room.ids, triggers, latch)
    holding = room.bought()
    await room.clock.advance(5)
    triggers.seen = (Fired(holding, ExitCause.STOP, room.clock.monotonic()),)
    await room.clock.advance(5)
    assert [each.holding.lot.id for each in unrecorded.look()] == [holding.lot.id]
    assert latch.is_held
    # Recorded: the watch has nothing to do any more, and the sale has not left yet.
    triggers.seen = ()
    assert unrecorded.look() == []
    assert latch.is_held
    exit_ = replace(room.entry(), leg=Leg.EXIT, side=Side.SELL, lot_id=holding.lot.id)
    sent, filled = replace(exit_, state=OrderState.SENT), replace(exit_, state=OrderState.FILLED)
    unrecorded.on_moved([Moved(exit_, sent)])
    unrecorded.look()
    assert latch.is_held
    unrecorded.on_moved([Moved(sent, filled)])
    unrecorded.look()
    assert not latch.is_held


async def test_entries_when_the_exit_never_leaves_then_wait_ten_seconds_and_no_longer(room: Desk) -> None:
    triggers, latch = _Fired(room.clock, 1.0), Latch()
    unrecorded = Unrecorded(room.db, room.clock, InProcessBus(), room.ids, triggers, latch)
    holding = room.bought()
    await room.clock.advance(5)
    triggers.seen = (Fired(holding, ExitCause.STOP, room.clock.monotonic()),)
    await room.clock.advance(5)
    unrecorded.look()
    triggers.seen = ()
    unrecorded.look()
    await room.clock.advance(9)
    unrecorded.look()
    assert latch.is_held
    await room.clock.advance(2)
    unrecorded.look()
    assert not latch.is_held
