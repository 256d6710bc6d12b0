"""Incidents of a lot: something a person should read that no single order tells."""

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
    incident_id = ids.new()
    values = {"lot_id": lot.id, "symbol": lot.symbol, "quantity": str(lot.quantity), **detail}
    record_store.insert_incident(
        tx,
        {
            "id": incident_id,
            "at": now,
            "user_id": holding.user_id,
            "account_id": lot.account_id,
            "order_id": None,
            "kind": kind,
            "detail": values,
        },
    )
    payload = {"id": incident_id, "rev": 0, "at": now.isoformat(), "kind": kind, "order_id": None, **values}
    outbox.append(tx, [Note("incident", holding.user_id, payload)], now)
