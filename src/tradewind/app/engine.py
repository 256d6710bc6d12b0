"""The trading engine as one object graph, and the order in which it starts.

At start protection comes before anything else (order-protocol.md section 5): what was SENT becomes UNKNOWN,
watches are armed from the database, and every account is held: its entries wait until its resting orders were
asked about and journal and venue agree (recovery.py). One account's trouble holds up no other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from tradewind.accounts.account import AccountRow
from tradewind.app.desk import CredentialWatch, Desk, KnownOrders
from tradewind.app.roster import PlatformRoster
from tradewind.core.depth import DepthRules
from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId, OrderId
from tradewind.core.instrument import Instrument
from tradewind.core.order import RESTING, Leg, Order, OrderState
from tradewind.execution.account_look import AccountLook, Followed
from tradewind.execution.adoption import Adoption
from tradewind.execution.apply import Applier
from tradewind.execution.board import FanBoards
from tradewind.execution.bookcheck import BookCheck
from tradewind.execution.cancels import CancelDesk
from tradewind.execution.comparing import CROSS_CHECK_S, Comparing
from tradewind.execution.deciding import Decider
from tradewind.execution.doubts import DoubtBook
from tradewind.execution.ended_watch import EndedWatch
from tradewind.execution.exits import ExitDesk
from tradewind.execution.fanout import Dispatcher, is_entry
from tradewind.execution.hand import HandDesk
from tradewind.execution.journal import Journal
from tradewind.execution.ladder import TrailingSteps
from tradewind.execution.latch import Latch
from tradewind.execution.listen import Listener
from tradewind.execution.outbound import Outbound
from tradewind.execution.outcomes import Moved
from tradewind.execution.outlook import OutlookDesk
from tradewind.execution.outside import OutsideDesk
from tradewind.execution.owner import OWNER_REPLACED, Owner, StaleOwner
from tradewind.execution.protect import Protector
from tradewind.execution.reconcile import Reconciler
from tradewind.execution.recorder import Recorder
from tradewind.execution.recovery import Recovery
from tradewind.execution.restore_book import RestoreBook
from tradewind.execution.restoring import doubt_intended
from tradewind.execution.retry import RetryDesk
from tradewind.execution.retry_requests import RetryRequests
from tradewind.execution.submit import Submitter
from tradewind.execution.triggers import Triggers
from tradewind.execution.worker import SignalWorker
from tradewind.infra.bus import Bus
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.market.prices import MarketKey, PricePoint
from tradewind.portfolio.service import Portfolio, open_lots

_log = logger("app.engine")

_GUARD_S = 0.2
# A SENT order of this process without an outcome after send_by + request timeout + this is in doubt.
_OVERDUE_S = 2.0
_SWEEP_S = 5.0
_SENT_AT_ONCE = tuple(leg for leg in Leg if leg not in (Leg.ENTRY, Leg.TEST))
# A venue's words for a refusal by a rule of the market: ours may be out of date.
_RULE_REFUSALS = ("filter", "market_closed", "symbol_unknown", "price_not", "quantity_not", "notional_not", "type_not")


@dataclass(frozen=True, slots=True)
class EngineNumbers:
    """The numbers of order-protocol.md section 10 that the engine needs."""

    send_by_ms: int
    request_timeout_s: float
    max_age_s: int
    lease_s: int
    stop_escalation_s: float
    doubt_alarm_s: float
    quiet_s: float
    doubtful_s: float
    # None: fan-outs are not compared with the book.
    depth_rules: DepthRules | None
    depth_timeout_s: float
    external_confirm_s: float
    trailing: TrailingSteps


@dataclass(slots=True)
class Engine:
    """Everything between the inbox and the venue."""

    db: Db
    clock: Clock
    desk: Desk
    known: KnownOrders
    credentials: CredentialWatch
    latch: Latch
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    protector: Protector
    reconciler: Reconciler
    ended: EndedWatch
    recovery: Recovery
    listener: Listener
    worker: SignalWorker
    retries: RetryDesk
    boards: FanBoards
    hand: HandDesk
    doubt_alarm_s: float
    _alarmed: set[OrderId] = field(default_factory=set)

    def follow(self, account: AccountRow) -> None:
        """Follow an account's private stream; called for every linked account, again after a new key."""
        if not account.has_credential:
            return
        client = self.desk.client(account.venue, account.environment)
        self.listener.unfollow(account.id)
        self.listener.follow(Followed(account.id, account.user_id, client))

    def unfollow(self, account_id: AccountId) -> None:
        """Stop following an account whose key is gone."""
        self.listener.unfollow(account_id)

    async def recover(self) -> list[Order]:
        """Bring the journal into a state that a fresh process may continue from."""
        left_alone = await self.db.write(lambda tx: self.journal.report_unreadable(tx, self.clock.now()))
        if left_alone:
            _log.warning("app.engine.left_alone", orders=list(left_alone), reason="written by a later release")
        self.recovery.unreadable = frozenset(left_alone.values())
        await self._take_restore()
        undone = await self.db.write(lambda tx: self.journal.recover(tx, self.clock.now()))
        reached(Point.RECOVERY_COMMITTED)
        doubtful = [each for each in undone if each.state not in (OrderState.INTENDED, *RESTING)]
        self.reconciler.doubt(doubtful)
        self.reconciler.doubt([each for each in undone if each.state is OrderState.CANCEL_SENT])
        self.reconciler.doubt(await self.db.read(self.journal.lacking_fills))
        _log.info("app.engine.recovered", undone=len(undone), in_doubt=len(doubtful))
        await self.protector.load()
        await self.ended.load()
        held = await self.db.read(lambda tx: {(each.lot.account_id, each.lot.symbol) for each in open_lots(tx)})
        at_stake = held | {(each.account_id, each.symbol) for each in undone}
        self.recovery.at_stake = Counter(account_id for account_id, _ in at_stake)
        reached(Point.RECOVERY_ARMED)
        for venue, environment, symbol in self.protector.watched_symbols():
            try:
                self.desk.market.watch(venue, environment, [symbol])
            except NotFound as error:
                # A position at a venue that is switched off: it cannot be watched, and must not stop the start.
                _log.error("app.engine.position_without_venue", venue=venue, symbol=symbol, code=error.code)
        return undone

    async def _take_restore(self) -> None:
        """After a backup was put back: what stood INTENDED in it may have left, and is asked about first."""
        restore = await self.recovery.restores.load()
        if restore is None:
            return
        venue_now = self.dispatcher.venue_now
        moved = await self.db.write(lambda tx: doubt_intended(tx, self.journal, restore, venue_now, self.clock.now()))
        reached(Point.RESTORE_DOUBTED)
        if moved:
            _log.warning("app.engine.restored", restore_id=restore.id, since=restore.since, in_doubt=len(moved))

    async def run(self, undone: list[Order]) -> None:
        """Run until cancelled; entries last."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.recorder.run(), name="recorder")
            tasks.create_task(self.credentials.run(), name="credentials")
            tasks.create_task(self.credentials.watch(), name="credential watch")
            tasks.create_task(self.reconciler.run(), name="reconciler")
            tasks.create_task(self.listener.run(), name="listener")
            tasks.create_task(self.protector.run(), name="protector")
            tasks.create_task(self.boards.run(), name="boards")
            tasks.create_task(self._guard(), name="guard")
            tasks.create_task(self.recovery.run(), name="recovery")
            tasks.create_task(self.ended.run(), name="ended watch")
            self.dispatcher.enqueue(undone)
            tasks.create_task(self.dispatcher.run(), name="dispatcher")
            tasks.create_task(self.worker.run(), name="worker")
            tasks.create_task(RetryRequests(self.db, self.clock, self.retries).run(), name="retries")
            tasks.create_task(self._sweep(), name="sweep")

    async def _sweep(self) -> None:
        """Pick up orders that should have left and stand INTENDED: whatever lost sight of them, they are here."""
        while True:
            await self.clock.sleep(_SWEEP_S)
            before = self.clock.now() - timedelta(seconds=_SWEEP_S)
            # In the middle of a fan-out thousands of entries wait their turn, and the dispatcher has them in sight.
            legs = _SENT_AT_ONCE if self.dispatcher.is_pressed else tuple(Leg)
            try:
                overdue = await self.db.read(partial(self.journal.overdue, before=before, legs=legs))
                # First what they wait for, then the telling: an alarm that cannot be written holds up nothing.
                self.dispatcher.enqueue(overdue)
                for order in overdue:
                    if not is_entry(order):
                        self.protector.look((order.account_id, order.symbol))
                await self._alarm_waiting([order for order in overdue if not is_entry(order)])
            except CommitInDoubt:
                raise
            except Exception:
                _log.exception("app.engine.sweep_failed")

    async def _alarm_waiting(self, exits: Sequence[Order]) -> None:
        """An exit or stop that should have left long ago and has not is told, once."""
        limit = self.clock.now() - timedelta(seconds=self.doubt_alarm_s)
        late = [order for order in exits if order.release_at < limit and order.id not in self._alarmed]
        self._alarmed &= {order.id for order in exits}
        if late:
            await self.db.write(lambda tx: self._tell_waiting(tx, late))
            self._alarmed |= {order.id for order in late}

    def _tell_waiting(self, tx: Tx, late: Sequence[Order]) -> None:
        now = self.clock.now()
        for order in late:
            detail = {"symbol": order.symbol, "leg": order.leg.value, "since": order.release_at.isoformat()}
            self.journal.open_incident(tx, order, "exit_waits", detail, now)

    async def _guard(self) -> None:
        """End the engine when the latch has closed: a record in doubt is recovered from disk, not worked around."""
        while self.latch.is_open:
            await self.clock.sleep(_GUARD_S)
        if self.latch.reason == OWNER_REPLACED:
            raise StaleOwner("Another process has taken the journal over")
        raise CommitInDoubt(f"the engine may not send any more: {self.latch.reason}")

    def on_price(self, key: MarketKey, point: PricePoint) -> None:
        """A fresh price: watched levels are compared with it."""
        self.protector.on_price(key.venue, key.environment, key.symbol, point.price)


def build_engine(
    *,
    db: Db,
    clock: Clock,
    ids: Ids,
    bus: Bus,
    desk: Desk,
    known: KnownOrders,
    roster: PlatformRoster,
    numbers: EngineNumbers,
) -> Engine:
    """Wire the engine's parts together."""
    latch = Latch()
    db.on_doubt = _closing(latch, "commit_in_doubt")
    credentials = desk.credentials
    owner = Owner(on_stale=_closing(latch, OWNER_REPLACED))
    journal = Journal(ids, numbers.send_by_ms, owner)
    recorder = Recorder(db, Applier(ids, Portfolio(ids), _rules(desk), owner), clock, latch)
    submitter = Submitter(desk, latch, clock, credentials.note)
    dispatcher = Dispatcher(db, journal, recorder, submitter, latch, clock, roster.entry_gate)
    reconciler = _reconciler(db, journal, recorder, desk, clock, dispatcher, numbers)
    ended = EndedWatch(db, journal, reconciler, submitter, desk, clock)
    cancels = CancelDesk(db, journal, recorder, submitter, clock)
    exits = ExitDesk(journal, recorder, desk, cancels, clock)
    protector = _protector(exits, Outbound(db, journal, dispatcher, cancels, clock), desk, numbers)
    recovery = Recovery(
        db,
        ids,
        clock,
        AccountLook(db, reconciler, ended, desk, clock),
        Adoption(db, journal, recorder, cancels, desk, clock, desk.find, roster.mandates_of),
        RestoreBook(db, clock),
        dispatcher.enqueue,
        credentials.note,
        desk.is_blind,
        lambda _account_id: protector.rounds.wake.set(),
        Comparing(numbers.quiet_s, CROSS_CHECK_S),
        numbers.doubtful_s,
    )
    listener = Listener(db, ids, recorder, recovery, desk, clock)
    decider = Decider(ids, roster, desk, numbers.max_age_s)
    book_check = BookCheck(desk, numbers.depth_rules, numbers.depth_timeout_s)
    outlooks = OutlookDesk(db, clock, decider, desk, book_check)
    worker = SignalWorker(db, ids, clock, outlooks, journal, recorder, dispatcher, protector, numbers.lease_s)
    engine = Engine(
        db=db,
        clock=clock,
        desk=desk,
        known=known,
        credentials=credentials,
        latch=latch,
        journal=journal,
        recorder=recorder,
        dispatcher=dispatcher,
        protector=protector,
        reconciler=reconciler,
        ended=ended,
        recovery=recovery,
        listener=listener,
        worker=worker,
        retries=RetryDesk(db, clock, journal, recorder, dispatcher, protector, outlooks, desk),
        boards=FanBoards(db, bus, clock),
        hand=HandDesk(journal, roster, desk, clock),
        doubt_alarm_s=numbers.doubt_alarm_s,
    )
    _connect(engine)
    _connect_recovery(engine, roster)
    return engine


