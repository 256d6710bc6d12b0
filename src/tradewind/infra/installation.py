"""Which installation a database belongs to: a random name given once, which goes with every backup of it."""

from __future__ import annotations

import uuid

from sqlalchemy import Column, Integer, String, Table, insert, select

from tradewind.infra.db import Tx, metadata

installation = Table(
    "installation",
    metadata,
    # One row: its key is always this.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(36), nullable=False),
)
_ONLY = 1


def find_installation(tx: Tx) -> str | None:
    """Return the installation's name; None before the first start."""
    name: str | None = tx.execute(select(installation.c.name).where(installation.c.id == _ONLY)).scalar()
    return name


def name_installation(tx: Tx) -> str:
    """Return the installation's name, giving it one at the first start."""
    name = find_installation(tx)
    if name is None:
        name = str(uuid.uuid4())
        tx.execute(insert(installation), [{"id": _ONLY, "name": name}])
    return name
