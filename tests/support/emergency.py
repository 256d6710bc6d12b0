"""Emergency stops against claims: a journal with many users, and actors whose steps are transactions."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from tests.support.clock import ManualClock
from tests.support.journal import BTCUSDT, venue_now

from tradewind.audit.service import Audit
from tradewind.core.ids import AccountId, IntentId, OrderId, UserId
from tradewind.core.instrument import Environment
from tradewind.core.money import Asset, Money, Quantity
from tradewind.core.order import (
    Denied,
    IntentKind,
    Leg,
    Order,
    OrderEvent,
    OrderState,
    OrderType,
    OutcomeLost,
    ReturnedUnsent,
    Side,
)
from tradewind.execution import store
from tradewind.execution.apply import Applier
from tradewind.execution.emergency import Emergency, Stopped, StopRequest
from tradewind.execution.emergency_store import Policy, Scope
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal, new_order
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Outcome
from tradewind.execution.owner import Owner
from tradewind.execution.stops import EPOCH_KEY, STOPPED, scopes_of_order, stop_epoch
from tradewind.execution.tables import order_events
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import RandomIds
from tradewind.portfolio.service import Portfolio
from tradewind.vault.cipher import LocalKek
from tradewind.vault.secret import Secret
from tradewind.vault.service import Vault

# One actor: each `next` carries out one transaction (or one look at the latch) of its own.
Actor = Iterator[None]


@dataclass(slots=True)
class Stage:
    """One process's view of a journal: several may stand over one database."""

    db: Db
    clock: ManualClock
    owner: Owner = field(default_factory=Owner)
    latch: Latch = field(default_factory=Latch)
    ids: RandomIds = field(init=False)
    journal: Journal = field(init=False)
    applier: Applier = field(init=False)
    emergency: Emergency = field(init=False)

    def __post_init__(self) -> None:
        self.ids = RandomIds(self.clock)
        self.journal = Journal(self.ids, 2_000, self.owner)
        self.applier = Applier(self.ids, Portfolio(self.ids), lambda _order: BTCUSDT, self.owner)
        vault = Vault(LocalKek([Secret(bytes(range(32)))]), self.clock)
        self.emergency = Emergency(
            self.journal, Audit(vault, self.clock), self.clock, lambda _tx, _scope: [UserId("u-a"), UserId("u-b")]
        )

    def order(self, account: str, leg: Leg, *, epoch: int = 0) -> tuple[Intent, Order]:
        """Prepare an order of `account`, whose user has the same name with `u-` before it."""
        now = self.clock.now()
        kind = IntentKind.SIGNAL if leg is Leg.ENTRY else IntentKind.PROTECTION
        intent = Intent(
            id=IntentId(self.ids.new()),
            kind=kind,
            user_id=UserId(f"u-{account.partition('/')[0]}"),
            account_id=AccountId(account),
            symbol="BTCUSDT",
            created_at=now,
            detail={EPOCH_KEY: epoch, "fresh_until": (now + timedelta(hours=1)).isoformat()},
            is_done=True,
        )
        size: dict[str, Any] = {"quantity": Quantity(Decimal("0.001"))}
        if leg is Leg.ENTRY:
            size = {"spend": Money(Decimal(20), Asset("USDT"))}
        side = Side.BUY if leg is Leg.ENTRY else Side.SELL
        return intent, new_order(
            self.ids, intent, BTCUSDT, Environment.PAPER, now, leg=leg, side=side, type=OrderType.MARKET, **size
        )

    def record(self, account: str, leg: Leg = Leg.ENTRY, *, epoch: int = 0) -> Order:
        """Record an order, INTENDED, decided under a stop epoch."""
        intent, order = self.order(account, leg, epoch=epoch)
        self.db.write_now(lambda tx: self.journal.intend(tx, intent, [order], self.clock.now()))
        return order

    def claim(self, ids: Sequence[OrderId]) -> list[Order]:
        """Claim entries."""
        claim = self.db.write_now(
            lambda tx: self.journal.claim_entries(tx, ids, lambda _tx, _due: {}, venue_now, self.clock.now())
        )
        return list(claim.sent)

    def apply(self, order: Order, event: OrderEvent) -> None:
        """Record what became of a claimed order."""
        outcome = Outcome(order.id, event, attempt=order.attempt)
        self.db.write_now(lambda tx: self.applier.apply_all(tx, [outcome], self.clock.now()))

    def stop(self, scope: Scope, policy: Policy = Policy.LEAVE, *, actor: str = "cli") -> Stopped:
        """Stop a scope in the database."""
        wanted = StopRequest(scope, policy, actor, "test")
        return self.db.write_now(lambda tx: self.emergency.stop(tx, wanted))

    def resume(self, scope: Scope) -> None:
        """Lift a stop."""
        self.db.write_now(lambda tx: self.emergency.resume(tx, scope, actor="cli", reason="test", is_operator=True))

    def state(self, order: Order) -> tuple[OrderState, str | None]:
        """Read an order's state and reason."""
        found = self.db.read_now(lambda tx: store.find_orders(tx, [order.id]))[order.id].order
        return found.state, found.reason


