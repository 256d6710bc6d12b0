"""Protection: what every lot wants, compared with what it has, until the two agree.

The ladder is native, else watched, else market (order-protocol.md section 5). While native protection is
missing, in doubt or being replaced, the lot's levels are watched against prices of its own venue. One task
at a time works on an account and symbol; whatever moves there (a fill, an end, a price, a clock) calls it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tradewind.core.errors import NotFound
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Price
from tradewind.core.order import RESTING, Leg, Order, OrderState
from tradewind.core.protection import (
    DustLeft,
    ExitCause,
    MarketNow,
    Means,
    Native,
    NothingWanted,
    OcoWanted,
    PositionState,
    is_time_up,
    wanted_protection,
)
from tradewind.execution import intent_store, record_store, store
from tradewind.execution.cancels import RESTING_LEGS
from tradewind.execution.desk import Desk
from tradewind.execution.exits import EXIT_KINDS, ExitDesk, sells_lot
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal
from tradewind.execution.lots_held import LotsHeld
from tradewind.execution.native import LEGS, intend_oco, last_refusal, user_cancels
from tradewind.execution.outcomes import Moved
from tradewind.execution.rounds import Key, Rounds
from tradewind.execution.store import Stored
from tradewind.execution.triggers import STOOD_DOWN, Triggers
from tradewind.execution.words import position_note
from tradewind.infra import outbox
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import find_lot, open_lots, set_state

_log = logger("execution.protect")

# A native order refused for a passing reason is tried again after these, the watch armed meanwhile.
_RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)
# Native refused this often in a row: the watch carries the lot, native is tried again much later.
_NATIVE_TRIES = 5
_NATIVE_LATER_S = 300.0
# Time alone changes some things; those are looked at this often, and everything open now and then.
_SWEEP_S = 1.0
_FULL_SWEEP_S = 30.0
# A cancel that is not ours is answered once; a second one is the user's will.
_USER_CANCELS_MAX = 2


# Words in which a venue says that the price is already past the stop or the target.
_BEYOND = {
    "would_trigger_immediately": ExitCause.STOP,
    "prices_out_of_order": ExitCause.STOP,
    "would_match_immediately": ExitCause.TARGET,
}
_RESTLESS = frozenset({PositionState.UNPROTECTED.value, PositionState.HALTED.value, PositionState.BLIND.value})


@dataclass(slots=True)
class Protector:
    """Keeps every lot protected and carries exits out; one per process."""

    db: Db
    journal: Journal
    dispatcher: Dispatcher
    exits: ExitDesk
    desk: Desk
    clock: Clock
    triggers: Triggers
    rounds: Rounds = field(init=False)
    _held: LotsHeld = field(default_factory=LotsHeld)
    _native_tries: dict[str, int] = field(default_factory=dict)
    _native_after: dict[str, float] = field(default_factory=dict)
    _full_sweep_at: float = 0.0

    def __post_init__(self) -> None:
        self.rounds = Rounds(self.clock, self._guarded, Wake(self.clock), lambda: not self.dispatcher.is_pressed)

    # --- what calls ------------------------------------------------------------------------------

    async def load(self) -> None:
        """At start: arm every open lot from the database, before anything else is sent."""
        for holding in await self.db.read(open_lots):
            self._held.put(holding)
            if holding.state not in STOOD_DOWN:
                self.triggers.arm(holding)
            self.look((holding.lot.account_id, holding.lot.symbol))
        for intent in await self.db.read(lambda tx: intent_store.list_open_intents(tx, EXIT_KINDS)):
            self.look((intent.account_id, intent.symbol))

    def look(self, key: Key) -> None:
        """Something moved there: look after it soon."""
        self.rounds.look(key)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """A fill or an end changes what is wanted; a new lot is watched from this moment on."""
        for move in moved:
            self._watch_new(move)
            came_back = move.after.state is OrderState.INTENDED and move.before.state is OrderState.SENT
            if move.new_fills or move.after.is_ended or move.after.state in RESTING or came_back:
                # A lot that was only bought now is watched already; nothing else there has moved.
                is_watched = bool(move.new_lots) and move.after.leg is Leg.ENTRY
                self.rounds.look((move.after.account_id, move.after.symbol), can_wait=is_watched)

    def _watch_new(self, move: Moved) -> None:
        for holding in move.new_lots:
            if holding.lot.id not in self._held and holding.state not in STOOD_DOWN:
                self._held.put(holding)
                self.triggers.arm(holding)

    def on_price(self, venue: VenueName, environment: Environment, symbol: str, price: Price) -> None:
        """Compare a fresh price of a venue with the levels of the lots there."""
        for crossing in self.triggers.watch.on_price((venue, environment, symbol), price):
            holding = self._held.find(crossing.lot_id)
            if holding is not None and self.triggers.take(crossing, holding):
                self.look((holding.lot.account_id, holding.lot.symbol))

    def watched_symbols(self) -> set[tuple[VenueName, Environment, str]]:
        """Symbols whose prices must be followed."""
        return {(each.venue, each.environment, each.lot.symbol) for each in self._held}

    async def run(self) -> None:
        """Look after everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            swept_at = self.clock.monotonic()
            while True:
                if self.clock.monotonic() - swept_at >= _SWEEP_S:
                    swept_at = self.clock.monotonic()
                    self._sweep(self.clock.now(), swept_at)
                self.rounds.start_due(tasks)
                await self.rounds.pause(_SWEEP_S)

    def _sweep(self, now: datetime, at: float) -> None:
        """Look at what time alone can change: due exits, prices gone silent, states that are no rest."""
        is_full = at - self._full_sweep_at >= _FULL_SWEEP_S
        if is_full:
            self._full_sweep_at = at
        for holding in self._held:
            if is_full or self._is_restless(holding, now):
                self.rounds.look((holding.lot.account_id, holding.lot.symbol), can_wait=True)

    def _is_restless(self, holding: Holding, now: datetime) -> bool:
        lot = holding.lot
        if is_time_up(lot, now) and holding.state != PositionState.DUST.value:
            return True
        if holding.state == PositionState.PROTECTED_WATCHED.value:
            return self.desk.fresh_price(holding.venue, holding.environment, lot.symbol) is None
        return holding.state in _RESTLESS

    async def _guarded(self, key: Key) -> datetime | None:
        try:
            return await self.tend(key)
        except CommitInDoubt:
            raise
        except NotFound as error:
            # A venue that is switched off, or a market it no longer lists: nothing can be asked of it now.
            _log.warning("execution.protect.no_market", account_id=key[0], symbol=key[1], code=error.code)
            return self._in_s(_FULL_SWEEP_S)
        except Exception:
            _log.exception("execution.protect.failed", account_id=key[0], symbol=key[1])
            return self._in_s(_RETRY_S[0])

    # --- one account and symbol ------------------------------------------------------------------

    async def tend(self, key: Key) -> datetime | None:
        """Carry out exits, then protect what is left; return when to look again at the latest."""
        account_id, symbol = key
        again: list[datetime] = []
        leaving: list[Intent] = []
        is_halted = False
        for intent in await self.db.read(lambda tx: intent_store.list_open_intents(tx, EXIT_KINDS, account_id, symbol)):
            progress = await self.exits.carry_out(intent)
            if progress.look_again_at is not None:
                again.append(progress.look_again_at)
            is_halted = is_halted or progress.is_halted
            if not progress.is_done and not progress.is_backing_off:
                leaving.append(intent)
        lots = await self.db.read(lambda tx: open_lots(tx, account_ids=[account_id], symbol=symbol))
        self._forget_closed(key, lots)
        for holding in lots:
            self._held.put(holding)
            exit_intent = next((each for each in leaving if sells_lot(each, holding)), None)
            again.extend(await self._tend_lot(holding, exit_intent, is_halted=is_halted))
        return min(again, default=None)

    async def _tend_lot(self, holding: Holding, leaving: Intent | None, *, is_halted: bool) -> list[datetime]:
        """Bring one lot's protection up to what is wanted; return when to look again."""
        lot = holding.lot
        if self.desk.is_blind(lot.account_id):
            self.triggers.arm(holding)
            await self._note(holding, PositionState.BLIND, "credential_refused")
            return []
        if leaving is not None:
            self.triggers.arm(holding)
            state = PositionState.HALTED if is_halted else self._watched_state(holding)
            await self._note(holding, state, "exit_under_way")
            return []
        if self._is_dust(holding):
            return await self._stand_down(holding, PositionState.DUST, "below_venue_minimum")
        # Lot and orders from one read: a fill between two reads would look like a stop that is too small.
        fresh, orders = await self.db.read(lambda tx: (find_lot(tx, lot.id), store.list_of_lot(tx, lot.id)))
        if fresh is None or fresh.closed_at is not None:
            return []
        holding = fresh
        legs = [each for each in orders if each.order.leg in LEGS]
        if is_time_up(lot, self.clock.now()) and await self._leave(holding, ExitCause.TIME, "held_long_enough"):
            return []
        live = [each.order for each in legs if not each.order.is_ended]
        if not live and await self._is_users_will(holding, legs):
            return await self._stand_down(holding, PositionState.UNPROTECTED_BY_YOU, self._will_of(holding))
        self.triggers.arm(holding)
        cause = self.triggers.due(holding)
        if cause is not None and await self._leave(holding, cause, "watched"):
            self.triggers.acted(lot.id)
            return []
        if live:
            left_s = self.triggers.escalates_in_s(holding)
            again = await self._tend_live(holding, live)
            return again if left_s is None else [*again, self._in_s(left_s)]
        return await self._tend_bare(holding, legs)

    async def _tend_live(self, holding: Holding, live: list[Order]) -> list[datetime]:
        intended = [order for order in live if order.state is OrderState.INTENDED]
        if intended and len(intended) == len(live):
            # Recorded and not claimed: the process died in between, or the venue could not be reached.
            later = [order.release_at for order in intended if order.release_at > self.clock.now()]
            if not later:
                await self._send(live)
                return [self._in_s(_RETRY_S[0])]
            await self._note(holding, self._watched_state(holding), "native_waits")
            return later
        if not all(order.state in RESTING_LEGS for order in live):
            await self._note(holding, self._watched_state(holding), "native_in_doubt")
            return []
        if self._is_covered(holding, live):
            self._native_tries.pop(holding.lot.id, None)
            await self._note(holding, PositionState.PROTECTED_NATIVE, None)
            return []
        # A stop that is gone, or more held than is protected: take the rest down and put up a whole one.
        await self._note(holding, self._watched_state(holding), "native_replaced")
        retry_at = await self.exits.cancels.cancel(live, "replace")
        return [retry_at or self.clock.now()]

    def _is_covered(self, holding: Holding, live: Sequence[Order]) -> bool:
        """Say whether a resting stop covers what is held and can be sold."""
        wanted = self._instrument(holding).floor_quantity(holding.lot.quantity)
        stops = [order for order in live if order.leg is Leg.STOP and order.quantity is not None]
        return any(order.quantity is not None and order.quantity - order.executed >= wanted for order in stops)

    async def _tend_bare(self, holding: Holding, past: Sequence[Stored]) -> list[datetime]:
        lot, instrument = holding.lot, self._instrument(holding)
        entry = (await self.db.read(lambda tx: store.find_orders(tx, [lot.entry_order_id]))).get(lot.entry_order_id)
        if any(each.lacks_fills for each in past):
            await self._note(holding, self._watched_state(holding), "fills_on_their_way")
            return [self._in_s(_RETRY_S[0])]
        if entry is not None and _may_still_fill(entry):
            await self._note(holding, self._watched_state(holding), "entry_not_ended")
            return [self._in_s(_RETRY_S[0])]
        if not instrument.is_trading:
            await self._note(holding, PositionState.HALTED, instrument.status.value)
            return [self._in_s(_RETRY_S[2])]
        price = self.desk.fresh_price(holding.venue, holding.environment, lot.symbol)
        match wanted_protection(lot, instrument, price, self._means(holding)):
            case NothingWanted():
                return await self._stand_down(holding, PositionState.UNPROTECTED_BY_YOU, "opened_without_stop")
            case DustLeft():
                return await self._stand_down(holding, PositionState.DUST, "below_venue_minimum")
            case MarketNow(cause=cause):
                await self._leave(holding, cause, "price_already_beyond")
                return []
            case OcoWanted() as oco:
                return await self._place_oco(holding, oco, [each.order for each in past])
            case _:
                await self._note(holding, self._watched_state(holding), "watched")
                return [self._in_s(_RETRY_S[2])]

    async def _stand_down(self, holding: Holding, state: PositionState, reason: str) -> list[datetime]:
        """Nothing is wanted here: the watch goes, and so does whatever it had seen."""
        self.triggers.disarm(holding.lot.id)
        await self._note(holding, state, reason)
        return []

    async def _is_users_will(self, holding: Holding, legs: Sequence[Stored]) -> bool:
        if holding.lot.stop is None and holding.lot.target is None:
            return True
        if not legs:
            return False
        ids = [each.order.id for each in legs]
        ours = await self.db.read(lambda tx: record_store.cancelled_by_us(tx, ids))
        return user_cancels([each.order for each in legs], ours) >= _USER_CANCELS_MAX

    @staticmethod
    def _will_of(holding: Holding) -> str:
        has_levels = holding.lot.stop is not None or holding.lot.target is not None
        return "cancelled_twice_by_you" if has_levels else "opened_without_stop"

    def _is_dust(self, holding: Holding) -> bool:
        """Too little to sell at the price now, or at the stop where no price is known."""
        lot, instrument = holding.lot, self._instrument(holding)
        price = self.desk.fresh_price(holding.venue, holding.environment, lot.symbol) or lot.stop or lot.entry_price
        return price is not None and not instrument.is_sellable(lot.quantity, price)

    async def _place_oco(self, holding: Holding, oco: OcoWanted, past: list[Order]) -> list[datetime]:
        refused = last_refusal(past)
        if refused in _BEYOND:
            await self._leave(holding, _BEYOND[refused], "price_already_beyond")
            return []
        if self.clock.monotonic() < self._native_after.get(holding.lot.id, 0.0):
            await self._note(holding, self._watched_state(holding), refused or "native_refused")
            return [self._in_s(_RETRY_S[0])]
        tries = self._native_tries.get(holding.lot.id, 0)
        self._native_tries[holding.lot.id] = tries + 1
        pause = _RETRY_S[min(tries, len(_RETRY_S) - 1)] if tries < _NATIVE_TRIES else _NATIVE_LATER_S
        if refused == "no_algo_slot":
            pause = _NATIVE_LATER_S
        self._native_after[holding.lot.id] = self.clock.monotonic() + pause
        instrument, now = self._instrument(holding), self.clock.now()
        legs = await self.db.write(lambda tx: intend_oco(tx, self.journal, holding, instrument, oco, past, now))
        reached(Point.PROTECTION_INTENT_COMMITTED)
        await self._send(legs)
        return [self._in_s(pause)]

    async def _send(self, legs: Sequence[Order]) -> None:
        by_leg = {order.leg: order for order in legs}
        if set(by_leg) == set(LEGS):
            await self.dispatcher.send_list(by_leg[Leg.STOP], by_leg[Leg.TARGET])
            return
        for order in legs:
            await self.dispatcher.send_protective(order)

    # --- acting ----------------------------------------------------------------------------------

    async def _leave(self, holding: Holding, cause: ExitCause, detail: str) -> bool:
        """Begin the engine's exit of a lot; False where one that covers it is under way."""
        is_begun = await self.exits.begin(holding, cause, detail)
        if is_begun:
            _log.info("execution.protect.exit", lot_id=holding.lot.id, cause=cause.value, detail=detail)
            await self._note(holding, self._watched_state(holding), f"exit_{cause.value}")
            self.look((holding.lot.account_id, holding.lot.symbol))
        return is_begun

    def _forget_closed(self, key: Key, lots: Sequence[Holding]) -> None:
        for lot_id in self._held.keep_only(key, [holding.lot.id for holding in lots]):
            self.triggers.disarm(lot_id)
            self._native_tries.pop(lot_id, None)
            self._native_after.pop(lot_id, None)

    def _watched_state(self, holding: Holding) -> PositionState:
        price = self.desk.fresh_price(holding.venue, holding.environment, holding.lot.symbol)
        return PositionState.UNPROTECTED if price is None else PositionState.PROTECTED_WATCHED

    async def _note(self, holding: Holding, state: PositionState, reason: str | None) -> None:
        """Write a lot's state where it changed, and tell its owner."""
        said = "no_price" if state is PositionState.UNPROTECTED else reason
        if holding.state == state.value and holding.state_reason == said:
            return
        fresh = await self.db.write(lambda tx: self._write_state(tx, holding, state, said))
        reached(Point.POSITION_STATE_COMMITTED)
        if fresh is not None:
            self._held.put(fresh)

    def _write_state(self, tx: Tx, holding: Holding, state: PositionState, reason: str | None) -> Holding | None:
        fresh = set_state(tx, holding.lot.id, state, reason)
        if fresh is not None:
            now = self.clock.now()
            outbox.append(tx, [position_note(fresh, now)], now)
        return fresh

    # --- small things ----------------------------------------------------------------------------

    def _means(self, holding: Holding) -> Means:
        return Means(Native(self.desk.protection(holding.venue, holding.environment).value))

    def _instrument(self, holding: Holding) -> Instrument:
        return self.desk.instrument(holding.venue, holding.environment, holding.lot.symbol)

    def _in_s(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)


def _may_still_fill(entry: Stored) -> bool:
    return not entry.order.is_ended or entry.lacks_fills
