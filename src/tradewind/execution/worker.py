"""The worker: takes a signal from the inbox, decides it for every account, records it, hands it on.

Everything up to the record is repeatable: a worker that dies leaves a lease that runs out and nothing else.
The record is one transaction: all decisions, all intended orders, the inbox row.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from tradewind.core.errors import Unavailable
from tradewind.core.ids import AccountId, SourceId
from tradewind.core.money import Asset
from tradewind.core.order import Order
from tradewind.core.signal import Action
from tradewind.execution import store
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.given_up import tell_damaged, tell_given_up
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Moved
from tradewind.execution.outlook import Outlook, OutlookDesk
from tradewind.execution.protect import Protector
from tradewind.execution.recorder import Recorder
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.db_errors import is_passing
from tradewind.infra.db_reserve import DiskShort
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.portfolio.service import open_lots
from tradewind.signals import service as signals
from tradewind.signals.inbox_facts import SignalState
from tradewind.signals.service import Claimed, GivenUp

_log = logger("execution.worker")

# With no wake-up the inbox is looked at this often.
_IDLE_S = 0.25
# After this many rounds in which accounts moved under the decision, it is made inside the transaction.
_ROUNDS = 3
# A lease is renewed so many times before it would end.
_RENEWALS = 4


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the parts of one signal took, in seconds: reading, deciding, recording with its commit."""

    load_s: float = 0.0
    decide_s: float = 0.0
    record_s: float = 0.0


