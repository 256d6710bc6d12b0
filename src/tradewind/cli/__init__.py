"""The command line: `tradewind VERB`. One file per verb; wrong usage gets a sentence, never a traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tradewind import __version__
from tradewind.cli import bench, db, demo, doctor, emergency, keys, recovery, serve, signals, sim, sources, users
from tradewind.cli.start import Options
from tradewind.core.errors import TradewindError
from tradewind.infra.db import CommitInDoubt

# Exit codes: 0 all well, 1 a check failed or work was refused, 2 wrong usage, 130 interrupted.
_REFUSED = 1
_INTERRUPTED = 130


class _Commands(TyperGroup):
    """The root of all verbs."""

    def invoke(self, context: typer.Context) -> Any:  # type: ignore[override]  # typer names its own context
        """Run a verb; a wrong value is told in our words, without the checker's own prefix."""
        try:
            return super().invoke(context)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="tradewind",
    cls=_Commands,
    help="One signal, every account, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("sim")(sim.sim)
app.command("doctor")(doctor.doctor)
app.command("recovery")(recovery.recovery)
app.add_typer(bench.app, name="bench")
app.add_typer(db.app, name="db")
app.add_typer(users.app, name="users")
app.add_typer(signals.app, name="signals")
app.add_typer(sources.app, name="sources")
app.add_typer(keys.app, name="keys")
app.add_typer(emergency.app, name="emergency")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"tradewind {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Settings file; else TRADEWIND_CONFIG, else tradewind.toml.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="Database address, sqlite:///path/to/file.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = Options(config=config, database=database)


def main() -> None:
    """Run the command line and exit with its code."""
    # What is written here (database, keys, paper venue) is its owner's alone.
    os.umask(0o077)
    try:
        app()
    except TradewindError as error:
        typer.echo(error.message, err=True)
        sys.exit(_REFUSED)
    except CommitInDoubt as error:
        typer.echo(f"{error}. Nothing more was sent; start again to recover from disk.", err=True)
        sys.exit(_REFUSED)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
