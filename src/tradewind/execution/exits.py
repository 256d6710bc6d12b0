"""Exits: free the coins, sell what may be sold, until flat (order-protocol.md section 4).

An exit is an intent that stays open until nothing in its scope is left to sell. Resting protective orders
hold the coins on spot, so they are cancelled first, one by one certain; while that goes on the watch stays
armed. An exit in doubt is never repeated: the next generation comes only after the last one has ended.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tradewind.core.errors import NotFound
from tradewind.core.ids import IntentId, LotId
from tradewind.core.instrument import Instrument
from tradewind.core.order import (
    IntentKind,
    Leg,
    Order,
    OrderState,
    OrderType,
    Side,
)
from tradewind.core.protection import ExitCause
from tradewind.execution import intent_store, store
from tradewind.execution.cancels import RESTING_LEGS, CancelDesk
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal, new_order, next_generation
from tradewind.execution.recorder import Recorder
from tradewind.execution.scene import EXIT_KINDS
from tradewind.execution.scope import sell_scope
from tradewind.execution.sellable import total, touches_lots
from tradewind.execution.store import Stored
from tradewind.execution.submit import Submitter
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import Portfolio

_log = logger("execution.exits")

# "retry with back-off (at most 30 s)" (order-protocol.md section 4).
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_HALTED_RETRY = timedelta(seconds=5)
_NOT_LISTED_RETRY = timedelta(seconds=30)
# The word in which a venue says that there are not enough coins.
_LACKS_COINS = "insufficient_balance"
# "It asks every second": whatever is in doubt is looked at again this soon.
_DOUBT_RETRY = timedelta(seconds=1)
# A position is not left without resting protection for longer than this because an exit failed.
_NAKED_MAX = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an exit is: done, or to be looked at again at a time (None: when something moves).

    `is_backing_off`: the last try failed and the next is some time away, so protection goes up again.
    """

    is_done: bool
    look_again_at: datetime | None = None
    is_halted: bool = False
    is_backing_off: bool = False
    # Lots of which the venue says that their coins are not there to be sold.
    lacking_coins: tuple[LotId, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scene:
    """What an exit sees in one read."""

    intent: Intent
    latest: Order
    in_scope: tuple[Holding, ...]
    protective: tuple[Order, ...]
    has_entry_in_doubt: bool
    has_sell_unbooked: bool


@dataclass(slots=True)
class ExitDesk:
    """Carries exits out; the caller sees to it that only one task works on an account and symbol."""

    db: Db
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    submitter: Submitter
    cancels: CancelDesk
    clock: Clock

    async def carry_out(self, intent: Intent) -> Progress:
        """Bring an exit one stretch further."""
        scene = await self.db.read(lambda tx: _scene(tx, intent.id))
        latest = scene.latest
        now = self.clock.now()
        if scene.has_sell_unbooked:
            # The venue says sold and the fills are not here yet: what is left is not known (section 4).
            return Progress(False, now + _DOUBT_RETRY)
        if latest.is_ended:
            return await self._after_end(scene, now)
        if latest.state is not OrderState.INTENDED:
            return Progress(False)
        if self.submitter.desk.is_blind(latest.account_id):
            # No retry storm with a refused key; the listener finds out when one is accepted again.
            return Progress(False, now + _DOUBT_RETRY)
        if latest.release_at > now:
            is_long = latest.release_at - now > _NAKED_MAX
            return Progress(False, latest.release_at, is_backing_off=is_long)
        return await self._leave(scene, now)

    async def _leave(self, scene: _Scene, now: datetime) -> Progress:
        """The exit may go now: read the symbol's status, free the coins, sell."""
        latest = scene.latest
        try:
            if scene.protective or not self._instrument(latest).is_trading:
                await self.submitter.desk.confirm_status(latest.venue, latest.environment, latest.symbol)
            instrument = self._instrument(latest)
        except NotFound:
            # Not listed any more, or its venue is switched off: nothing can be asked of it now.
            return Progress(False, now + _NOT_LISTED_RETRY, is_halted=True)
        if not instrument.is_trading:
            # Nothing is cancelled while the symbol stands still: the resting stop is all there is.
            return Progress(False, now + _HALTED_RETRY, is_halted=True)
        if scene.protective:
            return await self._free_coins(scene, now)
        if scene.has_entry_in_doubt and not scene.in_scope:
            return Progress(False, now + _DOUBT_RETRY)
        return await self._sell(scene.intent, latest)

    async def _sell(self, intent: Intent, order: Order) -> Progress:
        await self.dispatcher.send_exit(order)
        after = (await self.db.read(lambda tx: store.find_orders(tx, [order.id])))[order.id].order
        if after.is_ended:
            return await self.carry_out(intent)
        if after.state is OrderState.INTENDED:
            # It could not leave, or another sell of ours may still take the coins: first in line, soon.
            return Progress(False, max(after.release_at, self.clock.now() + _DOUBT_RETRY))
        return Progress(False)

    async def begin(self, holding: Holding, cause: ExitCause, detail: str) -> bool:
        """Record an engine's exit of one lot, unless one is under way; True if it was recorded."""
        is_begun = await self.db.write(lambda tx: self.record(tx, holding, cause, detail, self.clock.now()))
        reached(Point.EXIT_INTENT_COMMITTED)
        return is_begun

    def record(self, tx: Tx, holding: Holding, cause: ExitCause, detail: str, now: datetime) -> bool:
        """As `begin`, inside a caller's transaction."""
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
            signal_seq=lot.signal_seq,
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
        for other in intent_store.list_open_intents(tx, EXIT_KINDS, order.account_id, order.symbol):
            if covers_lot(other, intent):
                return False
        self.journal.intend(tx, intent, [order], now)
        _log.info("execution.exit.begun", lot_id=lot.id, cause=cause.value, detail=detail)
        return True

    async def _free_coins(self, scene: _Scene, now: datetime) -> Progress:
        """Cancel what holds the coins; certain ends only."""
        waiting = [order for order in scene.protective if order.state is OrderState.INTENDED]
        for order in waiting:
            moved = await self.db.write(partial(self._deny, order=order))
            self.recorder.announce(moved)
        resting = [order for order in scene.protective if order.state in RESTING_LEGS]
        if not resting:
            return Progress(False, now if waiting else now + _DOUBT_RETRY)
        retry_at = await self.cancels.cancel(resting, "exit")
        if retry_at is not None:
            return Progress(False, retry_at)
        again = await self.db.read(lambda tx: _scene(tx, scene.intent.id))
        return Progress(False, self.clock.now() + (_DOUBT_RETRY if again.protective else timedelta(0)))

    async def _after_end(self, scene: _Scene, now: datetime) -> Progress:
        latest, intent = scene.latest, scene.intent
        if self._wants_more(scene):
            # A lot that came to light after a complete sale is sold at once; a failed sale backs off.
            is_complete = latest.state is OrderState.FILLED
            pause = 0.0 if is_complete else _BACKOFF_S[min(latest.generation, len(_BACKOFF_S) - 1)]
            release_at = now + timedelta(seconds=pause)
            again = next_generation(latest, self.journal.ids, now, quantity=None, release_at=release_at)
            await self.db.write(lambda tx: self._intend_again(tx, latest, again, now))
            reached(Point.EXIT_AGAIN_COMMITTED)
            lacking = tuple(each.lot.id for each in scene.in_scope) if latest.reason == _LACKS_COINS else ()
            is_long = timedelta(seconds=pause) > _NAKED_MAX or bool(lacking)
            return Progress(False, again.release_at, is_backing_off=is_long, lacking_coins=lacking)
        if scene.has_entry_in_doubt:
            return Progress(False, now + _DOUBT_RETRY)
        await self.db.write(lambda tx: intent_store.close_intent(tx, intent.id))
        return Progress(True)

    def _intend_again(self, tx: Tx, latest: Order, again: Order, now: datetime) -> None:
        self.journal.intend(tx, None, [again], now)
        if latest.state is OrderState.REJECTED and latest.generation == 0:
            _log.warning("execution.exit.rejected", order_id=latest.id, reason=latest.reason)
            detail = {"reason": latest.reason or "", "next_at": again.release_at.isoformat()}
            self.journal.open_incident(tx, latest, "exit_rejected", detail, now)

    def _wants_more(self, scene: _Scene) -> bool:
        if scene.intent.kind is IntentKind.HAND:
            return False
        instrument = self._instrument(scene.latest)
        order = scene.latest
        price = self.submitter.desk.fresh_price(order.venue, order.environment, order.symbol)
        held = total(holding.lot.quantity for holding in scene.in_scope)
        reference = price or next((each.lot.entry_price for each in scene.in_scope), None)
        return held.is_positive and (reference is None or instrument.is_sellable(held, reference))

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
    return exit_intent.source_id == wanted.source_id and _is_up_to(wanted.signal_seq, exit_intent.signal_seq)


def sells_lot(intent: Intent, holding: Holding) -> bool:
    """Say whether an exit under way sells this lot."""
    probe = Intent(
        id=intent.id,
        kind=IntentKind.ENGINE_EXIT,
        user_id=holding.user_id,
        account_id=holding.lot.account_id,
        symbol=holding.lot.symbol,
        created_at=intent.created_at,
        signal_id=holding.lot.signal_id,
        signal_seq=holding.lot.signal_seq,
        source_id=holding.lot.source_id,
        lot_id=holding.lot.id,
    )
    return covers_lot(intent, probe)


def _scene(tx: Tx, intent_id: IntentId) -> _Scene:
    intent = intent_store.load_intent(tx, intent_id)
    exits = [each.order for each in store.list_of_intent(tx, intent_id) if each.order.leg is Leg.EXIT]
    latest = max(exits, key=lambda order: order.generation)
    in_scope = tuple(Portfolio.lots_in(tx, sell_scope(latest, intent)))
    unsettled = store.list_unsettled(tx, latest.account_id, latest.symbol)
    lot_ids = {holding.lot.id for holding in in_scope}
    waits_for_entries = intent.lot_id is None and intent.kind is IntentKind.SIGNAL
    return _Scene(
        intent,
        latest,
        in_scope,
        tuple(each.order for each in unsettled if _is_live_protection(each, lot_ids)),
        waits_for_entries and any(_may_still_bring_coins(tx, each, intent) for each in unsettled),
        any(_is_unbooked_sell(tx, each, lot_ids) for each in unsettled),
    )


def _is_live_protection(stored: Stored, lot_ids: Collection[str]) -> bool:
    order = stored.order
    return order.leg in (Leg.STOP, Leg.TARGET) and order.lot_id in lot_ids and not order.is_ended


def _may_still_bring_coins(tx: Tx, stored: Stored, intent: Intent) -> bool:
    """An entry of the source that is on its way, in doubt, or filled without its fills being here."""
    order = stored.order
    is_of_source = order.leg is Leg.ENTRY and order.source_id == intent.source_id
    if not is_of_source or order.state is OrderState.INTENDED:
        return False
    return _is_up_to(intent_store.load_intent(tx, order.intent_id).signal_seq, intent.signal_seq)


def _is_up_to(seq: int | None, last: int | None) -> bool:
    """Say whether a signal came into the inbox no later than another; one without a place counts as earlier."""
    return seq is None or last is None or seq <= last


def _is_unbooked_sell(tx: Tx, stored: Stored, lot_ids: Collection[str]) -> bool:
    """A sell that took coins out of these lots, or out of any, and whose fills are not here yet."""
    order = stored.order
    if order.side is not Side.SELL or not stored.lacks_fills:
        return False
    return order.lot_id in lot_ids if order.lot_id is not None else touches_lots(tx, order)
