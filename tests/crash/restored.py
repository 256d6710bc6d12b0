"""An episode in whose middle a backup is put back: what our orders did in the missing time is adopted, under kills.

The journal has forgotten what the exchange knows, so not everything that holds of a whole journal can hold here: which
entry a decision called for, when a claim was written, which id follows from which intent. What must hold is judged:
every execution booked once, nothing bought twice, no position beyond what is there, every position in its state,
everything ended or at rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from tests.crash.databases import Database
from tests.crash.episode import Episode
from tests.crash.evidence import Sides
from tests.crash.referee import Broken, Finding, compared, undone_signals
from tests.crash.scene import Report
from tests.crash.stage import ChildEnded, Stage
from tests.crash.worlds import World

from tradewind.demo.case import Wrong

# Of the kills of an episode these shares come before the backup, and between backup and putting it back.
_BEFORE, _MISSING = 0.3, 0.25
# What even a journal with a gap says of the exchange.
_HOLDS = frozenset(
    {
        Wrong.ENTRY_TWICE,
        Wrong.ORDER_LOST,
        Wrong.ORDER_INVENTED,
        Wrong.ORDER_DIFFERS,
        Wrong.FILL_LOST,
        Wrong.FILL_INVENTED,
        Wrong.FILL_DIFFERS,
        Wrong.UNFINISHED,
        Wrong.HOLDING,
        Wrong.UNPROTECTED,
        Wrong.NATIVE_ABSENT,
    }
)
# Entries leave once their account was found in order after the start.
_FOUND_IN_ORDER_S = 1.0
_ALARMS = frozenset({"overfilled", "sold_more_than_held"})


class RestoredEpisode(Episode):
    """Lives, a backup, more lives, the backup put back, and lives that take it into use."""

    def __init__(self, stage: Stage, world: World, seed: int, database: Database) -> None:
        super().__init__(stage, world, seed)
        self._database = database

    async def run(self, kills: int, rare: Counter[str]) -> Report:
        """Kill before, in and after the time that is forgotten; let it come to rest, judge."""
        before, missing = int(kills * _BEFORE), int(kills * _MISSING)
        for _ in range(before):
            await self.live(self.schedule.kill(rare + self.report.by_point))
        # No stop and no fault of the exchange is in force when the backup is taken: none is forgotten with it.
        await self.clear_faults()
        await self.resume_platform()
        await self._database.back_up(self.world)
        for _ in range(missing):
            await self._trade_into_the_gap()
        await self._database.put_back(self.world)
        self.forget()
        for _ in range(kills - before - missing):
            await self.live(self.schedule.kill_restored(rare + self.report.by_point))
        return await self.conclude()

    async def _trade_into_the_gap(self) -> None:
        """One life of which the backup will know nothing: something is opened or closed, then it is killed."""
        node = await self.start()
        with contextlib.suppress(ChildEnded):
            await self.alert(node, *self.schedule.alert(self.opened))
            await asyncio.sleep(_FOUND_IN_ORDER_S + self.schedule.kill_at_random().life_s)
        await self.kill(node, None)

    def judged(self, sides: Sides) -> list[Finding]:
        """Judge what must hold of a journal with a gap."""
        known = {order.client_order_id for order in sides.journal.orders}
        # Orders that were placed and ended in the gap without a trade are nobody's loss.
        orders = [each for each in sides.venue.orders if each.client_order_id in known or each.executed or each.is_open]
        seen = replace(sides, venue=replace(sides.venue, orders=orders))
        return [*compared(seen, _HOLDS), *undone_signals(seen), *_alarms(seen)]


def _alarms(sides: Sides) -> Iterator[Finding]:
    for kind, account_id, order_id in sides.extra.incidents:
        if kind in _ALARMS:
            yield Finding(Broken.POSITION, f"incident {kind} at account {account_id}, order {order_id}")
