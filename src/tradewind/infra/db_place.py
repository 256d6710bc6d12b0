"""Where a database is: its address, how that is shown, and the lock of whoever runs on it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tradewind.core.errors import InvalidInput, Unavailable
from tradewind.infra.db_errors import why
from tradewind.infra.db_postgresql import SessionLock
from tradewind.infra.db_sqlite import OwnerLock


def parsed_address(url: str) -> URL:
    """Parse a database address. Raises InvalidInput with the forms that are understood."""
    forms = "Write it as sqlite:///path/to/file or postgresql://user@host/name."
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput("database_address", f"The database address cannot be read. {forms}") from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql") or parsed.drivername not in _DRIVERS:
        raise InvalidInput("database_not_supported", f"The database {parsed.drivername!r} is not supported. {forms}")
    if backend == "postgresql" and not parsed.database:
        raise InvalidInput("database_address", f"The database address names no database. {forms}")
    return parsed


_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")


def shown_address(url: str) -> str:
    """Write a database address for people and logs: where it is, and no secret."""
    parsed = parsed_address(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    shown = URL.create("postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database)
    # A socket's folder stands in the query; what else may stand there is not for showing.
    query = {name: parsed.query[name] for name in ("host", "port") if name in parsed.query}
    return shown.set(query=query).render_as_string()


class ProcessLock(Protocol):
    """Lets one process at a time run on a database."""

    def acquire(self) -> None:
        """Take the lock. Raises Conflict naming who holds it."""

    def release(self) -> None:
        """Free the lock; harmless when not held."""

    @property
    def passes_to_writer(self) -> bool:
        """Whether the platform's own writing session takes the lock over (Db.open with `is_owner`)."""


def owner_lock(url: str) -> ProcessLock:
    """Return the lock of a database's owner: a file beside an SQLite file, a session's lock at PostgreSQL."""
    parsed = parsed_address(url)
    if parsed.get_backend_name() == "sqlite":
        file = Path(parsed.database or "")
        return OwnerLock(file.with_name(file.name + ".lock"))
    return SessionLock(parsed)


def unavailable(error: BaseException) -> Unavailable:
    """Say to people that the database cannot be used, in the driver's words; no statement and no values."""
    return Unavailable("database_unavailable", f"The database cannot be used: {why(error)}.")