def _protector(exits: ExitDesk, outbound: Outbound, desk: Desk, numbers: EngineNumbers) -> Protector:
    db, journal, clock = outbound.db, exits.journal, exits.clock
    triggers = Triggers(clock, numbers.stop_escalation_s)
    outside = OutsideDesk(db, journal, desk, clock, numbers.external_confirm_s)
    return Protector(db, journal, outbound, exits, desk, clock, triggers, outside, numbers.trailing)


def _reconciler(
    db: Db,
    journal: Journal,
    recorder: Recorder,
    desk: Desk,
    clock: Clock,
    dispatcher: Dispatcher,
    numbers: EngineNumbers,
) -> Reconciler:
    doubts = DoubtBook(clock, numbers.send_by_ms / 1_000 + numbers.request_timeout_s + _OVERDUE_S)
    note = desk.credentials.note
    alarm_s = numbers.doubt_alarm_s
    return Reconciler(db, journal, recorder, desk, clock, alarm_s, dispatcher.enqueue, note, doubts)


def _connect(engine: Engine) -> None:
    """Tell each part what the others must know: the recorder of every move, the market of every price."""
    recorder, desk = engine.recorder, engine.desk
    recorder.on_poison = engine.reconciler.poisoned
    recorder.listeners.extend(
        [
            _remembering(engine.known),
            engine.dispatcher.on_moved,
            engine.reconciler.on_moved,
            engine.ended.on_moved,
            engine.recovery.on_moved,
            engine.protector.on_moved,
            engine.boards.on_moved,
            _watching(desk),
            _refreshing(desk),
        ]
    )
    desk.market.on_price(engine.on_price)


