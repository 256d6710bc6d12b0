"""A database that stands behind its high-water mark: refused, or put into use as what it is, a restored one."""

from __future__ import annotations

from tradewind.config import Settings
from tradewind.core.errors import Conflict
from tradewind.execution import restoring
from tradewind.execution.restoring import Restore
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.high_water import HighWater, Mark, mark_file, read_mark
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
        f"{mark.journal}, signal {here.inbox} of {mark.inbox}, owner {here.epoch} of {mark.epoch}, seen "
        f"{mark.at:%Y-%m-%d %H:%M:%S} UTC): a backup was put back. Orders of the missing time may be at the venues. "
        f"Nothing was started and nothing sent. To take it into use, with what happened since adopted from the venues: "
        f"{AFTER_RESTORE}. If it is another database on purpose, remove {path}.",
    )


def begin_restore(db: Db, settings: Settings, clock: Clock, ids: Ids) -> Restore:
    """Take a restored database into use: what it has forgotten is adopted from the venues once the engine runs."""
    mark = read_mark(mark_file(settings.database_url, settings.data_dir))
    restore = db.write_now(lambda tx: restoring.begin_restore(tx, ids, mark, clock.now()))
    _log.warning("app.restore.begun", restore_id=restore.id, since=restore.since, epoch=restore.epoch)
    return restore


def high_water(db: Db, settings: Settings, clock: Clock) -> HighWater:
    """Keep the mark of the settings' database."""

    def read(tx: Tx) -> Mark:
        return restoring.position(tx, clock.now())

    return HighWater(db, clock, mark_file(settings.database_url, settings.data_dir), read)
