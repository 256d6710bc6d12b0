"""`tradewind doctor`: is this installation well? Every finding names what to do; exit code 0 only if all pass.

It reads and asks, and changes nothing. A running platform is not disturbed.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError

from tradewind.cli.standing import check_dead_letters, check_recovery, check_stops
from tradewind.cli.start import (
    database_file,
    database_place,
    kek_place,
    opened_db,
    owner_lock,
    require_sound,
    settings_of,
)
from tradewind.cli.venue_checks import check_venues
from tradewind.config import Settings, describe
from tradewind.core.errors import Conflict, TradewindError
from tradewind.core.gate import Closed, CredentialState, GateInputs, gate
from tradewind.core.instrument import Environment
from tradewind.core.order import GateKind
from tradewind.infra.clock import SystemClock
from tradewind.infra.migrate import SchemaState, require_current_schema, schema_status
from tradewind.vault.opening import open_vault


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is well, and what was seen or what to do."""

    name: str
    is_well: bool
    text: str


def doctor(
    context: typer.Context,
    settings_shown: Annotated[bool, typer.Option("--settings", help="Show every setting in effect.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Look at settings, database, key, stops, recovery, venues, clocks and gate."""
    findings, settings = _look(context)
    lines = [] if settings is None else describe(settings)
    if as_json:
        shown = {line.key: {"value": line.value, "origin": line.origin} for line in lines}
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings], "settings": shown}))
    else:
        if settings_shown:
            _print_table(["setting", "value", "from"], [[line.key, line.value, line.origin] for line in lines])
        rows = [["ok" if finding.is_well else "FAIL", finding.name, finding.text] for finding in findings]
        _print_table(["", "what", "finding"], rows)
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)


def _look(context: typer.Context) -> tuple[list[Finding], Settings | None]:
    try:
        settings = settings_of(context)
    except TradewindError as error:
        return [Finding("settings", False, error.message)], None
    changed = sum(line.origin != "default" for line in describe(settings))
    findings = [Finding("settings", True, f"read; {changed} differ from their defaults")]
    checks: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("database", _database),
        ("schema", _schema),
        ("key", _key),
        ("process", _process),
        ("stops", check_stops),
        ("recovery", check_recovery),
        ("dead letters", check_dead_letters),
    )
    findings += [_finding(name, check, settings) for name, check in checks]
    findings += [Finding(name, is_well, text) for name, is_well, text in asyncio.run(check_venues(settings))]
    findings += [_gate(settings, environment) for environment in _enabled_environments(settings)]
    return findings, settings


def _finding(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, True, check(settings))
    except TradewindError as error:
        return Finding(name, False, error.message)


def _database(settings: Settings) -> str:
    with opened_db(settings) as db:
        require_sound(db, settings)
        facts = db.server_facts()
    if facts is not None:
        return f"{database_place(settings)}, {facts.describe()}"
    file = database_file(settings)
    size = 0 if file is None else file.stat().st_size
    return f"{file}, {size:,} bytes, sound"


def _schema(settings: Settings) -> str:
    with opened_db(settings) as db:
        require_current_schema(db)
        return f"revision {schema_status(db).revision}, as this release needs"


def _key(settings: Settings) -> str:
    place = kek_place(settings)
    with opened_db(settings) as db:
        if schema_status(db).state is not SchemaState.CURRENT:
            raise Conflict("key_not_tried", f"not tried on the database (schema first): {place.describe()}")
        try:
            vault = db.read_now(lambda tx: open_vault(tx, place, SystemClock(), os.environ))
        except OperationalError:  # a passphrase's salt is written at its first use, and here nothing is written
            raise Conflict("key_not_made", "no key derived from the passphrase yet: tradewind keys check") from None
    return f"{place.describe()}, id {vault.kek_id}, fits the database"


def _process(settings: Settings) -> str:
    file = database_file(settings)
    if file is not None and not file.is_file():
        return "no platform runs on this database"
    lock = owner_lock(settings)
    try:
        lock.acquire()
    except Conflict as error:
        return error.message.split(". ")[0]
    lock.release()
    return "no platform runs on this database"


def _enabled_environments(settings: Settings) -> list[Environment]:
    return sorted({environment for venue, environment in settings.venues if settings.is_enabled(venue, environment)})


def _gate(settings: Settings, environment: Environment) -> Finding:
    """Ask the gate what the platform's own switches say, for an account that has everything else."""
    answer = gate(
        GateKind.ENTRY,
        GateInputs(
            environment=environment,
            venue_label="the venue",
            allow_live=settings.allow_live,
            trading_enabled=settings.trading_enabled,
            is_dry_run=settings.dry_run,
            has_live_token=True,
            has_confirmed_live=True,
            credential=CredentialState.VERIFIED,
            is_venue_healthy=True,
            has_subscription=True,
            has_second_factor=True,
        ),
    )
    name = f"gate {environment}"
    if isinstance(answer, Closed):
        return Finding(name, False, " ".join(reason.text() for reason in answer.reasons))
    return Finding(name, True, "open as far as the platform's switches go; each account has conditions of its own")


def _print_table(headers: list[str], rows: list[list[str]]) -> None:
    table = Table(*headers, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=True).print(table)
