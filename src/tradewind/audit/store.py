"""The audit's tables and SQL."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, insert, select, update

from tradewind.audit.entry import AuditRow
from tradewind.infra.db import Tx, UtcTime, metadata

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(120), nullable=False),
    Column("user_id", String(36), nullable=True),
    Column("details", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_audit_log_user_id_seq", "user_id", "seq"),
)

# One row, locked by every append: two writers can never follow the same entry.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)


def lock_head(tx: Tx) -> tuple[int, bytes] | None:
    """Return number and hash of the last entry, holding other writers off until commit."""
    row = tx.execute(select(audit_head.c.seq, audit_head.c.hash).with_for_update()).one_or_none()
    return None if row is None else (row.seq, row.hash)


def find_head(tx: Tx) -> tuple[int, bytes] | None:
    """Return number and hash of the last entry, without holding anybody off."""
    row = tx.execute(select(audit_head.c.seq, audit_head.c.hash)).one_or_none()
    return None if row is None else (row.seq, row.hash)


def insert_entry(tx: Tx, row: AuditRow, *, is_first: bool) -> None:
    """Append an entry and move the head onto it."""
    tx.execute(
        insert(audit_log).values(
            seq=row.seq,
            at=row.at,
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            user_id=row.user_id,
            details=row.details,
            hash=row.hash,
        )
    )
    if is_first:
        tx.execute(insert(audit_head).values(id=1, seq=row.seq, hash=row.hash))
    else:
        tx.execute(update(audit_head).where(audit_head.c.id == 1).values(seq=row.seq, hash=row.hash))


def entries(tx: Tx, *, after_seq: int, limit: int) -> list[AuditRow]:
    """Read entries in order."""
    query = select(audit_log).where(audit_log.c.seq > after_seq).order_by(audit_log.c.seq).limit(limit)
    return [_row(row) for row in tx.execute(query)]


def all_entries(tx: Tx) -> Iterator[AuditRow]:
    """Read every entry in order, a batch at a time."""
    last = 0
    while batch := entries(tx, after_seq=last, limit=1_000):
        yield from batch
        last = batch[-1].seq


def entries_of_user(tx: Tx, user_id: str, *, before_seq: int | None, limit: int) -> list[AuditRow]:
    """Read what was done by or to a user, newest first."""
    query = select(audit_log).where(audit_log.c.user_id == user_id)
    if before_seq is not None:
        query = query.where(audit_log.c.seq < before_seq)
    return [_row(row) for row in tx.execute(query.order_by(audit_log.c.seq.desc()).limit(limit))]


def _row(row: object) -> AuditRow:
    return AuditRow(*(getattr(row, name) for name in AuditRow.__slots__))
