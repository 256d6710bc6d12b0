"""The high-water mark: how far this installation's database has come, kept outside of it.

A database put back from a backup does not know what it has forgotten; this file does (order-protocol.md section
9). Written after commits, at most a second late, whole or not at all: a new file, synced, put in the old one's place.
It is never ahead of what a commit has made durable, so a database behind it has lost something.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy.engine import make_url

from tradewind.core.errors import Conflict
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.db_errors import PASSING_KINDS
from tradewind.infra.log import logger

_log = logger("infra.high_water")

_EVERY_S = 0.5


class MarkedStop(msgspec.Struct, frozen=True):
    """An emergency stop in force, in words that need no table."""

    scope: str
    subject: str
    policy: str
    actor: str
    reason: str
    at: datetime


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The newest journal line and inbox row there were, the owner epoch, and when that was written down.

    With the stop epoch and the stops in force: a backup does not know them, and a stop must outlive it.
    """

    journal: int
    inbox: int
    epoch: int
    at: datetime
    stop_epoch: int = 0
    stops: tuple[MarkedStop, ...] = ()

    def is_ahead_of(self, other: Mark) -> bool:
        """Say whether the other has forgotten something that this one has seen."""
        return (
            self.journal > other.journal
            or self.inbox > other.inbox
            or self.epoch > other.epoch
            or self.stop_epoch > other.stop_epoch
        )


@dataclass(slots=True)
class HighWater:
    """Keeps the file in step with the database; one per process."""

    db: Db
    clock: Clock
    path: Path
    read: Callable[[Tx], Mark]
    _is_dirty: bool = True

    def __post_init__(self) -> None:
        self.db.after_commit(self._note)

    def _note(self) -> None:
        self._is_dirty = True

    async def run(self) -> None:
        """Write the mark after commits until cancelled; a disk or database that refuses is told and tried again."""
        while True:
            if self._is_dirty:
                self._is_dirty = False
                try:
                    mark = await self.db.read(self.read)
                    await asyncio.to_thread(write_mark, self.path, mark)
                except (OSError, *PASSING_KINDS) as error:
                    # A database that is away takes no writes: the old mark holds, and the process must live on.
                    self._is_dirty = True
                    _log.error("infra.high_water.not_written", path=str(self.path), error=type(error).__name__)
            await self.clock.sleep(_EVERY_S)


def mark_file(database_url: str, data_dir: Path) -> Path:
    """Return where the mark of a database is kept: beside an SQLite file, else in the data folder by its name."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        file = Path(url.database)
        return file.with_name(file.name + ".high-water")
    # Two servers may each have a database of one name.
    where = hashlib.sha256(f"{url.host}:{url.port}/{url.database}".encode()).hexdigest()[:8]
    return data_dir / f"{url.database}-{where}.high-water"


def read_mark(path: Path) -> Mark | None:
    """Read a mark; None where none was ever written. Raises Conflict for a file that holds something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Conflict(
            "high_water_unreadable",
            f"The high-water mark {path} cannot be read, so nobody can say whether the database is complete. "
            "If it is, remove the file; if a backup was put back, start with: tradewind serve --after-restore",
        ) from None


def write_mark(path: Path, mark: Mark) -> None:
    """Put a mark in the place of the old one, durably. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(mark))
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
