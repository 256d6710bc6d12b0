"""One episode: a fresh world, a node killed many times, a quiet end, the verdict."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from decimal import Decimal
from functools import partial

from tests.crash.evidence import Motion, Sides, Told, look_at_motion, read_sides
from tests.crash.killer import read_counts
from tests.crash.referee import Finding, judge
from tests.crash.scene import LOOK_S, NodeEnded, Report, Scene, now_us
from tests.crash.schedule import Kill
from tests.crash.stage import Child, ChildEnded

from tradewind.demo.bare import bare_spans
from tradewind.execution.emergency_store import Policy
from tradewind.infra.db import Db

# After the last fault everything must come to rest: fence, two questions, back-off of exits take seconds. A busy
# machine may need longer, so the wait goes on while anything moves at all, up to this.
QUIET_WITHIN_S = 150.0
_NOTHING_MOVES_S = 40.0
# Nothing was written for this long and nothing is left to do.
_STILL_S = 0.25
# An alert's way to a protected position takes about as long.
_OPENED_S = 0.7


class Episode(Scene):
    """A world with its exchange, and the node that is killed over and over."""

    async def run(self, kills: int, rare: Counter[str]) -> Report:
        """Kill, let it come to rest, judge."""
        for _ in range(kills):
            await self.live(self.schedule.kill(rare + self.report.by_point))
        return await self.conclude()

    async def conclude(self, within_s: float = QUIET_WITHIN_S) -> Report:
        """Let it come to rest without faults, and judge."""
        await self.clear_faults()
        await self.resume_platform()
        await self.quieten(within_s)
        await self.verdict()
        return self.report

    async def live(self, kill: Kill) -> None:
        """One life of the node: things happen until it dies."""
        node = await self.start(kill.strike)
        ends_at = asyncio.get_running_loop().time() + kill.life_s
        with contextlib.suppress(ChildEnded):
            await self.send_unanswered(node)
            await self._provoke(node, kill)
            while node.is_alive and (left := ends_at - asyncio.get_running_loop().time()) > 0:
                await self._happen(node)
                await asyncio.sleep(min(left, self.schedule.pause_s()))
        await self.kill(node, kill.strike.point if kill.strike else None)

    async def _provoke(self, node: Child, kill: Kill) -> None:
        """Bring the node to the point at which it is to die."""
        for fault in kill.faults:
            await self.exchange.add_fault(**fault)
        if kill.wants == "fall":
            for base in sorted(self.opened):
                await self.fall(base)
        elif kill.wants in ("rise", "flatten"):
            await self._hold_something(node)
            if kill.wants == "flatten":
                await self.stop_platform(Policy.FLATTEN)
            for base in sorted(self.opened) if kill.wants == "rise" else ():
                await self.move_price(base, Decimal("1.03"))
        elif kill.wants is not None:
            await self.alert(node, *self.schedule.alert_for(kill.wants, self.opened))

    async def _hold_something(self, node: Child) -> None:
        """Open a position if none is thought to be open, and leave it the time to be protected."""
        await self.resume_platform()
        if not self.opened:
            await self.alert(node, *self.schedule.alert_for("buy", self.opened))
            await asyncio.sleep(_OPENED_S)

    async def _happen(self, node: Child) -> None:
        draw = self.schedule
        if draw.chance(0.5):
            await self.alert(node, *draw.alert(self.opened))
        elif draw.chance(0.5):
            await self.exchange.add_fault(**draw.fault())
        elif draw.chance(0.5):
            await self.move_price(draw.base(), draw.price_factor())
        elif draw.chance(0.3):
            await self.sell_by_hand(node)
        elif draw.chance(0.2):
            await self.clear_faults()
        elif self.is_stopped:
            await self.resume_platform()
        elif draw.chance(0.2):
            await self.stop_platform(Policy.FLATTEN if draw.chance(0.3) else Policy.LEAVE)

    async def quieten(self, within_s: float) -> None:
        """Let a node without faults work until nothing is left to do; how it stands then is the verdict's."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        node = await self.start()
        try:
            await self.send_unanswered(node)
            await self._wait_still(within_s)
        finally:
            self.report.quiet_s = loop.time() - began
            if not node.is_alive:
                raise NodeEnded(f"the node ended by itself: {node.ended.result()}; see {self.world.log}")
            await node.kill()
            self.ended_us = now_us()

    async def wait_protected(self, within_s: float = 20.0) -> None:
        """Wait until every entry so far has ended and its position is protected."""
        await self._wait_still(within_s)

    async def _wait_still(self, within_s: float) -> None:
        loop = asyncio.get_running_loop()
        look = partial(look_at_motion, accounts=len(self.world.people), since=self.started_at)
        db = Db.open(self.world.database_url)
        try:
            last: Motion | None = None
            began = since = loop.time()
            while loop.time() - began < within_s and loop.time() - since < _NOTHING_MOVES_S:
                motion = db.read_now(look)
                if motion != last:
                    last, since = motion, loop.time()
                if motion.is_still and loop.time() - since >= _STILL_S:
                    return
                await asyncio.sleep(LOOK_S)
        finally:
            db.close()

    def judged(self, sides: Sides) -> list[Finding]:
        """Judge both sides."""
        return judge(sides)

    async def verdict(self) -> None:
        """Read both sides and judge."""
        told = Told(
            frozenset(self.signals), tuple(self.stops_us), tuple(self.takeovers), self.clock_offset_ms, self.ended_us
        )
        sides = await read_sides(self.world, self.exchange, told)
        self.report.findings = self.judged(sides)
        self.report.reached = Counter(read_counts(self.world.counts))
        self.report.orders = len(sides.journal.orders)
        self.report.fills = len(sides.journal.fills)
        self.report.signals = len(sides.journal.signals)
        self.report.dead_letters = sum(1 for state in sides.extra.inbox.values() if state == "dead")
        self.report.lots = list(sides.journal.lots)
        self.report.bare_ms = bare_spans(sides.venue)
        self.report.states = Counter(lot.state for lot in sides.journal.lots if lot.is_open)
