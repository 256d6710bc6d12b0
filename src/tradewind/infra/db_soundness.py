"""Is the database whole? Asked at every start, and in full by `tradewind db check`."""

from __future__ import annotations

from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError

from tradewind.infra.db import Db, Tx
from tradewind.infra.db_errors import why

# Up to this size a file is looked at thoroughly at every start; it takes well under a second.
_THOROUGH_BYTES = 64 * 1024 * 1024


def integrity_problem(db: Db, *, is_thorough: bool = False) -> str | None:
    """Look whether the database is whole; None if it is.

    SQLite: its own check, indexes against tables too where `is_thorough` or the file is small. PostgreSQL: with
    `is_thorough` every row is read, which makes the server verify every page it has a checksum of.
    """
    return db.read_now(
        lambda tx: _sqlite_problem(tx, is_thorough) if db.dialect == "sqlite" else _row_problem(tx, is_thorough)
    )


def _sqlite_problem(tx: Tx, is_thorough: bool) -> str | None:
    try:
        size = tx.execute(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")).scalar_one()
        check = "integrity_check" if is_thorough or size < _THOROUGH_BYTES else "quick_check"
        answer = tx.execute(text(f"PRAGMA {check}(1)")).scalar_one()
    except DatabaseError as error:
        return why(error)
    return None if answer == "ok" else str(answer).replace("\n", " ")


def _row_problem(tx: Tx, is_thorough: bool) -> str | None:
    if not is_thorough:
        return None
    tx.execute(text("SET LOCAL statement_timeout = 0"))
    for name in inspect(tx).get_table_names():
        table = tx.dialect.identifier_preparer.quote(name)
        try:
            tx.execute(text(f"SELECT count(*), sum(length(t::text)) FROM {table} t"))  # noqa: S608 - a table's own name
        except DatabaseError as error:
            return f"{name}: {why(error)}"
    return None
