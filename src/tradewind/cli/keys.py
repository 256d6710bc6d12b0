"""`tradewind keys`: the key-encryption key."""

from __future__ import annotations

import os

import typer

from tradewind.cli.start import create_first_kek, created_db, kek_place, ready_db, settings_of
from tradewind.core.errors import Conflict
from tradewind.infra.clock import SystemClock
from tradewind.vault.opening import open_vault

app = typer.Typer(help="The key-encryption key, without which no exchange key opens.", no_args_is_help=True)


@app.command()
def init(context: typer.Context) -> None:
    """Make the key file once; an existing one is never overwritten."""
    settings = settings_of(context)
    place = kek_place(settings)
    if not place.uses_file:
        raise Conflict("kek_elsewhere", f"The settings take the key from elsewhere: {place.describe()}. Nothing made.")
    with created_db(settings) as db:
        is_made = create_first_kek(db, settings)
    if not is_made:
        raise Conflict("kek_exists", f"The key {place.file} exists. It is never overwritten.")
    typer.echo("Without it no stored exchange key opens.")


@app.command()
def check(context: typer.Context) -> None:
    """Say whether the key is there and fits the database."""
    settings = settings_of(context)
    place = kek_place(settings)
    with ready_db(settings) as db:
        vault = db.write_now(lambda tx: open_vault(tx, place, SystemClock(), os.environ))
    typer.echo(f"The key-encryption key fits this database: {place.describe()}, id {vault.kek_id}")
