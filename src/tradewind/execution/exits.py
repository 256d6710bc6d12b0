"""Exits: free the coins, sell what may be sold, until flat (order-protocol.md section 4).

An exit is an intent that stays open until nothing in its scope is left to sell. Resting protective orders
hold the coins on spot, so they are cancelled first, one by one certain; while that goes on the watch stays
armed. An exit in doubt is never repeated: the next generation comes only after the last one has ended.
Decided here, exit by exit, from what one read of many has seen; written for many at once; sent by outbound.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId, IntentId, LotId, OrderId
from tradewind.core.instrument import Instrument
from tradewind.core.order import Denied, IntentKind, Leg, Order, OrderEvent, OrderState, OrderType, Side
from tradewind.core.protection import ExitCause
from tradewind.execution import intent_store, store
from tradewind.execution.cancels import RESTING_LEGS, CancelDesk
from tradewind.execution.desk import Desk
from tradewind.execution.exit_scene import ExitScene, is_up_to
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal, new_order, next_generation
from tradewind.execution.outcomes import Moved
from tradewind.execution.recorder import Recorder
from tradewind.execution.rounds import Key
from tradewind.execution.scene import EXIT_KINDS
from tradewind.execution.sellable import Market, total
from tradewind.execution.verdicts import ExitSeen
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.infra.log import logger
from tradewind.portfolio.holding import Holding

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
class Departure:
    """A lot that the engine is to sell, and why."""

    holding: Holding
    cause: ExitCause
    detail: str


@dataclass(frozen=True, slots=True)
class Move:
    """What one exit does next: `denied`, `again` and `is_closed` are written, `resting` and `sold` then go out."""

    intent: Intent
    latest: Order
    progress: Progress
    # Protection that stands INTENDED and must not leave any more; what rests and is to be cancelled.
    denied: tuple[Order, ...] = ()
    resting: tuple[Order, ...] = ()
    again: Order | None = None
    sold: tuple[Order, Market] | None = None
    is_closed: bool = False

    @property
    def is_written(self) -> bool:
        """Whether anything of it goes to disk before something is sent."""
        return bool(self.denied) or self.again is not None or self.is_closed

    @property
    def seen(self) -> ExitSeen:
        """The exit as the lots that it covers see it."""
        order = self.again or self.latest
        is_ours_to_hurry = order.state is OrderState.INTENDED and order.attempt == 0
        waiting = order if self.progress.is_backing_off and is_ours_to_hurry else None
        return ExitSeen(not self.progress.is_backing_off, self.progress.is_halted, waiting)


@dataclass(slots=True)
class ExitDesk:
    """Decides exits and writes what follows; the caller sees to it that one task works on an account and symbol."""

    journal: Journal
    recorder: Recorder
    desk: Desk
    cancels: CancelDesk
    clock: Clock

    # --- deciding --------------------------------------------------------------------------------

    async def confirm(self, scenes: Iterable[ExitScene]) -> None:
        """Make sure it is known whether the markets trade in which something is about to be cancelled or sold."""
        now = self.clock.now()
        places = {
            (each.latest.venue, each.latest.environment, each.latest.symbol)
            for each in scenes
            if self._may_leave(each, now) is None and (each.protective or not self._is_trading(each.latest))
        }
        for place in sorted(places):
            # Not listed any more, or its venue is switched off: nothing can be asked of it now.
            with contextlib.suppress(NotFound):
                await self.desk.confirm_status(*place)

    def decide(self, scene: ExitScene) -> Move:
        """Say what an exit does next. An exit is decided anew each time, from what the journal says now."""
        now = self.clock.now()
        waits = self._may_leave(scene, now)
        if waits is not None:
            return Move(scene.intent, scene.latest, waits)
        return self._after_end(scene, now) if scene.latest.is_ended else self._leave(scene, now)

    def _may_leave(self, scene: ExitScene, now: datetime) -> Progress | None:
        """Why an exit waits; None: it may go, or has ended and something is to be decided."""
        latest = scene.latest
        if scene.has_sell_unbooked:
            # The venue says sold and the fills are not here yet: what is left is not known (section 4).
            return Progress(False, now + _DOUBT_RETRY)
        if latest.is_ended:
            return None
        if latest.state is not OrderState.INTENDED:
            return Progress(False)
        if self.desk.is_blind(latest.account_id):
            # No retry storm with a refused key; the listener finds out when one is accepted again.
            return Progress(False, now + _DOUBT_RETRY)
        if latest.release_at > now:
            return Progress(False, latest.release_at, is_backing_off=latest.release_at - now > _NAKED_MAX)
        return None

    def _leave(self, scene: ExitScene, now: datetime) -> Move:
        """The exit may go now: free the coins, then sell."""
        intent, latest = scene.intent, scene.latest
        try:
            instrument = self._instrument(latest)
        except NotFound:
            return Move(intent, latest, Progress(False, now + _NOT_LISTED_RETRY, is_halted=True))
        if not instrument.is_trading:
            # Nothing is cancelled while the symbol stands still: the resting stop is all there is.
            return Move(intent, latest, Progress(False, now + _HALTED_RETRY, is_halted=True))
        if scene.protective:
            return self._free_coins(scene, now)
        later = Progress(False, now + _DOUBT_RETRY)
        if scene.has_entry_in_doubt and not scene.in_scope:
            return Move(intent, latest, later)
        price = self.desk.fresh_price(latest.venue, latest.environment, latest.symbol)
        # Where it cannot leave, or another sell of ours may still take the coins: first in line, soon.
        return Move(intent, latest, later, sold=(latest, Market(instrument, price)))

    @staticmethod
    def _free_coins(scene: ExitScene, now: datetime) -> Move:
        """Take down what holds the coins; the sale follows when its end is certain."""
        waiting = tuple(order for order in scene.protective if order.state is OrderState.INTENDED)
        resting = tuple(order for order in scene.protective if order.state in RESTING_LEGS)
        soon = now if waiting and len(waiting) == len(scene.protective) else now + _DOUBT_RETRY
        return Move(scene.intent, scene.latest, Progress(False, soon), waiting, resting)

    def _after_end(self, scene: ExitScene, now: datetime) -> Move:
        latest, intent = scene.latest, scene.intent
        try:
            wants_more = self._wants_more(scene)
        except NotFound:
            return Move(intent, latest, Progress(False, now + _NOT_LISTED_RETRY, is_halted=True))
        if wants_more:
            # A lot that came to light after a complete sale is sold at once; a failed sale backs off.
            is_complete = latest.state is OrderState.FILLED
            pause = 0.0 if is_complete else _BACKOFF_S[min(latest.generation, len(_BACKOFF_S) - 1)]
            release_at = now + timedelta(seconds=pause)
            again = next_generation(latest, self.journal.ids, now, quantity=None, release_at=release_at)
            lacking = tuple(each.lot.id for each in scene.in_scope) if latest.reason == _LACKS_COINS else ()
            is_long = timedelta(seconds=pause) > _NAKED_MAX or bool(lacking)
            progress = Progress(False, again.release_at, is_backing_off=is_long, lacking_coins=lacking)
            return Move(intent, latest, progress, again=again)
        if scene.has_entry_in_doubt:
            return Move(intent, latest, Progress(False, now + _DOUBT_RETRY))
        return Move(intent, latest, Progress(True), is_closed=True)

    def _wants_more(self, scene: ExitScene) -> bool:
        if scene.intent.kind is IntentKind.HAND:
            return False
        order = scene.latest
        held = total(holding.lot.quantity for holding in scene.in_scope)
        if not held.is_positive:
            return False
        price = self.desk.fresh_price(order.venue, order.environment, order.symbol)
        reference = price or next((each.lot.entry_price for each in scene.in_scope), None)
        return reference is None or self._instrument(order).is_sellable(held, reference)

    # --- writing ---------------------------------------------------------------------------------

    def write(self, tx: Tx, moves: Sequence[Move], now: datetime) -> list[Moved]:
        """Write what follows for many exits; return the protection that was denied its way."""
        steps: list[tuple[OrderId, OrderEvent]] = [
            (order.id, Denied(now, "exit_instead")) for move in moves for order in move.denied
        ]
        moved = self.journal.step_all(tx, steps, [OrderState.INTENDED], now) if steps else []
        again = [move for move in moves if move.again is not None]
        if again:
            self.journal.intend_all(tx, [], [move.again for move in again if move.again is not None], now)
        for move in again:
            self._tell_refusal(tx, move, now)
        intent_store.close_intents(tx, [move.intent.id for move in moves if move.is_closed])
        return moved

    def _tell_refusal(self, tx: Tx, move: Move, now: datetime) -> None:
        latest = move.latest
        if latest.state is OrderState.REJECTED and latest.generation == 0 and move.again is not None:
            _log.warning("execution.exit.rejected", order_id=latest.id, reason=latest.reason)
            detail = {"reason": latest.reason or "", "next_at": move.again.release_at.isoformat()}
            self.journal.open_incident(tx, latest, "exit_rejected", detail, now)

    def record_all(self, tx: Tx, wanted: Sequence[Departure], now: datetime) -> list[LotId]:
        """Record an engine's exit of each of these lots, unless one is under way; return the lots it was recorded for.

        A lot whose market cannot be found is left out: nothing can be sold there now.
        """
        accounts = sorted({each.holding.lot.account_id for each in wanted})
        under_way: dict[Key, list[Intent]] = {}
        for other in intent_store.list_open_of(tx, EXIT_KINDS, accounts):
            under_way.setdefault((other.account_id, other.symbol), []).append(other)
        begun = []
        for departure in wanted:
            holding = departure.holding
            here = under_way.get((holding.lot.account_id, holding.lot.symbol), ())
            order_of = None if any(sells_lot(other, holding) for other in here) else self._drawn_up(departure, now)
            if order_of is not None:
                begun.append((holding.lot.id, *order_of))
                _log.info(
                    "execution.exit.begun",
                    lot_id=holding.lot.id,
                    cause=departure.cause.value,
                    detail=departure.detail,
                )
        if begun:
            self.journal.intend_all(tx, [intent for _, intent, _ in begun], [order for _, _, order in begun], now)
        return [lot_id for lot_id, _, _ in begun]

    def _drawn_up(self, departure: Departure, now: datetime) -> tuple[Intent, Order] | None:
        holding = departure.holding
        try:
            instrument = self.desk.instrument(holding.venue, holding.environment, holding.lot.symbol)
        except NotFound as error:
            _log.warning("execution.exit.no_market", lot_id=holding.lot.id, code=error.code)
            return None
        detail = {"cause": departure.cause.value, "detail": departure.detail}
        intent = replace(_exit_of(holding, now), id=IntentId(self.journal.ids.new()), detail=detail)
        order = new_order(
            self.journal.ids,
            intent,
            instrument,
            holding.environment,
            now,
            leg=Leg.EXIT,
            side=Side.SELL,
            type=OrderType.MARKET,
            lot_id=holding.lot.id,
        )
        return intent, order

    def hurry(self, tx: Tx, waiting: Order, cause: ExitCause, now: datetime) -> list[Moved]:
        """Let an exit go now that waits for its next try: that one is denied, and its next generation is due at once.

        What has been claimed, or sent before and is held back by the venue's own word, is left alone.
        """
        stored = store.find_orders(tx, [waiting.id], lock=True).get(waiting.id)
        if stored is None or stored.order.state is not OrderState.INTENDED or stored.order.attempt > 0:
            return []
        moved = self.journal.deny(tx, stored.order, f"{cause.value}_reached", now)
        again = next_generation(stored.order, self.journal.ids, now, quantity=None)
        self.journal.intend(tx, None, [again], now)
        return moved

    # --- small things ----------------------------------------------------------------------------

    def _is_trading(self, order: Order) -> bool:
        try:
            return self._instrument(order).is_trading
        except NotFound:
            return False

    def _instrument(self, order: Order) -> Instrument:
        return self.desk.instrument(order.venue, order.environment, order.symbol)


def first_sales(moves: Sequence[Move], now: datetime) -> list[Move]:
    """Let one exit of an account sell at a time; the others are looked at again at once."""
    selling: set[AccountId] = set()
    found = []
    for move in moves:
        is_second = move.sold is not None and move.latest.account_id in selling
        if move.sold is not None:
            selling.add(move.latest.account_id)
        later = replace(move.progress, look_again_at=now)
        found.append(replace(move, sold=None, progress=later) if is_second else move)
    return found


def sells_lot(intent: Intent, holding: Holding) -> bool:
    """Say whether an exit under way sells this lot."""
    lot = holding.lot
    if intent.account_id != lot.account_id or intent.symbol != lot.symbol:
        return False
    if intent.kind is IntentKind.HAND:
        return bool(intent.detail.get("include_protected"))
    if intent.lot_id is not None:
        return intent.lot_id == lot.id
    return intent.source_id == lot.source_id and is_up_to(lot.signal_seq, intent.signal_seq)


def _exit_of(holding: Holding, now: datetime) -> Intent:
    """An engine's exit of a lot, without an id of its own yet."""
    lot = holding.lot
    return Intent(
        id=IntentId(""),
        kind=IntentKind.ENGINE_EXIT,
        user_id=holding.user_id,
        account_id=lot.account_id,
        symbol=lot.symbol,
        created_at=now,
        signal_id=lot.signal_id,
        signal_seq=lot.signal_seq,
        source_id=lot.source_id,
        lot_id=lot.id,
    )
