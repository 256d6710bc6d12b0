"""Stop and resume over a real journal: what is denied, what is left alone, what a resume opens again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.support.clock import ManualClock
from tests.support.database import address
from tests.support.emergency import Stage

from tradewind.audit.service import Audit
from tradewind.core.errors import Forbidden, NotFound
from tradewind.core.ids import UserId
from tradewind.core.order import Leg, OrderState, ReturnedUnsent
from tradewind.execution.emergency import StopRequest
from tradewind.execution.emergency_store import PLATFORM, Policy, Scope, ScopeKind, StopRow, denied_since
from tradewind.execution.service import accounts_stopped
from tradewind.execution.stops import STOPPED, active_stops, stop_epoch
from tradewind.execution.tables import orders
from tradewind.infra.db import Db, Tx
from tradewind.infra.migrate import upgrade_schema

DENIED = (OrderState.DENIED, STOPPED)
ANN = Scope(ScopeKind.USER, "u-a")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    db = Db.open(address(tmp_path / "journal.db", is_migrated=True))
    upgrade_schema(db)
    yield Stage(db, ManualClock())
    db.close()


def _audit(stage: Stage) -> Audit:
    return stage.emergency.audit


def test_stop_when_entries_wait_then_denied_and_everything_else_left_alone(stage: Stage) -> None:
    """order-protocol.md section 6: the emergency stop never stops an exit or disarms a watch."""
    waiting, claimed, other = stage.record("a/1"), stage.record("a/1"), stage.record("b/1")
    leave_alone = [stage.record("a/1", leg) for leg in (Leg.STOP, Leg.TARGET, Leg.EXIT)]
    stage.claim([claimed.id])
    stopped = stage.stop(ANN)
    assert [move.after.id for move in stopped.denied] == [waiting.id]
    assert stopped.on_the_way == 1
    assert stage.state(waiting) == DENIED
    assert stage.state(claimed)[0] is OrderState.SENT
    assert {stage.state(order)[0] for order in (other, *leave_alone)} == {OrderState.INTENDED}
    assert len(stage.claim([other.id])) == 1


@pytest.mark.parametrize("claimed", [False, True])
def test_fault_79_stop_when_an_entry_is_of_a_later_release_then_everything_else_is_stopped(
    stage: Stage, *, claimed: bool
) -> None:
    """order-protocol.md section 9: an order in words of a later release is left alone; it never keeps a stop away."""
    strange, waiting = stage.record("a/1"), stage.record("b/1")
    if claimed:
        stage.claim([strange.id])
    stage.db.write_now(lambda tx: tx.execute(update(orders).where(orders.c.id == strange.id).values(type="ICEBERG")))
    stopped = stage.stop(PLATFORM)
    assert [move.after.id for move in stopped.denied] == [waiting.id]
    assert stage.state(waiting) == DENIED
    assert len(stage.db.read_now(lambda tx: denied_since(tx, PLATFORM, STOPPED, stopped.row.stopped_at))) == 1


@pytest.mark.parametrize(
    ("scope", "is_stopped"),
    [
        (PLATFORM, True),
        (Scope(ScopeKind.VENUE, "binance"), True),
        (Scope(ScopeKind.VENUE, "bybit"), False),
        (Scope(ScopeKind.USER, "u-a"), True),
        (Scope(ScopeKind.USER, "u-b"), False),
        (Scope(ScopeKind.ACCOUNT, "a/1"), True),
        (Scope(ScopeKind.ACCOUNT, "a/2"), False),
    ],
)
def test_claim_when_a_scope_is_stopped_then_denied_if_it_covers_the_order(
    stage: Stage, scope: Scope, is_stopped: bool
) -> None:
    stage.stop(scope)
    order = stage.record("a/1", epoch=stage.db.read_now(stop_epoch))
    assert bool(stage.claim([order.id])) is not is_stopped
    assert (stage.state(order) == DENIED) is is_stopped
    stage.latch.set_stored(stage.db.read_now(active_stops), 1)
    assert stage.latch.stops(order) is is_stopped


def test_entry_when_decided_before_a_stop_and_offered_after_the_resume_then_still_denied(stage: Stage) -> None:
    """A resume sends nothing of what was stopped."""
    epoch = stage.db.read_now(stop_epoch)
    stage.stop(PLATFORM)
    stage.resume(PLATFORM)
    late, fresh = stage.record("a/1", epoch=epoch), stage.record("a/1", epoch=stage.db.read_now(stop_epoch))
    assert [order.id for order in stage.claim([late.id, fresh.id])] == [fresh.id]
    assert stage.state(late) == DENIED


def test_entry_when_returned_unsent_around_a_stop_and_a_resume_then_denied(stage: Stage) -> None:
    order = stage.record("a/1")
    (sent,) = stage.claim([order.id])
    stage.stop(PLATFORM)
    stage.apply(sent, ReturnedUnsent(stage.clock.now(), "busy", stage.clock.now()))
    stage.resume(PLATFORM)
    assert stage.claim([order.id]) == []
    assert stage.state(order) == DENIED


def test_stop_when_repeated_then_the_stronger_policy_stays_and_the_epoch_grows(stage: Stage) -> None:
    first = stage.stop(PLATFORM, Policy.FLATTEN).row
    second = stage.stop(PLATFORM, Policy.LEAVE).row
    assert (second.policy, second.is_settled, second.stopped_at) == (Policy.FLATTEN, False, first.stopped_at)
    assert second.epoch > first.epoch
    stage.resume(PLATFORM)
    third = stage.stop(PLATFORM, Policy.LEAVE).row
    assert (third.policy, third.is_settled) == (Policy.LEAVE, True)
    assert third.epoch > second.epoch


def test_resume_when_the_operator_has_stopped_too_then_only_the_operator_lifts_it(stage: Stage) -> None:
    def resume(actor: str, *, is_operator: bool) -> None:
        stage.db.write_now(lambda tx: stage.emergency.resume(tx, ANN, actor=actor, reason="", is_operator=is_operator))

    with pytest.raises(NotFound):
        resume("user:u-a", is_operator=False)
    stage.stop(ANN, actor="user:op")
    stage.stop(ANN, actor="user:u-a")
    with pytest.raises(Forbidden):
        resume("user:u-a", is_operator=False)
    resume("user:op", is_operator=True)
    stage.stop(ANN, actor="user:u-a")
    resume("user:u-a", is_operator=False)
    assert stage.db.read_now(active_stops) == {}


def test_resume_when_the_operator_has_stopped_an_account_of_theirs_then_only_the_operator_lifts_it(
    stage: Stage,
) -> None:
    account = Scope(ScopeKind.ACCOUNT, "a/1")
    stage.emergency.people_of = lambda _tx, scope: [UserId("u-a")] if scope == account else []
    stage.stop(account, actor="user:op")
    stage.stop(account, actor="user:u-a")

    def lift(tx: Tx) -> StopRow:
        return stage.emergency.resume(tx, account, actor="user:u-a", reason="", is_operator=False)

    with pytest.raises(Forbidden):
        stage.db.write_now(lift)
    stage.resume(account)
    stage.stop(account, actor="user:u-a")
    assert not stage.db.write_now(lift).is_stopped


def test_stop_and_resume_when_done_then_each_stands_in_the_audit(stage: Stage) -> None:
    stage.stop(ANN, actor="user:u-a")
    stage.resume(ANN)
    entries = stage.db.read_now(lambda tx: _audit(stage).entries_of_user(tx, "u-a"))
    assert [(entry.actor, entry.action) for entry in entries] == [
        ("cli", "emergency.resumed"),
        ("user:u-a", "emergency.stopped"),
    ]
    assert stage.db.read_now(_audit(stage).verify) is None


def test_filed_stop_when_merged_then_stopped_unless_a_later_resume_has_lifted_it(stage: Stage) -> None:
    """order-protocol.md section 6: the flag is merged and the stop wins."""
    asked_at = stage.clock.now()
    wanted = StopRequest(PLATFORM, Policy.CANCEL, "cli", "from the file", floor=41)

    def merge(scope: Scope = PLATFORM, at_s: int = 0) -> object:
        request = StopRequest(scope, wanted.policy, wanted.actor, wanted.reason, wanted.floor)
        moment = asked_at + timedelta(seconds=at_s)
        people = {"ann@example.org": UserId("u-a")}
        return stage.db.write_now(
            lambda tx: stage.emergency.merge(tx, request, moment, lambda _tx, email: people.get(email))
        )

    assert merge() is not None
    assert stage.db.read_now(stop_epoch) == 42
    stage.clock.step_wall(10)
    stage.resume(PLATFORM)
    assert merge() is None
    assert stage.db.read_now(active_stops) == {}
    assert merge(at_s=11) is not None
    stage.resume(PLATFORM)
    merge(Scope(ScopeKind.USER, "ann@example.org"), at_s=20)
    assert set(stage.db.read_now(active_stops)) == {ANN}
    merge(Scope(ScopeKind.USER, "nobody@example.org"), at_s=20)
    assert set(stage.db.read_now(active_stops)) == {ANN, PLATFORM}


def test_accounts_when_stopped_by_themselves_or_by_the_operator_then_read_so(stage: Stage) -> None:
    stage.stop(ANN, actor="user:u-a")
    stage.stop(Scope(ScopeKind.USER, "u-b"), actor="user:op")
    places = [stage.order(account, Leg.ENTRY)[1] for account in ("a/1", "b/1", "c/1")]
    found = stage.db.read_now(
        lambda tx: accounts_stopped(tx, [(each.venue, each.user_id, each.account_id) for each in places])
    )
    assert {account: stop.by for account, stop in found.items()} == {"a/1": "you", "b/1": "the operator"}


def test_latch_when_stopped_by_request_file_or_database_then_closed_until_none_of_them(stage: Stage) -> None:
    entry, stop = stage.order("a/1", Leg.ENTRY)[1], stage.order("a/1", Leg.STOP)[1]
    latch = stage.latch
    assert latch.lets_pass(entry)
    latch.ask(ANN)
    latch.ask(ANN)
    latch.set_filed([PLATFORM])
    latch.set_stored([ANN], 3)
    steps: list[Callable[[], None]] = [
        lambda: latch.answer(ANN),
        lambda: latch.answer(ANN),
        lambda: latch.set_filed([]),
        lambda: latch.set_stored([], 2),  # read before the stop was committed: changes nothing
        lambda: latch.set_stored([], 4),
    ]
    for open_up in steps:
        assert (latch.lets_pass(entry), latch.lets_pass(stop)) == (False, True)
        open_up()
    assert latch.lets_pass(entry)
    latch.close("shutting_down")
    assert (latch.lets_pass(entry), latch.lets_pass(stop)) == (False, False)


def test_stop_and_resume_when_done_then_told_to_everybody_they_concern_in_an_order_that_grows(stage: Stage) -> None:
    def told() -> list[tuple[str | None, bool, int]]:
        rows = stage.db.read_now(
            lambda tx: tx.exec_driver_sql("SELECT user_id, payload FROM outbox WHERE topic = 'gate' ORDER BY seq").all()
        )
        return [(row.user_id, (said := json.loads(row.payload))["is_stopped"], said["rev"]) for row in rows]

    first = stage.stop(PLATFORM, Policy.CANCEL).row
    assert told() == [(user, True, first.epoch * 2) for user in (None, "u-a", "u-b")]
    assert stage.db.write_now(lambda tx: stage.emergency.settle(tx, first, facts={"dust": 0}))
    assert not stage.db.write_now(lambda tx: stage.emergency.settle(tx, first, facts={"dust": 0}))
    stage.resume(PLATFORM)
    own = [(is_stopped, rev) for user, is_stopped, rev in told() if user == "u-a"]
    assert [is_stopped for is_stopped, _ in own] == [True, True, False]
    assert [rev for _, rev in own] == sorted({rev for _, rev in own})
