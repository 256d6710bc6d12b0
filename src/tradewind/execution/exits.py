"""Exits: free the coins, sell what may be sold, until flat (order-protocol.md section 4).

An exit is an intent that stays open until nothing in its scope is left to sell. Resting protective orders
hold the coins on spot, so they are cancelled first, one by one certain; while that goes on the watch stays
armed. An exit in doubt is never repeated: the next generation comes only after the last one has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tradewind.core.ids import IntentId
from tradewind.core.instrument import Instrument
from tradewind.core.order import (
    CancelSent,
    IntentKind,
    Leg,
    Order,
    OrderState,
    OrderType,
    Side,
)
from tradewind.core.protection import ExitCause
from tradewind.execution import intent_store, store
from tradewind.execution.desk import fact
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal, new_order, next_generation
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.scope import sell_scope
from tradewind.execution.store import Stored
from tradewind.execution.submit import Submitter
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import Portfolio

_log = logger("execution.exits")

_RESTING_LEGS = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
# "retry with back-off (at most 30 s)" (order-protocol.md section 4).
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_HALTED_RETRY = timedelta(seconds=5)
EXIT_KINDS = (IntentKind.SIGNAL, IntentKind.ENGINE_EXIT, IntentKind.HAND)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an exit is: done, or to be looked at again at a time (None: when something moves)."""

    is_done: bool
    look_again_at: datetime | None = None
    is_halted: bool = False


@dataclass(frozen=True, slots=True)
class _Scene:
    """What an exit sees in one read."""

    intent: Intent
    latest: Order
    in_scope: tuple[Holding, ...]
    protective: tuple[Order, ...]
    has_entry_in_doubt: bool


