"""`tradewind bench`: time what this product is fast at, with its peers beside it in the same run."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tradewind.bench import exits as exits_bench
from tradewind.bench import journal as journal_bench
from tradewind.bench import restart as restart_bench
from tradewind.bench import suite
from tradewind.bench import triggers as triggers_bench
from tradewind.infra import log

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


@app.command()
def restart(
    accounts: Annotated[int, typer.Option(min=1, max=20_000, help="Accounts with open business.")] = 1_000,
    orders: Annotated[int, typer.Option(min=2, help="Orders that rest at the venue when the platform ends.")] = 5_000,
    latency_ms: Annotated[int, typer.Option(min=0, help="The venue's.")] = 20,
    weight: Annotated[int, typer.Option(min=100, help="Request weight a minute that the venue takes.")] = 6_000,
    database: Annotated[str | None, typer.Option(help="Address of ONE empty database; left out: SQLite.")] = None,
    within_s: Annotated[float, typer.Option(min=1, help="How long the restart is followed at most.")] = 1_800.0,
    as_json: AsJson = False,
) -> None:
    """Restart the platform with open orders and time it until every account was found in order."""
    log.configure(level="ERROR", as_json=True)
    result = restart_bench.run(restart_bench.Wanted(accounts, orders, latency_ms, weight, database, within_s))
    if as_json:
        typer.echo(json.dumps(result))
        return
    table = Table(
        "what", "figure", box=None, title="A restart with open business; seconds from the start of the process"
    )
    for name, value in result.items():
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)


@app.command()
def journal(
    accounts: Annotated[int, typer.Option(min=1, max=20_000, help="Accounts that follow the signals.")] = 1_000,
    signals: Annotated[int, typer.Option(min=1, max=1_000, help="Signals, one after the other.")] = 10,
    database: Annotated[str | None, typer.Option(help="Address of an empty database; left out: SQLite.")] = None,
    profile: Annotated[str | None, typer.Option(help=f"Profile one part: {', '.join(journal_bench.PARTS)}.")] = None,
    as_json: AsJson = False,
) -> None:
    """Time the database's side of a fan-out part by part, without a network."""
    log.configure(level="ERROR", as_json=True)
    result = journal_bench.run(accounts, signals, database=database, profiled=profile)
    if as_json:
        typer.echo(json.dumps(result))
        return
    table = Table(title=f"{accounts:,} accounts, {result['database']}; us of CPU an order, of the thread that works")
    for column in ("signal", *journal_bench.PARTS, "all"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        figures = [*(row["cpu_us"][part] for part in journal_bench.PARTS), row["cpu_us_all"]]
        table.add_row(str(row["signal"]), *(f"{each:,.0f}" for each in figures))
    Console().print(table)
    typer.echo(result.get("profile", ""))


@app.command()
def fanout(
    accounts: Annotated[int, typer.Option(min=1, max=20_000, help="Accounts that follow the signal.")] = 5_000,
    simulator_accounts: Annotated[int, typer.Option(min=0, help="The same against the simulator; 0: not.")] = 200,
    latency_ms: Annotated[list[int] | None, typer.Option(min=0, help="The venue's; may be given again.")] = None,
    idle_accounts: Annotated[int, typer.Option(min=0, help="Measure the memory of so many; 0: not.")] = 1_000,
    database: Annotated[
        str | None,
        typer.Option(help="Address of ONE empty database, for one run; left out: SQLite."),
    ] = None,
    peers: Annotated[bool, typer.Option(help="ccxt and the bare client beside it.")] = True,
    mixed: Annotated[bool, typer.Option(help="A run with people on all plans, for the lateness.")] = True,
    within_s: Annotated[float, typer.Option(min=1, help="How long a signal is followed at most.")] = 120.0,
    profile: Annotated[bool, typer.Option(help="Sample the threads: the biggest costs of the warm signals.")] = False,
    as_json: AsJson = False,
) -> None:
    """Carry one signal to many accounts, from its acceptance to the last acknowledgement recorded."""
    # The run itself is the output; what the platform logs of it would be measured too.
    log.configure(level="ERROR", as_json=True)
    wanted = suite.Wanted(
        accounts=accounts,
        simulator_accounts=simulator_accounts,
        latencies_ms=latency_ms or [0, 20],
        idle_accounts=idle_accounts,
        database=database,
        with_peers=peers,
        with_mixed=mixed,
        within_s=within_s,
        with_profile=profile,
    )
    result = suite.run(wanted)
    if as_json:
        typer.echo(json.dumps(result))
        return
    _print_fanout(result)


@app.command()
def exits(
    accounts: Annotated[int, typer.Option(min=1, max=20_000, help="Accounts with one position each.")] = 1_000,
    latency_ms: Annotated[int, typer.Option(min=0, help="The venue's.")] = 0,
    database: Annotated[str | None, typer.Option(help="Address of ONE empty database; left out: SQLite.")] = None,
    within_s: Annotated[float, typer.Option(min=1, help="How long each part is followed at most.")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Protect many positions at the venue, then sell all of them by an emergency stop."""
    log.configure(level="ERROR", as_json=True)
    result = exits_bench.run(exits_bench.WantedExits(accounts, latency_ms, database, within_s))
    typer.echo(json.dumps(result) if as_json else _exits_text(result))


def _exits_text(result: dict[str, Any]) -> str:
    lines = [f"{result['accounts']:,} accounts ({result['database']}), venue latency {result['latency_ms']} ms"]
    for name in ("entries", "native_protection", "flatten"):
        part = result[name]
        times = f"p50 {part['p50_ms']:,.0f} ms, p99 {part['p99_ms']:,.0f} ms, all {part['all_ms']:,.0f} ms"
        missing = "" if part["is_complete"] else " (not all in the time allowed)"
        lines.append(f"{name}: {part['accounts']:,}, {times}, CPU {part['cpu_us_per_account']:,.0f} us each{missing}")
    settled, left = result["flatten"]["settled_ms"], result["flatten"]["positions_left"]
    lines.append(f"stop settled after {'-' if settled is None else f'{settled:,.0f} ms'}, positions left: {left}")
    return "\n".join(lines)


def _print_fanout(result: dict[str, Any]) -> None:
    table = Table(title=f"One signal to many accounts ({result['database']}); times in ms from its acceptance")
    for column in ("venue", "latency", "accounts", "intents", "p50", "p99", "last", "orders/s", "CPU us", "protected"):
        table.add_column(column, justify="right")
    for row in [*result["runs"], *([result["mixed"]] if "mixed" in result else [])]:
        for warmth in ("cold", "warm"):
            found = row[warmth]
            names = ("intents_durable_ms", "recorded_p50_ms", "recorded_p99_ms", "last_acknowledged_ms")
            figures = [*(found[name] for name in names), found["orders_per_s"], found["cpu_us_per_order"]]
            where = f"{row['venue']}, {warmth}"
            shown = [f"{each:,.0f}" for each in (*figures, found["all_protected_ms"] or 0.0)]
            table.add_row(where, str(row["latency_ms"]), f"{row['accounts']:,}", *shown)
    Console().print(table)
    _print_missing(result)
    for row in result["runs"]:
        if "peers" in row:
            typer.echo(f"Beside it, venue latency {row['latency_ms']} ms: {json.dumps(row['peers'])}")
        if "profile" in row:
            _print_profile(row)
    for late in result.get("mixed", {}).get("warm", {}).get("lateness", ()):
        typer.echo(f"Lateness: {json.dumps(late)}")
    if "idle" in result:
        typer.echo(f"Memory: {json.dumps(result['idle'])}")


def _print_profile(row: dict[str, Any]) -> None:
    """Print what each kind of thread spent most on, in us an order: by itself, and with what it called."""
    for share in row["profile"]:
        title = f"{row['venue']}, {row['latency_ms']} ms, warm: {share['thread']}, {share['us_per_order']} us an order"
        table = Table("us", "by itself", "us", "with what it calls", title=title)
        for (own, own_us), (whole, whole_us) in zip(share["own"], share["with_callees"], strict=False):
            table.add_row(str(own_us), own, str(whole_us), whole)
        Console().print(table)


def _print_missing(result: dict[str, Any]) -> None:
    """Name, run by run, whoever got no order and why, and a run that did not end in its time."""
    for row in [*result["runs"], *([result["mixed"]] if "mixed" in result else [])]:
        for warmth in ("cold", "warm"):
            found = row[warmth]
            if found["skipped"] or found["denied"] or not found["is_complete"]:
                words = {name: found[name] for name in ("states", "skipped", "denied", "is_complete")}
                typer.echo(f"{row['venue']}, {row['latency_ms']} ms, {warmth}: {json.dumps(words)}")


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
