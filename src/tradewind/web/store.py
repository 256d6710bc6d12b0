"""The table of requests already answered, and its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, delete, insert, select, update

from tradewind.core.ids import UserId
from tradewind.infra.db import Tx, UtcTime, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", String(36), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    # Both NULL while the request is being carried out.
    Column("status", Integer, nullable=True),
    Column("body", LargeBinary, nullable=True),
    Column("created_at", UtcTime, nullable=False),
    Index("ix_idempotency_keys_created_at", "created_at"),
)


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A request seen before; `status` None while it is being carried out."""

    request_hash: str
    status: int | None
    body: bytes | None
    created_at: datetime


def find_request(tx: Tx, user_id: UserId, key: str) -> KeptRequest | None:
    """Find what was kept under a user's key."""
    table = idempotency_keys
    query = select(table.c.request_hash, table.c.status, table.c.body, table.c.created_at).where(
        table.c.user_id == user_id, table.c.key == key
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else KeptRequest(row.request_hash, row.status, row.body, row.created_at)


def insert_request(tx: Tx, user_id: UserId, key: str, request_hash: str, now: datetime) -> None:
    """Keep a key as being carried out."""
    tx.execute(insert(idempotency_keys).values(user_id=user_id, key=key, request_hash=request_hash, created_at=now))


def finish_request(tx: Tx, user_id: UserId, key: str, status: int, body: bytes) -> None:
    """Keep the answer."""
    tx.execute(
        update(idempotency_keys)
        .where(idempotency_keys.c.user_id == user_id, idempotency_keys.c.key == key)
        .values(status=status, body=body)
    )


def delete_request(tx: Tx, user_id: UserId, key: str) -> None:
    """Forget a key."""
    tx.execute(delete(idempotency_keys).where(idempotency_keys.c.user_id == user_id, idempotency_keys.c.key == key))


def delete_requests_before(tx: Tx, moment: datetime) -> int:
    """Forget what was kept before a moment; return how many."""
    return tx.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at < moment)).rowcount