@dataclass(slots=True)
class ExitDesk:
    """Carries exits out; the caller sees to it that only one task works on an account and symbol."""

    db: Db
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    submitter: Submitter
    clock: Clock

    async def carry_out(self, intent: Intent) -> Progress:
        """Bring an exit one stretch further."""
        scene = await self.db.read(lambda tx: _scene(tx, intent.id))
        latest = scene.latest
        now = self.clock.now()
        if latest.is_ended:
            return await self._after_end(scene, now)
        if latest.state is not OrderState.INTENDED:
            return Progress(False)
        if latest.release_at > now:
            return Progress(False, latest.release_at)
        instrument = self._instrument(latest)
        if not instrument.is_trading:
            # Nothing is cancelled while the symbol stands still: the resting stop is all there is.
            return Progress(False, now + _HALTED_RETRY, is_halted=True)
        if scene.protective:
            return await self._free_coins(scene, now)
        if scene.has_entry_in_doubt and not scene.in_scope:
            return Progress(False)
        await self.dispatcher.send_exit(latest)
        return await self.carry_out(intent) if await self._has_ended(latest) else Progress(False)

    async def begin(self, holding: Holding, cause: ExitCause, detail: str) -> bool:
        """Record an engine's exit of one lot, unless one is under way; True if it was recorded."""
        now = self.clock.now()
        lot = holding.lot
        instrument = self.submitter.desk.instrument(holding.venue, holding.environment, lot.symbol)
        intent = Intent(
            id=IntentId(self.journal.ids.new()),
            kind=IntentKind.ENGINE_EXIT,
            user_id=holding.user_id,
            account_id=lot.account_id,
            symbol=lot.symbol,
            created_at=now,
            signal_id=lot.signal_id,
            source_id=lot.source_id,
            lot_id=lot.id,
            detail={"cause": cause.value, "detail": detail},
        )
        order = new_order(
            self.journal.ids,
            intent,
            instrument,
            holding.environment,
            now,
            leg=Leg.EXIT,
            side=Side.SELL,
            type=OrderType.MARKET,
            lot_id=lot.id,
        )
        return await self.db.write(lambda tx: self._begin(tx, intent, order, now))

    def _begin(self, tx: Tx, intent: Intent, order: Order, now: datetime) -> bool:
        for other in intent_store.list_open_intents(tx, EXIT_KINDS):
            if covers_lot(other, intent):
                return False
        self.journal.intend(tx, intent, [order], now)
        return True

    async def _free_coins(self, scene: _Scene, now: datetime) -> Progress:
        """Cancel what holds the coins; certain ends only."""
        waiting = [order for order in scene.protective if order.state is OrderState.INTENDED]
        for order in waiting:
            moved = await self.db.write(lambda tx, each=order: self._deny(tx, each))  # type: ignore[misc]
            self.recorder.announce(moved)
        resting = [order for order in scene.protective if order.state in _RESTING_LEGS]
        if not resting:
            return Progress(False, now if waiting else None)
        await self.cancel_list(resting, "exit")
        again = await self.db.read(lambda tx: _scene(tx, scene.intent.id))
        return Progress(False, None if again.protective else self.clock.now())

    async def cancel_list(self, legs: Sequence[Order], reason: str) -> None:
        """Record a cancel of resting legs, send it once, and record what the venue said."""
        sent = []
        for leg in legs:
            event = CancelSent(self.clock.now(), reason)
            after = await self.db.write(
                lambda tx, each=leg, step=event: self.journal.step(tx, each.id, step, _RESTING_LEGS, self.clock.now())  # type: ignore[misc]
            )
            if after is not None:
                sent.append((leg, after))
        done: set[str | None] = set()
        for _, after in sent:
            key = after.list_client_id or after.id
            if key in done:
                continue
            done.add(key)
            await self._cancel(after, [each for _, each in sent])

    async def _cancel(self, order: Order, siblings: Sequence[Order]) -> None:
        reports = await self.submitter.cancel(order)
        by_venue_id = {each.venue_order_id: each for each in siblings}
        by_client_id = {each.client_order_id: each for each in siblings}
        outcomes = []
        for report in reports or ():
            leg = by_venue_id.get(report.venue_order_id) or by_client_id.get(report.client_order_id)  # type: ignore[call-overload]
            if leg is not None:
                outcomes.append(Outcome(leg.id, fact(report, self.clock.now())))
        await self.recorder.record(outcomes)
        await self._hand_over_doubt(siblings)

    async def _hand_over_doubt(self, legs: Sequence[Order]) -> None:
        """What the answer did not end is in doubt: tell the reconciler, which asks at once."""
        found = await self.db.read(lambda tx: store.find_orders(tx, [leg.id for leg in legs]))
        left = [each.order for each in found.values() if each.order.state is OrderState.CANCEL_SENT]
        before = {leg.id: leg for leg in legs}
        self.recorder.announce([Moved(before[order.id], order) for order in left])

    async def _after_end(self, scene: _Scene, now: datetime) -> Progress:
        latest, intent = scene.latest, scene.intent
        if self._wants_more(scene):
            # A lot that came to light after a complete sale is sold at once; a failed sale backs off.
            is_complete = latest.state is OrderState.FILLED
            pause = 0.0 if is_complete else _BACKOFF_S[min(latest.generation, len(_BACKOFF_S) - 1)]
            again = next_generation(
                latest,
                self.journal.ids,
                now,
                quantity=None if intent.kind is not IntentKind.HAND else latest.quantity,
                release_at=now + timedelta(seconds=pause),
            )
            await self.db.write(lambda tx: self.journal.intend(tx, None, [again], now))
            if latest.state is OrderState.REJECTED:
                _log.warning("execution.exit.rejected", order_id=latest.id, reason=latest.reason)
            return Progress(False, again.release_at)
        if scene.has_entry_in_doubt:
            return Progress(False)
        await self.db.write(lambda tx: intent_store.close_intent(tx, intent.id))
        return Progress(True)

    def _wants_more(self, scene: _Scene) -> bool:
        if scene.latest.state is OrderState.DENIED or scene.intent.kind is IntentKind.HAND:
            return False
        instrument = self._instrument(scene.latest)
        order = scene.latest
        price = self.submitter.desk.fresh_price(order.venue, order.environment, order.symbol)
        for holding in scene.in_scope:
            quantity = instrument.floor_quantity(holding.lot.quantity)
            reference = price or holding.lot.entry_price
            if reference is None or instrument.is_sellable(quantity, reference):
                return True
        return False

    async def _has_ended(self, order: Order) -> bool:
        found = await self.db.read(lambda tx: store.find_orders(tx, [order.id]))
        return order.id in found and found[order.id].order.is_ended

    def _deny(self, tx: Tx, order: Order) -> list[Any]:
        current = store.find_orders(tx, [order.id], lock=True).get(order.id)
        if current is None or current.order.state is not OrderState.INTENDED:
            return []
        return self.journal.deny(tx, current.order, "exit_instead", self.clock.now())

    def _instrument(self, order: Order) -> Instrument:
        return self.submitter.desk.instrument(order.venue, order.environment, order.symbol)


def covers_lot(exit_intent: Intent, wanted: Intent) -> bool:
    """Say whether an exit under way already sells what another would sell."""
    if exit_intent.account_id != wanted.account_id or exit_intent.symbol != wanted.symbol:
        return False
    if exit_intent.kind is IntentKind.HAND:
        return bool(exit_intent.detail.get("include_protected"))
    if exit_intent.lot_id is not None:
        return exit_intent.lot_id == wanted.lot_id
    return exit_intent.source_id == wanted.source_id


def _scene(tx: Tx, intent_id: IntentId) -> _Scene:
    intent = intent_store.load_intent(tx, intent_id)
    exits = [each.order for each in store.list_of_intent(tx, intent_id) if each.order.leg is Leg.EXIT]
    latest = max(exits, key=lambda order: order.generation)
    in_scope = tuple(Portfolio.lots_in(tx, sell_scope(latest, intent)))
    lot_ids = {holding.lot.id for holding in in_scope}
    undone: list[Stored] = store.list_not_ended(tx, latest.account_id, latest.symbol)
    protective = tuple(
        each.order for each in undone if each.order.leg in (Leg.STOP, Leg.TARGET) and each.order.lot_id in lot_ids
    )
    entries = [each.order for each in undone if each.order.leg is Leg.ENTRY]
    in_doubt = any(order.source_id == intent.source_id and order.state is not OrderState.INTENDED for order in entries)
    waits = intent.lot_id is None and intent.kind is IntentKind.SIGNAL and in_doubt
    return _Scene(intent, latest, in_scope, protective, waits)
