"""One database, two dialects: transactions as plain functions.

A transaction is a synchronous function of a `Tx` that runs on a database thread. It cannot await, so no
network call can ever stand between BEGIN and COMMIT (order-protocol.md section 3.6, invariant I-24).
Services take `tx`; only the edge calls `Db.write` or `Db.read`.

SQLite: WAL, synchronous=FULL always, one writer thread, every write begins IMMEDIATE. Statements are
SQLAlchemy Core and avoid what PostgreSQL lacks, so that it joins without another line.

A COMMIT that fails is in doubt (it may be on disk): `CommitInDoubt` is raised, `on_doubt` is told, and the
process must stop sending, exit and recover from disk (order-protocol.md section 3.6).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Connection, DateTime, Engine, MetaData, Numeric, String, create_engine, event, text
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator, TypeEngine

from tradewind.core.errors import Conflict, InvalidInput
from tradewind.infra.clock import from_ms

T = TypeVar("T")
Tx = Connection

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Readers see the last commit (WAL) and never hold up the writer; four serve the web side of one process.
_READ_THREADS = 4
_BUSY_TIMEOUT_MS = 5_000


class Exact(TypeDecorator[Decimal]):
    """A Decimal, exact: NUMERIC at PostgreSQL, text at SQLite. Never compared or summed in SQL."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(asdecimal=True))
        return dialect.type_descriptor(String(64))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Write exactly; a float is an error of ours."""
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"an Exact column takes Decimal, got {type(value).__name__}")
        return value if dialect.name == "postgresql" else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Read exactly."""
        return None if value is None else Decimal(value)


class UtcTime(TypeDecorator[datetime]):
    """A UTC time: timestamptz at PostgreSQL, integer microseconds at SQLite (they sort and compare)."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a time without zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone is not a time")
        if dialect.name == "postgresql":
            return value
        moment = value.astimezone(UTC)
        return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return a UTC-aware time."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return from_ms(value // 1_000).replace(microsecond=value % 1_000_000)


class CommitInDoubt(Exception):
    """COMMIT failed: the transaction may or may not be on disk. Stop sending, exit, recover from disk."""


class Db:
    """The database of one process. `open` it once; pass it to the edges."""

    def __init__(self, writer: Engine, reader: Engine, *, on_doubt: Callable[[], None] | None = None) -> None:
        self._writer = writer
        self._reader = reader
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self._read_threads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="db-read")
        self._after_commit: list[Callable[[], None]] = []
        self.on_doubt = on_doubt

    @classmethod
    def open(cls, url: str) -> Db:
        """Open `sqlite:///path` (the folder must exist). Raises InvalidInput for another dialect."""
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            raise InvalidInput(
                "database_not_supported",
                f"The database dialect {parsed.get_backend_name()!r} is not supported yet. Use sqlite:///path/to/file.",
            )
        return cls(_sqlite_engine(parsed, is_writer=True), _sqlite_engine(parsed, is_writer=False))

    @property
    def dialect(self) -> str:
        return self._writer.dialect.name

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations."""
        return self._writer

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this on the event loop after every committed write; it must be quick and must not raise."""
        self._after_commit.append(call)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in one transaction and commit it.

        Anything `work` raises rolls back and is raised again. A failed COMMIT raises CommitInDoubt. If
        the caller is cancelled the transaction still ends on its thread, committed or not: the caller
        learns from disk.
        """
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._write_thread, self.write_now, work)
        for call in self._after_commit:
            call()
        return result

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a consistent snapshot; nothing it does is kept."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_threads, self.read_now, work)

    def write_now(self, work: Callable[[Tx], T]) -> T:
        """As `write`, on the calling thread: for commands outside an event loop."""
        with self._writer.connect() as tx:
            transaction = tx.begin()
            try:
                result = work(tx)
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except (SQLAlchemyError, OSError) as error:
                if self.on_doubt is not None:
                    self.on_doubt()
                raise CommitInDoubt(f"COMMIT failed: {type(error).__name__}") from error
            return result

    def read_now(self, work: Callable[[Tx], T]) -> T:
        """As `read`, on the calling thread."""
        with self._reader.connect() as tx:
            return work(tx)

    def close(self) -> None:
        """End the threads and connections."""
        self._write_thread.shutdown(wait=True)
        self._read_threads.shutdown(wait=True)
        self._writer.dispose()
        self._reader.dispose()


def _sqlite_engine(url: URL, *, is_writer: bool) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise InvalidInput("database_in_memory", "An in-memory database would forget orders. Name a file.")
    pool = {"poolclass": QueuePool, "pool_size": 1 if is_writer else _READ_THREADS, "max_overflow": 1}
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_MS / 1_000},
        # An error's text would otherwise quote the statement's values into logs.
        hide_parameters=True,
        **pool,
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


def integrity_problem(db: Db) -> str | None:
    """Ask the database whether its file is whole; None if it is."""
    if db.dialect != "sqlite":
        return None
    answer = db.read_now(lambda tx: tx.execute(text("PRAGMA quick_check(1)")).scalar_one())
    return None if answer == "ok" else str(answer)


__all__ = [
    "CommitInDoubt",
    "Db",
    "Exact",
    "OwnerLock",
    "Tx",
    "UtcTime",
    "integrity_problem",
    "metadata",
]
