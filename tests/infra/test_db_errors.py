"""Which database errors pass by waiting: told by SQLSTATE and by SQLite's result codes, never by words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from tests.support.database import address

from tradewind.infra.db import Db
from tradewind.infra.db_errors import Unreachable, is_conflict, is_passing, why


def _wrapped(original: Exception) -> DBAPIError:
    return OperationalError("SELECT 1", {}, original)


_PASSING = (
    *(errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.TooManyConnections),
    *(errors.LockNotAvailable, errors.QueryCanceled, errors.DiskFull, errors.OutOfMemory, errors.IoError),
    *(errors.DeadlockDetected, errors.SerializationFailure, errors.IdleInTransactionSessionTimeout),
    *(errors.ReadOnlySqlTransaction, errors.InternalError_, errors.ConnectionFailure, psycopg.OperationalError),
)
_LASTING = (
    *(errors.UniqueViolation, errors.NotNullViolation, errors.ForeignKeyViolation, errors.NumericValueOutOfRange),
    *(errors.StringDataRightTruncation, errors.UndefinedTable, errors.InsufficientPrivilege, errors.SyntaxError),
    *(errors.CharacterNotInRepertoire, errors.FeatureNotSupported, psycopg.DataError, psycopg.ProgrammingError),
    *(errors.ProgramLimitExceeded, errors.StatementTooComplex),
)


@pytest.mark.parametrize("kind", _PASSING, ids=lambda kind: str(kind.__name__))
def test_postgresql_error_when_the_server_may_do_it_later_then_is_passing(kind: type[psycopg.Error]) -> None:
    assert is_passing(_wrapped(kind("in any language")))


@pytest.mark.parametrize("kind", _LASTING, ids=lambda kind: str(kind.__name__))
def test_postgresql_error_when_the_same_would_fail_for_ever_then_is_not_passing(kind: type[psycopg.Error]) -> None:
    assert not is_passing(_wrapped(kind("database is locked, connection starting up")))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((code, True) for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)),
        *((code, True) for code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)),
        *((code, True) for code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_NOMEM)),
        *((code, False) for code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_TOOBIG)),
        *((code, False) for code in (sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE)),
    ],
)
def test_sqlite_error_when_told_by_its_code_then_is_passing_or_not(code: int, expected: bool) -> None:
    error = sqlite3.OperationalError("in any words")
    error.sqlite_errorcode = code
    assert is_passing(_wrapped(error)) is expected


def test_error_when_unknown_then_is_waited_for_because_facts_must_not_be_lost() -> None:
    assert is_passing(_wrapped(RuntimeError("never seen before")))
    assert is_passing(Unreachable("standby"))
    assert is_passing(PoolTimeout("no connection"))


def test_error_when_it_is_none_of_the_database_then_is_not_passing() -> None:
    assert not is_passing(KeyError("ours"))
    assert not is_passing(ValueError("NaN"))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    db = Db.open(address(tmp_path / "x.db"))
    db.write_now(lambda tx: tx.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")))
    db.write_now(lambda tx: tx.execute(text("INSERT INTO things VALUES (1, 'Ann')")))
    yield db
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO things VALUES (1, 'Bob')",
        "INSERT INTO things VALUES (2, NULL)",
        "SELECT * FROM nowhere",
        "SELECT FROM WHERE",
    ],
)
def test_real_error_when_the_statement_is_wrong_then_is_not_passing_and_tells_no_values(db: Db, statement: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        db.write_now(lambda tx: tx.execute(text(statement)))
    assert not is_passing(caught.value)
    assert not is_conflict(caught.value)
    assert "Bob" not in why(caught.value)
    assert "\n" not in why(caught.value)


def test_fault_66_real_error_when_another_holds_the_database_then_is_passing(db: Db, tmp_path: Path) -> None:
    other = Db.open(address(tmp_path / "x.db"))
    try:
        with other.engine.connect() as writing, writing.begin(), pytest.raises(DBAPIError) as caught:
            db.write_now(lambda tx: tx.execute(text("INSERT INTO things VALUES (2, 'Bob')")))
    finally:
        other.close()
    assert is_passing(caught.value)
    db.write_now(lambda tx: tx.execute(text("INSERT INTO things VALUES (2, 'Bob')")))
