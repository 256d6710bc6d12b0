"""Tables of the vault: wrapped data keys of tenants, sealed keys of the platform, the passphrase's salt."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, and_, insert, select, text

from tradewind.infra.db import Tx, UtcTime, metadata
from tradewind.vault.cipher import WrappedKey

tenant_keys = Table(
    "tenant_keys",
    metadata,
    Column("tenant_id", String(36), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("kek_id", String(64), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("is_current", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(
        "uq_tenant_keys_current",
        "tenant_id",
        unique=True,
        sqlite_where=text("is_current"),
        postgresql_where=text("is_current"),
    ),
)

platform_keys = Table(
    "platform_keys",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

kek_derivations = Table(
    "kek_derivations",
    metadata,
    # One row: a database has one passphrase.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("derivation", String(40), nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)


def find_current_key(tx: Tx, tenant_id: str) -> WrappedKey | None:
    """Find the data key that seals new values of a tenant."""
    query = select(tenant_keys).where(tenant_keys.c.tenant_id == tenant_id, tenant_keys.c.is_current)
    row = tx.execute(query).one_or_none()
    return None if row is None else WrappedKey(row.tenant_id, row.version, row.kek_id, row.wrapped)


def find_key(tx: Tx, tenant_id: str, version: int) -> WrappedKey | None:
    """Find one version of a tenant's data key."""
    query = select(tenant_keys).where(and_(tenant_keys.c.tenant_id == tenant_id, tenant_keys.c.version == version))
    row = tx.execute(query).one_or_none()
    return None if row is None else WrappedKey(row.tenant_id, row.version, row.kek_id, row.wrapped)


def insert_key(tx: Tx, key: WrappedKey, now: datetime) -> None:
    """Store a tenant's data key as its current one."""
    tx.execute(
        insert(tenant_keys).values(
            tenant_id=key.tenant_id,
            version=key.version,
            kek_id=key.kek_id,
            wrapped=key.wrapped,
            is_current=True,
            created_at=now,
        )
    )


def find_platform_key(tx: Tx, name: str) -> bytes | None:
    """Find a sealed key of the platform."""
    return tx.execute(select(platform_keys.c.sealed).where(platform_keys.c.name == name)).scalar_one_or_none()


def insert_platform_key(tx: Tx, name: str, sealed: bytes, now: datetime) -> None:
    """Store a sealed key of the platform."""
    tx.execute(insert(platform_keys).values(name=name, sealed=sealed, created_at=now))


def find_derivation(tx: Tx) -> tuple[str, bytes] | None:
    """Find how the passphrase becomes the KEK, and its salt."""
    row = tx.execute(select(kek_derivations.c.derivation, kek_derivations.c.salt)).one_or_none()
    return None if row is None else (row.derivation, row.salt)


def insert_derivation(tx: Tx, derivation: str, salt: bytes, now: datetime) -> None:
    """Store how the passphrase becomes the KEK; refused by the primary key where there is one."""
    tx.execute(insert(kek_derivations).values(id=1, derivation=derivation, salt=salt, created_at=now))


def find_first_key(tx: Tx) -> WrappedKey | None:
    """Find the oldest data key: whatever KEK made this database wrapped it."""
    query = select(tenant_keys).order_by(tenant_keys.c.created_at, tenant_keys.c.tenant_id).limit(1)
    row = tx.execute(query).one_or_none()
    return None if row is None else WrappedKey(row.tenant_id, row.version, row.kek_id, row.wrapped)
