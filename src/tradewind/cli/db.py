"""`tradewind db`: the database's schema and health."""

from __future__ import annotations

import typer

from tradewind.app.restore import begin_restore
from tradewind.cli.serve import begun_text
from tradewind.cli.start import database_place, opened_db, owner_lock, ready_db, require_sound, settings_of
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db
from tradewind.infra.ids import RandomIds
from tradewind.infra.migrate import SchemaState, schema_status, upgrade_schema

app = typer.Typer(help="The database: its schema and its health.", no_args_is_help=True)


@app.command()
def upgrade(context: typer.Context) -> None:
    """Bring the database to this release's schema; makes it when there is none."""
    settings = settings_of(context)
    lock = owner_lock(settings)
    lock.acquire()
    try:
        db = Db.open(settings.database_url)
        try:
            before = schema_status(db)
            after = upgrade_schema(db)
        finally:
            db.close()
    finally:
        lock.release()
    if before.state is SchemaState.CURRENT:
        typer.echo(f"Already at {after.revision}: nothing to do.")
    else:
        typer.echo(f"Upgraded from {before.revision or 'nothing'} to {after.revision}: {database_place(settings)}")


@app.command()
def restored(context: typer.Context) -> None:
    """Say that a backup was put back, whatever the marks say: what happened since is adopted at the next start."""
    settings = settings_of(context)
    lock = owner_lock(settings)
    lock.acquire()
    try:
        with ready_db(settings) as db:
            clock = SystemClock()
            restore = begin_restore(db, settings, clock, RandomIds(clock))
    finally:
        lock.release()
    typer.echo(f"{begun_text(restore)} Start the platform: tradewind serve")


@app.command()
def status(context: typer.Context) -> None:
    """Show the schema's revision; exit code 1 unless it is this release's."""
    settings = settings_of(context)
    with opened_db(settings) as db:
        found = schema_status(db)
    typer.echo(f"{database_place(settings)}: {found.state}, revision {found.revision or 'none'}, needed {found.head}")
    if found.state is not SchemaState.CURRENT:
        raise typer.Exit(1)


@app.command()
def check(context: typer.Context) -> None:
    """Read everything and say whether it is sound; exit code 1 if not."""
    settings = settings_of(context)
    with opened_db(settings) as db:
        require_sound(db, settings, is_thorough=True)
    typer.echo(f"{database_place(settings)}: sound")
