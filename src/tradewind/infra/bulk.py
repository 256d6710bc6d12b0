"""Many rows by one statement, for the order path: the same tables, without SQLAlchemy's cost per row.

Rows are tuples in the order of the named columns; values are converted column by column as infra/db.py's types do
it (Exact, UtcTime). Statements are plain and kept by the drivers: an executemany with qmark or format parameters,
and a read whose list of keys is ONE parameter, so that its text is the same however long the list is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Select, Table, select, type_coerce
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import NullType

from tradewind.infra.db import Exact, Tx, UtcTime
from tradewind.infra.db_postgresql import withhold_values

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# From here on opening a COPY is cheaper than a message for each row.
_COPY_FROM = 8
# From here on a join is cheaper than a message for each row.
_UPDATE_FROM = 8

Row = tuple[Any, ...]
_Convert = Callable[[Any], Any]


def insert_rows(tx: Tx, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows; every column that is not named takes its default. Many at once go by COPY at PostgreSQL."""
    if not rows:
        return
    statement, converts = _insert(table, tuple(names), tx.dialect.name)
    if tx.dialect.name == "postgresql" and len(rows) >= _COPY_FROM:
        _copy(tx, f"COPY {table.name} ({', '.join(names)}) FROM STDIN", _converted(rows, converts))
    else:
        tx.exec_driver_sql(statement, _converted(rows, converts))


def _copy(tx: Tx, statement: str, rows: Sequence[Row]) -> None:
    connection: Any = tx.connection.dbapi_connection
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        # As SQLAlchemy would have told it, had the statement gone its way.
        is_lost = bool(connection.closed)
        if is_lost:
            tx.invalidate(error)
        withhold_values(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=tx.dialect,
        ) from error


def update_rows(tx: Tx, table: Table, names: Sequence[str], keys: Sequence[str], rows: Sequence[Row]) -> int:
    """Set `names` where `keys` are equal, row by row; each row is the values and then the keys, no keys twice.

    Returns how many rows were changed in all. Many at once go by one statement at PostgreSQL.
    """
    if not rows:
        return 0
    if tx.dialect.name == "postgresql" and len(rows) >= _UPDATE_FROM:
        return _update_at_once(tx, table, tuple(names), tuple(keys), rows)
    statement, converts = _update(table, tuple(names), tuple(keys), tx.dialect.name)
    return tx.exec_driver_sql(statement, _converted(rows, converts)).rowcount


