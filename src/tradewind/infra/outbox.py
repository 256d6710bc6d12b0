"""The outbox: what happened, written in the transaction in which it happened, published after.

A row is published at least once and in order; a subscriber that was away refetches (the stream says
`reset`), so losing the bus loses no fact. `drain` runs until cancelled: woken by every commit, and by a
slow tick in case a wake-up got lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, delete, select, update

from tradewind.infra import bulk
from tradewind.infra.bus import Bus, Message
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx, UtcTime, metadata
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached

outbox = Table(
    "outbox",
    metadata,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("topic", String(40), nullable=False),
    Column("user_id", String(36), nullable=True),
    Column("payload", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("published_at", UtcTime, nullable=True),
    Index("ix_outbox_unpublished", "published_at", "seq"),
    # Without it SQLite gives out low numbers again once all old rows are forgotten.
    sqlite_autoincrement=True,
)

_BATCH = 500
_TICK_S = 1.0
# Published rows are only kept for a look back; the facts themselves live in their rooms.
_KEEP = timedelta(hours=24)
_log = logger("infra.outbox")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened. `user_id` None: for operators only. `payload` must be JSON-able."""

    topic: str
    user_id: str | None
    payload: Mapping[str, Any]


def append(tx: Tx, notes: Sequence[Note], now: datetime) -> None:
    """Record notes in the transaction in which they came true."""
    if not notes:
        return
    rows = [(note.topic, note.user_id, _encode(note.payload).decode("utf-8"), now) for note in notes]
    bulk.insert_rows(tx, outbox, ("topic", "user_id", "payload", "created_at"), rows)


class Outbox:
    """Publishes what the outbox holds; one per process."""

    def __init__(self, db: Db, bus: Bus, clock: Clock) -> None:
        self._db = db
        self._bus = bus
        self._clock = clock
        self._wake = asyncio.Event()
        db.after_commit(self._wake.set)

    async def drain(self) -> None:
        """Publish for ever; a failing round is logged and tried again."""
        last_sweep = self._clock.monotonic()
        while True:
            # Before the look, not after it: a commit in between must wake us again.
            self._wake.clear()
            try:
                while await self.drain_once() == _BATCH:
                    pass
                if self._clock.monotonic() - last_sweep > 600:
                    last_sweep = self._clock.monotonic()
                    await self._db.write(self._forget_old)
            except Exception:
                _log.exception("infra.outbox.drain_failed")
                await self._clock.sleep(_TICK_S)
            # Not wait_for: in Python 3.11 it may swallow a cancel that meets a wake-up.
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def drain_once(self) -> int:
        """Publish one batch; return how many rows it held."""
        rows = await self._db.read(_unpublished)
        if not rows:
            return 0
        for seq, topic, user_id, payload in rows:
            await self._bus.publish(Message(seq, topic, user_id, msgspec.json.decode(payload)))
        reached(Point.OUTBOX_PUBLISHED)
        seqs = [row[0] for row in rows]
        await self._db.write(lambda tx: self._mark(tx, seqs))
        reached(Point.OUTBOX_MARK_COMMITTED)
        return len(rows)

    def _mark(self, tx: Tx, seqs: list[int]) -> None:
        now = self._clock.now()
        tx.execute(
            # By name, not by range: a lower number may be committed later by another writer.
            update(outbox).where(outbox.c.seq.in_(seqs)).values(published_at=now)
        )
        reached(Point.OUTBOX_MARK_WRITTEN)

    def _forget_old(self, tx: Tx) -> None:
        tx.execute(delete(outbox).where(outbox.c.published_at < self._clock.now() - _KEEP))


def _unpublished(tx: Tx) -> list[tuple[int, str, str | None, str]]:
    query = (
        select(outbox.c.seq, outbox.c.topic, outbox.c.user_id, outbox.c.payload)
        .where(outbox.c.published_at.is_(None))
        .order_by(outbox.c.seq)
        .limit(_BATCH)
    )
    return [(row.seq, row.topic, row.user_id, row.payload) for row in tx.execute(query)]
