"""The tables of the signals room, and their rows as values.

The inbox keeps the order of arrival in `seq`. A row is undone while its state is new or claimed; an undone row
holds back every later row of the same base asset, so open-then-close can never swap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import Asset, Price
from tradewind.core.signal import Action, Signal, SizeKind
from tradewind.infra.db import Exact, UtcTime, metadata

sources = Table(
    "sources",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner_id", String(36), nullable=False),
    Column("name", String(80), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("is_enabled", Boolean, nullable=False),
    Column("is_exchange_bound", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("rotated_at", UtcTime, nullable=True),
    UniqueConstraint("owner_id", "name"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("source_id", String(36), ForeignKey("sources.id"), nullable=False),
    Column("origin", String(12), nullable=False),
    Column("author_id", String(36), nullable=True),
    Column("dedupe_key", String(200), nullable=True),
    Column("body_hash", String(64), nullable=False),
    Column("raw", Text, nullable=False),
    Column("action", String(8), nullable=False),
    Column("base", String(40), nullable=False),
    Column("quote", String(40), nullable=True),
    Column("exchange", String(40), nullable=True),
    Column("symbol_text", String(80), nullable=False),
    Column("price", Exact, nullable=True),
    Column("stop", Exact, nullable=True),
    Column("stop_bps", Integer, nullable=True),
    Column("targets", Text, nullable=False),
    Column("target_bps", Integer, nullable=True),
    Column("size", Exact, nullable=True),
    Column("size_kind", String(8), nullable=True),
    Column("strategy", String(120), nullable=True),
    Column("alert_at", UtcTime, nullable=True),
    # The earlier of alert_at and received_at: what a close and an open are compared by.
    Column("dated_at", UtcTime, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("state", String(8), nullable=False),
    Column("lease_token", String(64), nullable=True),
    Column("lease_until", UtcTime, nullable=True),
    Column("not_before", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", String(500), nullable=True),
    Column("decided_at", UtcTime, nullable=True),
    Column("rev", Integer, nullable=False),
    UniqueConstraint("source_id", "dedupe_key"),
    Index("ix_inbox_source_body", "source_id", "body_hash", "received_at"),
    Index("ix_inbox_undone", "state", "base", "seq"),
    Index("ix_inbox_closes", "source_id", "base", "action", "dated_at"),
    # A number once given is never given again, even after the newest rows are deleted.
    sqlite_autoincrement=True,
)


class SignalState(StrEnum):
    """How far a signal is: waiting, being decided, decided for every account, carried out, given up."""

    NEW = "new"
    CLAIMED = "claimed"
    DECIDED = "decided"
    DONE = "done"
    DEAD = "dead"


UNDONE = (SignalState.NEW, SignalState.CLAIMED)


class Origin(StrEnum):
    """Where a signal came in."""

    WEBHOOK = "webhook"
    API = "api"


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends signals. The secret part of its URL is kept as a hash only."""

    id: SourceId
    owner_id: str
    name: str
    is_enabled: bool
    is_exchange_bound: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One inbox row: the signal, how it came in, and how far it is."""

    seq: int
    signal: Signal
    origin: Origin
    author_id: str | None
    dedupe_key: str | None
    body_hash: str
    raw: str
    state: SignalState
    lease_token: str | None
    lease_until: datetime | None
    attempts: int
    last_error: str | None
    decided_at: datetime | None
    rev: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """What can be read of an inbox row that cannot be read as a whole."""

    seq: int
    id: SignalId
    source_id: SourceId
    base: Asset
    may_close: bool
    symbol_text: str
    error: str


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What an inbox row is made of."""

    signal: Signal
    origin: Origin
    author_id: str | None
    dedupe_key: str | None
    body_hash: str
    raw: str


def source_of(row: Row[Any]) -> Source:
    """Read a row of `sources`."""
    return Source(
        id=SourceId(row.id),
        owner_id=row.owner_id,
        name=row.name,
        is_enabled=bool(row.is_enabled),
        is_exchange_bound=bool(row.is_exchange_bound),
        created_at=row.created_at,
    )


def entry_of(row: Row[Any]) -> Entry:
    """Read a row of `inbox`."""
    targets: Sequence[str] = msgspec.json.decode(row.targets)
    signal = Signal(
        id=SignalId(row.id),
        source_id=SourceId(row.source_id),
        action=Action(row.action),
        base=Asset(row.base),
        quote=None if row.quote is None else Asset(row.quote),
        exchange=row.exchange,
        symbol_text=row.symbol_text,
        price=_price(row.price),
        stop=_price(row.stop),
        stop_bps=row.stop_bps,
        targets=tuple(Price(Decimal(target)) for target in targets),
        target_bps=row.target_bps,
        size=row.size,
        size_kind=None if row.size_kind is None else SizeKind(row.size_kind),
        alert_at=row.alert_at,
        received_at=row.received_at,
        strategy=row.strategy,
    )
    return Entry(
        seq=row.seq,
        signal=signal,
        origin=Origin(row.origin),
        author_id=row.author_id,
        dedupe_key=row.dedupe_key,
        body_hash=row.body_hash,
        raw=row.raw,
        state=SignalState(row.state),
        lease_token=row.lease_token,
        lease_until=row.lease_until,
        attempts=row.attempts,
        last_error=row.last_error,
        decided_at=row.decided_at,
        rev=row.rev,
    )


def _price(value: Decimal | None) -> Price | None:
    return None if value is None else Price(value)
