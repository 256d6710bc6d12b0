"""What every verb needs first: settings, the database's file, the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from sqlalchemy.exc import DatabaseError, OperationalError

from tradewind.config import Settings, load_settings
from tradewind.core.errors import InvalidInput, Unavailable
from tradewind.infra.db import Db
from tradewind.infra.db_errors import Unreachable
from tradewind.infra.db_place import ProcessLock, parsed_address, shown_address, unavailable
from tradewind.infra.db_place import owner_lock as lock_of
from tradewind.infra.db_soundness import integrity_problem
from tradewind.infra.migrate import SchemaState, require_current_schema, schema_status, upgrade_schema
from tradewind.vault.opening import KekPlace, create_missing_kek


@dataclass(frozen=True, slots=True)
class Options:
    """The options that stand before the verb."""

    config: Path | None = None
    database: str | None = None


def settings_of(context: typer.Context) -> Settings:
    """Read the settings with the options of the command line on top."""
    options: Options = context.find_object(Options) or Options()
    settings = load_settings(options.config)
    if options.database is not None:
        settings = replace(settings, database=options.database)
    return settings


def database_file(settings: Settings) -> Path | None:
    """Return the SQLite file of the settings; None for a server. Raises InvalidInput for another kind of database."""
    url = parsed_address(settings.database_url)
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database:
        raise InvalidInput(
            "database_address", "The database address names no file. Write it as sqlite:///path/to/file."
        )
    return Path(url.database)


def database_place(settings: Settings) -> str:
    """Say where the database is, for people: a file or an address, without a password."""
    return shown_address(settings.database_url)


def kek_place(settings: Settings) -> KekPlace:
    """Return where the settings say the key-encryption key is."""
    return KekPlace(
        file=settings.kek_file,
        data_dir=settings.data_dir,
        key_env=settings.kek_env,
        passphrase_env=settings.kek_passphrase_env,
    )


def create_first_kek(db: Db, settings: Settings) -> bool:
    """Make the key file on the very first start; return whether it was made. Raises InvalidInput if it is gone."""
    place = kek_place(settings)
    is_made = db.write_now(lambda tx: create_missing_kek(tx, place))
    if is_made:
        typer.echo(f"Made the key-encryption key {place.file}. Keep a copy apart from the backups.", err=True)
    return is_made


def owner_lock(settings: Settings) -> ProcessLock:
    """Return the lock that lets one process at a time run on the database; makes a file's folder."""
    file = database_file(settings)
    if file is not None:
        make_folder(file.parent)
    return lock_of(settings.database_url)


def make_folder(folder: Path) -> None:
    """Make a folder that its owner alone reads. Raises Unavailable."""
    try:
        # Orders and sealed keys are nobody else's business.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("data_dir", f"The folder {folder} cannot be made: {error.strerror}.") from None


@contextmanager
def opened_db(settings: Settings) -> Iterator[Db]:
    """Open the database as it is; a file must exist."""
    file = database_file(settings)
    if file is not None and not file.is_file():
        raise InvalidInput("database_missing", f"There is no database at {file}. Make one with: tradewind db upgrade")
    with _open(settings) as db:
        yield db


@contextmanager
def ready_db(settings: Settings) -> Iterator[Db]:
    """Open the database with its schema checked: for verbs that read and change data."""
    with opened_db(settings) as db:
        require_current_schema(db)
        yield db


@contextmanager
def created_db(settings: Settings) -> Iterator[Db]:
    """Open the database and give an empty one its schema; an older or a damaged one is refused with what to do."""
    file = database_file(settings)
    make_folder(settings.data_dir if file is None else file.parent)
    with _open(settings) as db:
        if file is not None and file.exists():
            require_sound(db, settings)
        if schema_status(db).state is SchemaState.EMPTY:
            upgrade_schema(db)
        require_current_schema(db)
        yield db


def require_sound(db: Db, settings: Settings, *, is_thorough: bool = False) -> None:
    """Raise Unavailable if the database is damaged."""
    problem = integrity_problem(db, is_thorough=is_thorough)
    if problem is not None:
        raise Unavailable(
            "database_damaged",
            f"{database_place(settings)} is damaged: {problem}. Nothing was started. Restore a backup.",
        )


@contextmanager
def _open(settings: Settings) -> Iterator[Db]:
    db = Db.open(settings.database_url)
    try:
        yield db
    except (OperationalError, DatabaseError) as error:
        if type(error) not in (OperationalError, DatabaseError):  # the others are mistakes of ours, not of the file
            raise
        # The driver's words only: the statement and its parameters stay out of the message.
        raise unavailable(error) from None
    except Unreachable as error:
        raise unavailable(error) from None
    finally:
        db.close()
