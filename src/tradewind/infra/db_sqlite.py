"""SQLite: WAL, synchronous=FULL always, every write begins IMMEDIATE, one owner by a locked file beside it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from tradewind.core.errors import Conflict, InvalidInput

_BUSY_TIMEOUT_MS = 5_000


def sqlite_engine(url: URL, *, is_writer: bool, connections: int) -> Engine:
    """Make the engine of one file. Raises InvalidInput for a database in memory."""
    if url.database in (None, "", ":memory:"):
        raise InvalidInput("database_in_memory", "An in-memory database would forget orders. Name a file.")
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_MS / 1_000},
        # An error's text would otherwise quote the statement's values into logs.
        hide_parameters=True,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=1,
    )
    begin = "BEGIN IMMEDIATE" if is_writer else "BEGIN"

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # SQLAlchemy opens transactions itself (below), so the driver must not.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        if not is_writer:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


class OwnerLock:
    """One `serve` per SQLite file: an advisory lock on a file beside it, freed when the process dies."""

    # The file is held by the process, whatever sessions it has.
    passes_to_writer = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises Conflict naming the process that holds it."""
        import fcntl  # not on Windows, where SQLite's own locks have to do

        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise Conflict(
                "database_in_use",
                f"Another Tradewind (process {holder}) runs on this database. Stop it first, or give this one "
                "its own database with --database.",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode("ascii"), 0)
        self._fd = fd

    def release(self) -> None:
        """Free the lock; harmless when not held."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None