def _connect_recovery(engine: Engine, roster: PlatformRoster) -> None:
    """Let entries wait for accounts that are held, and comparisons for entries."""
    recovery, worker, dispatcher = engine.recovery, engine.worker, engine.dispatcher
    engine.credentials.on_blind = recovery.refused
    roster.is_held = recovery.is_held
    recovery.queue.has_room = lambda: not (worker.is_deciding or dispatcher.is_pressed)
    recovery.streams.on_deaf = engine.listener.resubscribe
    engine.protector.rounds.stands_aside = lambda key: recovery.restores.stands_aside(key[0])


def _rules(desk: Desk) -> Callable[[Order], Instrument | None]:
    return lambda order: desk.market.instrument(order.venue, order.environment, order.symbol)


def _closing(latch: Latch, reason: str) -> Callable[[], None]:
    return lambda: latch.close(reason)


def _remembering(known: KnownOrders) -> Callable[..., None]:
    def remember(moved: list[Moved]) -> None:
        for move in moved:
            known.remember(move.after.id, move.after.account_id)

    return remember


def _watching(desk: Desk) -> Callable[..., None]:
    """A symbol in which something was bought has its price followed from then on."""

    def watch(moved: list[Moved]) -> None:
        for move in moved:
            if move.new_fills:
                order = move.after
                desk.market.watch(order.venue, order.environment, [order.symbol])

    return watch


def _refreshing(desk: Desk) -> Callable[..., None]:
    """An order refused for a step or minimum: the venue's rules have changed, read them again."""

    def refresh(moved: list[Moved]) -> None:
        for move in moved:
            order = move.after
            if order.state is OrderState.REJECTED and (order.reason or "").startswith(_RULE_REFUSALS):
                desk.market.refresh_soon(order.venue, order.environment)

    return refresh
