"""`tradewind emergency`: stop entries, let them go again, see how it stands; with the database away as well.

A stop first writes the stop file, which every Tradewind on this machine obeys within a quarter of a second, and
then tries the database. What was reached and what was not is told, and the exit code says it too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from tradewind.accounts.service import Accounts
from tradewind.app.emergency import people_of
from tradewind.app.restore import remember_stops
from tradewind.cli.rooms import ACTOR, Rooms, opened_rooms
from tradewind.cli.start import make_folder, owner_lock, settings_of
from tradewind.cli.tables import print_table
from tradewind.config import Settings
from tradewind.core.errors import Conflict, InvalidInput, NotFound, TradewindError
from tradewind.core.ids import UserId
from tradewind.execution.emergency import Emergency, Stopped, StopRequest
from tradewind.execution.emergency_store import PLATFORM, Policy, Scope, ScopeKind
from tradewind.execution.journal import Journal
from tradewind.execution.service import all_stops, has_open_business, stop_seen
from tradewind.execution.stop_file import FiledStop, StopFile, latched
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import CommitInDoubt, Tx
from tradewind.infra.ids import RandomIds

app = typer.Typer(help="Emergency stop: stop, resume, status.", no_args_is_help=True)
# Exit codes: 0 stopped and recorded; 3 stopped by the file alone; 1 nothing was reached.
_FILE_ONLY = 3
# A database that has not answered by then counts as away; the stop file holds the stop.
_DATABASE_S = 12.0
# The running platform looks five times a second.
_CONFIRM_S = 3.0

UserOption = Annotated[str | None, typer.Option("--user", help="A person, by e-mail address or id.")]
VenueOption = Annotated[str | None, typer.Option("--venue", help="A venue, by name: binance.")]
AccountOption = Annotated[str | None, typer.Option("--account", help="One account, by id.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the audit and is shown.")]


@dataclass(slots=True)
class _Outcome:
    """What came of a call to the database that may never return."""

    value: Stopped | None = None
    error: Exception | None = None
    is_over: bool = False


@app.command()
def stop(
    context: typer.Context,
    user: UserOption = None,
    venue: VenueOption = None,
    account: AccountOption = None,
    flatten: Annotated[bool, typer.Option("--flatten", help="Sell the positions of the scope as well.")] = False,
    reason: ReasonOption = "stopped from the command line",
) -> None:
    """Stop new entries: of the whole platform, or of a person, a venue, an account. Stops and targets stay."""
    settings = settings_of(context)
    scope = _scope(user, venue, account)
    clock = SystemClock()
    wanted = StopRequest(scope, Policy.FLATTEN if flatten else Policy.CANCEL, ACTOR, reason)
    filed = FiledStop(RandomIds(clock).new(), wanted, clock.now())
    file = StopFile(settings.data_dir)
    is_filed = _write(file, filed, settings)
    try:
        done = _within(lambda: _record(context, filed))
    except NotFound:
        # The database says that there is nothing of that name to stop: no file is left behind.
        if is_filed:
            file.remove({filed.id})
        raise
    except (SQLAlchemyError, CommitInDoubt, TradewindError, TimeoutError) as error:
        typer.echo(f"The database was NOT reached: {_words(error)}.", err=True)
        if not is_filed:
            typer.echo("NOTHING was stopped. Stop the process itself: systemctl stop tradewind, or kill it.", err=True)
            raise typer.Exit(1) from None
        typer.echo(
            "The stop file holds the stop: this machine sends no entries, now and after a restart, and records it when "
            "the database is back. Other machines were NOT reached: run this there too.",
            err=True,
        )
        raise typer.Exit(_FILE_ONLY) from None
    _tell_stopped(done)
    if is_filed:
        file.remove({filed.id})
    typer.echo(_confirmation(context, settings, done.row.epoch))


@app.command()
def resume(
    context: typer.Context,
    user: UserOption = None,
    venue: VenueOption = None,
    account: AccountOption = None,
    reason: ReasonOption = "resumed from the command line",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the word RESUME.")] = False,
) -> None:
    """Let entries go again for what is decided from now on; nothing that was stopped is sent."""
    settings = settings_of(context)
    if not yes and typer.prompt("Type RESUME to let entries go again") != "RESUME":
        raise InvalidInput("not_confirmed", "Nothing was changed.")
    file = StopFile(settings.data_dir)
    with opened_rooms(context) as rooms:
        emergency = _emergency(rooms)
        scope = rooms.db.read_now(lambda tx: _resolved(tx, rooms, _scope(user, venue, account)))
        filed = file.read()
        mine = [each for each in filed if rooms.db.read_now(partial(_filed_scope, rooms=rooms, filed=each)) == scope]
        # What only the file holds is recorded first, so that the audit tells the whole story.
        for each in mine:
            rooms.db.write_now(partial(_merge, emergency=emergency, rooms=rooms, filed=each))
        row = rooms.db.write_now(lambda tx: emergency.resume(tx, scope, actor=ACTOR, reason=reason, is_operator=True))
        if mine:
            file.remove({each.id for each in mine})
    typer.echo(f"Entries go again: {row.scope}. What was stopped is not sent.")
    others = file.read()
    if others:
        typer.echo(f"The stop file still stops {', '.join(sorted(map(str, latched(others))))}.", err=True)


@app.command()
def status(context: typer.Context) -> None:
    """Show every stop, in the database and in the stop file."""
    settings = settings_of(context)
    file = StopFile(settings.data_dir)
    for each in file.read():
        request = each.request
        typer.echo(f"Stop file {file.path}: {request.scope}, by {request.actor}: {request.reason}")
    with opened_rooms(context) as rooms:
        rows = rooms.db.read_now(all_stops)
    print_table(
        ["scope", "state", "since", "by", "policy", "carried out", "reason"],
        [
            [
                str(row.scope),
                "STOPPED" if row.is_stopped else f"open since {_minute(row.resumed_at)}",
                _minute(row.stopped_at),
                row.actor,
                row.policy.value,
                "yes" if row.is_settled else "not yet",
                row.reason,
            ]
            for row in rows
        ],
    )
    count = sum(row.is_stopped for row in rows)
    typer.echo("No emergency stop is on." if count == 0 and not file.read() else f"{count} recorded in force")


# --- inside ----------------------------------------------------------------------------------------


def _scope(user: str | None, venue: str | None, account: str | None) -> Scope:
    named = [each for each in (user, venue, account) if each is not None]
    if len(named) > 1:
        raise InvalidInput("scope_unclear", "Give at most one of --user, --venue and --account.")
    if user is not None:
        return Scope(ScopeKind.USER, user)
    if venue is not None:
        return Scope(ScopeKind.VENUE, venue.lower())
    return PLATFORM if account is None else Scope(ScopeKind.ACCOUNT, account)


def _write(file: StopFile, filed: FiledStop, settings: Settings) -> bool:
    try:
        make_folder(settings.data_dir)
        file.put(filed)
    except (OSError, TradewindError) as error:
        typer.echo(f"The stop file {file.path} could NOT be written: {_words(error)}.", err=True)
        return False
    typer.echo(f"Stop file written: {file.path}. This machine sends no new entries.")
    return True


def _record(context: typer.Context, filed: FiledStop) -> Stopped:
    """Record the stop in the database. Raises NotFound for a person, venue or account that is not there."""
    with opened_rooms(context) as rooms:

        def work(tx: Tx) -> Stopped:
            scope = _resolved(tx, rooms, filed.request.scope)
            return _emergency(rooms).stop(tx, replace(filed.request, scope=scope))

        return rooms.db.write_now(work)


def _resolved(tx: Tx, rooms: Rooms, scope: Scope) -> Scope:
    if scope.kind is not ScopeKind.USER:
        return scope
    if "@" in scope.subject:
        return Scope(ScopeKind.USER, rooms.load_user(tx, scope.subject).id)
    return Scope(ScopeKind.USER, rooms.identity.load_user(tx, UserId(scope.subject)).id)


def _filed_scope(tx: Tx, rooms: Rooms, filed: FiledStop) -> Scope:
    """What a filed stop comes to once it is in the database."""
    try:
        return _resolved(tx, rooms, filed.request.scope)
    except NotFound:
        return PLATFORM


def _merge(tx: Tx, emergency: Emergency, rooms: Rooms, filed: FiledStop) -> None:
    def find(tx: Tx, email: str) -> UserId | None:
        user = rooms.identity.find_user_by_email(tx, email)
        return None if user is None else user.id

    emergency.merge(tx, filed.request, filed.asked_at, find)


def _emergency(rooms: Rooms) -> Emergency:
    # Stopping is anybody's right: the journal's owner is not asked, and nothing is claimed here.
    accounts = Accounts(rooms.clock, rooms.audit, has_open_business)
    return Emergency(Journal(rooms.ids, 0), rooms.audit, rooms.clock, people_of(accounts))


def _within(work: Callable[[], Stopped]) -> Stopped:
    """Do this on a thread of its own and wait a while. Raises TimeoutError; the thread ends with the process."""
    outcome = _Outcome()

    def run() -> None:
        try:
            outcome.value = work()
        except (SQLAlchemyError, CommitInDoubt, TradewindError, OSError) as error:
            outcome.error = error
        finally:
            outcome.is_over = True

    thread = threading.Thread(target=run, name="database", daemon=True)
    thread.start()
    thread.join(_DATABASE_S)
    if not outcome.is_over:
        raise TimeoutError(f"no answer within {_DATABASE_S:.0f} s")
    if outcome.error is not None:
        raise outcome.error
    assert outcome.value is not None, "a mistake of ours; its traceback stands above"
    return outcome.value


def _tell_stopped(done: Stopped) -> None:
    typer.echo(
        f"Recorded in the database: {done.row.scope} is stopped. {len(done.denied)} entries that waited are denied, "
        f"{done.on_the_way} already sent are followed. Stops and targets stay in place."
    )
    if done.row.policy is Policy.FLATTEN:
        typer.echo("Positions of the scope are sold by the running platform; `tradewind emergency status` tells.")


def _confirmation(context: typer.Context, settings: Settings, epoch: int) -> str:
    """Say whether the platform that runs on this database obeys the stop."""
    if not _is_running(settings):
        with opened_rooms(context) as rooms, contextlib.suppress(OSError, Conflict):
            # Nobody else writes the mark now; where it cannot be written, the next start does.
            remember_stops(rooms.db, settings, rooms.clock)
        return "No platform runs on this database now. When one starts, it starts stopped."
    deadline = time.monotonic() + _CONFIRM_S
    with opened_rooms(context) as rooms:
        while time.monotonic() < deadline:
            if rooms.db.read_now(stop_seen) >= epoch:
                return "The running platform has confirmed."
            time.sleep(0.05)
    return f"The running platform has NOT confirmed within {_CONFIRM_S:.0f} s. Look after its process."


def _is_running(settings: Settings) -> bool:
    lock = owner_lock(settings)
    try:
        lock.acquire()
    except Conflict:
        return True
    lock.release()
    return False


def _words(error: BaseException) -> str:
    if isinstance(error, TradewindError):
        return error.message.rstrip(".")
    if isinstance(error, SQLAlchemyError):
        return str(getattr(error, "orig", None) or type(error).__name__)
    return str(error)


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
