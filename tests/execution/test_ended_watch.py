"""Ids that are watched after their end: when each is asked about, and that waiting costs nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tests.support.journal import Desk, journal_desk

from tradewind.core.order import Order, OrderState
from tradewind.execution.ended_watch import WATCHED_FOR, EndedWatch
from tradewind.execution.outcomes import Moved


def _watch(desk: Desk) -> EndedWatch:
    nobody = cast(Any, None)
    return EndedWatch(desk.db, nobody, nobody, nobody, nobody, desk.clock)


def _ended(desk: Desk, order: Order, at: datetime) -> Moved:
    return Moved(order, replace(order, state=OrderState.NEVER_ARRIVED, ended_at=at))


def test_ended_id_when_it_waits_then_asked_at_growing_intervals_until_its_day_is_over(tmp_path: Path) -> None:
    """order-protocol.md section 2: the id stays watched for 24 h."""
    with journal_desk(tmp_path) as desk:
        watch, now = _watch(desk), desk.clock.now()
        (sent,) = desk.claim(desk.entry())
        watch.on_moved([_ended(desk, sent, now)])
        day = range(0, int(WATCHED_FOR.total_seconds()) + 60, 5)
        asked = [second for second in day if watch.take_due(now + timedelta(seconds=second))]
        assert asked == [15, 60, 120, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600]
        assert watch._watched == {}


def test_ended_ids_when_of_one_market_then_asked_together_and_one_that_came_alive_not(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        watch, now = _watch(desk), desk.clock.now()
        first, second, third = (desk.claim(desk.entry())[0] for _ in range(3))
        watch.on_moved([_ended(desk, each, now) for each in (first, second, third)])
        watch.on_moved([Moved(third, replace(third, state=OrderState.UNKNOWN))])
        (group,) = watch.take_due(now + timedelta(seconds=15))
        assert [each.id for each in group] == [first.id, second.id]
        assert watch.take_due(now + timedelta(seconds=16)) == []


def test_ended_id_when_nobody_answered_then_asked_again_soon(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        watch, now = _watch(desk), desk.clock.now()
        (sent,) = desk.claim(desk.entry())
        watch.on_moved([_ended(desk, sent, now - timedelta(hours=10))])
        (group,) = watch.take_due(now)
        watch._want(group)
        assert watch.take_due(now + timedelta(seconds=14)) == []
        assert [[each.id for each in group] for group in watch.take_due(now + timedelta(seconds=15))] == [[sent.id]]
