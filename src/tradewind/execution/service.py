"""What rooms above may ask of execution without knowing its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tradewind.core.ids import AccountId, OrderId, SourceId, UserId
from tradewind.core.instrument import VenueName
from tradewind.core.money import Asset
from tradewind.core.order import OrderState
from tradewind.execution import emergency_store, recovery_store, store
from tradewind.execution.emergency_store import EpochName, ScopeKind, StopRow
from tradewind.execution.stops import active_stops, scopes_of, stop_epoch
from tradewind.infra.db import Tx
from tradewind.portfolio.service import open_lots

__all__ = [
    "RecoveryReport",
    "RecoveryStanding",
    "StopInForce",
    "accounts_stopped",
    "all_stops",
    "has_open_business",
    "has_open_lots",
    "owner_of",
    "recovery_reports",
    "recovery_standing",
    "stop_epoch",
    "stop_seen",
]


@dataclass(frozen=True, slots=True)
class StopInForce:
    """The widest stop that covers an account, as its owner reads it."""

    since: datetime
    by: str


def accounts_stopped(
    tx: Tx, accounts: Sequence[tuple[VenueName, UserId, AccountId]]
) -> Mapping[AccountId, StopInForce]:
    """Say which accounts are under an emergency stop; one query for all of them."""
    stops = active_stops(tx)
    found: dict[AccountId, StopInForce] = {}
    for venue, user_id, account_id in accounts if stops else ():
        row = next((stops[scope] for scope in scopes_of(venue, user_id, account_id) if scope in stops), None)
        if row is not None:
            is_own = row.actor == f"user:{user_id}" and row.scope.kind in (ScopeKind.USER, ScopeKind.ACCOUNT)
            found[account_id] = StopInForce(row.stopped_at, "you" if is_own else "the operator")
    return found


def all_stops(tx: Tx) -> list[StopRow]:
    """Return every scope that was ever stopped, in force or not."""
    return emergency_store.list_stops(tx)


def stop_seen(tx: Tx) -> int:
    """Return the last stop epoch that a running platform has seen and obeys."""
    return emergency_store.peek(tx, EpochName.STOP_SEEN)


def owner_of(tx: Tx, order_id: OrderId) -> AccountId | None:
    """Return whose order it is; None for an id the journal does not know."""
    stored = store.find_orders(tx, [order_id]).get(order_id)
    return None if stored is None else stored.order.account_id


def has_open_business(tx: Tx, account_id: AccountId) -> bool:
    """Say whether an account holds a position of ours or has an order that has not ended."""
    if open_lots(tx, account_ids=[account_id]):
        return True
    return any(each.order.state is not OrderState.INTENDED for each in store.list_not_ended(tx, account_id))


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """One reconcile of one account; `took_s` None: its entries wait for what `waits_for` says."""

    account_id: str
    cause: str
    started_at: datetime
    took_s: float | None
    waits_for: str | None
    orders: int
    fills: int
    positions: int
    differences: int
    not_ours: int
    looks: int
    weight: int
    detail: tuple[Mapping[str, Any], ...]

    @property
    def green_at(self) -> datetime | None:
        """When the account was found in order; None while its entries wait."""
        return None if self.took_s is None else self.started_at + timedelta(seconds=self.took_s)


@dataclass(frozen=True, slots=True)
class RecoveryStanding:
    """What is still to be found out: orders in doubt, what each waiting account waits for, restores not over."""

    in_doubt: int
    waiting: list[str]
    restores: int


def recovery_standing(tx: Tx) -> RecoveryStanding:
    """Read what is still to be found out, as the journal says; the platform need not run."""
    return RecoveryStanding(
        recovery_store.count_in_doubt(tx),
        recovery_store.list_waiting(tx),
        recovery_store.count_restores_undone(tx),
    )


def has_open_lots(tx: Tx, source_id: SourceId, base: Asset) -> bool:
    """Say whether any account holds what a source has opened in an asset."""
    return bool(open_lots(tx, source_id=source_id, base=base))


def recovery_reports(tx: Tx, account_ids: Sequence[AccountId] | None, limit: int) -> list[RecoveryReport]:
    """Read what reconciles have found, newest first; of all accounts or of some."""
    return [
        RecoveryReport(
            account_id=row.account_id,
            cause=row.cause,
            started_at=row.started_at,
            took_s=None if row.green_at is None else (row.green_at - row.started_at).total_seconds(),
            waits_for=row.waits_for,
            orders=row.orders,
            fills=row.fills,
            positions=row.positions,
            differences=row.differences,
            not_ours=row.not_ours,
            looks=row.looks,
            weight=row.weight,
            detail=tuple(recovery_store.detail_of(row)["differences"]),
        )
        for row in recovery_store.list_reports(tx, account_ids=account_ids, limit=limit)
    ]
