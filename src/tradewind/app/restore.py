"""A database that stands behind its high-water mark: refused, or put into use as what it is, a restored one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tradewind.config import Settings
from tradewind.core.errors import Conflict, Unavailable
from tradewind.execution import restoring
from tradewind.execution.restoring import Restore
from tradewind.execution.stop_file import FiledStop, StopFile
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.high_water import HighWater, Mark, mark_file, read_mark, write_mark
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger

_log = logger("app.restore")

AFTER_RESTORE = "tradewind serve --after-restore"


def demand_complete(db: Db, settings: Settings, clock: Clock) -> None:
    """Refuse a database that has forgotten something this installation has seen. Raises Conflict."""
    path = mark_file(settings.database_url, settings.data_dir)
    mark = read_mark(path)
    if mark is None:
        return
    here = db.read_now(lambda tx: restoring.position(tx, clock.now()))
    if not mark.is_ahead_of(here):
        return
    raise Conflict(
        "database_behind",
        f"This database is older than what this installation has written (journal line {here.journal} of "
        f"{mark.journal}, signal {here.inbox} of {mark.inbox}, owner {here.epoch} of {mark.epoch}, stop "
        f"{here.stop_epoch} of {mark.stop_epoch}, seen "
        f"{mark.at:%Y-%m-%d %H:%M:%S} UTC): a backup was put back. Orders of the missing time may be at the venues. "
        f"Nothing was started and nothing sent. To take it into use, with what happened since adopted from the venues: "
        f"{AFTER_RESTORE}. If it is another database on purpose, remove {path}.",
    )


def begin_restore(db: Db, settings: Settings, clock: Clock, ids: Ids) -> Restore:
    """Take a restored database into use: what it has forgotten is adopted from the venues once the engine runs.

    Emergency stops that it has forgotten go into the stop file first, and from there into the database before
    anything is claimed. Raises Unavailable where that file cannot be written.
    """
    mark, stops = _remembered(settings, clock)
    _file(StopFile(settings.data_dir), stops)
    restore = db.write_now(lambda tx: restoring.begin_restore(tx, ids, mark, clock.now()))
    _log.warning("app.restore.begun", restore_id=restore.id, since=restore.since, epoch=restore.epoch)
    return restore


def remember_stops(db: Db, settings: Settings, clock: Clock) -> None:
    """Bring a stop made while no platform runs into the mark; the rest of it stays. Raises OSError, Conflict."""
    path = mark_file(settings.database_url, settings.data_dir)
    mark = read_mark(path)
    if mark is None:
        return
    here = db.read_now(lambda tx: restoring.position(tx, clock.now()))
    # A backup that nobody has taken into use yet knows less than the mark.
    before = mark.stops if mark.is_ahead_of(here) else ()
    stops = {(each.scope, each.subject): each for each in (*before, *here.stops)}
    write_mark(path, replace(mark, stop_epoch=max(mark.stop_epoch, here.stop_epoch), stops=tuple(stops.values())))


def _remembered(settings: Settings, clock: Clock) -> tuple[Mark | None, list[FiledStop]]:
    """Read the mark and the stops in it; one that cannot be read stops the platform."""
    try:
        mark = read_mark(mark_file(settings.database_url, settings.data_dir))
    except Conflict:
        return None, [restoring.unknown_stops(clock.now())]
    return mark, [] if mark is None else restoring.forgotten_stops(mark)


def _file(file: StopFile, stops: Sequence[FiledStop]) -> None:
    known = {each.id for each in file.read()}
    try:
        for stop in stops:
            if stop.id not in known:
                file.put(stop)
    except OSError as error:
        raise Unavailable(
            "stop_not_recorded",
            f"Emergency stops were in force that the backup does not know, and the stop file {file.path} that carries "
            f"them over cannot be written: {error.strerror}. Nothing was started. Repair that and start again.",
        ) from None


def high_water(db: Db, settings: Settings, clock: Clock) -> HighWater:
    """Keep the mark of the settings' database."""

    def read(tx: Tx) -> Mark:
        return restoring.position(tx, clock.now())

    return HighWater(db, clock, mark_file(settings.database_url, settings.data_dir), read)
