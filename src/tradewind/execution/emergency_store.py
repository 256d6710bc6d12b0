"""SQL of emergency stops and of the epochs that order them against claims."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, false, insert, or_, select, true, update

from tradewind.core.ids import AccountId, OrderId, UserId
from tradewind.core.instrument import VenueName
from tradewind.core.order import IN_DOUBT, RESTING, GateKind, Leg, Order, OrderState
from tradewind.execution import store
from tradewind.execution.store import Stored
from tradewind.execution.tables import emergency_stops, epochs, orders
from tradewind.infra.db import Tx

_ENTRY_LEGS = (Leg.ENTRY.value, Leg.TEST.value)
_ON_THE_WAY = tuple(sorted(state.value for state in IN_DOUBT | RESTING))


class EpochName(StrEnum):
    """The rows of `epochs`."""

    OWNER = "owner"
    STOP = "stop"
    # The last stop epoch that the running platform has seen and obeys.
    STOP_SEEN = "stop_seen"


class ScopeKind(StrEnum):
    """What a stop covers."""

    PLATFORM = "platform"
    VENUE = "venue"
    USER = "user"
    ACCOUNT = "account"


class Policy(StrEnum):
    """What becomes of entries that were signed before the stop, and of positions; the later the stronger."""

    LEAVE = "leave"
    CANCEL = "cancel"
    FLATTEN = "flatten"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What a stop covers, and which one; the platform has no subject."""

    kind: ScopeKind
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}" if self.subject else self.kind.value


PLATFORM = Scope(ScopeKind.PLATFORM)


@dataclass(frozen=True, slots=True)
class StopRow:
    """How a scope stands; `epoch` is the number of its last stop."""

    scope: Scope
    epoch: int
    is_stopped: bool
    policy: Policy
    actor: str
    reason: str
    stopped_at: datetime
    resumed_by: str | None
    resumed_at: datetime | None
    is_settled: bool


# --- epochs ----------------------------------------------------------------------------------------


def share(tx: Tx, *names: EpochName) -> dict[EpochName, int]:
    """Read epochs and keep others from bumping them until this transaction ends; 0 where there is no row."""
    query = select(epochs).where(epochs.c.name.in_([name.value for name in names]))
    found = {row.name: row.value for row in tx.execute(query.order_by(epochs.c.name).with_for_update(read=True))}
    return {name: found.get(name.value, 0) for name in names}


def peek(tx: Tx, name: EpochName) -> int:
    """Read an epoch as it is now, without holding anything."""
    value: int | None = tx.execute(select(epochs.c.value).where(epochs.c.name == name.value)).scalar()
    return value or 0


def bump(tx: Tx, name: EpochName, *, above: int = 0) -> int:
    """Take the next number of an epoch, alone: whoever shares it goes first, whoever comes waits.

    It lies above `above` as well: what another place has seen of a database that was restored since.
    """
    query = select(epochs.c.value).where(epochs.c.name == name.value).with_for_update()
    value: int | None = tx.execute(query).scalar()
    following = max(value or 0, above) + 1
    put_epoch(tx, name, following)
    return following


def put_epoch(tx: Tx, name: EpochName, value: int) -> None:
    """Write an epoch; where it decides something the caller holds its row."""
    if tx.execute(update(epochs).where(epochs.c.name == name.value).values(value=value)).rowcount == 0:
        tx.execute(insert(epochs).values(name=name.value, value=value))


# --- stops -----------------------------------------------------------------------------------------


def find_stop(tx: Tx, scope: Scope) -> StopRow | None:
    """Read how a scope stands; None if it was never stopped."""
    row = tx.execute(select(emergency_stops).where(_is_scope(scope))).one_or_none()
    return None if row is None else _stop(row)


def list_stops(tx: Tx, scopes: Collection[Scope] | None = None, *, only_stopped: bool = False) -> list[StopRow]:
    """Read stops, of these scopes or of all."""
    query = select(emergency_stops)
    if scopes is not None:
        query = query.where(_among(scopes))
    if only_stopped:
        query = query.where(emergency_stops.c.is_stopped.is_(True))
    return [_stop(row) for row in tx.execute(query.order_by(emergency_stops.c.scope, emergency_stops.c.subject))]


def list_stops_since(tx: Tx, epoch: int) -> list[StopRow]:
    """Read the stops in force, and those whose last stop came after an epoch: usually none."""
    query = select(emergency_stops).where(or_(emergency_stops.c.is_stopped.is_(True), emergency_stops.c.epoch > epoch))
    return [_stop(row) for row in tx.execute(query)]


