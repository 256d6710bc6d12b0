"""Find out: what became of orders in doubt, and which fills are missing.

"Found" counts at once; only "not found" must wait for the fence, and then must be heard twice, with
nothing in the venue's lists since signing (order-protocol.md sections 2 and 3). A query that fails says
nothing. The fence passes by the VENUE's own clock, never by ours. Many doubts of one account and market are
asked by one list where that costs less of the venue's budget than asking each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tradewind.core.ids import AccountId, OrderId
from tradewind.core.order import (
    IN_DOUBT,
    RESTING,
    AbsenceProven,
    CredentialLost,
    Leg,
    Order,
    OrderState,
    OutcomeLost,
    VenueReport,
)
from tradewind.execution import store
from tradewind.execution.desk import Desk, fact, reference
from tradewind.execution.doubts import ABSENT_PAUSE_S, Doubt, DoubtBook
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.resend import send_again
from tradewind.execution.store import Stored
from tradewind.infra.clock import Clock, to_ms
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.venues.base import OrderReport, ResendRule, VenueClient, VenueFill
from tradewind.venues.errors import CredentialRefused, RateLimited, SymbolUnknown, VenueError

_log = logger("execution.reconcile")

_ASKERS = 20
# The venue's clock at execution may read a little less than the timestamp we signed.
_LIST_MARGIN_MS = 2_000
_DAY_MS = 86_400_000
_IDLE_S = 0.5
# A venue that says "not before" is obeyed, but looked at again at least this often.
_HELD_BACK_S = 60.0
# The reason of an order that a restored database may have forgotten sending (order-protocol.md section 9).
RESTORED = "restored"


@dataclass(slots=True)
class Reconciler:
    """Asks the venue until every order's fate is known; one per process."""

    db: Db
    journal: Journal
    recorder: Recorder
    desk: Desk
    clock: Clock
    doubt_alarm_s: float
    on_resend: Callable[[Sequence[Order]], None]
    on_credential: Callable[[AccountId, str | None], None]
    doubts: DoubtBook
    _wake: Wake = field(init=False)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ASKERS))

    # --- what to ask about -----------------------------------------------------------------------

    def __post_init__(self) -> None:
        self._wake = Wake(self.clock)

    def doubt(self, orders: Sequence[Order]) -> None:
        """Take orders whose fate is not known, or whose fills are missing (idempotent)."""
        self.doubts.add(orders)
        self._wake.set()

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """Follow orders into doubt and out of it."""
        self.doubts.on_moved(moved)
        self._wake.set()

    def poisoned(self, order_ids: Sequence[OrderId], error: str) -> None:
        """An outcome could not be stored: ask the venue again, with a pause, and keep asking."""
        for order_id in order_ids:
            _log.error("execution.reconcile.poisoned", order_id=order_id, error=error)
        self.doubts.poisoned(order_ids)
        self._wake.set()

    # --- the loop --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for group in self._groups(self.doubts.take_due(self.clock.monotonic())):
                    tasks.create_task(self._guarded(group), name=f"ask {group[0].order_id}")
                await self._pause()

    def _groups(self, due: Sequence[Doubt]) -> list[list[Doubt]]:
        """Put doubts of one account and market together: they may share one answer."""
        groups: dict[tuple[object, str], list[Doubt]] = {}
        for doubt in due:
            key = (doubt.account_id or doubt.order_id, doubt.symbol)
            groups.setdefault(key, []).append(doubt)
        return list(groups.values())

    async def _pause(self) -> None:
        now = self.clock.monotonic()
        due = self.doubts.next_due()
        self._wake.clear()
        await self._wake.wait(_IDLE_S if due is None else min(_IDLE_S, max(0.01, due - now)))

    async def _guarded(self, group: Sequence[Doubt]) -> None:
        try:
            async with self._slots:
                await self._ask_all(group)
            for doubt in group:
                await self._alarm_if_long(doubt)
        except RateLimited as error:
            self._hold_back(group, error)
        except VenueError as error:
            _log.info("execution.reconcile.no_answer", order_id=group[0].order_id, code=error.code)
        except CommitInDoubt:
            raise
        except Exception:
            _log.exception("execution.reconcile.failed", order_id=group[0].order_id)
        finally:
            for doubt in group:
                self.doubts.asked(doubt)
            self._wake.set()

    def _hold_back(self, group: Sequence[Doubt], error: RateLimited) -> None:
        """The budget is used up, or the venue told us to wait: asking again before would cost what is left of it."""
        _log.info("execution.reconcile.held_back", order_id=group[0].order_id, code=error.code)
        if error.retry_at_ms is None:
            return
        pause = min(_HELD_BACK_S, max(0.0, (error.retry_at_ms - to_ms(self.clock.now())) / 1_000))
        for doubt in group:
            doubt.next_at = max(doubt.next_at, self.clock.monotonic() + pause)

    async def _alarm_if_long(self, doubt: Doubt) -> None:
        """Doubt that lasts is told, once: somebody may have to look at the venue themselves."""
        is_long = self.clock.monotonic() - doubt.since > self.doubt_alarm_s
        if not is_long or doubt.is_alarmed or self.doubts.find(doubt.order_id) is not doubt:
            return
        doubt.is_alarmed = True
        _log.warning("execution.reconcile.doubt_lasts", order_id=doubt.order_id, asked=doubt.asked)

        def work(tx: Tx) -> None:
            stored = store.find_orders(tx, [doubt.order_id]).get(doubt.order_id)
            if stored is not None:
                detail = {"asked": str(doubt.asked), "symbol": stored.order.symbol}
                self.journal.open_incident(tx, stored.order, "doubt_lasts", detail, self.clock.now())

        await self.db.write(work)

    # --- many orders of one market ---------------------------------------------------------------

    async def _ask_all(self, group: Sequence[Doubt]) -> None:
        """Ask about some orders of one account and market: by one list where that is cheaper."""
        unanswered = list(group)
        stored = await self.db.read(lambda tx: store.find_orders(tx, [each.order_id for each in group]))
        lost = [each.order for each in stored.values() if each.order.state in (OrderState.UNKNOWN, OrderState.BLIND)]
        if lost:
            client = self.desk.client(lost[0].venue, lost[0].environment)
            costs = client.capabilities.costs
            if len(lost) * costs.find_order > costs.orders_since:
                unanswered = await self._ask_by_list(client, group, lost)
        for doubt in unanswered:
            await self.ask(doubt)

    async def _ask_by_list(self, client: VenueClient, group: Sequence[Doubt], lost: Sequence[Order]) -> list[Doubt]:
        """Take what one list says of many orders; return the doubts that still must be asked one by one."""
        since_ms = min(map(list_from_ms, lost))
        instrument = self.desk.instrument(lost[0].venue, lost[0].environment, lost[0].symbol)
        listed = await client.orders_since(self.desk.signer(lost[0].account_id), instrument, since_ms)
        reports = {report.client_order_id: report for report in listed}
        found: set[OrderId] = set()
        for order in lost:
            report = reports.get(order.client_order_id)
            if report is not None:
                await self.found(order.id, report)
                found.add(order.id)
        _log.info("execution.reconcile.listed", account_id=lost[0].account_id, asked=len(lost), found=len(found))
        asked = {order.id for order in lost}
        return [
            doubt
            for doubt in group
            if doubt.order_id not in found
            and (doubt.order_id not in asked or await self._is_due_alone(client, doubt, lost))
        ]

    async def _is_due_alone(self, client: VenueClient, doubt: Doubt, lost: Sequence[Order]) -> bool:
        """Absent from the list: before the fence that says all there is to say."""
        order = next(each for each in lost if each.id == doubt.order_id)
        return await self._is_past_fence(client, order)

    # --- one order -------------------------------------------------------------------------------

    async def ask(self, doubt: Doubt) -> None:
        """Ask once about one order and record what was heard."""
        stored = (await self.db.read(lambda tx: store.find_orders(tx, [doubt.order_id]))).get(doubt.order_id)
        if stored is None or not (is_doubtful(stored) or doubt.is_poisoned):
            self.doubts.settle(doubt.order_id)
            return
        order = stored.order
        doubt.last_asked_at = self.clock.now()
        if order.state is OrderState.SENT:
            await self.recorder.record([Outcome(order.id, OutcomeLost(self.clock.now(), "no_outcome_in_time"))])
            return
        client = self.desk.client(order.venue, order.environment)
        started_after_fence = await self._is_past_fence(client, order)
        report = await self._find(client, order)
        if report is not None:
            doubt.absent_after_fence = 0
            await self._found(client, stored, report, started_after_fence)
        elif started_after_fence:
            await self._absent(client, doubt, order)

    async def _find(self, client: VenueClient, order: Order) -> OrderReport | None:
        instrument = self.desk.instrument(order.venue, order.environment, order.symbol)
        signer = self.desk.signer(order.account_id)
        reached(Point.DOUBT_BEFORE_QUESTION)
        try:
            report = await client.find_order(signer, reference(order, instrument))
        except CredentialRefused as error:
            self.on_credential(order.account_id, error.code)
            if order.state is OrderState.UNKNOWN:
                await self.recorder.record([Outcome(order.id, CredentialLost(self.clock.now(), error.code))])
            raise
        except SymbolUnknown:
            return None
        reached(Point.DOUBT_ANSWERED)
        self.on_credential(order.account_id, None)
        return report

    async def _found(
        self, client: VenueClient, stored: Stored, report: OrderReport, is_past_fence: bool
    ) -> list[Moved]:
        order = stored.order
        event = fact(report, self.clock.now())
        if order.state is OrderState.CANCEL_SENT and is_past_fence and report.state in RESTING:
            event = VenueReport(
                event.at,
                event.state,
                event.executed,
                event.executed_quote,
                event.venue_order_id,
                reason="cancel_refused",
                is_cancel_refused=True,
            )
        fills: tuple[VenueFill, ...] = ()
        if report.executed.value > stored.booked:
            instrument = self.desk.instrument(order.venue, order.environment, order.symbol)
            signer = self.desk.signer(order.account_id)
            fills = tuple(await client.fills(signer, instrument, venue_order_id=report.venue_order_id, since_ms=None))
            reached(Point.FILLS_ANSWERED)
        self.doubts.about_to_store(order.id)
        return await self.recorder.record([Outcome(order.id, event, fills)])

    async def _absent(self, client: VenueClient, doubt: Doubt, order: Order) -> None:
        """Count a "not found" asked after the fence; the second one, with empty lists, proves the absence."""
        doubt.absent_after_fence += 1
        if doubt.absent_after_fence < 2:
            doubt.next_at = self.clock.monotonic() + ABSENT_PAUSE_S
            return
        instrument = self.desk.instrument(order.venue, order.environment, order.symbol)
        signer = self.desk.signer(order.account_id)
        listed = await client.orders_since(signer, instrument, list_from_ms(order))
        match = next((report for report in listed if report.client_order_id == order.client_order_id), None)
        if match is not None:
            stored = (await self.db.read(lambda tx: store.find_orders(tx, [order.id])))[order.id]
            await self._found(client, stored, match, False)
            return
        doubt.is_poisoned = False
        if order.state in (OrderState.UNKNOWN, OrderState.BLIND):
            await self._conclude_absent(client, order)
        else:
            # Accepted once and nowhere now: an end with an incident, never a silent one.
            event = VenueReport(
                self.clock.now(), OrderState.CANCELED, order.executed, order.executed_quote, reason="absent"
            )
            await self.recorder.record([Outcome(order.id, event)])

    async def _conclude_absent(self, client: VenueClient, order: Order) -> None:
        """Record that it never arrived and, in the same transaction, what follows from that."""
        may_resend = client.capabilities.resend is ResendRule.NEW and order.leg is Leg.ENTRY and order.generation == 0

        def work(tx: Tx) -> tuple[list[Moved], Order | None]:
            now = self.clock.now()
            moved = self.recorder.applier.apply_all(tx, [Outcome(order.id, AbsenceProven(now))], now)
            is_proven = any(move.after.state is OrderState.NEVER_ARRIVED for move in moved)
            fresh = send_again(tx, self.journal, order, now) if is_proven and may_resend else None
            if is_proven and fresh is None and order.leg is Leg.ENTRY:
                self.journal.open_incident(tx, order, "never_arrived", {"symbol": order.symbol}, now)
            reached(Point.ABSENCE_WRITTEN)
            return moved, fresh

        moved, fresh = await self.db.write(work)
        reached(Point.ABSENCE_COMMITTED)
        self.recorder.announce(moved)
        if fresh is not None:
            self.on_resend([fresh])

    async def _is_past_fence(self, client: VenueClient, order: Order) -> bool:
        fence_at = signing_time_ms(order) + client.capabilities.fence_ms
        if order.state is OrderState.CANCEL_SENT:
            fence_at = self._cancelled_at_ms(client, order) + client.capabilities.fence_ms
        if client.confirmed_venue_ms() > fence_at:
            return True
        if client.venue_now_ms() <= fence_at:
            return False
        return await client.server_time() > fence_at

    def _cancelled_at_ms(self, client: VenueClient, order: Order) -> int:
        """When the cancel left, in the venue's time: by the age of the doubt, which our wall clock cannot move."""
        doubt = self.doubts.find(order.id)
        age_s = 0.0 if doubt is None else self.clock.monotonic() - doubt.since
        return client.venue_now_ms() - int(age_s * 1_000)

    # --- for a look at a whole account -----------------------------------------------------------

    async def found(self, order_id: OrderId, report: OrderReport) -> list[Moved]:
        """Record what a list says of one of our orders, with the fills that are missing."""
        stored = (await self.db.read(lambda tx: store.find_orders(tx, [order_id]))).get(order_id)
        if stored is None:
            return []
        return await self._found(self._client_of(stored.order), stored, report, False)

    async def ask_resting(self, order: Order) -> list[Moved]:
        """Ask about an order that no list holds although it should rest."""
        report = await self._find(self._client_of(order), order)
        if report is not None:
            return await self.found(order.id, report)
        stored = (await self.db.read(lambda tx: store.find_orders(tx, [order.id]))).get(order.id)
        if stored is None or stored.order.state not in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
            return []
        return await self.recorder.record([Outcome(order.id, OutcomeLost(self.clock.now(), "absent_when_asked"))])

    def _client_of(self, order: Order) -> VenueClient:
        return self.desk.client(order.venue, order.environment)


def is_doubtful(stored: Stored) -> bool:
    """Say whether there is something to find out about an order."""
    return stored.order.state in IN_DOUBT or stored.lacks_fills


def list_from_ms(order: Order) -> int:
    """Venue time from which a list must be read to hold the order if it ever arrived; at most a day back."""
    signed = signing_time_ms(order)
    if order.reason == RESTORED:
        # It may have left at any time since it was recorded, in the part of the journal that is gone.
        signed = max(min(signed, to_ms(order.created_at)), signed - _DAY_MS)
    return signed - _LIST_MARGIN_MS


def signing_time_ms(order: Order) -> int:
    """Venue time from which the fence counts: recorded signing, else the latest it can have been."""
    if order.signed_at_ms is not None:
        return order.signed_at_ms
    return order.send_by_ms if order.send_by_ms is not None else 0
