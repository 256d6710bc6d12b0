"""SQL of intents: why orders exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, insert, select, update

from tradewind.core.ids import AccountId, DecisionId, IntentId, SignalId, SourceId, UserId
from tradewind.core.order import IntentKind
from tradewind.execution.tables import intents
from tradewind.infra.db import Tx


@dataclass(frozen=True, slots=True)
class Intent:
    """Why orders exist: one row, any number of legs and generations."""

    id: IntentId
    kind: IntentKind
    user_id: UserId
    account_id: AccountId
    symbol: str
    created_at: datetime
    signal_id: SignalId | None = None
    decision_id: DecisionId | None = None
    source_id: SourceId | None = None
    lot_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    is_done: bool = False
    # The signal's place in the inbox: later signals have larger ones, whatever the clock did.
    signal_seq: int | None = None


def insert_intents(tx: Tx, new: Sequence[Intent]) -> None:
    """Add intents."""
    if not new:
        return
    rows = [
        {
            "id": intent.id,
            "kind": intent.kind.value,
            "user_id": intent.user_id,
            "account_id": intent.account_id,
            "symbol": intent.symbol,
            "signal_id": intent.signal_id,
            "decision_id": intent.decision_id,
            "source_id": intent.source_id,
            "lot_id": intent.lot_id,
            "detail": msgspec.json.encode(intent.detail).decode("utf-8"),
            "is_done": intent.is_done,
            "created_at": intent.created_at,
            "signal_seq": intent.signal_seq,
        }
        for intent in new
    ]
    tx.execute(insert(intents), rows)


def list_open_intents(
    tx: Tx, kinds: Iterable[IntentKind], account_id: AccountId | None = None, symbol: str | None = None
) -> list[Intent]:
    """Read intents that still want something, oldest first; of one account and symbol where named."""
    words = [kind.value for kind in kinds]
    query = select(intents).where(intents.c.is_done.is_(False), intents.c.kind.in_(words))
    if account_id is not None:
        query = query.where(intents.c.account_id == account_id)
    if symbol is not None:
        query = query.where(intents.c.symbol == symbol)
    return [_intent(row) for row in tx.execute(query.order_by(intents.c.created_at, intents.c.id))]


def load_intent(tx: Tx, intent_id: IntentId) -> Intent:
    """Read one intent; every order has one."""
    return _intent(tx.execute(select(intents).where(intents.c.id == intent_id)).one())


def close_intent(tx: Tx, intent_id: IntentId) -> None:
    """Mark an intent as wanting nothing more."""
    tx.execute(update(intents).where(intents.c.id == intent_id).values(is_done=True))


def _intent(row: Row[Any]) -> Intent:
    return Intent(
        id=IntentId(row.id),
        kind=IntentKind(row.kind),
        user_id=UserId(row.user_id),
        account_id=AccountId(row.account_id),
        symbol=row.symbol,
        created_at=row.created_at,
        signal_id=row.signal_id,
        decision_id=row.decision_id,
        source_id=row.source_id,
        lot_id=row.lot_id,
        detail=msgspec.json.decode(row.detail),
        is_done=row.is_done,
        signal_seq=row.signal_seq,
    )
