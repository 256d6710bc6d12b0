"""A journal with words of a later release: left alone and reported, never a crash at start."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update
from tests.support.journal import ACCOUNT, journal_desk

from tradewind.execution import store
from tradewind.execution.store import LaterRelease
from tradewind.execution.tables import incidents, orders


def test_fault_79_order_when_state_is_of_a_later_release_then_left_alone_and_reported_once(tmp_path: Path) -> None:
    """order-protocol.md section 9: an unknown state is left alone and reported."""
    with journal_desk(tmp_path) as desk:
        strange, other = desk.entry(), desk.entry()
        desk.claim(other)
        desk.db.write_now(lambda tx: tx.execute(update(orders).where(orders.c.id == strange.id).values(state="PARKED")))
        now = desk.clock.now()
        for _ in range(2):
            left = desk.db.write_now(lambda tx: desk.journal.report_unreadable(tx, now))
            assert left == {strange.id: ACCOUNT}
        undone = desk.db.write_now(lambda tx: desk.journal.recover(tx, now))
        assert [each.id for each in undone] == [other.id]
        rows = desk.db.read_now(lambda tx: list(tx.execute(incidents.select())))
        assert [(row.kind, row.order_id) for row in rows] == [("order_of_later_release", strange.id)]
        state = desk.db.read_now(lambda tx: tx.execute(orders.select().where(orders.c.id == strange.id)).one().state)
        assert state == "PARKED"


def test_fault_79_sells_when_one_is_of_a_later_release_then_nothing_is_summed_without_it(tmp_path: Path) -> None:
    """order-protocol.md section 9: hands off its market, because a sum without it would sell the coins twice."""
    with journal_desk(tmp_path) as desk:
        lot = desk.bought()
        sell = desk.exit(lot_id=lot.lot.id)
        desk.db.write_now(lambda tx: tx.execute(update(orders).where(orders.c.id == sell.id).values(leg="hedge")))
        with pytest.raises(LaterRelease):
            desk.db.read_now(lambda tx: store.list_unsettled(tx, ACCOUNT, "BTCUSDT"))
        assert desk.db.read_now(lambda tx: store.list_not_ended(tx, ACCOUNT)) == []
