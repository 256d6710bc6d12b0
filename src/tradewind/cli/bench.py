"""`tradewind bench`: time what this product is fast at, with its peers beside it in the same run."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tradewind.bench import triggers as triggers_bench

app = typer.Typer(help="Time the engine, with peers beside it in the same run.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.callback()
def _group() -> None:
    """Keep `bench` a group while it has one command."""


@app.command()
def triggers(
    positions: Annotated[int, typer.Option(min=1, max=1_000_000, help="Open positions at most.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the tape.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Compare ticks with the stops and targets of many positions."""
    result = triggers_bench.run(positions, seed=seed)
    if as_json:
        typer.echo(json.dumps(result))
        return
    _print_triggers(result)


def _print_triggers(result: dict[str, Any]) -> None:
    table = Table(title="Ticks against watched stops and targets; times in us a tick")
    for column in ("positions", "million ticks/s", "index", "two compares", "objects", "numpy", "crash, a level"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        peers = row["peers"]
        times = (row["ns_per_tick"], *peers.values(), row["crash"]["ns_per_level"])
        table.add_row(
            f"{row['positions']:,}",
            f"{row['ticks_per_s'] / 1e6:.1f}",
            *("-" if ns is None else _us(ns) for ns in times),
        )
    Console().print(table)
    rate = result["rate_at_most_to_fewest_positions"]
    typer.echo(f"Rate with the most positions to the rate with the fewest: {rate}. A dash: not installed here.")


def _us(nanoseconds: float) -> str:
    return f"{nanoseconds / 1_000:,.2f}"
