"""The simulated exchange's memory on disk: one SQLite file, one process, one transaction per change.

Rules:
- `write` returns after the transaction is durable (WAL, synchronous=FULL), so a `kill -9` right after a call returned
  loses nothing of it, and one in its midst leaves all of it or none;
- the file is the referee's evidence: `log` names every order, execution and transfer with time, account, client id;
- a lock file keeps a second process out; the operating system frees it when the owner dies, however it dies.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, NamedTuple

from tradewind.sim.rows import RowCodec, decode_list, encode_list
from tradewind.sim.types import AccountSettings, AssetBalance, Fill, Order, OrderList


class StoreBusy(Exception):
    """Another process has the exchange's file open."""


class Ids(NamedTuple):
    """The last id given out of each kind; they only ever grow."""

    order: int = 1_000_000
    trade: int = 5_000_000
    order_list: int = 100
    execution: int = 10_000_000


class LogEntry(NamedTuple):
    """One fact for the referee; `detail` is free text (JSON where it has parts)."""

    at_ms: int
    kind: str
    uid: int = -1
    symbol: str = ""
    order_id: int = -1
    client_order_id: str = ""
    trade_id: int = -1
    detail: str = ""


class LoggedEntry(NamedTuple):
    seq: int
    entry: LogEntry


@dataclass(slots=True)
class Changes:
    """What one call changed; written as one transaction."""

    ids: Ids
    accounts: dict[int, tuple[AccountSettings, int]] = field(default_factory=dict)
    balances: dict[tuple[int, str], AssetBalance] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    lists: dict[int, OrderList] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.accounts or self.balances or self.orders or self.fills or self.lists or self.log)


@dataclass(slots=True)
class Stored:
    """Everything that was written, as it was."""

    ids: Ids
    accounts: dict[int, tuple[AccountSettings, int]]
    balances: dict[tuple[int, str], AssetBalance]
    orders: list[Order]
    fills: list[Fill]
    lists: list[OrderList]


_ORDERS = RowCodec("orders", "order_id", Order)
_FILLS = RowCodec("fills", "trade_id", Fill)
_ACCOUNTS = RowCodec("account_settings", "uid", AccountSettings, extra=("uid", "updated_ms"))

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS ids (one INTEGER PRIMARY KEY CHECK (one = 1),
    order_id INTEGER NOT NULL, trade_id INTEGER NOT NULL, order_list_id INTEGER NOT NULL,
    execution_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS balances (uid INTEGER NOT NULL, asset TEXT NOT NULL,
    free TEXT NOT NULL, locked TEXT NOT NULL, PRIMARY KEY (uid, asset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS order_lists (order_list_id INTEGER PRIMARY KEY, uid INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, kind TEXT NOT NULL,
    uid INTEGER NOT NULL, symbol TEXT NOT NULL, order_id INTEGER NOT NULL, client_order_id TEXT NOT NULL,
    trade_id INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS log_by_client ON log (client_order_id) WHERE client_order_id <> '';
{_ORDERS.create};
{_FILLS.create};
{_ACCOUNTS.create};
"""


class ExchangeStore:
    """Open the file (created when missing) and keep every other process out until `close`.

    Raises StoreBusy when another process has it. `ExchangeStore.in_memory()` is the same without a file.
    """

    def __init__(self, path: Path | str) -> None:
        self._lock: IO[bytes] | None = None
        if str(path) != ":memory:":
            self._lock = _lock(Path(path))
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except BaseException:
            self._unlock()
            raise

    @classmethod
    def in_memory(cls) -> ExchangeStore:
        """A store that forgets when closed."""
        return cls(":memory:")

    def close(self) -> None:
        """Close the file and let others open it; may be called twice."""
        self._db.close()
        self._unlock()

    def load(self) -> Stored:
        """Everything written so far."""
        db = self._db
        ids = db.execute("SELECT order_id, trade_id, order_list_id, execution_id FROM ids").fetchone()
        return Stored(
            ids=Ids(*ids) if ids else Ids(),
            accounts={extra[0]: (settings, extra[1]) for settings, extra in _ACCOUNTS.select(db)},
            balances={
                (uid, asset): AssetBalance(Decimal(free), Decimal(locked))
                for uid, asset, free, locked in db.execute("SELECT uid, asset, free, locked FROM balances")
            },
            orders=[order for order, _ in _ORDERS.select(db)],
            fills=[fill for fill, _ in _FILLS.select(db)],
            lists=[decode_list(body) for (body,) in db.execute("SELECT body FROM order_lists ORDER BY order_list_id")],
        )

    def write(self, changes: Changes) -> None:
        """Write one change durably, all or nothing."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            self._write_rows(changes)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def append_log(self, entries: Iterable[LogEntry]) -> None:
        """Write log entries durably in a transaction of their own."""
        self._db.execute("BEGIN IMMEDIATE")
        self._insert_log(entries)
        self._db.execute("COMMIT")

    def read_log(
        self, after_seq: int = 0, limit: int = 1000, *, kind: str | None = None, uid: int | None = None
    ) -> list[LoggedEntry]:
        """Entries after a sequence number, oldest first, at most `limit`."""
        rows = self._db.execute(
            "SELECT seq, at_ms, kind, uid, symbol, order_id, client_order_id, trade_id, detail FROM log"
            " WHERE seq > ? AND (? IS NULL OR kind = ?) AND (? IS NULL OR uid = ?) ORDER BY seq LIMIT ?",
            (after_seq, kind, kind, uid, uid, limit),
        )
        return [LoggedEntry(row[0], LogEntry(*row[1:])) for row in rows]

    def mark(self, name: str) -> str | None:
        """A small fact kept beside the exchange (such as where the tape stood), or None."""
        row = self._db.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_mark(self, name: str, value: str) -> None:
        """Keep a small fact durably."""
        self._db.execute("INSERT OR REPLACE INTO marks (name, value) VALUES (?, ?)", (name, value))

    def _write_rows(self, changes: Changes) -> None:
        db = self._db
        db.execute("INSERT OR REPLACE INTO ids VALUES (1, ?, ?, ?, ?)", changes.ids)
        if changes.balances:
            db.executemany("INSERT OR REPLACE INTO balances VALUES (?, ?, ?, ?)", _balance_rows(changes))
        if changes.orders:
            db.executemany(_ORDERS.insert, [_ORDERS.encode(order) for order in changes.orders.values()])
        if changes.fills:
            db.executemany(_FILLS.insert, [_FILLS.encode(fill) for fill in changes.fills])
        for uid, (settings, updated_ms) in changes.accounts.items():
            db.execute(_ACCOUNTS.insert, (uid, updated_ms, *_ACCOUNTS.encode(settings)))
        for one in changes.lists.values():
            db.execute(
                "INSERT OR REPLACE INTO order_lists VALUES (?, ?, ?)", (one.order_list_id, one.uid, encode_list(one))
            )
        if changes.log:
            self._insert_log(changes.log)

    def _insert_log(self, entries: Iterable[LogEntry]) -> None:
        self._db.executemany(
            "INSERT INTO log (at_ms, kind, uid, symbol, order_id, client_order_id, trade_id, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            entries,
        )

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _balance_rows(changes: Changes) -> Iterator[tuple[int, str, str, str]]:
    for (uid, asset), balance in changes.balances.items():
        yield uid, asset, str(balance.free), str(balance.locked)


def _lock(path: Path) -> IO[bytes]:
    lock = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StoreBusy(
            f"the simulated exchange {path} is already running in another process; stop that one or choose another file"
        ) from None
    return lock
