"""PostgreSQL: sessions that are safe to keep orders in, one writer at a time, one owner at a time.

Every write begins by taking one advisory lock of the database, in the same message as BEGIN, and keeps it to its
end: what BEGIN IMMEDIATE is at SQLite. Whatever a transaction has read is still so when it commits, in every
process, so the code is the same for both databases (ADR 0019). Reads are snapshots and wait for nobody.

The owner (`serve`) holds a second advisory lock in the very session that writes. When that session dies its lock
is gone with it, and no other session can write for it until the lock is held again: there is no moment in which
a process writes that only believes to own the database.

A standby that was made the primary may lack what the old one had confirmed. The owner knows it by its history and
ends: its memory is ahead of the disk. The next start compares the high-water mark before anything is sent.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import Ping
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, Dialect, ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import QueuePool

from tradewind.core.errors import Conflict, InvalidInput, Unavailable
from tradewind.infra.db_errors import HistoryReplaced, OwnerLost, Unreachable, why

# Advisory locks are known by two numbers, per database: "tw", and which.
_LOCK_SPACE = 0x7477
_WRITE_LOCK = 1
_OWNER_LOCK = 2
# 14 is the oldest release its makers still mend.
_VERSION_MIN = 140_000
_CONNECT_TIMEOUT_S = 5
# How long our own former session may take to end after its connection is gone.
_FORMER_SESSION_S = 10.0
# A session whose process has gone holds its lock for a moment more; one that holds it longer than this is alive.
_LEAVING_S = 2.0
_LOOK_AGAIN_S = 0.05

_BEGIN_WRITE = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({_LOCK_SPACE}, {_WRITE_LOCK})"
_BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

# Kept for the session. A statement that takes longer is a fault; a lock is waited for as long as at SQLite; a
# process that stops in mid-transaction loses it, so that others can go on. The last four are the server's own
# look at whether we are still there (it cares only for connections over TCP).
_SESSION_SETTINGS = {
    "statement_timeout": "20s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
    "timezone": "UTC",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
_FACTS = """
    SELECT pg_is_in_recovery(), current_setting('server_version_num')::int, current_setting('server_version'),
           current_setting('server_encoding'), current_setting('fsync'), current_setting('synchronous_commit'),
           current_setting('full_page_writes'), current_setting('data_checksums'),
           pg_database_size(current_database()), (SELECT count(*) FROM pg_stat_replication)
"""
# Which history a server writes: whose it is, and the timeline, which a promotion or a restore counts up. A server
# that cannot say it (some are not quite PostgreSQL) says nothing.
_HISTORY = """
    SELECT (SELECT system_identifier FROM pg_control_system())::text,
           left(pg_walfile_name(pg_current_wal_lsn()), 8)
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says about itself, as far as orders depend on it."""

    is_standby: bool
    version_number: int
    version: str
    encoding: str
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    data_checksums: str
    size_bytes: int
    standbys: int

    def describe(self) -> str:
        """Say in a line what is there and how safely it keeps things."""
        names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
        settings = ", ".join(f"{name} {getattr(self, name)}" for name in names)
        standbys = f", {self.standbys} standby servers" if self.standbys else ""
        return f"PostgreSQL {self.version}, {self.size_bytes:,} bytes, {settings}{standbys}"

    def refusal(self) -> Conflict | InvalidInput | None:
        """Say why orders may not be kept there; None if they may."""
        if self.version_number < _VERSION_MIN:
            return InvalidInput(
                "database_too_old", f"PostgreSQL {self.version} is too old; Tradewind needs {_VERSION_MIN // 10_000}."
            )
        if self.encoding != "UTF8":
            return InvalidInput(
                "database_encoding",
                f"The database's encoding is {self.encoding}. Make one with: CREATE DATABASE tradewind "
                "ENCODING 'UTF8' TEMPLATE template0",
            )
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            if getattr(self, name) == "off":
                return Conflict(
                    "database_not_durable",
                    f"PostgreSQL runs with {name} = off: what it confirms may be lost with the power, and an order "
                    f"would be sent that nobody remembers. Set {name} = on for this database, then start again.",
                )
        return None


class PostgreSQL:
    """One database at a server: makes sessions that were looked at before anything trusts them."""

    def __init__(self, url: URL, *, is_owner: bool = False) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self._is_owner = is_owner
        self._owner_pid: int | None = None
        # What the server said of its history when the owner's lock was first taken.
        self._history: tuple[str, str] | None = None

    def engine(self, *, is_writer: bool, connections: int) -> Engine:
        """Make the writing or the reading engine."""
        engine = create_engine(
            self._url,
            connect_args={
                "connect_timeout": _CONNECT_TIMEOUT_S,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
                "application_name": f"tradewind {os.getpid()} on {platform.node()}"[:63],
            },
            # An error's text would otherwise quote the statement's values into logs.
            hide_parameters=True,
            use_native_hstore=False,
            poolclass=QueuePool,
            pool_size=connections,
            # One session writes, no second one: it carries the owner's lock.
            max_overflow=0 if is_writer else 1,
        )
        begin = _BEGIN_WRITE if is_writer else _BEGIN_READ

        @event.listens_for(engine, "do_connect")
        def _connect(dialect: Dialect, _record: Any, arguments: Any, named: dict[str, Any]) -> Any:
            named["options"] = _with_settings(named.get("options"))
            connection: Any = dialect.connect(*arguments, **named)
            try:
                self._examine(connection)
                if is_writer and self._is_owner:
                    self._own(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        @event.listens_for(engine, "handle_error")
        def _withhold(context: ExceptionContext) -> None:
            withhold_values(context.original_exception)

        return engine

    def is_starting(self) -> bool:
        """Ask whether the server is there but takes no connections yet (it starts, recovers or stops)."""
        arguments = self._url.translate_connect_args(username="user", database="dbname")
        target = make_conninfo(**arguments, **_single(self._url), connect_timeout=_CONNECT_TIMEOUT_S)
        return psycopg.pq.PGconn.ping(target.encode()) == Ping.REJECT

    def _examine(self, connection: psycopg.Connection[Any]) -> None:
        # BEGIN is ours to send (above), in one message with what belongs to it.
        connection.autocommit = True
        facts = server_facts(connection)
        if facts.is_standby:
            raise Unreachable("The PostgreSQL server is a standby: nothing is decided on a copy.")
        refusal = facts.refusal()
        if refusal is not None:
            raise refusal

    def _own(self, connection: psycopg.Connection[Any]) -> None:
        """Take the owner's lock for this session, from our own former one if that has not ended yet."""
        began = time.monotonic()
        deadline, patience = began + _FORMER_SESSION_S, began + _LEAVING_S
        while not take_owner_lock(connection):
            holder = owner(connection)
            if self._owner_pid is None:
                if time.monotonic() > (patience if holder else deadline):
                    raise in_use(holder)
                time.sleep(_LOOK_AGAIN_S)
                continue
            if holder is not None and holder.pid != self._owner_pid:
                raise OwnerLost(f"Another Tradewind has taken the database over ({holder.name})")
            if time.monotonic() > deadline:
                raise Unreachable("The former session of this process has not ended yet.")
            connection.execute("SELECT pg_terminate_backend(%s)", [self._owner_pid])
            time.sleep(_LOOK_AGAIN_S)
        said = _history(connection)
        if self._owner_pid is not None and said != self._history:
            raise HistoryReplaced("The server was replaced by one with another history: what was confirmed may be gone")
        self._owner_pid, self._history = connection.info.backend_pid, said


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that holds the owner's lock."""

    pid: int
    name: str