@dataclass(slots=True)
class SignalWorker:
    """Decides signals one after the other; order per account and asset is the inbox's."""

    db: Db
    ids: Ids
    clock: Clock
    outlooks: OutlookDesk
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    protector: Protector
    lease_s: int
    # Of the signal decided last.
    last_timing: Timing = Timing()
    # Whether a signal is being decided now: work that can wait should.
    is_deciding: bool = False
    _wake: Wake = field(init=False)

    def __post_init__(self) -> None:
        self._wake = Wake(self.clock)
        self.db.after_commit(self._wake.set)

    async def run(self) -> None:
        """Decide signals until cancelled."""
        while True:
            try:
                while await self.run_one():
                    pass
            except CommitInDoubt:
                raise
            except Exception:
                _log.exception("execution.worker.round_failed")
                await self.clock.sleep(_IDLE_S)
            await self._pause()

    async def run_one(self) -> bool:
        """Take and decide one signal; False if none is waiting."""
        token = self.ids.new()
        claimed = await self.db.write(lambda tx: self._claim(tx, token))
        if claimed is None:
            return False
        reached(Point.SIGNAL_LEASED)
        self.is_deciding = True
        keeper = asyncio.create_task(self._keep_lease(claimed), name="lease")
        try:
            await self._decide(claimed)
        except (CommitInDoubt, asyncio.CancelledError):
            raise
        except signals.LeaseLost:
            _log.warning("execution.worker.lease_lost", signal_id=claimed.signal.id)
        except Exception as error:
            _log.exception("execution.worker.decide_failed", signal_id=claimed.signal.id)
            await self._give_back(claimed, error)
        finally:
            self.is_deciding = False
            keeper.cancel()
        if keeper.done() and not keeper.cancelled():
            # A renewal in doubt ends the process like every other commit in doubt.
            keeper.result()
        return True

    async def _keep_lease(self, claimed: Claimed) -> None:
        """Hold the signal while it is decided: thousands of accounts may take longer than one lease lasts."""
        while True:
            await self.clock.sleep(self.lease_s / _RENEWALS)
            try:
                await self.db.write(lambda tx: self._renew(tx, claimed))
            except CommitInDoubt:
                raise
            except signals.LeaseLost:
                return
            except Exception:
                # The decision finds out by itself whether it still holds the lease.
                _log.exception("execution.worker.lease_not_renewed", signal_id=claimed.signal.id)

    def _renew(self, tx: Tx, claimed: Claimed) -> None:
        signals.renew(tx, claimed.signal.id, claimed.lease_token, self.clock.now(), self.lease_s)

    def _claim(self, tx: Tx, token: str) -> Claimed | None:
        """Take the next signal; what is given up on the way is told like what we give up ourselves."""
        now = self.clock.now()
        given_up: list[GivenUp] = []
        # Whom a source reaches is read once, however many signals wait.
        reached_by: dict[tuple[SourceId, Asset], set[AccountId]] = {}

        def meet(tx: Tx, one: SourceId, other: SourceId, base: Asset) -> bool:
            """Say whether two sources reach an account in common: by a mandate, or by what they opened there."""
            for source_id in (one, other):
                if (source_id, base) not in reached_by:
                    reached_by[source_id, base] = self._reach(tx, source_id, base)
            return not reached_by[one, base].isdisjoint(reached_by[other, base])

        claimed = signals.claim_next(tx, token, now, self.lease_s, given_up.append, meet)
        for each in given_up:
            tell_given_up(tx, self.ids, each, now)
        return claimed

    def _reach(self, tx: Tx, source_id: SourceId, base: Asset) -> set[AccountId]:
        held = {each.lot.account_id for each in open_lots(tx, source_id=source_id, base=base)}
        held |= {each.order.account_id for each in store.list_entries_undone(tx, source_id, base)}
        return held | {each.account_id for each in self.outlooks.decider.roster.mandates(tx, source_id)}

    async def _decide(self, claimed: Claimed) -> None:
        outlook = await self.outlooks.of(claimed.signal, is_source_bound=claimed.source.is_exchange_bound)
        first = outlook
        reached(Point.SIGNAL_DECIDED)
        ready = self.clock.monotonic()
        for attempt in range(_ROUNDS):
            is_last = attempt == _ROUNDS - 1
            record = partial(self._record, claimed=claimed, outlook=outlook, is_last=is_last)
            recorded = await self.db.write(record, is_large=True)
            if recorded is not None:
                reached(Point.DECISIONS_COMMITTED)
                self.last_timing = Timing(first.load_s, first.decide_s, self.clock.monotonic() - ready)
                self._hand_on(claimed, *recorded)
                return
            outlook = await self.outlooks.anew(outlook)

    def _record(
        self, tx: Tx, claimed: Claimed, outlook: Outlook, *, is_last: bool
    ) -> tuple[list[Order], list[Moved]] | None:
        """Write it all if no account moved meanwhile; the last round decides under the lock itself."""
        now = self.clock.now()
        signal = claimed.signal
        if signal.action is Action.OPEN:
            self.db.demand_room()
        moved = self.journal.moved_accounts(tx, outlook.facts.versions)
        if moved and not is_last:
            return None
        if moved:
            outlook = self.outlooks.under_lock(tx, outlook, moved, now)
        denied = []
        if signal.action is Action.CLOSE:
            denied = self.journal.supersede(tx, signal.source_id, signal.base, now)
        orders = self.journal.record(tx, outlook.decided, now)
        tell_damaged(tx, self.ids, outlook, now)
        signals.mark_decided(tx, signal.id, claimed.lease_token, now)
        reached(Point.DECISIONS_WRITTEN)
        return orders, denied

    def _hand_on(self, claimed: Claimed, orders: list[Order], denied: list[Moved]) -> None:
        _log.info("execution.signal.decided", signal_id=claimed.signal.id, placed=len(orders))
        self.recorder.announce(denied)
        self.recorder.announce([Moved(order, order) for order in orders])
        self.dispatcher.enqueue(orders)
        if claimed.signal.action is Action.CLOSE:
            for order in orders:
                self.protector.look((order.account_id, order.symbol))

    async def _give_back(self, claimed: Claimed, error: Exception) -> None:
        try:
            await self.db.write(lambda tx: self._fail(tx, claimed, error, self.clock.now()))
        except signals.LeaseLost:
            _log.warning("execution.worker.lease_lost", signal_id=claimed.signal.id)

    def _fail(self, tx: Tx, claimed: Claimed, error: Exception, now: datetime) -> None:
        """Give a signal back: what passes by itself is waited for, a mistake is counted.

        A close given up for good is an incident of every account it was to reach.
        """
        if isinstance(error, DiskShort):
            # It would be too old when there is room again, and a close of the same asset waits behind it.
            signals.give_up(tx, claimed.signal.id, claimed.lease_token, error.message, now)
            return
        reason = type(error).__name__
        state = signals.fail(
            tx,
            claimed.signal.id,
            claimed.lease_token,
            reason,
            now,
            is_passing=is_passing(error) or isinstance(error, Unavailable),
            max_age_s=self.outlooks.decider.max_age_s,
        )
        if state is SignalState.DEAD:
            tell_given_up(tx, self.ids, GivenUp.of(claimed.signal, reason), now)

    async def _pause(self) -> None:
        self._wake.clear()
        await self._wake.wait(_IDLE_S)
