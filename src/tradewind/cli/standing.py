"""What `doctor` says of the business itself: stops in force, what is still to be found out, what was given up."""

from __future__ import annotations

from tradewind.cli.start import opened_db
from tradewind.config import Settings
from tradewind.core.errors import Conflict
from tradewind.core.signal import Action
from tradewind.execution import service as execution
from tradewind.execution.stop_file import StopFile
from tradewind.infra.db import Db
from tradewind.infra.migrate import require_current_schema
from tradewind.signals import service as signals
from tradewind.signals.inbox_facts import Entry, SignalState

_NAMED_MAX = 5


def check_stops(settings: Settings) -> str:
    """Name the emergency stops in force. Raises Conflict where there is one: no entry is sent under it."""
    # Looked at first: it counts where the database is away, too.
    file = StopFile(settings.data_dir)
    filed = file.read()
    if filed:
        scopes = ", ".join(sorted({str(each.request.scope) for each in filed}))
        raise Conflict(
            "stopped_by_file",
            f"the stop file {file.path} stops {scopes}: this machine sends no entries, and a platform that reaches the "
            "database records it there. tradewind emergency status shows it; to go on: tradewind emergency resume",
        )
    with opened_db(settings) as db:
        require_current_schema(db)
        stops = [each for each in db.read_now(execution.all_stops) if each.is_stopped]
    if not stops:
        return "no emergency stop is on"
    named = ", ".join(
        f"{each.scope} since {each.stopped_at:%Y-%m-%d %H:%M} UTC ({each.reason})" for each in stops[:_NAMED_MAX]
    )
    more = f" and {len(stops) - _NAMED_MAX} more" if len(stops) > _NAMED_MAX else ""
    raise Conflict("stopped", f"{len(stops)} in force: {named}{more}. To go on: tradewind emergency resume")


def check_recovery(settings: Settings) -> str:
    """Say what is still to be found out. Raises Conflict where accounts or orders wait for it."""
    with opened_db(settings) as db:
        require_current_schema(db)
        found = db.read_now(execution.recovery_standing)
    parts = [
        (found.in_doubt, "orders in doubt: nobody knows yet what became of them"),
        (len(found.waiting), f"accounts whose entries wait ({_first(found.waiting)})"),
        (found.restores, "backups put back that are not adopted everywhere yet"),
    ]
    open_points = [f"{count} {what}" for count, what in parts if count]
    if open_points:
        raise Conflict("recovering", f"{'; '.join(open_points)}. tradewind recovery shows more; a platform must run.")
    return "no order is in doubt, no account waits"


def check_dead_letters(settings: Settings) -> str:
    """Count what was given up. Raises Conflict where a close was and its positions are still open."""
    with opened_db(settings) as db:
        require_current_schema(db)
        dead = db.read_now(lambda tx: signals.list_entries(tx, visible=None, state=SignalState.DEAD))
        missed = [each.signal.id for each in dead if _leaves_open(db, each)]
    if missed:
        raise Conflict(
            "closes_given_up",
            f"{len(missed)} closes were given up and what they were to close is still open ({missed[0]}). "
            f"tradewind signals show {missed[0]}; tradewind signals retry {missed[0]}",
        )
    return f"{len(dead)} dead letters: tradewind signals list --dead" if dead else "no dead letters"


def _leaves_open(db: Db, entry: Entry) -> bool:
    signal = entry.signal
    if signal.action is not Action.CLOSE:
        return False
    return db.read_now(lambda tx: execution.has_open_lots(tx, signal.source_id, signal.base))


def _first(waiting: list[str]) -> str:
    return f"the first for {waiting[0]}" if waiting else ""
