"""What a stop means for an order: which scopes cover it, and why it may not be claimed (section 6).

A stop concerns entries only. An entry may not leave while a scope of it is stopped, nor ever again if a
scope of it was stopped after the entry was decided: a resume opens the scope for what is decided from then
on and sends nothing that was stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tradewind.core.ids import AccountId, OrderId, UserId
from tradewind.core.instrument import VenueName
from tradewind.core.order import Order
from tradewind.execution import emergency_store
from tradewind.execution.emergency_store import PLATFORM, EpochName, Scope, ScopeKind, StopRow
from tradewind.infra.db import Tx

# The reason of an order that a stop kept from leaving, and of a decision made while stopped.
STOPPED = "stopped"
# Under this name an entry's intent keeps the stop epoch its decision was made under.
EPOCH_KEY = "stop_epoch"


def scopes_of(venue: VenueName, user_id: UserId, account_id: AccountId) -> tuple[Scope, ...]:
    """Return every scope that covers an account, the widest first."""
    return (
        PLATFORM,
        Scope(ScopeKind.VENUE, venue),
        Scope(ScopeKind.USER, user_id),
        Scope(ScopeKind.ACCOUNT, account_id),
    )


def scopes_of_order(order: Order) -> tuple[Scope, ...]:
    """Return every scope that covers an order, the widest first."""
    return scopes_of(order.venue, order.user_id, order.account_id)


def stopped_entries(tx: Tx, due: Sequence[Order], decided_under: Mapping[OrderId, int]) -> dict[OrderId, str]:
    """Say which of these entries a stop keeps from leaving; `decided_under` is each one's stop epoch.

    One query for the whole batch. The caller shares the stop epoch, so that no stop can commit in between.
    """
    rows = {row.scope: row for row in emergency_store.list_stops_since(tx, min(decided_under.values(), default=0))}
    if not rows:
        return {}
    return {
        order.id: STOPPED
        for order in due
        if any(_keeps(rows.get(scope), decided_under[order.id]) for scope in scopes_of_order(order))
    }


def stop_epoch(tx: Tx) -> int:
    """Return the present stop epoch. Read it before the stops themselves: what comes between is seen later."""
    return emergency_store.peek(tx, EpochName.STOP)


def active_stops(tx: Tx, scopes: Iterable[Scope] | None = None) -> dict[Scope, StopRow]:
    """Return the stops in force, of these scopes or all."""
    wanted = None if scopes is None else set(scopes)
    return {row.scope: row for row in emergency_store.list_stops(tx, wanted, only_stopped=True)}


def _keeps(row: StopRow | None, decided_under: int) -> bool:
    return row is not None and (row.is_stopped or row.epoch > decided_under)
