"""What this room throws away by itself: answers kept for repeats, once nobody may ask for them any more."""

from __future__ import annotations

from datetime import timedelta

from tradewind.infra.clock import Clock
from tradewind.infra.db import Db
from tradewind.infra.db_errors import PASSING_KINDS, is_passing
from tradewind.infra.log import logger
from tradewind.web.idempotency import forget_old

_EVERY = timedelta(hours=1)
_log = logger("web.housekeeping")


async def run_housekeeping(db: Db, clock: Clock) -> None:
    """Forget old idempotency keys every hour, from the start on; runs until cancelled."""
    while True:
        try:
            count = await db.write(lambda tx: forget_old(tx, clock.now()))
        except PASSING_KINDS as error:
            if not is_passing(error):
                raise
            # A busy database is no reason to end anything; the next hour comes.
            _log.warning("web.housekeeping.postponed", error=type(error).__name__)
        else:
            if count:
                _log.info("web.housekeeping.forgot", count=count)
        await clock.sleep(_EVERY.total_seconds())
