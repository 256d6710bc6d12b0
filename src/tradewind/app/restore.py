"""A database that stands behind its high-water mark: refused, or put into use as what it is, a restored one.

What shows that something is missing are the marks: one beside the database, one outside the data folder. Where both
went back with it (a whole machine rolled back), nothing on this machine can tell, and a person has to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from msgspec.structs import replace

from tradewind.config import Settings
from tradewind.core.errors import Conflict, Unavailable
from tradewind.execution import restoring
from tradewind.execution.restoring import Restore
from tradewind.execution.stop_file import FiledStop, StopFile
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.high_water import HighWater, Mark, MarkFiles, mark_files, read_marks, write_marks
from tradewind.infra.ids import Ids
from tradewind.infra.installation import find_installation, name_installation
from tradewind.infra.log import logger

_log = logger("app.restore")

AFTER_RESTORE = "tradewind serve --after-restore"
RESTORED = "tradewind db restored"


class Missing(StrEnum):
    """What the marks say of a database that somebody calls restored."""

    SOMETHING = "something"
    NOTHING = "nothing"
    # Only the mark beside it says so, and that one comes back with a copy of the folder.
    NOBODY_KNOWS = "nobody_knows"


def marks_of(db: Db, settings: Settings) -> MarkFiles:
    """Return where the marks of the settings' database are."""
    name = db.read_now(find_installation)
    return mark_files(settings.database_url, settings.data_dir, settings.mark_folder, name)


def demand_complete(db: Db, settings: Settings, clock: Clock) -> None:
    """Refuse a database that has forgotten something this installation has seen. Raises Conflict."""
    files = marks_of(db, settings)
    mark = _furthest(files)
    if mark is None:
        return
    here = db.read_now(lambda tx: restoring.position(tx, clock.now()))
    if not mark.is_ahead_of(here):
        return
    raise Conflict(
        "database_behind",
        f"{_behind(mark, here)} Orders of the missing time may be at the venues. Nothing was started and nothing sent. "
        f"To take it into use, with what happened since adopted from the venues: {AFTER_RESTORE}. If it is another "
        f"database on purpose, remove {' and '.join(str(path) for path in files.read if path.exists())}.",
    )


def _behind(mark: Mark, here: Mark) -> str:
    if mark.is_uncertain:
        return (
            "The database server was replaced by one with another history before everything that was confirmed had "
            "been noted down: what was confirmed last may be gone."
        )
    return (
        f"This database is older than what this installation has written (journal line {here.journal} of "
        f"{mark.journal}, signal {here.inbox} of {mark.inbox}, owner {here.epoch} of {mark.epoch}, stop "
        f"{here.stop_epoch} of {mark.stop_epoch}, seen {mark.at:%Y-%m-%d %H:%M:%S} UTC): a backup was put back."
    )


def missing(db: Db, settings: Settings, clock: Clock) -> Missing:
    """Say what the marks know of a database that was called restored."""
    files = marks_of(db, settings)
    here = db.read_now(lambda tx: restoring.position(tx, clock.now()))
    try:
        mark = _furthest(files)
    except Conflict:
        return Missing.SOMETHING
    if not here.journal and not here.inbox and (mark is None or not mark.is_ahead_of(here)):
        # Nothing was ever written that could be missing.
        return Missing.NOTHING
    if mark is None or mark.is_ahead_of(here):
        # A new machine with a backup only has no mark at all.
        return Missing.SOMETHING
    is_seen_outside = any(path.exists() for path in files.written[1:])
    return Missing.NOTHING if is_seen_outside else Missing.NOBODY_KNOWS


def wants_restore(db: Db, settings: Settings, clock: Clock) -> bool:
    """Say whether `--after-restore` has something to do: it is good for one restore, however long it stands there.

    Where nobody knows, a person's word counts once: it was never said of this database before.
    """
    known = missing(db, settings, clock)
    if known is Missing.NOBODY_KNOWS:
        return not db.read_now(restoring.list_restores)
    return known is Missing.SOMETHING


def begin_restore(db: Db, settings: Settings, clock: Clock, ids: Ids) -> Restore:
    """Take a restored database into use: what it has forgotten is adopted from the venues once the engine runs.

    Emergency stops that it has forgotten go into the stop file first, and from there into the database before
    anything is claimed. Raises Unavailable where that file or the mark cannot be written.
    """
    db.write_now(name_installation)
    files = marks_of(db, settings)
    mark, stops = _remembered(files, clock)
    _file(StopFile(settings.data_dir), stops)
    restore = db.write_now(lambda tx: restoring.begin_restore(tx, ids, mark, clock.now()))
    # From here on nothing is missing that was not begun to be adopted: the same word a second time does nothing.
    _mark(files.written, db.read_now(lambda tx: restoring.position(tx, clock.now())))
    for path in files.former:
        path.unlink(missing_ok=True)
    _log.warning("app.restore.begun", restore_id=restore.id, since=restore.since, epoch=restore.epoch)
    return restore


def remember_stops(db: Db, settings: Settings, clock: Clock) -> None:
    """Bring a stop made while no platform runs into the marks; the rest stays. Raises OSError, Conflict."""
    files = marks_of(db, settings)
    mark = _furthest(files)
    if mark is None:
        return
    here = db.read_now(lambda tx: restoring.position(tx, clock.now()))
    # A backup that nobody has taken into use yet knows less than the mark.
    before = mark.stops if mark.is_ahead_of(here) else ()
    stops = {(each.scope, each.subject): each for each in (*before, *here.stops)}
    fresh = replace(mark, stop_epoch=max(mark.stop_epoch, here.stop_epoch), stops=tuple(stops.values()))
    write_marks(files.written, fresh)


def _furthest(files: MarkFiles) -> Mark | None:
    return next(iter(read_marks(files.read)), None)


def _remembered(files: MarkFiles, clock: Clock) -> tuple[Mark | None, list[FiledStop]]:
    """Read the marks and the stops in them; one that cannot be read stops the platform."""
    try:
        marks = read_marks(files.read)
    except Conflict:
        return None, [restoring.unknown_stops(clock.now())]
    if not marks:
        return None, []
    # What any of them has seen was there; the stops in force are those of the one that was written last.
    newest = max(marks, key=lambda each: each.at)
    mark = replace(
        newest,
        journal=max(each.journal for each in marks),
        inbox=max(each.inbox for each in marks),
        epoch=max(each.epoch for each in marks),
        stop_epoch=max(each.stop_epoch for each in marks),
        is_uncertain=False,
    )
    return mark, restoring.forgotten_stops(mark)


def _mark(paths: Sequence[Path], mark: Mark) -> None:
    try:
        write_marks(paths, mark)
    except OSError as error:
        raise Unavailable(
            "mark_not_written",
            f"The high-water mark {paths[0]} cannot be written: {error.strerror}. The database is ready to be used "
            "after the restore; repair that and start again.",
        ) from None


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
    """Keep the marks of the settings' database."""

    def read(tx: Tx) -> Mark:
        return restoring.position(tx, clock.now())

    db.write_now(name_installation)
    return HighWater(db, clock, marks_of(db, settings).written, read)
