"""The high-water mark: how far this installation's database has come, kept outside of it.

A database put back from a backup does not know what it has forgotten; this file does (order-protocol.md section
9). Written after commits, at most a second late, whole or not at all: a new file, synced, put in the old one's place.
It is never ahead of what a commit has made durable, so a database behind it has lost something. A second copy lies
outside the data folder, named by the installation: where the whole folder is put back, that one is ahead.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace
from sqlalchemy.engine import make_url

from tradewind.core.errors import Conflict
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.db_errors import PASSING_KINDS
from tradewind.infra.log import logger

_log = logger("infra.high_water")

_EVERY_S = 0.5
_SUFFIX = ".high-water"


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
    # The server was replaced by one with another history before this mark had caught up with its commits.
    is_uncertain: bool = False

    def is_ahead_of(self, other: Mark) -> bool:
        """Say whether the other has forgotten something that this one has seen, or may have."""
        return (
            self.is_uncertain
            or self.journal > other.journal
            or self.inbox > other.inbox
            or self.epoch > other.epoch
            or self.stop_epoch > other.stop_epoch
        )


@dataclass(slots=True)
class HighWater:
    """Keeps the marks in step with the database; one per process. The first path must be writable, others may be."""

    db: Db
    clock: Clock
    paths: Sequence[Path]
    read: Callable[[Tx], Mark]
    # Commits heard of, and how many of them the marks on disk contain.
    _commits: int = 1
    _marked: int = 0
    _is_final: bool = False
    # Places outside that the last mark did not reach: told once, not after every commit.
    _missed: tuple[Path, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.db.after_commit(self._note)

    @property
    def is_caught_up(self) -> bool:
        """Whether the marks on disk contain every commit that was heard of."""
        return self._commits == self._marked

    def _note(self) -> None:
        self._commits += 1

    async def run(self) -> None:
        """Write the marks after commits until cancelled; a disk or database that refuses is told and tried again."""
        while True:
            commits = self._commits
            if not self.is_caught_up:
                try:
                    mark = await self.db.read(self.read)
                    await asyncio.to_thread(self._write, mark)
                    self._marked = commits
                except (OSError, *PASSING_KINDS) as error:
                    # A database that is away takes no writes: the old mark holds, and the process must live on.
                    _log.error("infra.high_water.not_written", path=str(self.paths[0]), error=type(error).__name__)
            await self.clock.sleep(_EVERY_S)

    def history_replaced(self) -> None:
        """The server has another history: where commits are not in the marks yet, nobody can say what is gone."""
        with self._lock:
            self._is_final = True
            if self.is_caught_up:
                return
            _log.error("infra.high_water.uncertain", unmarked=self._commits - self._marked)
            try:
                for mark in read_marks(self.paths)[:1]:
                    write_marks(self.paths, replace(mark, is_uncertain=True))
            except (OSError, Conflict) as error:
                _log.error("infra.high_water.not_written", path=str(self.paths[0]), error=type(error).__name__)

    def _write(self, mark: Mark) -> None:
        with self._lock:
            if self._is_final:
                return
            missed = write_marks(self.paths, mark)
            if missed != self._missed:
                tell = _log.warning if missed else _log.info
                tell("infra.high_water.second", not_written=[str(path) for path in missed])
                self._missed = missed


@dataclass(frozen=True, slots=True)
class MarkFiles:
    """Where the marks of a database are: those that are written, the first of them beside it, and older names."""

    written: tuple[Path, ...]
    former: tuple[Path, ...] = ()

    @property
    def read(self) -> tuple[Path, ...]:
        """All places in which a mark may be."""
        return (*self.written, *self.former)


def mark_files(database_url: str, data_dir: Path, outside: Path, installation: str | None) -> MarkFiles:
    """Return where the marks of a database are kept: with it, and in a folder outside by the installation's name.

    An SQLite file has its mark beside it; that of a server's database lies in the data folder.
    """
    url = make_url(database_url)
    named = () if installation is None else (f"{installation}{_SUFFIX}",)
    second = tuple(outside / name for name in named)
    if url.get_backend_name() == "sqlite" and url.database:
        file = Path(url.database)
        return MarkFiles((file.with_name(file.name + _SUFFIX), *second))
    # Marks of before installations had names: by where the server was.
    where = hashlib.sha256(f"{url.host}:{url.port}/{url.database}".encode()).hexdigest()[:8]
    former = data_dir / f"{url.database}-{where}{_SUFFIX}"
    return MarkFiles((*(data_dir / name for name in named), *second), (former,)) if named else MarkFiles((former,))


def read_marks(paths: Sequence[Path]) -> list[Mark]:
    """Read the marks there are, the one furthest ahead first. Raises Conflict for a file that holds something else."""
    found = [mark for path in paths if (mark := read_mark(path)) is not None]
    return sorted(found, key=lambda each: (each.is_uncertain, each.epoch, each.journal, each.inbox), reverse=True)


def write_marks(paths: Sequence[Path], mark: Mark) -> tuple[Path, ...]:
    """Write a mark to all its places; return those of the others that it could not be written to.

    Raises OSError for the first.
    """
    write_mark(paths[0], mark)
    missed = []
    for path in paths[1:]:
        try:
            write_mark(path, mark)
        except OSError:
            missed.append(path)
    return tuple(missed)


def read_mark(path: Path) -> Mark | None:
    """Read a mark; None where none was ever written. Raises Conflict for a file that holds something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        why = f" ({error.strerror})" if isinstance(error, OSError) else ""
        raise Conflict(
            "high_water_unreadable",
            f"The high-water mark {path} cannot be read{why}, so nobody can say whether the database is complete. "
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
