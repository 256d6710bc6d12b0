"""One database, two dialects: transactions as plain functions.

A transaction is a synchronous function of a `Tx` that runs on a database thread. It cannot await, so no
network call can ever stand between BEGIN and COMMIT (order-protocol.md section 3.6, invariant I-24).
Services take `tx`; only the edge calls `Db.write` or `Db.read`.

Writes are one at a time and in full order, at SQLite and at PostgreSQL (db_sqlite.py and db_postgresql.py say how);
reads see one moment and hold nobody up. Statements are SQLAlchemy Core and the same for both.

A COMMIT that fails is in doubt (it may be on disk): `CommitInDoubt` is raised, `on_doubt` is told, and the
process must stop sending, exit and recover from disk (order-protocol.md section 3.6). Anything that fails before
COMMIT has changed nothing, nor has a COMMIT that SQLite refused for want of room. A server that is away is waited
for, half a minute from the moment it went.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tradewind.infra.db_errors import (
    CommitInDoubt,
    HistoryReplaced,
    OwnerLost,
    Unreachable,
    is_conflict,
    is_full,
    is_refused_commit,
)
from tradewind.infra.db_group import Outcome, Waiting, run_group, settle, take_group
from tradewind.infra.db_place import parsed_address
from tradewind.infra.db_postgresql import PostgreSQL, ServerFacts, server_facts
from tradewind.infra.db_reserve import DiskShort, Reserve
from tradewind.infra.db_sqlite import sqlite_engine
from tradewind.infra.db_types import Exact, UtcTime, metadata
from tradewind.infra.log import logger

_log = logger("infra.db")

T = TypeVar("T")
Tx = Connection

# Readers see the last commit and never hold up the writer; four serve the web side of one process.
_READ_THREADS = 4
# A server that restarts or fails over is back within this; measured from the moment it was missed.
_OUTAGE_S = 30.0
_LOOK_AGAIN_S = 0.2
# On a full disk a small write may still find room: only commits without a refusal for this long say that it is well.
_FULL_FOR_S = 3.0
# A transaction that another one had to be rolled back for is done again, whole: it has no effect but its own.
_CONFLICT_ATTEMPTS = 5
_CONFLICT_PAUSE_S = 0.02


class Db:
    """The database of one process. `open` it once; pass it to the edges."""

    def __init__(
        self,
        writer: Engine,
        reader: Engine,
        *,
        server: PostgreSQL | None = None,
        on_doubt: Callable[[], None] | None = None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._server = server
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self._read_threads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="db-read")
        self._waiting: deque[Waiting] = deque()
        self._after_commit: list[Callable[[], None]] = []
        self._closing = threading.Event()
        self._is_closed = False
        self._was_reached = False
        self._away_since: float | None = None
        self._full_at: float | None = None
        self.on_doubt = on_doubt
        # The server was found replaced by one with another history.
        self.is_history_replaced = False
        # Room on the disk for exits; whoever runs the platform puts one in place.
        self.reserve: Reserve | None = None

    @classmethod
    def open(cls, url: str, *, is_owner: bool = False) -> Db:
        """Open `sqlite:///path` (the folder must exist) or `postgresql+psycopg://user@host/name`.

        `is_owner`: no other process may own it meanwhile; the first write raises Conflict where one does (only at
        PostgreSQL: a file is owned by `owner_lock`). Raises InvalidInput for another dialect. Connects at first use.
        """
        parsed = parsed_address(url)
        if parsed.get_backend_name() == "sqlite":
            return cls(
                sqlite_engine(parsed, is_writer=True, connections=1),
                sqlite_engine(parsed, is_writer=False, connections=_READ_THREADS),
            )
        server = PostgreSQL(parsed, is_owner=is_owner)
        return cls(
            server.engine(is_writer=True, connections=1),
            server.engine(is_writer=False, connections=_READ_THREADS),
            server=server,
        )

    @property
    def dialect(self) -> str:
        return self._writer.dialect.name

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations."""
        return self._writer

    @property
    def away_s(self) -> float:
        """Since when the server has not been reached, in seconds; 0 while it is there."""
        since = self._away_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def trouble(self) -> str | None:
        """What keeps writes from being committed now, in a word: full or away; None where nothing is known to.

        Full as well while the disk lacks the reserve: what is written then is at its cost.
        """
        if self._full_at is not None or self.is_short:
            return "full"
        return "away" if self._away_since is not None else None

    @property
    def is_short(self) -> bool:
        """Whether only what ends positions should be written, because the room kept for that is being used."""
        return self.reserve is not None and self.reserve.is_lacking

    def demand_room(self) -> None:
        """Raise DiskShort where only what ends positions should be written."""
        if self.is_short:
            raise DiskShort

    def server_facts(self) -> ServerFacts | None:
        """Read what the server says about itself; None for a file."""
        if self._server is None:
            return None

        def read(tx: Tx) -> ServerFacts:
            connection: Any = tx.connection.dbapi_connection
            return server_facts(connection)

        return self.read_now(read)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this on the event loop after every commit of `write`, whether or not its callers still wait.

        It must be quick and must not raise.
        """
        self._after_commit.append(call)

    async def write(self, work: Callable[[Tx], T], *, is_large: bool = False) -> T:
        """Run `work` in a transaction and commit it; in the order of the calls, one after the other.

        Anything `work` raises undoes what it did and is raised again. A failed COMMIT raises CommitInDoubt. If
        the caller is cancelled the transaction still ends on its thread, committed or not: the caller
        learns from disk. Small works that wait at the same time share one COMMIT, each undone by itself where it
        fails; one that takes long (`is_large`) has its own, so that nobody waits for it.
        """
        loop = asyncio.get_running_loop()
        waiting = Waiting(work, loop.create_future(), is_large)
        self._waiting.append(waiting)
        self._write_thread.submit(self._write_next, loop)
        result: T = await waiting.done
        return result

    def _write_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the writing thread: take what waits and may share a transaction; called once for every work."""
        group = take_group(self._waiting)
        if not group:
            return
        outcomes = self._write_group(group) if len(group) > 1 else [self._write_one(group[0])]
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(self._settle, group, outcomes)

    def _settle(self, group: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        """On the event loop: tell the callers, and everybody else too where something was committed."""
        settle(group, outcomes)
        if any(outcome.error is None for outcome in outcomes):
            for call in self._after_commit:
                call()

    def _write_one(self, waiting: Waiting) -> Outcome:
        try:
            return Outcome(self.write_now(waiting.work))
        except BaseException as error:
            return Outcome(None, error)

    def _write_group(self, group: Sequence[Waiting]) -> list[Outcome]:
        """Write several works in one transaction; where that is not possible, each in its own."""
        try:
            with self._begun(self._writer) as tx:
                return self._committed(tx, partial(run_group, group=group))
        except CommitInDoubt as error:
            return [Outcome(None, error) for _ in group]
        except Exception as error:
            # The database is busy, or the connection is gone: nothing of the group was kept.
            _log.warning("infra.db.group_failed", works=len(group), error=type(error).__name__)
            return [self._write_one(waiting) for waiting in group]

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a consistent snapshot; nothing it does is kept."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_threads, self.read_now, work)

    def write_now(self, work: Callable[[Tx], T]) -> T:
        """As `write`, on the calling thread: for commands outside an event loop."""
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._begun(self._writer) as tx:
                    return self._committed(tx, work)
            except DBAPIError as error:
                if is_full(error) and self.reserve is not None and self.reserve.give():
                    continue
                if attempt == _CONFLICT_ATTEMPTS or not is_conflict(error):
                    raise
                self._closing.wait(_CONFLICT_PAUSE_S * attempt)

    def read_now(self, work: Callable[[Tx], T]) -> T:
        """As `read`, on the calling thread."""
        with self._begun(self._reader) as tx:
            try:
                return work(tx)
            except BaseException:
                if self.dialect == "sqlite":
                    # A result left half read keeps SQLite's old snapshot alive, and with it whoever reads next on
                    # this connection: it is not used again.
                    tx.invalidate()
                raise

    def close(self) -> None:
        """End the threads and connections."""
        self._closing.set()
        self._write_thread.shutdown(wait=True)
        self._read_threads.shutdown(wait=True)
        self._is_closed = True
        for engine in (self._writer, self._reader):
            engine.dispose()
            # Whoever still holds a closed database (routes live on in caches of the web framework) holds no megabytes.
            engine.clear_compiled_cache()

    @contextlib.contextmanager
    def _begun(self, engine: Engine) -> Iterator[Tx]:
        """Give a connection with an open transaction; what is not committed in it is rolled back."""
        tx = self._begin(engine)
        try:
            yield tx
        finally:
            tx.close()

    def _begin(self, engine: Engine) -> Tx:
        """Open a transaction; nothing has been asked yet, so a server that is away is simply asked again."""
        if self._is_closed:
            # A pool that was emptied would make a connection anew, and nobody would ever close it.
            raise RuntimeError("the database is closed")
        while True:
            try:
                tx = engine.connect()
                try:
                    tx.begin()
                except BaseException:
                    tx.close()
                    raise
            except (DBAPIError, Unreachable) as error:
                if self._server is None or not self._is_worth_waiting(error):
                    raise
                self._closing.wait(_LOOK_AGAIN_S)
            except OwnerLost as error:
                self.is_history_replaced |= isinstance(error, HistoryReplaced)
                self._doubt()
                raise
            else:
                self._was_reached, self._away_since = True, None
                return tx

    def _is_worth_waiting(self, error: DBAPIError | Unreachable) -> bool:
        """Say whether a failed beginning is an outage that may still end in time."""
        assert self._server is not None, "only a server can be away"
        if self._closing.is_set() or _was_answered(error):
            return False
        now = time.monotonic()
        self._away_since = self._away_since or now
        # A server that was never there is more likely a wrong address than a restart.
        is_known = self._was_reached or isinstance(error, Unreachable) or self._server.is_starting()
        return is_known and now - self._away_since < _OUTAGE_S

    def _committed(self, tx: Tx, work: Callable[[Tx], T]) -> T:
        try:
            result = work(tx)
            _demand_commitable(tx)
        except BaseException as error:
            if is_full(error):
                self._full_at = time.monotonic()
            # A connection that is gone has rolled back already; what went wrong is the error to tell.
            with contextlib.suppress(SQLAlchemyError):
                tx.rollback()
            raise
        try:
            tx.commit()
        except (SQLAlchemyError, OSError) as error:
            if is_refused_commit(error):
                self._full_at = time.monotonic()
                raise
            self._doubt()
            raise CommitInDoubt(f"COMMIT failed: {type(error).__name__}") from error
        if self._full_at is not None and time.monotonic() - self._full_at > _FULL_FOR_S:
            self._full_at = None
        return result

    def _doubt(self) -> None:
        if self.on_doubt is not None:
            self.on_doubt()


def _was_answered(error: DBAPIError | Unreachable) -> bool:
    """Say whether the server is there and said no (a lock it waited for in vain), rather than not there."""
    if isinstance(error, Unreachable):
        return False
    return getattr(error.orig, "sqlstate", None) is not None and not error.connection_invalidated


def _demand_commitable(tx: Tx) -> None:
    """Raise if a statement failed and the work went on: PostgreSQL would answer COMMIT with a silent ROLLBACK."""
    connection: Any = tx.connection.dbapi_connection
    if isinstance(connection, psycopg.Connection):
        status = connection.info.transaction_status
        if status is not TransactionStatus.INTRANS:
            raise TransactionBroken(f"a statement failed inside the transaction, which is {status.name} now")


class TransactionBroken(RuntimeError):
    """Work went on after a failed statement: a mistake of ours; nothing of it is kept."""


__all__ = [
    "CommitInDoubt",
    "Db",
    "Exact",
    "OwnerLost",
    "TransactionBroken",
    "Tx",
    "UtcTime",
    "metadata",
]