class SessionLock:
    """One `serve` per database: the owner's lock in a session of its own, freed when the process dies."""

    passes_to_writer = True

    def __init__(self, url: URL) -> None:
        self._engine = PostgreSQL(url, is_owner=True).engine(is_writer=True, connections=1)
        self._held: Connection | None = None

    def acquire(self) -> None:
        """Take the lock. Raises Conflict naming who holds it, Unavailable where the server cannot be used."""
        try:
            self._held = self._engine.connect()
        except (OperationalError, Unreachable) as error:
            raise Unavailable("database_unavailable", f"The database cannot be used: {why(error)}.") from None

    def release(self) -> None:
        """Free the lock; harmless when not held."""
        if self._held is not None:
            self._held.close()
            self._held = None
        self._engine.dispose()


def take_owner_lock(connection: psycopg.Connection[Any]) -> bool:
    """Take the owner's lock for a session, if nobody else holds it."""
    row = connection.execute(f"SELECT pg_try_advisory_lock({_LOCK_SPACE}, {_OWNER_LOCK})").fetchone()
    return row is not None and bool(row[0])


def owner(connection: psycopg.Connection[Any]) -> Holder | None:
    """Ask which session holds the owner's lock."""
    row = connection.execute(
        "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s AND l.objsubid = 2"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [_LOCK_SPACE, _OWNER_LOCK],
    ).fetchone()
    return None if row is None else Holder(row[0], row[1] or f"session {row[0]}")


def in_use(holder: Holder | None) -> Conflict:
    """Say that the database has an owner, and what to do."""
    who = "unknown" if holder is None else holder.name
    return Conflict(
        "database_in_use",
        f"Another Tradewind (process {who.removeprefix('tradewind ')}) runs on this database. Stop it first, or give "
        "this one its own database with --database.",
    )


def server_facts(connection: psycopg.Connection[Any]) -> ServerFacts:
    """Read what a server says about itself."""
    row = connection.execute(_FACTS).fetchone()
    assert row is not None, "one row, always"
    return ServerFacts(*row)


def _history(connection: psycopg.Connection[Any]) -> tuple[str, str] | None:
    try:
        row = connection.execute(_HISTORY).fetchone()
    except (psycopg.ProgrammingError, psycopg.NotSupportedError):
        return None
    return None if row is None else (row[0], row[1])


def withhold_values(error: BaseException) -> None:
    """Cut an error's text down to its first line: the server quotes values in the others, and texts are logged."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        error.args = (error.diag.message_primary,)


def _with_settings(options: str | None) -> str:
    ours = " ".join(f"-c {name}={value}" for name, value in _SESSION_SETTINGS.items())
    return f"{ours} {options}" if options else ours


def _single(url: URL) -> dict[str, str]:
    return {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
