"""After a database was put back from a backup: what its journal must take for uncertain (order-protocol.md 9).

Orders that stood INTENDED in the backup may have left in the part that is gone: they are asked about like any other
in doubt, exits included, before anything is sent. Signals that were undone may have been carried out: nothing of them
is fired again, a person may retry them. Accounts are compared and adopted one by one (adoption.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, insert, select, update

from tradewind.core.ids import AccountId
from tradewind.core.order import OrderState, OutcomeLost
from tradewind.execution import emergency_store, store
from tradewind.execution.emergency import StopRequest
from tradewind.execution.emergency_store import PLATFORM, EpochName, Policy, Scope, ScopeKind
from tradewind.execution.given_up import tell_given_up
from tradewind.execution.journal import Journal, VenueNow
from tradewind.execution.outcomes import Moved
from tradewind.execution.reconcile import RESTORED
from tradewind.execution.recovery_tables import recovery_reports, restores
from tradewind.execution.stop_file import FiledStop
from tradewind.execution.tables import order_events, orders
from tradewind.infra.db import Tx
from tradewind.infra.high_water import Mark, MarkedStop
from tradewind.infra.ids import Ids
from tradewind.infra.points import Point, reached
from tradewind.signals import inbox_facts
from tradewind.signals import service as signals

# A backup of before the first signal says nothing of its age; adoption looks back about as far as this at most.
_AGE_UNKNOWN = timedelta(days=30)
# As far back as orders are listed to be adopted (adoption.py).
LISTED_FOR = timedelta(days=31)
# Who stops where nobody can say who did.
_BY_RESTORE = "restore"
_MAY_BE_DONE = "a backup was put back: it may have been carried out in the part that is gone"


@dataclass(frozen=True, slots=True)
class Restore:
    """One time a backup was put back: from `since` to `at` the journal knows nothing."""

    id: str
    at: datetime
    since: datetime
    epoch: int
    # Every account there was has been reconciled; one that is linked later is looked at all the same, for a while.
    is_done: bool = False

    def is_over(self, now: datetime) -> bool:
        """Say whether nothing of it can be adopted any more: done, and longer ago than venues' lists go back."""
        return self.is_done and self.at + LISTED_FOR < now


def position(tx: Tx, now: datetime) -> Mark:
    """Say how far the database has come."""
    return Mark(
        journal=tx.execute(select(func.max(order_events.c.seq))).scalar() or 0,
        inbox=inbox_facts.last_seq(tx),
        epoch=emergency_store.peek(tx, EpochName.OWNER),
        at=now,
        stop_epoch=emergency_store.peek(tx, EpochName.STOP),
        stops=tuple(
            MarkedStop(row.scope.kind.value, row.scope.subject, row.policy.value, row.actor, row.reason, row.stopped_at)
            for row in emergency_store.list_stops(tx, only_stopped=True)
        ),
    )


def begin_restore(tx: Tx, ids: Ids, mark: Mark | None, now: datetime) -> Restore:
    """Take a database that was put back into use: bump the epoch, note what is unknown, end undone signals."""
    here = position(tx, now)
    epoch = emergency_store.bump(tx, EpochName.OWNER, above=0 if mark is None else mark.epoch)
    if mark is not None and mark.stop_epoch:
        # What was decided in the missing time or before it is older than any stop there was.
        emergency_store.bump(tx, EpochName.STOP, above=mark.stop_epoch)
    restore = Restore(ids.new(), now, _last_fact_at(tx) or now - _AGE_UNKNOWN, epoch)
    row = {"id": restore.id, "at": now, "epoch": epoch, "since": restore.since, "is_done": False}
    tx.execute(
        insert(restores), [{**row, "mark_seq": 0 if mark is None else mark.journal, "database_seq": here.journal}]
    )
    for given_up in signals.bury_undone(tx, _MAY_BE_DONE, now):
        tell_given_up(tx, ids, given_up, now)
    reached(Point.RESTORE_WRITTEN)
    return restore


def forgotten_stops(mark: Mark) -> list[FiledStop]:
    """Return the stops that were in force when the mark was written, as the stop file takes them.

    Each counts as asked for when the mark was written: no resume that a backup remembers is later. One in words
    of a later release stops the platform.
    """
    return [
        FiledStop(
            f"restored {mark.stop_epoch} {each.scope}:{each.subject}",
            replace(_request(each), floor=mark.stop_epoch),
            mark.at,
        )
        for each in mark.stops
    ]


def unknown_stops(now: datetime) -> FiledStop:
    """Return a stop of the platform, for a mark that cannot be read: nobody knows what was stopped."""
    reason = "The high-water mark could not be read, so the stops made since the backup are not known."
    return FiledStop(f"restored {now.isoformat()}", StopRequest(PLATFORM, Policy.CANCEL, _BY_RESTORE, reason), now)


def _request(stop: MarkedStop) -> StopRequest:
    try:
        scope, policy = Scope(ScopeKind(stop.scope), stop.subject), Policy(stop.policy)
    except ValueError:
        return StopRequest(PLATFORM, Policy.CANCEL, stop.actor, stop.reason)
    return StopRequest(scope, policy, stop.actor, stop.reason)


def doubt_intended(tx: Tx, journal: Journal, restore: Restore, venue_now: VenueNow, now: datetime) -> list[Moved]:
    """INTENDED of before the restore -> SENT -> UNKNOWN: it may have left, and is asked about first."""
    waiting = [each.order for each in store.list_in_states(tx, [OrderState.INTENDED])]
    found = [order for order in waiting if order.created_at <= restore.at and not order.is_known_to_venue]
    claimed = journal.claim_all(tx, found, venue_now, now)
    return journal.step_all(tx, [(each.id, OutcomeLost(now, RESTORED)) for each in claimed], [OrderState.SENT], now)


def list_restores(tx: Tx) -> list[Restore]:
    """Read every restore there was, oldest first."""
    rows = tx.execute(select(restores).order_by(restores.c.at, restores.c.id))
    return [Restore(row.id, row.at, row.since, row.epoch, bool(row.is_done)) for row in rows]


def list_reconciled(tx: Tx, restore_id: str) -> set[AccountId]:
    """Return the accounts that were found in order after a restore."""
    query = select(recovery_reports.c.account_id).where(
        recovery_reports.c.restore_id == restore_id, recovery_reports.c.green_at.is_not(None)
    )
    return {AccountId(account_id) for account_id in tx.execute(query).scalars()}


def close_restores(tx: Tx, restore_ids: Sequence[str]) -> None:
    """Every account that is followed has been reconciled after these."""
    tx.execute(update(restores).where(restores.c.id.in_(list(restore_ids))).values(is_done=True))


def markets_of(tx: Tx, account_id: AccountId) -> list[str]:
    """Return the markets in which the journal has orders of an account."""
    return list(tx.execute(select(orders.c.symbol).where(orders.c.account_id == account_id).distinct()).scalars())


def _last_fact_at(tx: Tx) -> datetime | None:
    """When the journal was last written; the inbox says it where there was no order yet."""
    newest: Sequence[datetime | None] = (
        tx.execute(select(order_events.c.at).order_by(order_events.c.seq.desc()).limit(1)).scalar(),
        tx.execute(select(func.max(orders.c.created_at))).scalar(),
        inbox_facts.last_received_at(tx),
    )
    return max((each for each in newest if each is not None), default=None)
