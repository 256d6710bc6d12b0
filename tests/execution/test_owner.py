"""One owner of the journal: what an older one claims, sells or reports is refused (order-protocol.md section 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.clock import ManualClock
from tests.support.database import address
from tests.support.emergency import Stage
from tests.support.journal import BTCUSDT, venue_now

from tradewind.core.ids import OrderId
from tradewind.core.order import Leg, OrderState, OutcomeLost
from tradewind.execution.owner import Owner, StaleOwner
from tradewind.execution.sellable import Market
from tradewind.infra.db import Db
from tradewind.infra.migrate import upgrade_schema


@contextmanager
def _two_processes(folder: Path) -> Iterator[tuple[Stage, Stage]]:
    """An owner of the journal, and one that will take it over."""
    url = address(folder / "journal.db", is_migrated=True)
    dbs = [Db.open(url), Db.open(url)]
    try:
        upgrade_schema(dbs[0])
        clock = ManualClock()
        old, new = (Stage(db, clock) for db in dbs)
        old.owner.on_stale = lambda: old.latch.close("owner_replaced")
        old.db.write_now(old.owner.take)
        yield old, new
    finally:
        for db in dbs:
            db.close()


_ACTS: dict[str, Callable[[Stage], object]] = {
    "claims entries": lambda stage: stage.claim([]),
    "claims protection": lambda stage: stage.db.write_now(
        lambda tx: stage.journal.claim_protective(tx, [[OrderId(stage.ids.new())]], venue_now, stage.clock.now())
    ),
    "claims an exit": lambda stage: stage.db.write_now(
        lambda tx: stage.journal.claim_exits(
            tx, {stage.order("a/1", Leg.EXIT)[1].id: Market(BTCUSDT, None)}, venue_now, stage.clock.now()
        )
    ),
    "records a sell": lambda stage: stage.record("a/1", Leg.EXIT),
    "records decisions": lambda stage: stage.db.write_now(lambda tx: stage.journal.record(tx, [], stage.clock.now())),
    "records outcomes": lambda stage: stage.db.write_now(lambda tx: stage.applier.apply_all(tx, [], stage.clock.now())),
    "recovers": lambda stage: stage.db.write_now(lambda tx: stage.journal.recover(tx, stage.clock.now())),
}


@pytest.mark.parametrize("act", _ACTS)
def test_fault_10_old_owner_that_wakes_when_it_acts_then_refused_and_its_latch_closed(tmp_path: Path, act: str) -> None:
    with _two_processes(tmp_path) as (old, new):
        _ACTS[act](old)
        new.db.write_now(new.owner.take)
        with pytest.raises(StaleOwner):
            _ACTS[act](old)
        assert old.latch.reason == "owner_replaced"
        _ACTS[act](new)


def test_fault_10_old_owner_that_wakes_with_claimed_orders_then_neither_sends_nor_records_them(tmp_path: Path) -> None:
    """order-protocol.md section 8: claims, sells and outcomes carry the owner's epoch."""
    with _two_processes(tmp_path) as (old, new):
        first, second = old.record("a/1"), old.record("a/1")
        (sent,) = old.claim([first.id])
        assert sent.owner_epoch == 1
        new.db.write_now(new.owner.take)
        new.db.write_now(lambda tx: new.journal.recover(tx, new.clock.now()))
        with pytest.raises(StaleOwner):
            old.claim([second.id])
        # What it had claimed it may not send any more: the last look before the write.
        assert not old.latch.lets_pass(sent)
        with pytest.raises(StaleOwner):
            old.apply(sent, OutcomeLost(old.clock.now(), "no_answer"))
        assert new.state(first) == (OrderState.UNKNOWN, "process_restarted")
        (sent_by_new,) = new.claim([second.id])
        assert sent_by_new.owner_epoch == 2


def test_owner_when_nobody_has_taken_the_journal_then_epoch_zero_may_write(tmp_path: Path) -> None:
    db = Db.open(address(tmp_path / "journal.db", is_migrated=True))
    try:
        upgrade_schema(db)
        db.write_now(Owner().demand)
        db.write_now(Owner().demand_for_entries)
    finally:
        db.close()
