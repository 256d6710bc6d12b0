"""Where the demo keeps its journal: an SQLite file, a private PostgreSQL server, or a database somebody names."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tradewind.core.errors import Conflict, InvalidInput
from tradewind.demo.foundation import Places
from tradewind.demo.private_postgresql import PrivatePostgreSQL
from tradewind.infra.db import Db
from tradewind.infra.db_place import parsed_address, unavailable
from tradewind.infra.migrate import SchemaState, schema_status

SQLITE = "sqlite"
POSTGRESQL = "postgresql"

# Asks one question of an open snapshot.
Ask = Callable[[str], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Journal:
    """The database of one demo: its address (it may hold a password), and what it is, for people."""

    address: str
    kind: str


@contextmanager
def demo_database(wanted: str, places: Places) -> Iterator[Journal]:
    """Give the demo its database; a private server ends with it. Raises for one that is unfit."""
    if wanted == SQLITE:
        yield Journal(f"sqlite:///{places.database}", f"SQLite {sqlite3.sqlite_version}")
    elif wanted == POSTGRESQL:
        server = PrivatePostgreSQL.create()
        try:
            server.start()
            yield Journal(server.make_database("tradewind"), f"PostgreSQL {server.version}, a server of its own")
        finally:
            server.remove()
    else:
        yield Journal(wanted, f"PostgreSQL {_demand_empty(wanted)}")


def _demand_empty(address: str) -> str:
    """Raise unless an address leads to an empty PostgreSQL database; return the server's release."""
    if parsed_address(address).get_backend_name() != "postgresql":
        raise InvalidInput("demo_database", "Write --database=sqlite, --database=postgresql or postgresql://...")
    db = Db.open(address)
    try:
        facts = db.server_facts()
        if schema_status(db).state is not SchemaState.EMPTY:
            raise Conflict("demo_database_used", "The demo needs an empty database; this one holds tables.")
    except DBAPIError as error:
        raise unavailable(error) from None
    finally:
        db.close()
    assert facts is not None, "a server says what it is"
    return facts.version


@contextmanager
def snapshot(address: str) -> Iterator[Ask]:
    """Open a database as an auditor would, with its own driver and read-only: all answers as of one moment."""
    if address.startswith("sqlite:///"):
        file = address.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN")
            yield lambda question: db.execute(question).fetchall()
        return
    plain = make_url(address).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, row_factory=dict_row, connect_timeout=5) as server:
        server.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        server.read_only = True
        yield lambda question: server.execute(question.encode()).fetchall()
