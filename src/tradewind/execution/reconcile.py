"""Find out: what became of orders in doubt, which fills are missing, what a silent stream did not say.

"Found" counts at once; only "not found" must wait for the fence, and then must be heard twice, with
nothing in the venue's lists since signing (order-protocol.md sections 2 and 3). A query that fails says
nothing. The fence passes by the VENUE's own clock, never by ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

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
    Side,
    VenueReport,
)
from tradewind.execution import intent_store, store
from tradewind.execution.desk import Desk, fact, reference
from tradewind.execution.journal import Journal, next_generation
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.store import Stored
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.signals.service import is_superseded
from tradewind.venues.base import OrderReport, ResendRule, VenueClient, VenueFill
from tradewind.venues.errors import CredentialRefused, SymbolUnknown, VenueError

_log = logger("execution.reconcile")

# When an order in doubt is asked about, counted from the first doubt (binance.md section 8).
_ASK_AT_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_ASK_LATER_S = 5.0
# A sell in doubt is asked about every second: a position hangs on it (order-protocol.md section 4).
_ASK_SELL_S = 1.0
# Between the two "not found" that prove an absence; both come after the fence.
_ABSENT_PAUSE_S = 1.0
# A SENT order of this process without an outcome after send_by + request timeout + this is in doubt.
_OVERDUE_S = 2.0
# A quiet account is looked at this often even when its stream is live.
_DOUBTFUL_S = 30.0
_ASKERS = 20
# An outcome that could not be stored is asked for again after this.
_POISON_RETRY_S = 2.0
_CANCEL_ANSWERS_S = 1.0
# The venue's clock at execution may read a little less than the timestamp we signed.
_LIST_MARGIN_MS = 2_000
_IDLE_S = 0.5


@dataclass(slots=True)
class Doubt:
    """One order somebody must find out about."""

    order_id: OrderId
    since: float
    next_at: float
    asked: int = 0
    absent_after_fence: int = 0
    is_asking: bool = False
    is_alarmed: bool = False
    is_sell: bool = False
    is_poisoned: bool = False
    last_asked_at: datetime | None = None


@dataclass(slots=True)
class Reconciler:
    """Asks the venue until every order's fate is known; one per process."""

    db: Db
    journal: Journal
    recorder: Recorder
    desk: Desk
    clock: Clock
    request_timeout_s: float
    doubt_alarm_s: float
    on_resend: Callable[[Sequence[Order]], None]
    on_credential: Callable[[AccountId, str | None], None]
    _doubts: dict[OrderId, Doubt] = field(default_factory=dict)
    _accounts_due: dict[AccountId, float] = field(default_factory=dict)
    _wake: Wake = field(init=False)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ASKERS))

    # --- what to ask about -----------------------------------------------------------------------

    def __post_init__(self) -> None:
        self._wake = Wake(self.clock)

    def doubt(self, orders: Sequence[Order]) -> None:
        """Take orders whose fate is not known, or whose fills are missing (idempotent)."""
        now = self.clock.monotonic()
        for order in orders:
            self._doubts.setdefault(order.id, Doubt(order.id, now, now, is_sell=order.side is Side.SELL))
        self._wake.set()

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """Follow orders into doubt and out of it."""
        for move in moved:
            order = move.after
            if order.state in IN_DOUBT and order.state is not OrderState.SENT:
                self._restart_if_new(move)
            elif move.lacks_fills:
                self.doubt([order])
            elif order.state is OrderState.SENT:
                self._watch_sent(order)
            elif (doubt := self._doubts.get(order.id)) is not None and not doubt.is_poisoned:
                del self._doubts[order.id]

    def account_gap(self, account_id: AccountId) -> None:
        """The account's stream was away: ask what it did not say."""
        self._accounts_due[account_id] = self.clock.monotonic()
        self._wake.set()

    async def look_at_once(self, account_ids: Sequence[AccountId], limit_s: float) -> None:
        """At start: ask about everything resting on these accounts, and wait for the answers, but not for ever."""
        try:
            async with asyncio.timeout(limit_s), asyncio.TaskGroup() as tasks:
                for account_id in account_ids:
                    tasks.create_task(self._fill_gap(account_id))
        except TimeoutError:
            _log.warning("execution.reconcile.first_look_late", accounts=len(account_ids))

    def poisoned(self, order_ids: Sequence[OrderId], error: str) -> None:
        """An outcome could not be stored: ask the venue again, with a pause, and keep asking."""
        now = self.clock.monotonic()
        for order_id in order_ids:
            _log.error("execution.reconcile.poisoned", order_id=order_id, error=error)
            doubt = self._doubts.setdefault(order_id, Doubt(order_id, now, now))
            doubt.next_at, doubt.is_poisoned = now + _POISON_RETRY_S, True
        self._wake.set()

    def _restart_if_new(self, move: Moved) -> None:
        if move.before.state is not move.after.state:
            self._doubts.pop(move.after.id, None)
        self.doubt([move.after])
        if move.after.state is OrderState.CANCEL_SENT and move.before.state is not OrderState.CANCEL_SENT:
            # The cancel itself answers first; only its silence needs asking.
            doubt = self._doubts[move.after.id]
            doubt.next_at = max(doubt.next_at, doubt.since + _CANCEL_ANSWERS_S)

    def _watch_sent(self, order: Order) -> None:
        """Our own sending answers first; only its silence past every deadline becomes a doubt."""
        overdue = self.journal.send_by_ms / 1_000 + self.request_timeout_s + _OVERDUE_S
        now = self.clock.monotonic()
        self._doubts.setdefault(order.id, Doubt(order.id, now, now + overdue))

    # --- the loop --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = self.clock.monotonic()
                for doubt in [each for each in self._doubts.values() if each.next_at <= now and not each.is_asking]:
                    doubt.is_asking = True
                    tasks.create_task(self._guarded(doubt), name=f"ask {doubt.order_id}")
                for account_id in [each for each, due in self._accounts_due.items() if due <= now]:
                    del self._accounts_due[account_id]
                    tasks.create_task(self._fill_gap(account_id), name=f"gap {account_id}")
                await self._pause()

    async def _pause(self) -> None:
        now = self.clock.monotonic()
        times = [each.next_at for each in self._doubts.values() if not each.is_asking]
        times.extend(self._accounts_due.values())
        pause = min([_IDLE_S, *(max(0.01, due - now) for due in times)])
        self._wake.clear()
        await self._wake.wait(pause)

    async def _guarded(self, doubt: Doubt) -> None:
        try:
            async with self._slots:
                await self.ask(doubt)
            await self._alarm_if_long(doubt)
        except VenueError as error:
            _log.info("execution.reconcile.no_answer", order_id=doubt.order_id, code=error.code)
        except CommitInDoubt:
            raise
        except Exception:
            _log.exception("execution.reconcile.failed", order_id=doubt.order_id)
        finally:
            doubt.is_asking = False
            doubt.asked += 1
            doubt.next_at = max(doubt.next_at, self._next_time(doubt))
            self._wake.set()

    async def _alarm_if_long(self, doubt: Doubt) -> None:
        """Doubt that lasts is told, once: somebody may have to look at the venue themselves."""
        is_long = self.clock.monotonic() - doubt.since > self.doubt_alarm_s
        if not is_long or doubt.is_alarmed or doubt.order_id not in self._doubts:
            return
        doubt.is_alarmed = True
        _log.warning("execution.reconcile.doubt_lasts", order_id=doubt.order_id, asked=doubt.asked)

        def work(tx: Tx) -> None:
            stored = store.find_orders(tx, [doubt.order_id]).get(doubt.order_id)
            if stored is not None:
                detail = {"asked": str(doubt.asked), "symbol": stored.order.symbol}
                self.journal.open_incident(tx, stored.order, "doubt_lasts", detail, self.clock.now())

        await self.db.write(work)

    def _next_time(self, doubt: Doubt) -> float:
        now = self.clock.monotonic()
        later = [doubt.since + offset for offset in _ASK_AT_S if doubt.since + offset > now]
        if later:
            return later[0] if not doubt.is_sell else min(later[0], now + _ASK_SELL_S)
        return now + (_ABSENT_PAUSE_S if doubt.absent_after_fence or doubt.is_sell else _ASK_LATER_S)

    # --- one order -------------------------------------------------------------------------------

    async def ask(self, doubt: Doubt) -> None:
        """Ask once about one order and record what was heard."""
        stored = (await self.db.read(lambda tx: store.find_orders(tx, [doubt.order_id]))).get(doubt.order_id)
        if stored is None or not (is_doubtful(stored) or doubt.is_poisoned):
            self._doubts.pop(doubt.order_id, None)
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

    async def _found(self, client: VenueClient, stored: Stored, report: OrderReport, is_past_fence: bool) -> None:
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
        if (doubt := self._doubts.get(order.id)) is not None:
            doubt.is_poisoned = False  # a refusal to store it sets this again
        await self.recorder.record([Outcome(order.id, event, fills)])

    async def _absent(self, client: VenueClient, doubt: Doubt, order: Order) -> None:
        """Count a "not found" asked after the fence; the second one, with empty lists, proves the absence."""
        doubt.absent_after_fence += 1
        if doubt.absent_after_fence < 2:
            doubt.next_at = self.clock.monotonic() + _ABSENT_PAUSE_S
            return
        instrument = self.desk.instrument(order.venue, order.environment, order.symbol)
        signer = self.desk.signer(order.account_id)
        listed = await client.orders_since(signer, instrument, signing_time_ms(order) - _LIST_MARGIN_MS)
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
            fresh = self._resend(tx, order, now) if is_proven and may_resend else None
            if is_proven and fresh is None and order.leg is Leg.ENTRY:
                self.journal.open_incident(tx, order, "never_arrived", {"symbol": order.symbol}, now)
            reached(Point.ABSENCE_WRITTEN)
            return moved, fresh

        moved, fresh = await self.db.write(work)
        reached(Point.ABSENCE_COMMITTED)
        self.recorder.announce(moved)
        if fresh is not None:
            self.on_resend([fresh])

    def _resend(self, tx: Tx, order: Order, now: datetime) -> Order | None:
        """An entry that never arrived goes out once more while it is fresh and no close has overtaken it."""
        fresh_until = intent_store.load_intent(tx, order.intent_id).detail.get("fresh_until")
        is_late = fresh_until is not None and now > datetime.fromisoformat(fresh_until)
        is_overtaken = order.signal_id is not None and is_superseded(tx, order.signal_id)
        generations = [each.order.generation for each in store.list_of_intent(tx, order.intent_id)]
        if is_late or is_overtaken or max(generations) > order.generation:
            return None
        again = next_generation(order, self.journal.ids, now)
        self.journal.intend(tx, None, [again], now)
        reached(Point.RESEND_WRITTEN)
        return again

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
        doubt = self._doubts.get(order.id)
        age_s = 0.0 if doubt is None else self.clock.monotonic() - doubt.since
        return client.venue_now_ms() - int(age_s * 1_000)

    # --- one account -----------------------------------------------------------------------------

    async def _fill_gap(self, account_id: AccountId) -> None:
        """Ask about every order of the account that has not ended, once."""
        try:
            async with self._slots:
                undone = await self.db.read(lambda tx: store.list_not_ended(tx, account_id))
                asked = [each.order for each in undone if each.order.state in RESTING]
                for order in asked:
                    await self._ask_resting(order)
        except VenueError as error:
            _log.info("execution.reconcile.gap_no_answer", account_id=account_id, code=error.code)
            self._accounts_due[account_id] = self.clock.monotonic() + _ASK_LATER_S
        except CommitInDoubt:
            raise
        except Exception:
            _log.exception("execution.reconcile.gap_failed", account_id=account_id)
            self._accounts_due[account_id] = self.clock.monotonic() + _DOUBTFUL_S

    async def _ask_resting(self, order: Order) -> None:
        client = self.desk.client(order.venue, order.environment)
        report = await self._find(client, order)
        stored = (await self.db.read(lambda tx: store.find_orders(tx, [order.id]))).get(order.id)
        if stored is None:
            return
        if report is not None:
            await self._found(client, stored, report, False)
        elif stored.order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
            await self.recorder.record([Outcome(order.id, OutcomeLost(self.clock.now(), "absent_when_asked"))])


def is_doubtful(stored: Stored) -> bool:
    """Say whether there is something to find out about an order."""
    return stored.order.state in IN_DOUBT or stored.lacks_fills


def signing_time_ms(order: Order) -> int:
    """Venue time from which the fence counts: recorded signing, else the latest it can have been."""
    if order.signed_at_ms is not None:
        return order.signed_at_ms
    return order.send_by_ms if order.send_by_ms is not None else 0