def _update_at_once(tx: Tx, table: Table, names: tuple[str, ...], keys: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Write the columns as one list each and join them to the table: one message, one plan, one walk."""
    _, converts = _update(table, names, keys, tx.dialect.name)
    kinds = [table.c[name].type.compile(dialect=tx.dialect) for name in (*names, *keys)]
    lists = ", ".join(f"%s::{kind}[]" for kind in kinds)
    columns = ", ".join(f"v{place}" for place in range(len(kinds)))
    values = ", ".join(f"{name} = fresh.v{place}" for place, name in enumerate(names))
    where = " AND ".join(f"{table.name}.{key} = fresh.v{len(names) + place}" for place, key in enumerate(keys))
    statement = f"UPDATE {table.name} SET {values} FROM unnest({lists}) AS fresh ({columns}) WHERE {where}"  # noqa: S608 - names of our tables
    converted = _converted(rows, converts)
    return tx.exec_driver_sql(statement, tuple(list(column) for column in zip(*converted, strict=True))).rowcount


def select_rows(
    tx: Tx, table: Table, names: Sequence[str], key: str, values: Iterable[str], *, lock: bool = False
) -> list[Row]:
    """Read the named columns of the rows whose `key` (a text column) is among the values, ordered by it.

    `lock` holds the rows for this transaction (PostgreSQL; SQLite has one writer).
    """
    wanted = list(values)
    if not wanted:
        return []
    dialect = tx.dialect.name
    statement, converts = _select(table, tuple(names), key, dialect, lock)
    parameter = json.dumps(wanted) if dialect == "sqlite" else wanted
    found = tx.exec_driver_sql(statement, (parameter,)).fetchall()
    return _converted(found, converts)


def select_among(
    tx: Tx,
    table: Table,
    names: Sequence[str],
    key: str,
    keys: Iterable[str],
    *,
    where: str,
    values: Mapping[str, Any] | None = None,
    order_by: str | None = None,
    index: str | None = None,
) -> list[Row]:
    """As `select_rows`, for rows that also meet a condition: its own words, so that a partial index is found by them.

    The condition names values as `:column`, each compared with that column. `index` is the one to use at SQLite,
    which knows nothing of how few rows a partial one has.
    """
    wanted = list(keys)
    if not wanted:
        return []
    dialect = tx.dialect.name
    among, bound = _bound_condition(table, where, values or {}, dialect)
    order = f" ORDER BY {order_by}" if order_by else ""
    source = f"{table.name} INDEXED BY {index}" if index and dialect == "sqlite" else table.name
    statement = f"SELECT {', '.join(names)} FROM {source} WHERE {_among_of(key, dialect)} AND {among}{order}"  # noqa: S608 - our own words
    found = tx.exec_driver_sql(statement, (_keys(wanted, dialect), *bound)).fetchall()
    return _converted(found, _readers(table, tuple(names), dialect))


def group_among(
    tx: Tx,
    table: Table,
    figure: str,
    key: str,
    keys: Iterable[str],
    *,
    where: str = "true",
    values: Mapping[str, Any] | None = None,
    reads_as: str | None = None,
) -> list[tuple[str, Any]]:
    """Read one figure (count(*), max(at)) for each key that has rows; `reads_as` names the column it is a value of."""
    wanted = list(keys)
    if not wanted:
        return []
    dialect = tx.dialect.name
    among, bound = _bound_condition(table, where, values or {}, dialect)
    statement = f"SELECT {key}, {figure} FROM {table.name} WHERE {_among_of(key, dialect)} AND {among} GROUP BY {key}"  # noqa: S608 - as above
    found = tx.exec_driver_sql(statement, (_keys(wanted, dialect), *bound)).fetchall()
    read = None if reads_as is None else _reader(table, reads_as, dialect)
    return [(row[0], row[1] if read is None else read(row[1])) for row in found]


_NAMED = re.compile(r":([a-z_]+)")


def _bound_condition(table: Table, where: str, values: Mapping[str, Any], dialect: str) -> tuple[str, list[Any]]:
    names = _NAMED.findall(where)
    bound = [(_writer(table, name, dialect) or _same)(values[name]) for name in names]
    return _NAMED.sub(_mark(dialect), where), bound


def _same(value: Any) -> Any:
    return value


def _keys(wanted: Sequence[str], dialect: str) -> Any:
    return json.dumps(wanted) if dialect == "sqlite" else wanted


def _among_of(key: str, dialect: str) -> str:
    return _among(key, is_sqlite=dialect == "sqlite")


def select_tuples(
    tx: Tx, table: Table, names: Sequence[str], keys: Sequence[str], wanted: Collection[tuple[str, ...]]
) -> list[Row]:
    """Read the named columns of the rows whose `keys` (text columns) together are among the wanted, in no order.

    Row by row through an index that begins with them: a list for each column would ask for every combination.
    """
    if not wanted:
        return []
    dialect = tx.dialect.name
    columns = ", ".join(f"found.{name}" for name in names)
    if dialect == "sqlite":
        joined = " AND ".join(
            f"found.{key} = json_extract(wanted.value, '$[{place}]')" for place, key in enumerate(keys)
        )
        # CROSS JOIN keeps the order: what is wanted is walked, and the rows are looked up.
        statement = f"SELECT {columns} FROM json_each(?) AS wanted CROSS JOIN {table.name} AS found ON {joined}"  # noqa: S608 - our own words
        parameters: tuple[Any, ...] = (json.dumps(list(wanted)),)
    else:
        lists = ", ".join(["%s::text[]"] * len(keys))
        joined = " AND ".join(f"found.{key} = wanted.{key}" for key in keys)
        source = f"unnest({lists}) AS wanted ({', '.join(keys)}) JOIN {table.name} AS found ON {joined}"
        statement = f"SELECT {columns} FROM {source}"  # noqa: S608 - as above
        parameters = tuple(list(values) for values in zip(*wanted, strict=True))
    found = tx.exec_driver_sql(statement, parameters).fetchall()
    return _converted(found, _readers(table, tuple(names), dialect))


def bare_select(table: Table, names: Sequence[str]) -> Select[Any]:
    """Begin a question for the named columns, to be answered by `fetch`."""
    return select(*_bare_columns(table, tuple(names)))


def fetch(tx: Tx, table: Table, names: Sequence[str], query: Select[Any]) -> list[Row]:
    """Answer a question that `bare_select` began with the same table and names."""
    return _converted(tx.execute(query).fetchall(), _readers(table, tuple(names), tx.dialect.name))


@lru_cache(maxsize=256)
def _bare_columns(table: Table, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The columns without their types, so that values come as the driver gives them."""
    return tuple(type_coerce(table.c[name], NullType()).label(name) for name in names)


@lru_cache(maxsize=256)
def _readers(table: Table, names: tuple[str, ...], dialect: str) -> list[_Convert | None]:
    return [_reader(table, name, dialect) for name in names]


def count_up(tx: Tx, table: Table, name: str, key: str, values: Iterable[str]) -> int:
    """Add one to a number of every row whose `key` is among the values; returns how many rows there were."""
    wanted = list(values)
    if not wanted:
        return 0
    is_sqlite = tx.dialect.name == "sqlite"
    statement = f"UPDATE {table.name} SET {name} = {name} + 1 WHERE {_among(key, is_sqlite=is_sqlite)}"  # noqa: S608
    return tx.exec_driver_sql(statement, (json.dumps(wanted) if is_sqlite else wanted,)).rowcount


def _among(key: str, *, is_sqlite: bool) -> str:
    return f"{key} IN (SELECT value FROM json_each(?))" if is_sqlite else f"{key} = ANY(%s)"  # noqa: S608


def _converted(rows: Sequence[Any], converts: Sequence[_Convert | None]) -> list[Row]:
    """Convert column by column: a loop in C where a column needs nothing, one plain call a value where it does."""
    if not rows:
        return []
    if not any(converts):
        return [tuple(row) for row in rows]
    columns = list(zip(*rows, strict=True))
    return list(
        zip(
            *(
                column if convert is None else map(convert, column)
                for column, convert in zip(columns, converts, strict=True)
            ),
            strict=True,
        )
    )


@lru_cache(maxsize=256)
def _insert(table: Table, names: tuple[str, ...], dialect: str) -> tuple[str, list[_Convert | None]]:
    mark = _mark(dialect)
    marks = ", ".join([mark] * len(names))
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - names of our tables
    return statement, [_writer(table, name, dialect) for name in names]


@lru_cache(maxsize=256)
def _update(
    table: Table, names: tuple[str, ...], keys: tuple[str, ...], dialect: str
) -> tuple[str, list[_Convert | None]]:
    mark = _mark(dialect)
    values = ", ".join(f"{name} = {mark}" for name in names)
    where = " AND ".join(f"{key} = {mark}" for key in keys)
    statement = f"UPDATE {table.name} SET {values} WHERE {where}"  # noqa: S608 - names of our tables
    return statement, [_writer(table, name, dialect) for name in (*names, *keys)]


@lru_cache(maxsize=256)
def _select(
    table: Table, names: tuple[str, ...], key: str, dialect: str, lock: bool
) -> tuple[str, list[_Convert | None]]:
    among = _among(key, is_sqlite=dialect == "sqlite")
    statement = f"SELECT {', '.join(names)} FROM {table.name} WHERE {among} ORDER BY {key}"  # noqa: S608 - as above
    if lock and dialect != "sqlite":
        statement += " FOR UPDATE"
    return statement, [_reader(table, name, dialect) for name in names]


def _mark(dialect: str) -> str:
    return "?" if dialect == "sqlite" else "%s"


def _writer(table: Table, name: str, dialect: str) -> _Convert | None:
    kind = table.c[name].type
    if isinstance(kind, Exact):
        return _exact_text if dialect == "sqlite" else _demand_decimal
    if isinstance(kind, UtcTime):
        return _microseconds if dialect == "sqlite" else _demand_zone
    return None


def _reader(table: Table, name: str, dialect: str) -> _Convert | None:
    kind = table.c[name].type
    if isinstance(kind, Exact):
        return _decimal
    if isinstance(kind, UtcTime):
        return _moment if dialect == "sqlite" else _in_utc
    if dialect == "sqlite" and kind.python_type is bool:
        return bool
    return None


def _demand_decimal(value: Decimal | None) -> Decimal | None:
    if value is not None and not isinstance(value, Decimal):
        raise TypeError(f"an Exact column takes Decimal, got {type(value).__name__}")
    if value is not None and not value.is_finite():
        raise ValueError(f"an Exact column takes numbers, got {value}")
    return value


def _exact_text(value: Decimal | None) -> str | None:
    return None if _demand_decimal(value) is None else format(value, "f")


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _demand_zone(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("a time without zone is not a time")
    return value


def _microseconds(value: datetime | None) -> int | None:
    return None if value is None else _microseconds_of(value)


# The rows of one batch carry the same few moments.
@lru_cache(maxsize=4_096)
def _microseconds_of(value: datetime) -> int:
    if value.tzinfo is None:
        raise ValueError("a time without zone is not a time")
    return (value - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=4_096)
def _moment(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)
