"""The SQL of the signals room: sources, and the inbox of what they sent (tables.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, and_, exists, func, insert, or_, select, update
from sqlalchemy.sql import ColumnElement

from tradewind.core.errors import Conflict
from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import Asset, Price, plain
from tradewind.core.signal import Action
from tradewind.infra.db import Tx
from tradewind.infra.salvage import salvage
from tradewind.signals.tables import (
    UNDONE,
    Damaged,
    Entry,
    NewEntry,
    SignalState,
    Source,
    entry_of,
    inbox,
    source_of,
    sources,
)

# Signals looked at together for the next one to hand out: those that wait for one of another source are passed over.
CLAIMABLE_MAX = 25

# --- sources ---------------------------------------------------------------------------------------


def insert_source(tx: Tx, source: Source, token_hash: str) -> None:
    """Add a source. Raises IntegrityError where the owner has one of that name."""
    tx.execute(
        insert(sources).values(
            id=source.id,
            owner_id=source.owner_id,
            name=source.name,
            token_hash=token_hash,
            is_enabled=source.is_enabled,
            is_exchange_bound=source.is_exchange_bound,
            created_at=source.created_at,
            rotated_at=None,
        )
    )


def update_source(tx: Tx, source_id: SourceId, **values: Any) -> None:
    """Change columns of a source."""
    tx.execute(update(sources).where(sources.c.id == source_id).values(**values))


def find_source(tx: Tx, source_id: SourceId, *, locked: bool = False) -> Source | None:
    """Read a source; `locked` keeps other writers of it out until the transaction ends."""
    query = select(sources).where(sources.c.id == source_id)
    row = tx.execute(query.with_for_update() if locked else query).one_or_none()
    return None if row is None else source_of(row)


def find_source_by_token(tx: Tx, token_hash: str) -> Source | None:
    """Read the source whose URL holds the token with this SHA-256."""
    row = tx.execute(select(sources).where(sources.c.token_hash == token_hash)).one_or_none()
    return None if row is None else source_of(row)


def find_source_by_name(tx: Tx, owner_id: str, name: str) -> Source | None:
    """Read an owner's source by its name."""
    query = select(sources).where(sources.c.owner_id == owner_id, sources.c.name == name)
    row = tx.execute(query).one_or_none()
    return None if row is None else source_of(row)


def list_sources(tx: Tx) -> list[Source]:
    """All sources of the installation, oldest first."""
    return [source_of(row) for row in tx.execute(select(sources).order_by(sources.c.created_at, sources.c.id))]


# --- inbox: writing --------------------------------------------------------------------------------


def insert_entry(tx: Tx, entry: NewEntry) -> None:
    """Store a signal as new."""
    signal = entry.signal
    tx.execute(
        insert(inbox).values(
            id=signal.id,
            source_id=signal.source_id,
            origin=entry.origin,
            author_id=entry.author_id,
            dedupe_key=entry.dedupe_key,
            body_hash=entry.body_hash,
            raw=entry.raw,
            action=signal.action,
            base=signal.base,
            quote=signal.quote,
            exchange=signal.exchange,
            symbol_text=signal.symbol_text,
            price=_value(signal.price),
            stop=_value(signal.stop),
            stop_bps=signal.stop_bps,
            targets=msgspec.json.encode([plain(target.value) for target in signal.targets]).decode("ascii"),
            target_bps=signal.target_bps,
            size=signal.size,
            size_kind=signal.size_kind,
            strategy=signal.strategy,
            alert_at=signal.alert_at,
            dated_at=signal.dated_at,
            received_at=signal.received_at,
            state=SignalState.NEW,
            lease_token=None,
            lease_until=None,
            not_before=signal.received_at,
            attempts=0,
            last_error=None,
            decided_at=None,
            rev=1,
        )
    )


def move_entry(tx: Tx, entry: Entry, **values: Any) -> bool:
    """Change a row if it still stands as `entry` says; say whether it did."""
    result = tx.execute(
        update(inbox).where(inbox.c.seq == entry.seq, inbox.c.rev == entry.rev).values(rev=entry.rev + 1, **values)
    )
    return result.rowcount == 1


