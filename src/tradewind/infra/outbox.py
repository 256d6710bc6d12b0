"""The outbox: what happened, written in the transaction in which it happened, published after.

A row holds one note, or the notes of a batch one after the other: a fan-out says thousands of things in a few
transactions. A row is published at least once, whole, in order, and marked after; a subscriber that was away
refetches (the stream says `reset`), so losing the bus loses no fact. `drain` runs until cancelled: woken by every
commit, and by a slow tick in case a wake-up got lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
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
    # How many notes the payload holds, each as [topic, user, payload]; NULL: the row itself is one, as it was before.
    Column("notes", Integer, nullable=True),
    Index("ix_outbox_unpublished", "published_at", "seq"),
    # Without it SQLite gives out low numbers again once all old rows are forgotten.
    sqlite_autoincrement=True,
)

# Rows read in one go, and notes after which no further row is begun: a round must not hold up the event loop.
_ROWS = 100
_ROUND = 1_000
# Notes of one row at most, and characters after which a row takes no further note.
_NOTES_MAX = 100
_CHARS_MAX = 65_536
# So many notes of one transaction are worth a row of their own together.
_SEVERAL_FROM = 10
# The topic of a row that holds several notes.
_SEVERAL = "several"
_TICK_S = 1.0
# Published rows are only kept for a look back; the facts themselves live in their rooms.
_KEEP = timedelta(hours=24)
_log = logger("infra.outbox")
_encode = msgspec.json.Encoder().encode
_Several = list[tuple[str, str | None, msgspec.Raw]]
_several: msgspec.json.Decoder[_Several] = msgspec.json.Decoder(_Several)


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
    rows = [(*row, now) for row in _packed(notes)]
    bulk.insert_rows(tx, outbox, ("topic", "user_id", "payload", "notes", "created_at"), rows)


def _packed(notes: Sequence[Note]) -> Iterator[tuple[str, str | None, str, int | None]]:
    """Put notes into rows, in their order: a few each by itself, as people read them; many together up to a size."""
    if len(notes) < _SEVERAL_FROM:
        for note in notes:
            yield note.topic, note.user_id, _encode(note.payload).decode("utf-8"), None
        return
    texts: list[bytes] = []
    chars = 0
    for note in notes:
        text = _encode((note.topic, note.user_id, note.payload))
        if texts and (len(texts) == _NOTES_MAX or chars + len(text) > _CHARS_MAX):
            yield _row_of(texts)
            texts, chars = [], 0
        texts.append(text)
        chars += len(text)
    yield _row_of(texts)


def _row_of(texts: Sequence[bytes]) -> tuple[str, None, str, int]:
    return _SEVERAL, None, f"[{b','.join(texts).decode('utf-8')}]", len(texts)


def _notes_of(seq: int, topic: str, user_id: str | None, payload: str, notes: int | None) -> list[Message]:
    """Read a row's notes; a payload is only read in full where somebody looks into it."""
    if notes is None:
        return [Message(seq, topic, user_id, Unread(payload))]
    return [Message(seq, each, owner, Unread(raw)) for each, owner, raw in _several.decode(payload)]


class Unread(Mapping[str, Any]):
    """A payload as it was written; read when somebody looks into it, which for most of a fan-out's is never."""

    __slots__ = ("_known", "_text")

    def __init__(self, text: str | msgspec.Raw) -> None:
        self._text = text
        self._known: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def _read(self) -> dict[str, Any]:
        if self._known is None:
            self._known = msgspec.json.decode(self._text)
        return self._known


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
                while await self.drain_once():
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
        """Publish what waits, up to so many notes; return how many there were."""
        rows = await self._db.read(_unpublished)
        if not rows:
            return 0
        count = 0
        seqs: list[int] = []
        for row in rows:
            for message in _notes_of(*row):
                await self._bus.publish(message)
                count += 1
            seqs.append(row[0])
        reached(Point.OUTBOX_PUBLISHED)
        await self._db.write(lambda tx: self._mark(tx, seqs))
        reached(Point.OUTBOX_MARK_COMMITTED)
        return count

    def _mark(self, tx: Tx, seqs: list[int]) -> None:
        now = self._clock.now()
        tx.execute(
            # By name, not by range: a lower number may be committed later by another writer.
            update(outbox).where(outbox.c.seq.in_(seqs)).values(published_at=now)
        )
        reached(Point.OUTBOX_MARK_WRITTEN)

    def _forget_old(self, tx: Tx) -> None:
        tx.execute(delete(outbox).where(outbox.c.published_at < self._clock.now() - _KEEP))


def _unpublished(tx: Tx) -> list[tuple[int, str, str | None, str, int | None]]:
    """Read the rows of one round: what is read beyond it would be read again in each of the next."""
    is_waiting = outbox.c.published_at.is_(None)
    count, last = 0, None
    sizes = select(outbox.c.seq, outbox.c.notes).where(is_waiting).order_by(outbox.c.seq).limit(_ROWS)
    for seq, notes in tx.execute(sizes).all():
        last = seq
        count += notes or 1
        if count >= _ROUND:
            break
    if last is None:
        return []
    query = select(outbox.c.seq, outbox.c.topic, outbox.c.user_id, outbox.c.payload, outbox.c.notes)
    query = query.where(is_waiting, outbox.c.seq <= last).order_by(outbox.c.seq)
    return [(row.seq, row.topic, row.user_id, row.payload, row.notes) for row in tx.execute(query)]
