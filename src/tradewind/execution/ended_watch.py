"""Orders that ended without the venue having said so are watched for 24 h (order-protocol.md section 2).

NEVER_ARRIVED, CANCELED(absent), and DENIED after an attempt to send: by every rule nothing of them can execute any
more, and should it all the same, the fills are booked, an incident is opened, and what still rests is cancelled:
an order whose row has ended is never adopted as a live one. Asked at growing intervals counted from the end itself,
so that a restart neither forgets nor begins anew; many of one market by one list. Who is due is a heap: an id that
waits for its hour costs nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from tradewind.core.ids import OrderId
from tradewind.core.order import RESTING, Incident, Order, OrderState
from tradewind.execution import record_store, recovery_store, store
from tradewind.execution.desk import Desk, fact, reference
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.reconcile import Reconciler, list_from_ms
from tradewind.execution.submit import Submitter
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.log import logger
from tradewind.venues.base import OrderReport
from tradewind.venues.errors import VenueError

_log = logger("execution.ended_watch")

WATCHED_FOR = timedelta(hours=24)
# Asked again this long after the end; later ones cost less than they could still tell.
_ASK_AT_S = (15, 60, 120, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600)
_ASK_AT = tuple(timedelta(seconds=each) for each in _ASK_AT_S)
_LOOK_S = 1.0
_ASKERS = 2
_SURPRISES = frozenset({Incident.ALIVE_AFTER_END, Incident.FILL_AFTER_END})


@dataclass(slots=True, eq=False)
class _Watched:
    order: Order
    ended_at: datetime
    # None: not asked yet in this process.
    asked_at: datetime | None = None
    due_at: datetime | None = None

    @property
    def ends_at(self) -> datetime:
        """When nobody asks any more."""
        return self.ended_at + WATCHED_FOR

    def next_at(self) -> datetime:
        """Return when to ask next: at once if nobody has, else at the next interval, or to let go of it."""
        if self.asked_at is None:
            return self.ended_at
        later = (self.ended_at + each for each in _ASK_AT if self.ended_at + each > self.asked_at)
        return next(later, self.ends_at)


@dataclass(slots=True)
class EndedWatch:
    """Asks about ended ids until a day has passed; one per process."""

    db: Db
    journal: Journal
    reconciler: Reconciler
    submitter: Submitter
    desk: Desk
    clock: Clock
    _watched: dict[OrderId, _Watched] = field(default_factory=dict)
    _later: list[tuple[datetime, int, _Watched]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ASKERS))

    async def load(self) -> None:
        """At start: take up every id whose day has not passed."""
        since = self.clock.now() - WATCHED_FOR
        for order in await self.db.read(lambda tx: recovery_store.list_ended_to_watch(tx, since)):
            self._watch(order)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """Follow orders to an end the venue did not state, and those that live or fill after one."""
        for move in moved:
            order = move.after
            if move.before.state is not order.state and is_unstated_end(order):
                self._watch(order, asked_at=order.ended_at)
            elif move.incident in _SURPRISES and order.is_ended:
                self._watch(order)
            elif order.id in self._watched and not order.is_ended:
                del self._watched[order.id]

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self.clock.sleep(_LOOK_S)
                for group in self.take_due(self.clock.now()):
                    tasks.create_task(self._guarded(group), name="ended watch")

    def take_due(self, now: datetime) -> list[list[Order]]:
        """Return whom to ask about now, those of one account and market together; they count as asked."""
        groups: dict[tuple[str, str], list[Order]] = {}
        while self._later and self._later[0][0] <= now:
            due_at, _, each = heapq.heappop(self._later)
            if each.due_at != due_at or self._watched.get(each.order.id) is not each:
                continue
            if each.ends_at <= now:
                del self._watched[each.order.id]
                continue
            groups.setdefault((each.order.account_id, each.order.symbol), []).append(each.order)
            self._ask_again(each, asked_at=now)
        return list(groups.values())

    def _watch(self, order: Order, asked_at: datetime | None = None) -> None:
        if order.ended_at is not None:
            each = self._watched[order.id] = _Watched(order, order.ended_at)
            self._ask_again(each, asked_at)

    def _ask_again(self, each: _Watched, asked_at: datetime | None) -> None:
        each.asked_at = asked_at
        each.due_at = each.next_at()
        heapq.heappush(self._later, (each.due_at, next(self._numbers), each))

    async def _guarded(self, group: Sequence[Order]) -> None:
        try:
            async with self._slots:
                await self._ask(group)
        except VenueError as error:
            _log.info("execution.ended_watch.no_answer", account_id=group[0].account_id, code=error.code)
            self._want(group)
        except CommitInDoubt:
            raise
        except Exception:
            _log.exception("execution.ended_watch.failed", account_id=group[0].account_id)
            self._want(group)

    def _want(self, group: Sequence[Order]) -> None:
        """Nobody answered: the question stands, at the next interval of the first minute."""
        for order in group:
            each = self._watched.get(order.id)
            if each is not None:
                each.due_at = self.clock.now() + _ASK_AT[0]
                heapq.heappush(self._later, (each.due_at, next(self._numbers), each))

    # --- asking ----------------------------------------------------------------------------------

    async def _ask(self, group: Sequence[Order]) -> None:
        client = self.desk.client(group[0].venue, group[0].environment)
        costs = client.capabilities.costs
        signer = self.desk.signer(group[0].account_id)
        instrument = self.desk.instrument(group[0].venue, group[0].environment, group[0].symbol)
        if len(group) * costs.find_order > costs.orders_since:
            listed = await client.orders_since(signer, instrument, min(map(list_from_ms, group)))
            by_id = {report.client_order_id: report for report in listed}
            answers = [(order, by_id.get(order.client_order_id)) for order in group]
        else:
            answers = [(order, await client.find_order(signer, reference(order, instrument))) for order in group]
        for order, report in answers:
            if report is not None:
                await self.heard(order.id, report)

    async def heard(self, order_id: OrderId, report: OrderReport) -> None:
        """Take what the venue says of an order whose row has ended: book it, and end what still rests."""
        before = (await self.db.read(lambda tx: store.find_orders(tx, [order_id]))).get(order_id)
        if before is None or not before.order.is_ended:
            return
        moved = await self.reconciler.found(order_id, report)
        if report.state not in RESTING:
            return
        if not any(move.incident for move in moved):
            await self._tell_once(before.order)
        _log.warning("execution.ended_watch.cancel", order_id=order_id, state=before.order.state, venue=report.state)
        answer = await self.submitter.cancel(before.order)
        outcomes = [
            Outcome(order_id, fact(each, self.clock.now()))
            for each in answer.reports
            if each.client_order_id == before.order.client_order_id or each.venue_order_id == report.venue_order_id
        ]
        await self.reconciler.recorder.record(outcomes)
        if not outcomes and order_id in self._watched:
            self._want([before.order])

    async def _tell_once(self, order: Order) -> None:
        """An order that rests although its row has ended is told, once."""

        def work(tx: Tx) -> None:
            kind = Incident.ALIVE_AFTER_END.value
            if order.id not in record_store.incidents_of_kind(tx, [order.id], kind):
                self.journal.open_incident(tx, order, kind, {"symbol": order.symbol}, self.clock.now())

        await self.db.write(work)


def is_unstated_end(order: Order) -> bool:
    """Say whether an order ended without the venue having named it: a late copy is conceivable."""
    return (
        order.state is OrderState.NEVER_ARRIVED
        or (order.state is OrderState.CANCELED and order.reason == "absent")
        or (order.state is OrderState.DENIED and order.attempt > 0)
    )