# --- inbox: reading --------------------------------------------------------------------------------


def find_by_dedupe_key(tx: Tx, source_id: SourceId, dedupe_key: str) -> Entry | None:
    """Read the signal a source sent under an id of its own."""
    query = select(inbox).where(inbox.c.source_id == source_id, inbox.c.dedupe_key == dedupe_key)
    row = tx.execute(query).one_or_none()
    return None if row is None else entry_of(row)


def find_same_body(tx: Tx, source_id: SourceId, body_hash: str, since: datetime) -> Entry | None:
    """Read the newest signal of a source with this body, without an id of its own, not older than `since`."""
    query = (
        select(inbox)
        .where(
            inbox.c.source_id == source_id,
            inbox.c.body_hash == body_hash,
            inbox.c.dedupe_key.is_(None),
            inbox.c.received_at >= since,
        )
        .order_by(inbox.c.seq.desc())
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else entry_of(row)


def find_entry(tx: Tx, signal_id: SignalId) -> Entry | None:
    """Read one signal. Raises Conflict for one that cannot be read."""
    read = salvage(tx, select(inbox).where(inbox.c.id == signal_id), inbox.c.seq, entry_of)
    if read.broken:
        raise Conflict(
            "signal_unreadable",
            f"The row of signal {signal_id} cannot be read: it is damaged, or a later release wrote it.",
        )
    return next(iter(read.found), None)


def claimable(now: datetime, after_seq: int = 0) -> Select[Any]:
    """Select the oldest free undone signals whose source has no earlier undone one in the same base asset.

    Where rows lock (PostgreSQL), one that another worker is just claiming is passed over; being undone, it still
    holds back those behind it.
    """
    earlier = inbox.alias("earlier")
    is_held_back = exists().where(
        earlier.c.source_id == inbox.c.source_id,
        earlier.c.base == inbox.c.base,
        earlier.c.seq < inbox.c.seq,
        earlier.c.state.in_(UNDONE),
    )
    query = select(inbox).where(inbox.c.seq > after_seq, _is_free(now), ~is_held_back)
    return query.order_by(inbox.c.seq).limit(CLAIMABLE_MAX).with_for_update(skip_locked=True)


def list_claimable(tx: Tx, now: datetime, after_seq: int) -> tuple[list[Entry], list[Damaged]]:
    """Read some of the signals to hand out next, oldest first, and what of others can be read."""
    read = salvage(tx, claimable(now, after_seq), inbox.c.seq, entry_of)
    return read.found, _damaged(tx, read.broken)


def sources_before(tx: Tx, entry: Entry) -> list[SourceId]:
    """Other sources with an undone signal in the same base asset that came before this one."""
    query = select(inbox.c.source_id).where(
        inbox.c.base == entry.signal.base,
        inbox.c.source_id != entry.signal.source_id,
        inbox.c.seq < entry.seq,
        inbox.c.state.in_(UNDONE),
    )
    return [SourceId(source_id) for source_id in tx.execute(query.distinct()).scalars()]


def list_worn_out(tx: Tx, now: datetime, attempts_max: int) -> list[Entry]:
    """Signals whose last allowed attempt ran out of its lease without a word."""
    query = select(inbox).where(
        inbox.c.state == SignalState.CLAIMED, inbox.c.lease_until <= now, inbox.c.attempts >= attempts_max
    )
    return salvage(tx, query.order_by(inbox.c.seq), inbox.c.seq, entry_of).found


def set_aside(tx: Tx, damaged: Damaged, reason: str) -> None:
    """Dead-letter a row that cannot be read."""
    values = {"state": SignalState.DEAD, "lease_token": None, "lease_until": None, "last_error": reason}
    tx.execute(update(inbox).where(inbox.c.seq == damaged.seq).values(rev=inbox.c.rev + 1, **values))


def _damaged(tx: Tx, broken: Mapping[int, str]) -> list[Damaged]:
    names = (inbox.c.seq, inbox.c.id, inbox.c.source_id, inbox.c.base, inbox.c.action, inbox.c.symbol_text)
    rows = tx.execute(select(*names).where(inbox.c.seq.in_(list(broken))).order_by(inbox.c.seq)) if broken else ()
    return [
        Damaged(
            seq=row.seq,
            id=SignalId(row.id),
            source_id=SourceId(row.source_id),
            base=Asset(row.base),
            # A word that is not known may mean a close too.
            may_close=row.action != Action.OPEN.value,
            symbol_text=row.symbol_text,
            error=broken[row.seq],
        )
        for row in rows
    ]


def last_seq(tx: Tx) -> int:
    """Return the highest number given out; 0 without one."""
    return tx.execute(select(func.max(inbox.c.seq))).scalar() or 0


def last_received_at(tx: Tx) -> datetime | None:
    """Return when the newest signal came."""
    moment: datetime | None = tx.execute(select(inbox.c.received_at).order_by(inbox.c.seq.desc()).limit(1)).scalar()
    return moment


def bases_since(tx: Tx, since: datetime) -> set[Asset]:
    """Assets named by signals received since a time."""
    query = select(inbox.c.base).where(inbox.c.received_at >= since).distinct()
    return {Asset(base) for base in tx.execute(query).scalars()}


def list_undone(tx: Tx) -> list[Entry | Damaged]:
    """Signals that nobody has decided, oldest first, and what can be read of those that are damaged."""
    query = select(inbox).where(inbox.c.state.in_(UNDONE)).order_by(inbox.c.seq)
    read = salvage(tx, query, inbox.c.seq, entry_of)
    return [*read.found, *_damaged(tx, read.broken)]


def last_close_at(tx: Tx, source_id: SourceId, base: Asset) -> datetime | None:
    """When the newest close of a source for an asset was sent (never later than it arrived)."""
    query = (
        select(inbox.c.dated_at)
        .where(inbox.c.source_id == source_id, inbox.c.base == base, inbox.c.action == Action.CLOSE)
        .order_by(inbox.c.dated_at.desc())
        .limit(1)
    )
    moment: datetime | None = tx.execute(query).scalar_one_or_none()
    return moment


def has_newer_close(tx: Tx, entry: Entry) -> bool:
    """Say whether the source closed the asset after this signal: in a later second, or later in the same one.

    {{timenow}} knows whole seconds only, so inside a second the order of arrival counts.
    """
    signal = entry.signal
    second = signal.dated_at.replace(microsecond=0)
    query = select(inbox.c.seq).where(
        inbox.c.source_id == signal.source_id,
        inbox.c.base == signal.base,
        inbox.c.action == Action.CLOSE,
        or_(
            inbox.c.dated_at >= second + timedelta(seconds=1),
            and_(inbox.c.dated_at >= second, inbox.c.seq > entry.seq),
        ),
    )
    return tx.execute(query.limit(1)).one_or_none() is not None


def list_entries(
    tx: Tx, *, visible: Collection[SourceId] | None, before_seq: int | None, limit: int, state: SignalState | None
) -> list[Entry]:
    """Signals newest first, of these sources only (None: of all); one that cannot be read is left out."""
    query: Select[Any] = select(inbox).order_by(inbox.c.seq.desc()).limit(limit)
    if visible is not None:
        query = query.where(inbox.c.source_id.in_(list(visible)))
    if before_seq is not None:
        query = query.where(inbox.c.seq < before_seq)
    if state is not None:
        query = query.where(inbox.c.state == state)
    return salvage(tx, query, inbox.c.seq, entry_of).found


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(inbox.c.state == SignalState.NEW, inbox.c.not_before <= now),
        and_(inbox.c.state == SignalState.CLAIMED, inbox.c.lease_until <= now),
    )


def _value(price: Price | None) -> Decimal | None:
    return None if price is None else price.value
