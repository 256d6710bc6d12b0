"""`tradewind signals`: what came in, what was given up, and trying it again for those who did not get theirs."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tradewind.cli.rooms import Rooms, opened_rooms
from tradewind.cli.signals_preview import preview
from tradewind.cli.tables import print_table
from tradewind.core.errors import Unavailable
from tradewind.core.ids import AccountId, SignalId
from tradewind.execution import retry_requests
from tradewind.infra.db import Tx
from tradewind.signals import service as signals
from tradewind.signals.inbox_facts import Entry, SignalState

app = typer.Typer(help="Signals: list, show, preview, retry.", no_args_is_help=True)
app.command()(preview)

_WAIT_S = 15.0
_LOOK_S = 0.2

SignalArgument = Annotated[str, typer.Argument(help="The signal's id.")]


@app.command("list")
def list_signals(
    context: typer.Context,
    dead: Annotated[bool, typer.Option("--dead", help="Only those that were given up (dead letters).")] = False,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1, max=1_000)] = 30,
) -> None:
    """List signals, newest first."""
    state = SignalState.DEAD if dead else None
    with opened_rooms(context) as rooms:
        found = rooms.db.read_now(lambda tx: signals.list_entries(tx, visible=None, limit=limit, state=state))
    print_table(
        ["received (UTC)", "id", "action", "symbol", "state", "attempts", "last error"],
        [
            [
                f"{each.signal.received_at:%Y-%m-%d %H:%M:%S}",
                each.signal.id,
                each.signal.action.value,
                each.signal.symbol_text,
                each.state.value,
                str(each.attempts),
                each.last_error or "",
            ]
            for each in found
        ],
    )
    typer.echo(f"{len(found)} {'dead letters' if dead else 'signals'}")


@app.command()
def show(context: typer.Context, signal: SignalArgument) -> None:
    """Show one signal with the reason it was given up, if it was."""
    with opened_rooms(context) as rooms:
        entry = rooms.db.read_now(lambda tx: signals.load_entry(tx, SignalId(signal)))
        source = rooms.db.read_now(lambda tx: signals.load_source(tx, entry.signal.source_id))
    print_table(["field", "value"], [[name, value] for name, value in _fields(entry, source.name)])


@app.command()
def retry(
    context: typer.Context,
    signal: SignalArgument,
    max_age: Annotated[
        int | None, typer.Option(help="Trade an entry up to this age in seconds, although it is too old.", min=1)
    ] = None,
    account: Annotated[list[str] | None, typer.Option(help="Only this account; may be given several times.")] = None,
) -> None:
    """Try a signal again for the accounts that did not get theirs for a reason that passes."""
    with opened_rooms(context) as rooms:
        answer = _ask(rooms, SignalId(signal), max_age, [AccountId(each) for each in account or ()])
    if "error" in answer:
        typer.echo(answer["error"], err=True)
        raise typer.Exit(1)
    if answer["reopened"]:
        typer.echo("The signal was a dead letter: it is decided anew for all its accounts.")
        return
    rows = [[account_id, "done" if is_done else "-", text] for account_id, is_done, text in answer["accounts"]]
    print_table(["account", "", "what"], rows)
    typer.echo(f"{sum(1 for _, is_done, _ in answer['accounts'] if is_done)} of {len(rows)} accounts tried again")


def _ask(rooms: Rooms, signal_id: SignalId, max_age_s: int | None, accounts: list[AccountId]) -> dict[str, Any]:
    """Leave a request for the running platform and wait for its answer. Raises Unavailable where none runs."""

    def ask(tx: Tx) -> str:
        signals.load_entry(tx, signal_id)
        return retry_requests.ask(tx, rooms.ids, signal_id, max_age_s, accounts, rooms.clock.now())

    request_id = rooms.db.write_now(ask)
    give_up = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up:
        answer = rooms.db.read_now(lambda tx: retry_requests.answer_of(tx, request_id))
        if answer is not None:
            return answer
        time.sleep(_LOOK_S)
    if rooms.db.write_now(lambda tx: retry_requests.withdraw(tx, request_id, rooms.clock.now())):
        raise Unavailable(
            "platform_not_running",
            "No platform took the request up, so it was withdrawn and nothing was sent. "
            "Start one (tradewind serve) and try again.",
        )
    raise Unavailable("still_under_way", "The platform is at it and has not answered yet.")


def _fields(entry: Entry, source: str) -> list[tuple[str, str]]:
    signal = entry.signal
    return [
        ("id", signal.id),
        ("source", source),
        ("state", entry.state.value),
        ("action", signal.action.value),
        ("symbol", signal.symbol_text),
        ("received", f"{signal.received_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("attempts", str(entry.attempts)),
        ("last error", entry.last_error or "none"),
        ("body", entry.raw),
    ]
