"""`tradewind db`: the database's schema and health."""

from __future__ import annotations

import typer

from tradewind.cli.start import database_file, opened_db, owner_lock, settings_of
from tradewind.core.errors import Unavailable
from tradewind.infra.db import Db, integrity_problem
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
        typer.echo(f"Upgraded from {before.revision or 'nothing'} to {after.revision}: {database_file(settings)}")


@app.command()
def status(context: typer.Context) -> None:
    """Show the schema's revision; exit code 1 unless it is this release's."""
    settings = settings_of(context)
    with opened_db(settings) as db:
        found = schema_status(db)
    typer.echo(f"{database_file(settings)}: {found.state}, revision {found.revision or 'none'}, needed {found.head}")
    if found.state is not SchemaState.CURRENT:
        raise typer.Exit(1)


@app.command()
def check(context: typer.Context) -> None:
    """Read the whole file and say whether it is sound; exit code 1 if not."""
    settings = settings_of(context)
    with opened_db(settings) as db:
        problem = integrity_problem(db)
    if problem is not None:
        raise Unavailable(
            "database_damaged",
            f"{database_file(settings)} is damaged: {problem}. Stop Tradewind and restore a backup.",
        )
    typer.echo(f"{database_file(settings)}: sound")
