"""Fan-out: claim what is due, send it, record what came of it.

Entries wait here for the release time of their plan and are claimed in batches; exits and protective
orders go through outbound.py at once, and the venue's budget lets them pass first. One
account's trouble never holds up another: every order is its own task behind one bound.
Inside a plan the order is drawn anew for each signal, so nobody is always last (E2).
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from tradewind.core.ids import OrderId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.order import Leg, Order, OrderState
from tradewind.execution.journal import Claim, EntryGate, Journal
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.submit import Submitter
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake

_log = logger("execution.fanout")

# Orders of one claim: what this process signs and a venue's pool puts on the wire well inside send_by.
_BATCH = 500
# Entries claimed and not answered yet at most; the next claim waits for room.
_IN_FLIGHT = 1_500
# Orders of one claim at least, as far as so many are due.
_CLAIM_LEAST = 250
# Longest sleep between looks at the heap; new work wakes it at once.
_IDLE_S = 1.0
# After a failed round (database locked): try again.
_ERROR_S = 0.5


@dataclass(slots=True)
class Dispatcher:
    """Sends what has been intended; one per process."""

    db: Db
    journal: Journal
    recorder: Recorder
    submitter: Submitter
    latch: Latch
    clock: Clock
    gate: EntryGate
    # Draws the order inside a plan; seeded in tests.
    draw: random.Random = field(default_factory=random.SystemRandom)
    _due: list[tuple[datetime, float, OrderId]] = field(default_factory=list)
    _waiting: set[OrderId] = field(default_factory=set)
    _wake: Wake = field(init=False)
    _in_flight: int = 0
    # Outcomes of one turn of the event loop, on their way to the recorder.
    _heard: list[list[Outcome]] = field(default_factory=list)
    _has_heard: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: asyncio.TaskGroup | None = None

    def __post_init__(self) -> None:
        self._wake = Wake(self.clock)

    def enqueue(self, orders: Sequence[Order]) -> None:
        """Take INTENDED entries to be sent at their release time (idempotent)."""
        for order in orders:
            if order.state is OrderState.INTENDED and order.id not in self._waiting and is_entry(order):
                self._waiting.add(order.id)
                heapq.heappush(self._due, (order.release_at, self.draw.random(), order.id))
        self._wake.set()

    @property
    def is_pressed(self) -> bool:
        """Whether entries are on their way, or due now: work that can wait should."""
        return self._in_flight > 0 or (bool(self._due) and self._due[0][0] <= self.clock.now())

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """An entry that could not leave waits for its next release."""
        self.enqueue([move.after for move in moved if move.before.state is OrderState.SENT])

    async def run(self) -> None:
        """Claim and send entries until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._hand_in(), name="hand in")
            while True:
                ready = self._pop_due()
                if not ready:
                    await self._sleep()
                    continue
                try:
                    await self._claim_and_send(tasks, ready)
                except CommitInDoubt:
                    raise
                except Exception:
                    # Nothing is lost: the orders stand INTENDED in the journal and come back to the heap.
                    _log.exception("execution.fanout.round_failed", orders=len(ready))
                    await self.clock.sleep(_ERROR_S)
                    await self._take_back(ready)

    async def send_claimed(self, legs: Sequence[Order]) -> list[Moved]:
        """Send the claimed legs of one list, or one order, and record what came of it."""
        by_leg = {order.leg: order for order in legs}
        if Leg.STOP in by_leg and Leg.TARGET in by_leg:
            return await self.recorder.record(await self.submitter.send_list(by_leg[Leg.STOP], by_leg[Leg.TARGET]))
        outcomes = [outcome for order in legs for outcome in await self.submitter.send(order)]
        return await self.recorder.record(outcomes)

    def venue_now(self, venue: VenueName, environment: Environment) -> int:
        """What a venue would say the time is, in ms."""
        return self.submitter.desk.client(venue, environment).venue_now_ms()

    def _announce(self, sent: Sequence[Order]) -> None:
        """Say what was claimed before it is sent: whoever watches for a missing outcome starts now."""
        self.recorder.announce([Moved(order, order) for order in sent])

    def _pop_due(self) -> list[OrderId]:
        now = self.clock.now()
        ready: list[OrderId] = []
        room = self._room
        if room < _CLAIM_LEAST:
            # One claim for many costs little more than one for a few: the next answers make room for it.
            return ready
        while self._due and self._due[0][0] <= now and len(ready) < room:
            ready.append(heapq.heappop(self._due)[2])
        return ready

    async def _sleep(self) -> None:
        self._wake.clear()
        pause = _IDLE_S
        if self._due:
            until_due = (self._due[0][0] - self.clock.now()).total_seconds()
            # Due and not taken: there is no room on the wire, and every answer wakes us.
            pause = pause if until_due <= 0 else min(pause, until_due)
        await self._wake.wait(pause)

    async def _claim_and_send(self, tasks: asyncio.TaskGroup, ready: list[OrderId]) -> None:
        claim = await self.db.write(partial(self._claim, ready=ready), is_large=True) if self.latch.is_open else None
        if claim is None:
            await self.clock.sleep(_IDLE_S)
            await self._take_back(ready)
            return
        reached(Point.ENTRY_CLAIM_COMMITTED)
        self._waiting.difference_update(ready)
        self.recorder.announce(claim.denied)
        self._announce(claim.sent)
        self._in_flight += len(claim.sent)
        if claim.sent:
            tasks.create_task(self._send_all(claim.sent), name=f"send {len(claim.sent)} entries")

    def _claim(self, tx: Tx, ready: list[OrderId]) -> Claim | None:
        """Claim, unless an exit must go first: that is looked at when the database lets us in, not before."""
        # On a full disk the room that is left is for exits.
        if self.latch.is_held or self.db.is_short:
            return None
        return self.journal.claim_entries(tx, ready, self.gate, self.venue_now, self.clock.now())

    async def _send_all(self, orders: Sequence[Order]) -> None:
        await self.submitter.send_all([(order,) for order in orders], self._hear)

    def _hear(self, outcomes: list[Outcome]) -> None:
        self._heard.append(outcomes)
        self._has_heard.set()

    async def _hand_in(self) -> None:
        """Give the recorder what was heard, turn by turn; it makes us wait where it has too much."""
        while True:
            await self._has_heard.wait()
            self._has_heard.clear()
            heard, self._heard = self._heard, []
            for outcomes in heard:
                await self.recorder.hand_in(outcomes)
            self._in_flight -= len(heard)
            if self._in_flight == 0 or (self._due and self._room >= _CLAIM_LEAST):
                self._wake.set()

    @property
    def _room(self) -> int:
        return min(_BATCH, _IN_FLIGHT - self._in_flight)

    async def _take_back(self, ids: list[OrderId]) -> None:
        self._waiting.difference_update(ids)
        for order_id in ids:
            self._waiting.add(order_id)
            heapq.heappush(self._due, (self.clock.now(), self.draw.random(), order_id))


def is_entry(order: Order) -> bool:
    """Say whether the fan-out itself sends this order: a buy that waits for its release."""
    return order.leg in (Leg.ENTRY, Leg.TEST)
