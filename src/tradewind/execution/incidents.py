"""Incidents of a lot or an account: something a person should read that no single order tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tradewind.execution import record_store
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.infra.outbox import Note
from tradewind.portfolio.holding import Holding


def tell_of_lot(tx: Tx, ids: Ids, holding: Holding, kind: str, detail: Mapping[str, str], now: datetime) -> None:
    """Record something about a lot, and tell its owner."""
    lot = holding.lot
    values = {"lot_id": lot.id, "symbol": lot.symbol, "quantity": str(lot.quantity), **detail}
    tell_of_account(tx, ids, (holding.user_id, lot.account_id), kind, values, now)


def tell_of_account(
    tx: Tx, ids: Ids, owner: tuple[str, str], kind: str, detail: Mapping[str, str], now: datetime
) -> None:
    """Record something about an account that no order tells; `owner` names the user and the account."""
    incident_id = ids.new()
    user_id, account_id = owner
    values = {"id": incident_id, "at": now, "user_id": user_id, "account_id": account_id, "order_id": None}
    record_store.insert_incident(tx, {**values, "kind": kind, "detail": detail})
    payload = {"id": incident_id, "rev": 0, "at": now.isoformat(), "kind": kind, "order_id": None, **detail}
    outbox.append(tx, [Note("incident", user_id, payload)], now)
