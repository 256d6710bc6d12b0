"""The schema of the database: which revision it has, which one this release needs, and the way there.

An upgrade is ONE transaction: killed half-way, the database has its old schema and opens as before.
Nothing here looks at the tables themselves; a revision file says in words what it creates.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from tradewind.core.errors import Conflict, Unavailable
from tradewind.infra.db import Db
from tradewind.infra.db_errors import is_passing, why

SCRIPTS = Path(__file__).parent / "migrations"
UPGRADE_COMMAND = "tradewind db upgrade"


class SchemaState(StrEnum):
    """How the schema of a database stands to this release."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where a database stands: its revision (None without one) and the one this release needs."""

    state: SchemaState
    revision: str | None
    head: str


def head_revision(scripts: Path = SCRIPTS) -> str:
    """Return the revision this release needs."""
    head = ScriptDirectory(str(scripts)).get_current_head()
    assert head is not None, "a release has at least one revision"
    return head


def schema_status(db: Db, scripts: Path = SCRIPTS) -> SchemaStatus:
    """Compare a database with this release; changes nothing."""
    return db.read_now(lambda tx: _status(tx, scripts))


def upgrade_schema(db: Db, scripts: Path = SCRIPTS) -> SchemaStatus:
    """Bring a database to this release's schema, all or nothing; a current one is left alone.

    Raises Conflict for a database of a newer release or one that is not ours, Unavailable where another session
    keeps it from being written.
    """
    status = schema_status(db, scripts)
    if status.state in (SchemaState.NEWER, SchemaState.FOREIGN):
        raise _refusal(status)
    if status.state is not SchemaState.CURRENT:
        _upgrade(db, scripts)
    return schema_status(db, scripts)


def require_current_schema(db: Db, scripts: Path = SCRIPTS) -> None:
    """Raise Conflict with what to do unless the schema is exactly this release's."""
    status = schema_status(db, scripts)
    if status.state is not SchemaState.CURRENT:
        raise _refusal(status)


def _status(tx: Connection, scripts: Path) -> SchemaStatus:
    directory = ScriptDirectory(str(scripts))
    head = head_revision(scripts)
    revision = MigrationContext.configure(tx).get_current_revision()
    if revision is None:
        is_empty = not inspect(tx).get_table_names()
        return SchemaStatus(SchemaState.EMPTY if is_empty else SchemaState.FOREIGN, None, head)
    if revision == head:
        return SchemaStatus(SchemaState.CURRENT, revision, head)
    is_known = any(script.revision == revision for script in directory.walk_revisions())
    return SchemaStatus(SchemaState.OLDER if is_known else SchemaState.NEWER, revision, head)


def _upgrade(db: Db, scripts: Path) -> None:
    try:
        db.write_now(lambda tx: _run_upgrade(tx, scripts))
    except DBAPIError as error:
        if not is_passing(error):
            raise
        raise Unavailable(
            "upgrade_held_up",
            f"The database could not be upgraded now and has its old schema: {why(error)}. Another program may be "
            "writing to it, or the server still works for an upgrade that was killed. When that has ended (at "
            f"PostgreSQL pg_stat_activity shows it), run again: {UPGRADE_COMMAND}",
        ) from error


def _run_upgrade(tx: Connection, scripts: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = tx
    if tx.dialect.name == "postgresql":
        # A table that is rewritten takes as long as it takes; nobody else works on this database meanwhile.
        tx.execute(text("SET LOCAL statement_timeout = 0"))
        _let_go_with_us(tx)
    command.upgrade(config, "head")


def _let_go_with_us(tx: Connection) -> None:
    """Have the server give a long statement up when this process is gone: its session holds the database's lock."""
    attempt = tx.begin_nested()
    try:
        tx.execute(text("SET LOCAL client_connection_check_interval = '1s'"))
    except DBAPIError:
        # A server on a system that cannot tell; it works to the end of the statement then.
        attempt.rollback()
    else:
        attempt.commit()


def _refusal(status: SchemaStatus) -> Conflict:
    if status.state is SchemaState.OLDER:
        return Conflict(
            "schema_older",
            f"The database has the schema of an earlier release ({status.revision}, this one needs {status.head}). "
            f"Make a backup, then run: {UPGRADE_COMMAND}",
        )
    if status.state is SchemaState.NEWER:
        return Conflict(
            "schema_newer",
            f"The database was written by a newer Tradewind (schema {status.revision}, this one knows {status.head}). "
            "Start that release, or name another database.",
        )
    if status.state is SchemaState.EMPTY:
        return Conflict("schema_missing", f"The database is empty. Run: {UPGRADE_COMMAND}")
    return Conflict(
        "schema_foreign",
        "The database holds tables that are not Tradewind's. Name another database; nothing was changed.",
    )
