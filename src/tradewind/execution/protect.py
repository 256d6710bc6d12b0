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

from tradewind.core.ids import AccountId
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Price
from tradewind.core.order import RESTING, IntentKind, Leg, Order, OrderState
from tradewind.core.protection import (
    DustLeft,
    ExitCause,
    MarketNow,
    Means,
    Native,
    NothingWanted,
    OcoWanted,
    PositionState,
    wanted_protection,
)
from tradewind.execution import intent_store, store
from tradewind.execution.desk import Desk
from tradewind.execution.exits import EXIT_KINDS, ExitDesk, covers_lot
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal
from tradewind.execution.native import LEGS, intend_oco, last_refusal, user_cancels
from tradewind.execution.outcomes import Moved
from tradewind.execution.store import Stored
from tradewind.execution.watch import Armed, Hit, Watch
from tradewind.execution.words import position_note
from tradewind.infra import outbox
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.log import logger
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import open_lots, set_state

_log = logger("execution.protect")

Key = tuple[AccountId, str]

# A native order refused for a passing reason is tried again after these, the watch armed meanwhile.
_RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)
# Native refused this often in a row: the watch carries the lot, native is tried again much later.
_NATIVE_TRIES = 5
_NATIVE_LATER_S = 300.0
# Everything open is looked at this often even if nothing moved: clocks pass, prices fall silent.
_SWEEP_S = 1.0
# A cancel that is not ours is answered once; a second one is the user's will.
_USER_CANCELS_MAX = 2


@dataclass(slots=True)
class _Desk:
    """One account and symbol that somebody must look after."""

    is_busy: bool = False
    is_dirty: bool = False
    look_again_at: datetime | None = None


