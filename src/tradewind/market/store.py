"""The instrument catalogue on disk: one row per venue and environment, the venue's own rules as last read.

It is kept so that a process that starts while a venue is away still knows steps and minimums, which watches
and exits need. Prices are never stored: an old price is worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Column, PrimaryKeyConstraint, String, Table, Text, insert, select, update

from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.infra.db import Tx, UtcTime, metadata

catalogues = Table(
    "instrument_catalogues",
    metadata,
    Column("venue", String(40), nullable=False),
    Column("environment", String(8), nullable=False),
    Column("body", Text, nullable=False),
    Column("read_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("venue", "environment"),
)

# Decimals are written as text and read as Decimal: msgspec never takes a float on the way.
_encoder = msgspec.json.Encoder(decimal_format="string")
_FIELDS = tuple(field.name for field in fields(Instrument))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A venue's instruments as it listed them at a UTC time."""

    instruments: tuple[Instrument, ...]
    read_at: datetime


def save_catalogue(tx: Tx, venue: VenueName, environment: Environment, catalogue: Catalogue) -> None:
    """Keep the newest list of a venue."""
    body = encode_instruments(catalogue.instruments)
    place = (catalogues.c.venue == venue, catalogues.c.environment == environment)
    changed = tx.execute(update(catalogues).where(*place).values(body=body, read_at=catalogue.read_at))
    if changed.rowcount == 0:
        tx.execute(
            insert(catalogues).values(venue=venue, environment=environment, body=body, read_at=catalogue.read_at)
        )


def find_catalogue(tx: Tx, venue: VenueName, environment: Environment) -> Catalogue | None:
    """Read the list kept of a venue; None if there is none or an older release wrote it differently."""
    query = select(catalogues.c.body, catalogues.c.read_at)
    row = tx.execute(query.where(catalogues.c.venue == venue, catalogues.c.environment == environment)).one_or_none()
    if row is None:
        return None
    try:
        return Catalogue(decode_instruments(row.body), row.read_at)
    except msgspec.DecodeError:
        return None


def encode_instruments(instruments: Sequence[Instrument]) -> str:
    """Write instruments as JSON text."""
    rows: list[dict[str, Any]] = [{name: getattr(item, name) for name in _FIELDS} for item in instruments]
    return _encoder.encode(rows).decode("utf-8")


def decode_instruments(body: str) -> tuple[Instrument, ...]:
    """Read what `encode_instruments` wrote. Raises msgspec.DecodeError."""
    return tuple(msgspec.json.decode(body, type=list[Instrument]))
