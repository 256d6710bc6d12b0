"""The worker: takes a signal from the inbox, decides it for every account, records it, hands it on.

Everything up to the record is repeatable: a worker that dies leaves a lease that runs out and nothing else.
The record is one transaction: all decisions, all intended orders, the inbox row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from tradewind.core.ids import AccountId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.order import Order
from tradewind.core.signal import Action
from tradewind.execution.deciding import Decider, Facts
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.journal import DecidedAccount, Journal
from tradewind.execution.outcomes import Moved
from tradewind.execution.protect import Protector
from tradewind.execution.recorder import Recorder
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.signals import service as signals
from tradewind.signals.service import Claimed

_log = logger("execution.worker")

# With no wake-up the inbox is looked at this often.
_IDLE_S = 0.25
# After this many rounds in which accounts moved under the decision, it is made inside the transaction.
_ROUNDS = 3


class PriceConfirmer(Protocol):
    """Makes sure that prices are fresh before a signal is decided."""

    async def confirm(self, venue: VenueName, environment: Environment, symbols: Sequence[str]) -> None:
        """Ask the venue for prices that are not fresh; what it does not say stays unknown."""
        ...


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
    decider: Decider
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    protector: Protector
    prices: PriceConfirmer
    lease_s: int
    # Of the signal decided last.
    last_timing: Timing = Timing()
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
        claimed = await self.db.write(lambda tx: signals.claim_next(tx, token, self.clock.now(), self.lease_s))
        if claimed is None:
            return False
        reached(Point.SIGNAL_LEASED)
        try:
            await self._decide(claimed)
        except (CommitInDoubt, asyncio.CancelledError):
            raise
        except signals.LeaseLost:
            _log.warning("execution.worker.lease_lost", signal_id=claimed.signal.id)
        except Exception as error:
            _log.exception("execution.worker.decide_failed", signal_id=claimed.signal.id)
            await self._give_back(claimed, type(error).__name__)
        return True

    async def _decide(self, claimed: Claimed) -> None:
        now, started = self.clock.now(), self.clock.monotonic()
        is_bound = claimed.source.is_exchange_bound
        facts = await self.db.read(lambda tx: self.decider.load(tx, claimed.signal, now, is_source_bound=is_bound))
        await self._confirm_prices(facts)
        loaded = self.clock.monotonic()
        decided = self.decider.decide_all(facts, self.clock.now())
        reached(Point.SIGNAL_DECIDED)
        ready = self.clock.monotonic()
        for attempt in range(_ROUNDS):
            is_last = attempt == _ROUNDS - 1
            recorded = await self.db.write(
                partial(self._record, claimed=claimed, facts=facts, decided=decided, is_last=is_last)
            )
            if recorded is not None:
                reached(Point.DECISIONS_COMMITTED)
                self.last_timing = Timing(loaded - started, ready - loaded, self.clock.monotonic() - ready)
                self._hand_on(claimed, *recorded)
                return
            facts = await self.db.read(
                lambda tx: self.decider.load(tx, claimed.signal, self.clock.now(), is_source_bound=is_bound)
            )
            decided = self.decider.decide_all(facts, self.clock.now())

    async def _confirm_prices(self, facts: Facts) -> None:
        wanted: dict[tuple[VenueName, Environment], set[str]] = {}
        for account in facts.accounts.values():
            mandate = facts.mandates.get(account.account_id)
            preference = account.quote if mandate is None else mandate.quote_preference or account.quote
            instrument = self.decider.quotes.find(
                account.venue, account.environment, facts.signal.base, preference, facts.signal.quote
            )
            if instrument is not None:
                wanted.setdefault((account.venue, account.environment), set()).add(instrument.symbol)
        for (venue, environment), symbols in wanted.items():
            await self.prices.confirm(venue, environment, sorted(symbols))

    def _record(
        self, tx: Tx, claimed: Claimed, facts: Facts, decided: Sequence[DecidedAccount], *, is_last: bool
    ) -> tuple[list[Order], list[Moved]] | None:
        """Write it all if no account moved meanwhile; the last round decides under the lock itself."""
        now = self.clock.now()
        signal = claimed.signal
        moved = self.journal.moved_accounts(tx, facts.versions)
        if moved and not is_last:
            return None
        if moved:
            decided = self._decide_again(tx, claimed, decided, moved, now)
        denied = []
        if signal.action is Action.CLOSE:
            denied = self.journal.supersede(tx, signal.source_id, signal.base, now)
        orders = self.journal.record(tx, decided, now)
        signals.mark_decided(tx, signal.id, claimed.lease_token, now)
        reached(Point.DECISIONS_WRITTEN)
        return orders, denied

    def _decide_again(
        self, tx: Tx, claimed: Claimed, decided: Sequence[DecidedAccount], moved: set[AccountId], now: datetime
    ) -> list[DecidedAccount]:
        only = [each.account_id for each in decided if each.account_id in moved]
        facts = self.decider.load(tx, claimed.signal, now, is_source_bound=claimed.source.is_exchange_bound, only=only)
        return [
            self.decider.decide_one(facts, each.account_id, each.decision["cell"], now)
            if each.account_id in facts.accounts and each.account_id in moved
            else each
            for each in decided
        ]

    def _hand_on(self, claimed: Claimed, orders: list[Order], denied: list[Moved]) -> None:
        _log.info("execution.signal.decided", signal_id=claimed.signal.id, placed=len(orders))
        self.recorder.announce(denied)
        self.recorder.announce([Moved(order, order) for order in orders])
        self.dispatcher.enqueue(orders)
        if claimed.signal.action is Action.CLOSE:
            for order in orders:
                self.protector.look((order.account_id, order.symbol))

    async def _give_back(self, claimed: Claimed, reason: str) -> None:
        try:
            await self.db.write(
                lambda tx: signals.fail(tx, claimed.signal.id, claimed.lease_token, reason, self.clock.now())
            )
        except signals.LeaseLost:
            _log.warning("execution.worker.lease_lost", signal_id=claimed.signal.id)

    async def _pause(self) -> None:
        self._wake.clear()
        await self._wake.wait(_IDLE_S)