@dataclass(slots=True)
class Protector:
    """Keeps every lot protected and carries exits out; one per process."""

    db: Db
    journal: Journal
    dispatcher: Dispatcher
    exits: ExitDesk
    desk: Desk
    clock: Clock
    stop_escalation_s: float
    watch: Watch = field(default_factory=Watch)
    _keys: dict[Key, _Desk] = field(default_factory=dict)
    _holdings: dict[str, Holding] = field(default_factory=dict)
    # First and last time a level was reached without a pause in between.
    _hits: dict[str, tuple[float, float]] = field(default_factory=dict)
    _pending: dict[str, ExitCause] = field(default_factory=dict)
    _native_tries: dict[str, int] = field(default_factory=dict)
    _native_after: dict[str, float] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what calls ------------------------------------------------------------------------------

    async def load(self) -> list[Key]:
        """At start: arm every open lot from the database, before anything else is sent."""
        for holding in await self.db.read(open_lots):
            self._arm(holding)
            self.look((holding.lot.account_id, holding.lot.symbol))
        for intent in await self.db.read(lambda tx: intent_store.list_open_intents(tx, EXIT_KINDS)):
            self.look((intent.account_id, intent.symbol))
        return list(self._keys)

    def look(self, key: Key) -> None:
        """Something moved there: look after it soon."""
        desk = self._keys.setdefault(key, _Desk())
        desk.is_dirty = True
        self._wake.set()

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """A fill or an end changes what is wanted."""
        for move in moved:
            if move.new_fills or move.after.is_ended or move.after.state in RESTING:
                self.look((move.after.account_id, move.after.symbol))

    def on_price(self, venue: VenueName, environment: Environment, symbol: str, price: Price) -> None:
        """Compare a fresh price of a venue with the levels of the lots there."""
        for hit in self.watch.on_price((venue, environment, symbol), price):
            self._on_hit(hit)

    def watched_symbols(self) -> set[tuple[VenueName, Environment, str]]:
        """Symbols whose prices must be followed."""
        return {(each.venue, each.environment, each.lot.symbol) for each in self._holdings.values()}

    async def run(self) -> None:
        """Look after everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            swept_at = self.clock.monotonic()
            while True:
                now = self.clock.now()
                if self.clock.monotonic() - swept_at >= _SWEEP_S:
                    swept_at = self.clock.monotonic()
                    for key in {(each.lot.account_id, each.lot.symbol) for each in self._holdings.values()}:
                        self.look(key)
                for key, desk in list(self._keys.items()):
                    is_due = desk.look_again_at is not None and desk.look_again_at <= now
                    if not desk.is_busy and (desk.is_dirty or is_due):
                        desk.is_busy, desk.is_dirty, desk.look_again_at = True, False, None
                        tasks.create_task(self._guarded(key, desk), name=f"protect {key}")
                await self._pause()

    async def _pause(self) -> None:
        self._wake.clear()
        now = self.clock.now()
        times = [each.look_again_at for each in self._keys.values() if each.look_again_at and not each.is_busy]
        pause = min([_SWEEP_S, *((at - now).total_seconds() for at in times)])
        waker = asyncio.ensure_future(self._wake.wait())
        sleeper = asyncio.ensure_future(self.clock.sleep(max(0.01, pause)))
        try:
            await asyncio.wait({waker, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()
            sleeper.cancel()

    async def _guarded(self, key: Key, desk: _Desk) -> None:
        try:
            desk.look_again_at = await self.tend(key)
        except CommitInDoubt:
            raise
        except Exception:
            _log.exception("execution.protect.failed", account_id=key[0], symbol=key[1])
            desk.look_again_at = self._in_s(_RETRY_S[0])
        finally:
            desk.is_busy = False
            if not desk.is_dirty and desk.look_again_at is None:
                self._keys.pop(key, None)
            self._wake.set()

    # --- one account and symbol ------------------------------------------------------------------

    async def tend(self, key: Key) -> datetime | None:
        """Carry out exits, then protect what is left; return when to look again at the latest."""
        account_id, symbol = key
        again: list[datetime] = []
        intents = await self.db.read(lambda tx: intent_store.list_open_intents(tx, EXIT_KINDS))
        leaving = [each for each in intents if (each.account_id, each.symbol) == key]
        halted: set[str] = set()
        for intent in leaving:
            progress = await self.exits.carry_out(intent)
            if progress.look_again_at is not None:
                again.append(progress.look_again_at)
            if progress.is_halted:
                halted.add(intent.id)
        lots = await self.db.read(lambda tx: open_lots(tx, account_ids=[account_id], symbol=symbol))
        self._forget_closed(key, lots)
        for holding in lots:
            exit_intent = next((each for each in leaving if _sells(each, holding)), None)
            again.extend(await self._tend_lot(holding, exit_intent, is_halted=bool(halted)))
        return min(again, default=None)

    async def _tend_lot(self, holding: Holding, leaving: Intent | None, *, is_halted: bool) -> list[datetime]:
        """Bring one lot's protection up to what is wanted; return when to look again."""
        lot = holding.lot
        self._arm(holding)
        if leaving is not None:
            state = PositionState.HALTED if is_halted else self._watched_state(holding)
            await self._note(holding, state, "exit_under_way")
            return []
        if self.desk.is_blind(lot.account_id):
            await self._note(holding, PositionState.BLIND, "credential_refused")
            return []
        cause = self._due_exit(holding)
        if cause is not None:
            await self._leave(holding, cause, "watched")
            return []
        orders = [each.order for each in await self.db.read(lambda tx: store.list_of_lot(tx, lot.id))]
        legs = [order for order in orders if order.leg in (Leg.STOP, Leg.TARGET)]
        live = [order for order in legs if not order.is_ended]
        if live:
            return await self._tend_live(holding, live)
        return await self._tend_bare(holding, legs)

    async def _tend_live(self, holding: Holding, live: list[Order]) -> list[datetime]:
        instrument = self._instrument(holding)
        wanted = instrument.floor_quantity(holding.lot.quantity)
        intended = [order for order in live if order.state is OrderState.INTENDED]
        if intended and len(intended) == len(live):
            # Recorded and not claimed: the process died in between, or the venue could not be reached.
            later = [order.release_at for order in intended if order.release_at > self.clock.now()]
            if later:
                await self._note(holding, self._watched_state(holding), "native_waits")
                return later
            await self._send(live)
            return [self._in_s(_RETRY_S[0])]
        if all(order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED) for order in live):
            held = max((order.quantity - order.executed for order in live if order.quantity), default=wanted)
            if len({order.leg for order in live}) == 2 and held != wanted and held < wanted:
                # More was bought than is protected: take it down and put up one that covers all.
                await self.exits.cancel_list(live, "replace")
                return [self.clock.now()]
            self._native_tries.pop(holding.lot.id, None)
            await self._note(holding, PositionState.PROTECTED_NATIVE, None)
            return []
        await self._note(holding, self._watched_state(holding), "native_in_doubt")
        return []

    async def _tend_bare(self, holding: Holding, past: list[Order]) -> list[datetime]:
        lot, instrument = holding.lot, self._instrument(holding)
        entry = (await self.db.read(lambda tx: store.find_orders(tx, [lot.entry_order_id]))).get(lot.entry_order_id)
        if entry is not None and _may_still_fill(entry):
            await self._note(holding, self._watched_state(holding), "entry_not_ended")
            return [self._in_s(_RETRY_S[0])]
        if not instrument.is_trading:
            await self._note(holding, PositionState.HALTED, instrument.status.value)
            return [self._in_s(_RETRY_S[2])]
        if user_cancels(past) >= _USER_CANCELS_MAX:
            self.watch.disarm(lot.id)
            await self._note(holding, PositionState.UNPROTECTED_BY_YOU, "cancelled_twice_by_you")
            return []
        price = self.desk.fresh_price(holding.venue, holding.environment, lot.symbol)
        match wanted_protection(lot, instrument, price, self._means(holding)):
            case NothingWanted():
                self.watch.disarm(lot.id)
                await self._note(holding, PositionState.UNPROTECTED_BY_YOU, "opened_without_stop")
                return []
            case DustLeft():
                self.watch.disarm(lot.id)
                await self._note(holding, PositionState.DUST, "below_venue_minimum")
                return []
            case MarketNow(cause=cause):
                await self._leave(holding, cause, "price_already_beyond")
                return []
            case OcoWanted() as oco:
                return await self._place_oco(holding, oco, past)
            case _:
                state = self._watched_state(holding)
                await self._note(holding, state, "watched")
                return [self._in_s(_RETRY_S[2])]

    async def _place_oco(self, holding: Holding, oco: OcoWanted, past: list[Order]) -> list[datetime]:
        refused = last_refusal(past)
        if refused == "would_trigger_immediately":
            await self._leave(holding, ExitCause.STOP, "price_already_beyond")
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
        await self._send(legs)
        return [self._in_s(pause)]

    async def _send(self, legs: Sequence[Order]) -> None:
        by_leg = {order.leg: order for order in legs}
        if set(by_leg) == set(LEGS):
            await self.dispatcher.send_list(by_leg[Leg.STOP], by_leg[Leg.TARGET])
            return
        for order in legs:
            await self.dispatcher.send_protective(order)

    # --- watching --------------------------------------------------------------------------------

    def _on_hit(self, hit: Hit) -> None:
        """A level is reached: act at once where nothing native stands, after a while where it does."""
        holding = self._holdings.get(hit.lot_id)
        if holding is None:
            return
        now = self.clock.monotonic()
        first, last = self._hits.get(hit.lot_id, (now, now))
        if now - last > self.stop_escalation_s:
            first = now
        self._hits[hit.lot_id] = (first, now)
        is_native = holding.state == PositionState.PROTECTED_NATIVE.value
        if is_native and (hit.cause is ExitCause.TARGET or now - first < self.stop_escalation_s):
            return
        self._pending[hit.lot_id] = hit.cause
        self.look((holding.lot.account_id, holding.lot.symbol))

    async def _leave(self, holding: Holding, cause: ExitCause, detail: str) -> None:
        if await self.exits.begin(holding, cause, detail):
            _log.info("execution.protect.exit", lot_id=holding.lot.id, cause=cause.value, detail=detail)
            await self._note(holding, self._watched_state(holding), f"exit_{cause.value}")
        self.look((holding.lot.account_id, holding.lot.symbol))

    def _due_exit(self, holding: Holding) -> ExitCause | None:
        """A level that was reached while only the watch stood, or the end of the holding time."""
        cause = self._pending.pop(holding.lot.id, None)
        if cause is not None:
            return cause
        time_exit_at = holding.lot.time_exit_at
        return ExitCause.TIME if time_exit_at is not None and time_exit_at <= self.clock.now() else None

    def _arm(self, holding: Holding) -> None:
        lot = holding.lot
        self._holdings[lot.id] = holding
        self.watch.arm((holding.venue, holding.environment, lot.symbol), Armed(lot.id, lot.stop, lot.target))

    def _forget_closed(self, key: Key, lots: Sequence[Holding]) -> None:
        open_ids = {holding.lot.id for holding in lots}
        gone = [
            each.lot.id
            for each in self._holdings.values()
            if (each.lot.account_id, each.lot.symbol) == key and each.lot.id not in open_ids
        ]
        for lot_id in gone:
            self.watch.disarm(lot_id)
            self._holdings.pop(lot_id, None)
            self._hits.pop(lot_id, None)
            self._pending.pop(lot_id, None)
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
        if fresh is not None:
            self._holdings[fresh.lot.id] = fresh

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


def _sells(intent: Intent, holding: Holding) -> bool:
    probe = Intent(
        id=intent.id,
        kind=IntentKind.ENGINE_EXIT,
        user_id=holding.user_id,
        account_id=holding.lot.account_id,
        symbol=holding.lot.symbol,
        created_at=intent.created_at,
        source_id=holding.lot.source_id,
        lot_id=holding.lot.id,
    )
    return covers_lot(intent, probe)


def _may_still_fill(entry: Stored) -> bool:
    return not entry.order.is_ended or entry.lacks_fills
