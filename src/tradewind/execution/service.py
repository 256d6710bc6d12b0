"""What rooms above may ask of execution without knowing its tables."""

from __future__ import annotations

from tradewind.core.ids import AccountId, OrderId
from tradewind.core.order import OrderState
from tradewind.execution import store
from tradewind.infra.db import Tx
from tradewind.portfolio.service import open_lots


def owner_of(tx: Tx, order_id: OrderId) -> AccountId | None:
    """Return whose order it is; None for an id the journal does not know."""
    stored = store.find_orders(tx, [order_id]).get(order_id)
    return None if stored is None else stored.order.account_id


def has_open_business(tx: Tx, account_id: AccountId) -> bool:
    """Say whether an account holds a position of ours or has an order that has not ended."""
    if open_lots(tx, account_ids=[account_id]):
        return True
    return any(each.order.state is not OrderState.INTENDED for each in store.list_not_ended(tx, account_id))
