"""What rooms above may ask of execution without knowing its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tradewind.core.ids import AccountId, OrderId, UserId
from tradewind.core.instrument import VenueName
from tradewind.core.order import OrderState
from tradewind.execution import store
from tradewind.execution.emergency_store import ScopeKind
from tradewind.execution.stops import active_stops, scopes_of, stop_epoch
from tradewind.infra.db import Tx
from tradewind.portfolio.service import open_lots

__all__ = ["StopInForce", "accounts_stopped", "has_open_business", "owner_of", "stop_epoch"]


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


def owner_of(tx: Tx, order_id: OrderId) -> AccountId | None:
    """Return whose order it is; None for an id the journal does not know."""
    stored = store.find_orders(tx, [order_id]).get(order_id)
    return None if stored is None else stored.order.account_id


def has_open_business(tx: Tx, account_id: AccountId) -> bool:
    """Say whether an account holds a position of ours or has an order that has not ended."""
    if open_lots(tx, account_ids=[account_id]):
        return True
    return any(each.order.state is not OrderState.INTENDED for each in store.list_not_ended(tx, account_id))
