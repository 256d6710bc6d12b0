"""What a database error means for the one who meets it, by its code and never by its words.

Two questions matter. May the same write succeed later (the database is busy, full, restarting, gone)? Then it is
waited for, because facts must not be lost; whatever is not known counts as this. Or will the same write fail for
ever (a constraint, a value, a mistake of ours)? Only then it may be put aside.
"""

from __future__ import annotations

import sqlite3

import psycopg
from psycopg.errors import DeadlockDetected, DiskFull, SerializationFailure
from sqlalchemy.exc import DBAPIError, DisconnectionError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class CommitInDoubt(Exception):
    """COMMIT failed: the transaction may or may not be on disk. Stop sending, exit, recover from disk."""


class OwnerLost(CommitInDoubt):
    """Another process has taken the database over: this one may not write any more and ends."""


class HistoryReplaced(OwnerLost):
    """The server was replaced by one with another history: what it had confirmed last may be gone."""


class Unreachable(Exception):
    """The server cannot serve us now (it is a standby, or our former session has not ended); it may soon."""


# SQLite's primary result codes for what will not change by waiting: a plain mistake, a constraint, a wrong type,
# a value too big, misuse, a parameter out of range.
_SQLITE_LASTING = frozenset({1, 18, 19, 20, 21, 25})
# PostgreSQL's classes (the first two characters of SQLSTATE) for the same: no data, cardinality, data exception,
# constraint, dependent objects, names, syntax and access, check option, limits of the program (a value too long for
# its index), functions and triggers.
_SQLSTATE_LASTING = frozenset(
    {"02", "0A", "21", "22", "23", "27", "2B", "2F", "34", "38", "39", "3B", "42", "44", "54", "P0"}
)
# What psycopg raises before it asks the server: a value that cannot be written.
_PSYCOPG_LASTING = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.IntegrityError)


# What may be passing; `is_passing` says whether it is.
PASSING_KINDS = (DBAPIError, DisconnectionError, PoolTimeout, Unreachable)


def is_passing(error: BaseException) -> bool:
    """Say whether the same work may succeed later; False for what is no database error at all."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or not _is_lasting(error.orig)
    if isinstance(error, StatementError):
        return False
    return isinstance(error, DisconnectionError | PoolTimeout | Unreachable)


def why(error: BaseException) -> str:
    """Say in a line what the database said, without the statement and its values."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return str(original).strip().split("\n", 1)[0]


def is_full(error: BaseException) -> bool:
    """Say whether a write was refused for want of room on the disk."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return isinstance(original, DiskFull)


def is_refused_commit(error: BaseException) -> bool:
    """Say whether a failed COMMIT is sure to have changed nothing.

    SQLite says "full" when the write-ahead log would not take a page, before the frame that commits is whole: every
    reader and every recovery ignores what was written. A failed sync is another code, and stays in doubt.
    """
    original = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, sqlite3.Error) and is_full(original)


def is_conflict(error: DBAPIError) -> bool:
    """Say whether the server rolled the transaction back so that another could go on (40001, 40P01)."""
    return isinstance(error.orig, SerializationFailure | DeadlockDetected)


def _is_lasting(original: BaseException | None) -> bool:
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", None)
        # Without a code it never reached the file: sqlite3 itself refused the values or the use.
        return code is None or (code & 0xFF) in _SQLITE_LASTING
    if isinstance(original, psycopg.Error):
        if original.sqlstate is None:
            return isinstance(original, _PSYCOPG_LASTING)
        return original.sqlstate[:2] in _SQLSTATE_LASTING
    return False
