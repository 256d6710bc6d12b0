"""SQL of intents: why orders exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec
from sqlalchemy import Row, select, update

from tradewind.core.ids import AccountId, DecisionId, IntentId, SignalId, SourceId, UserId
from tradewind.core.order import IntentKind
from tradewind.execution.tables import intents
from tradewind.infra import bulk
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


_NAMES = (
    *("id", "kind", "user_id", "account_id", "symbol", "created_at", "signal_id", "decision_id", "source_id"),
    *("lot_id", "detail", "is_done", "signal_seq"),
)
_KINDS = {each.value: each for each in IntentKind}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def insert_intents(tx: Tx, new: Sequence[Intent]) -> None:
    """Add intents."""
    bulk.insert_rows(tx, intents, _NAMES, [_to_values(intent) for intent in new])


def load_intents(tx: Tx, ids: Iterable[IntentId]) -> dict[IntentId, Intent]:
    """Read intents by id, all at once."""
    found = map(_from_values, bulk.select_rows(tx, intents, _NAMES, "id", ids))
    return {intent.id: intent for intent in found}


def load_details(tx: Tx, ids: Iterable[IntentId]) -> dict[IntentId, Mapping[str, Any]]:
    """Read what intents carry; those of a fan-out carry the same, and share it."""
    return {row[0]: _shared(row[1]) for row in bulk.select_rows(tx, intents, ("id", "detail"), "id", ids)}


@lru_cache(maxsize=256)
def _shared(text: str) -> Mapping[str, Any]:
    return MappingProxyType(_decode(text))


def _to_values(intent: Intent) -> tuple[Any, ...]:
    return (
        intent.id,
        intent.kind.value,
        intent.user_id,
        intent.account_id,
        intent.symbol,
        intent.created_at,
        intent.signal_id,
        intent.decision_id,
        intent.source_id,
        intent.lot_id,
        _encode(dict(intent.detail)).decode("utf-8"),
        intent.is_done,
        intent.signal_seq,
    )


def _from_values(row: Sequence[Any]) -> Intent:
    return Intent(
        id=row[0],
        kind=_KINDS[row[1]],
        user_id=row[2],
        account_id=row[3],
        symbol=row[4],
        created_at=row[5],
        signal_id=row[6],
        decision_id=row[7],
        source_id=row[8],
        lot_id=row[9],
        detail=_shared(row[10]),
        is_done=row[11],
        signal_seq=row[12],
    )


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


def list_open_of(tx: Tx, kinds: Iterable[IntentKind], account_ids: Iterable[AccountId]) -> list[Intent]:
    """Read intents of these accounts that still want something, oldest first."""
    query = select(intents).where(
        intents.c.is_done.is_(False),
        intents.c.kind.in_([kind.value for kind in kinds]),
        intents.c.account_id.in_(list(account_ids)),
    )
    return [_intent(row) for row in tx.execute(query.order_by(intents.c.created_at, intents.c.id))]


def load_intent(tx: Tx, intent_id: IntentId) -> Intent:
    """Read one intent; every order has one."""
    return _intent(tx.execute(select(intents).where(intents.c.id == intent_id)).one())


def put_detail(tx: Tx, intent_id: IntentId, detail: Mapping[str, Any]) -> None:
    """Replace what an intent carries."""
    text = _encode(dict(detail)).decode("utf-8")
    tx.execute(update(intents).where(intents.c.id == intent_id).values(detail=text))


def close_intents(tx: Tx, ids: Sequence[IntentId]) -> None:
    """Mark intents as wanting nothing more."""
    bulk.update_rows(tx, intents, ("is_done",), ("id",), [(True, intent_id) for intent_id in ids])


def _intent(row: Row[Any]) -> Intent:
    return _from_values([getattr(row, name) for name in _NAMES])