@dataclass(slots=True)
class Interleaving:
    """One fan-out, one stop, perhaps a resume: actors of seeded size, and what they left behind."""

    stages: Sequence[Stage]
    seed: int
    scope: Scope
    # How long the stop's transaction takes its time after it has denied what it saw.
    linger_s: float = 0
    entries: list[Order] = field(default_factory=list)
    protective: list[Order] = field(default_factory=list)
    # The stop as committed, and what was claimed in its own sight.
    stopped: Stopped | None = None
    claimed_before: set[OrderId] = field(default_factory=set)
    # Entries recorded by decisions that were made after the resume.
    decided_after: set[OrderId] = field(default_factory=set)
    written: list[OrderId] = field(default_factory=list)
    written_when_stopped: int = 0

    def prepare(self, accounts: Sequence[str], each: int) -> None:
        """Record the fan-out and one protective order per account."""
        first = self.stages[0]
        epoch = first.db.read_now(stop_epoch)
        for account in accounts:
            self.entries.extend(first.record(account, epoch=epoch) for _ in range(each))
            self.protective.append(first.record(account, Leg.STOP))

    # --- actors ------------------------------------------------------------------------------------

    def claimer(self, stage: Stage, rng: random.Random) -> Actor:
        """Claim everything in batches, and send what was claimed, with the last look before each write."""
        for _ in range(2):
            waiting = [order.id for order in self.entries]
            rng.shuffle(waiting)
            while waiting:
                size = rng.randint(1, 4)
                batch, waiting = waiting[:size], waiting[size:]
                sent = stage.claim(batch)
                yield
                for order in sent:
                    self._send(stage, order, rng)
                    yield

    def _send(self, stage: Stage, order: Order, rng: random.Random) -> None:
        now = stage.clock.now()
        if not stage.latch.lets_pass(order):
            stage.apply(order, Denied(now, STOPPED))
            return
        fate = rng.random()
        if fate < 0.3:
            stage.apply(order, ReturnedUnsent(now, "busy", now))
            return
        self.written.append(order.id)
        stage.apply(order, OutcomeLost(now, "no_answer"))

    def stopper(self, stage: Stage, rng: random.Random) -> Actor:
        """Stop after a while: latch first, then the transaction, in whose sight all claims are noted."""
        for _ in range(rng.randint(0, 6)):
            yield
        for each in self.stages:
            each.latch.ask(self.scope)
        yield
        wanted = StopRequest(self.scope, Policy.LEAVE, "cli", "test")

        def work(tx: Tx) -> tuple[Stopped, set[OrderId]]:
            stopped = stage.emergency.stop(tx, wanted)
            time.sleep(self.linger_s)
            return stopped, self._ever_claimed(tx)

        self.stopped, self.claimed_before = stage.db.write_now(work)
        yield
        if rng.random() < 0.5:
            for _ in range(rng.randint(0, 4)):
                yield
            stage.resume(self.scope)
            for each in self.stages:
                each.latch.answer(self.scope)
            yield
            epoch = stage.db.read_now(stop_epoch)
            order = stage.record(self.entries[0].account_id, epoch=epoch)
            self.decided_after.add(order.id)
            self.entries.append(order)
            yield

    def decider(self, stage: Stage, rng: random.Random) -> Actor:
        """Decide on what was read a while ago, and record it whatever has happened since."""
        for _ in range(2):
            epoch = stage.db.read_now(stop_epoch)
            is_late = self.stopped is not None and epoch >= self.stopped.row.epoch
            for _ in range(rng.randint(1, 5)):
                yield
            if not is_late:
                # With a later epoch the gate would have been closed, or the scope open again.
                self.entries.append(stage.record(rng.choice(self.entries).account_id, epoch=epoch))
            yield

    def latecomer(self, stage: Stage) -> Actor:
        """Record what was decided long ago, one by one, and claim each at once."""
        epoch = stage.db.read_now(stop_epoch)
        for _ in range(8):
            order = stage.record(self.entries[0].account_id, epoch=epoch)
            self.entries.append(order)
            yield
            stage.claim([order.id])
            yield

    # --- what must hold ----------------------------------------------------------------------------

    def check(self) -> None:
        """I-7: in the stop's own sight everything of its scope that was ever claimed before the resume is there."""
        assert self.stopped is not None
        db = self.stages[0].db
        claimed = db.read_now(self._ever_claimed)
        states = db.read_now(lambda tx: store.find_orders(tx, [order.id for order in self.entries]))
        for order in self.entries:
            after = states[order.id].order
            if self.scope not in scopes_of_order(order):
                assert after.reason != STOPPED, f"seed {self.seed}: {order.id} is outside the stop and was denied"
            elif order.id not in self.decided_after:
                late = order.id in claimed - self.claimed_before
                assert not late, f"seed {self.seed}: {order.id} was claimed after the stop's commit"
                assert after.state is not OrderState.INTENDED, f"seed {self.seed}: {order.id} still waits"
        ids = [order.id for order in self.protective]
        kept = db.read_now(lambda tx: store.find_orders(tx, ids))
        assert {each.order.state for each in kept.values()} == {OrderState.INTENDED}, f"seed {self.seed}"

    def _ever_claimed(self, tx: Tx) -> set[OrderId]:
        ids = [order.id for order in self.entries]
        query = select(order_events.c.order_id).where(
            order_events.c.order_id.in_(ids), order_events.c.to_state == OrderState.SENT.value
        )
        return {OrderId(text) for text in tx.execute(query).scalars()}


def take_turns(actors: Sequence[Actor], rng: random.Random) -> None:
    """Run actors step by step in an order drawn by the seed, until all have ended."""
    running = list(actors)
    while running:
        actor = rng.choice(running)
        if next(actor, _OVER) is _OVER:
            running.remove(actor)


def run_side_by_side(actors: Sequence[Actor], rng: random.Random) -> None:
    """Run every actor on a thread of its own, with short drawn pauses between its steps."""
    start = threading.Barrier(len(actors))

    def run(actor: Actor, draw: random.Random) -> None:
        start.wait()
        for _ in actor:
            time.sleep(draw.random() * _PAUSE_S)

    with ThreadPoolExecutor(len(actors)) as threads:
        ends = [threads.submit(run, actor, random.Random(rng.random())) for actor in actors]
    for end in ends:
        end.result()


_OVER = object()
_PAUSE_S = 0.003