def put_stop(tx: Tx, stop: StopRow) -> None:
    """Write how a scope stands."""
    values = {
        "epoch": stop.epoch,
        "is_stopped": stop.is_stopped,
        "policy": stop.policy.value,
        "actor": stop.actor,
        "reason": stop.reason,
        "stopped_at": stop.stopped_at,
        "resumed_by": stop.resumed_by,
        "resumed_at": stop.resumed_at,
        "is_settled": stop.is_settled,
    }
    if tx.execute(update(emergency_stops).where(_is_scope(stop.scope)).values(values)).rowcount == 0:
        key = {"scope": stop.scope.kind.value, "subject": stop.scope.subject}
        tx.execute(insert(emergency_stops).values({**key, **values}))


def settle(tx: Tx, scope: Scope, epoch: int) -> bool:
    """Note that a stop's policy is carried out, if it still is that stop; False if it moved meanwhile."""
    where = and_(_is_scope(scope), emergency_stops.c.epoch == epoch, emergency_stops.c.is_settled.is_(False))
    return tx.execute(update(emergency_stops).where(where).values(is_settled=True)).rowcount == 1


# --- orders of a scope -----------------------------------------------------------------------------


def intended_entries(tx: Tx, scope: Scope) -> list[OrderId]:
    """Return the entries of a scope that have not been claimed."""
    query = select(orders).where(
        orders.c.state == OrderState.INTENDED.value, orders.c.leg.in_(_ENTRY_LEGS), _of_scope(scope)
    )
    found = [each.order for each in _readable(tx.execute(query.order_by(orders.c.id)))]
    return [order.id for order in found if order.gate_kind is GateKind.ENTRY]


def entries_on_the_way(tx: Tx, scope: Scope) -> list[Order]:
    """Read the entries of a scope that were claimed and may still execute."""
    query = select(orders).where(orders.c.state.in_(_ON_THE_WAY), orders.c.leg.in_(_ENTRY_LEGS), _of_scope(scope))
    found = [each.order for each in _readable(tx.execute(query.order_by(orders.c.id)))]
    return [order for order in found if order.gate_kind is GateKind.ENTRY]


def has_unbooked_entries(tx: Tx, scope: Scope) -> bool:
    """Say whether fills of an entry of a scope are still on their way; reads every order of it, so ask rarely."""
    query = select(orders).where(orders.c.executed != orders.c.booked, orders.c.leg.in_(_ENTRY_LEGS), _of_scope(scope))
    return any(each.lacks_fills for each in _readable(tx.execute(query)))


def denied_since(tx: Tx, scope: Scope, reason: str, since: datetime) -> list[Stored]:
    """Read the entries of a scope that were denied with a reason at or after a time."""
    query = select(orders).where(
        orders.c.state == OrderState.DENIED.value,
        orders.c.reason == reason,
        orders.c.ended_at >= since,
        _of_scope(scope),
    )
    return _readable(tx.execute(query))


def _readable(rows: Iterable[Row[Any]]) -> list[Stored]:
    """Leave out what a later release wrote: nothing here claims it, and it must not keep a stop away."""
    return [store.from_row(row) for row in rows if store.is_readable(row)]


def _of_scope(scope: Scope) -> ColumnElement[bool]:
    match scope.kind:
        case ScopeKind.PLATFORM:
            return true()
        case ScopeKind.VENUE:
            return orders.c.venue == VenueName(scope.subject)
        case ScopeKind.USER:
            return orders.c.user_id == UserId(scope.subject)
        case ScopeKind.ACCOUNT:
            return orders.c.account_id == AccountId(scope.subject)


def _is_scope(scope: Scope) -> ColumnElement[bool]:
    return and_(emergency_stops.c.scope == scope.kind.value, emergency_stops.c.subject == scope.subject)


def _among(scopes: Iterable[Scope]) -> ColumnElement[bool]:
    by_kind: dict[ScopeKind, list[str]] = {}
    for scope in scopes:
        by_kind.setdefault(scope.kind, []).append(scope.subject)
    parts: Sequence[ColumnElement[bool]] = [
        and_(emergency_stops.c.scope == kind.value, emergency_stops.c.subject.in_(subjects))
        for kind, subjects in by_kind.items()
    ]
    return or_(false(), *parts)


def _stop(row: Row[Any]) -> StopRow:
    return StopRow(
        scope=Scope(ScopeKind(row.scope), row.subject),
        epoch=row.epoch,
        is_stopped=row.is_stopped,
        policy=Policy(row.policy),
        actor=row.actor,
        reason=row.reason,
        stopped_at=row.stopped_at,
        resumed_by=row.resumed_by,
        resumed_at=row.resumed_at,
        is_settled=row.is_settled,
    )
