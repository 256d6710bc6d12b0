"""The ladder: what one lot needs now. Decided here from what was read, carried out by protect.py.

Native, else watched, else market (order-protocol.md section 5). Refused because the price is already beyond:
market at once. A temporary error: tried again with the watch armed, never a sale. Reached and not filled for
a while: market. While native protection is missing, in doubt or being replaced, the watch covers the lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tradewind.core.errors import NotFound
from tradewind.core.instrument import Instrument
from tradewind.core.money import EXACT, Price, Quantity
from tradewind.core.order import Leg, Order, OrderState
from tradewind.core.position import Lot
from tradewind.core.protection import (
    DustLeft,
    ExitCause,
    MarketNow,
    Means,
    Native,
    NothingWanted,
    OcoWanted,
    PositionState,
    StopOnly,
    has_risen,
    is_target_hit,
    is_time_up,
    raise_price,
    trailed,
    wanted_protection,
)
from tradewind.execution.cancels import RESTING_LEGS
from tradewind.execution.desk import Desk
from tradewind.execution.native import last_refusal, user_cancels
from tradewind.execution.outside import Coins, OutsideDesk
from tradewind.execution.scene import LotScene
from tradewind.execution.store import Stored
from tradewind.execution.triggers import Triggers
from tradewind.execution.verdicts import AskForCoins, ExitSeen, Hurry, Leave, Put, Send, TakeDown, Verdict
from tradewind.infra.clock import Clock
from tradewind.portfolio.holding import Holding

# A native order refused for a passing reason is tried again after these, the watch armed meanwhile.
RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)
# Native refused this often in a row: the watch carries the lot, native is tried again much later.
_NATIVE_TRIES = 5
_NATIVE_LATER_S = 300.0
# Nothing can be asked of a market that is not listed; its catalogue is read anew now and then.
_NOT_LISTED_S = 30.0
# A cancel that is not ours is answered once; a second one is the user's will.
_USER_CANCELS_MAX = 2

# The word in which a venue says that there are not enough coins.
LACKS_COINS = "insufficient_balance"
# Words in which a venue says that the price is already past the stop or the target.
_BEYOND = frozenset({"would_trigger_immediately", "prices_out_of_order", "would_match_immediately"})


@dataclass(frozen=True, slots=True)
class TrailingSteps:
    """By how much a trailing stop must rise to be raised here, and to be replaced at the venue, in bps."""

    watch_bps: int = 10
    native_bps: int = 50


@dataclass(slots=True)
class Ladder:
    """Judges lots. Remembers only what the journal cannot say: how often the venue refused, what rose meanwhile."""

    desk: Desk
    clock: Clock
    triggers: Triggers
    outside: OutsideDesk
    steps: TrailingSteps
    _tries: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)
    # Up to which generation of its orders a lot's want of coins has been looked into.
    _answered: dict[str, int] = field(default_factory=dict)
    # Trailing stops that went up in memory and are on their way to disk.
    _risen: dict[str, Lot] = field(default_factory=dict)

    def judge(self, scene: LotScene, seen: ExitSeen | None) -> Verdict:
        """Say what a lot needs now; arms and disarms its watch."""
        holding = scene.holding
        lot = holding.lot
        instrument = self._instrument(holding)
        if self.desk.is_blind(lot.account_id):
            return self._watched(holding, instrument, PositionState.BLIND, "credential_refused")
        if instrument is None:
            return self._watched(holding, None, PositionState.HALTED, "not_listed", self._in_s(_NOT_LISTED_S))
        if self._is_dust(holding, instrument):
            return self._stood_down(holding, PositionState.DUST, "below_venue_minimum")
        if seen is not None and seen.is_selling:
            state = PositionState.HALTED if seen.is_halted else None
            return self._watched(holding, instrument, state, "exit_under_way")
        if seen is None and is_time_up(lot, self.clock.now()):
            return self._leaving(holding, Leave(ExitCause.TIME, "held_long_enough"))
        if not scene.live and self._is_users_will(scene):
            return self._stood_down(holding, PositionState.UNPROTECTED_BY_YOU, _will_of(lot))
        return self._protect(scene, instrument, seen)

    def arm(self, holding: Holding) -> None:
        """Watch a lot by its levels; a native order that stood when we last looked guards it."""
        self._arm(holding, self._instrument(holding))
        if holding.state == PositionState.PROTECTED_NATIVE.value and holding.lot.stop is not None:
            self.triggers.guard(holding.lot.id, holding.lot.stop)

    def rise(self, holding: Holding, price: Price) -> bool:
        """Raise a trailing stop by a price, in memory at once; True if it went up and is to be written down."""
        instrument = self._instrument(holding)
        if instrument is None:
            return False
        before = self._highest(holding.lot)
        after = trailed(before, instrument, price)
        self._risen[holding.lot.id] = after
        self._arm(holding, instrument)
        return after.stop != before.stop

    def forget(self, lot_id: str) -> None:
        """The lot is closed."""
        self.triggers.disarm(lot_id)
        self.outside.forget(lot_id)
        for memory in (self._tries, self._not_before, self._answered, self._risen):
            memory.pop(lot_id, None)

    # --- steps of the ladder ---------------------------------------------------------------------

    def _protect(self, scene: LotScene, instrument: Instrument, seen: ExitSeen | None) -> Verdict:
        lot, raised = self._trailed(scene.holding, instrument)
        holding = replace(scene.holding, lot=lot)
        self._arm(holding, instrument)
        self._guard(scene, instrument)
        cause = self.triggers.due(holding)
        if cause is not None and seen is None:
            return replace(self._leaving(holding, Leave(cause, "watched")), raised=raised)
        hurried = self.triggers.hurries(holding)
        if hurried is not None and seen is not None and seen.waiting is not None:
            return replace(self._leaving(holding, Hurry(hurried, seen.waiting)), raised=raised)
        if scene.live:
            verdict = self._live(scene, holding, instrument)
        else:
            verdict = self._bare(scene, holding, instrument, is_leaving=seen is not None)
        left_s = self.triggers.escalates_in_s(holding)
        if left_s is not None:
            verdict = replace(verdict, again_at=_earliest(verdict.again_at, self._in_s(left_s)))
        return replace(verdict, raised=raised)

    def _live(self, scene: LotScene, holding: Holding, instrument: Instrument) -> Verdict:
        live = [each.order for each in scene.live]
        if all(order.state is OrderState.INTENDED for order in live):
            # Recorded and not claimed: the process died in between, or the venue could not be reached.
            later = [order.release_at for order in live if order.release_at > self.clock.now()]
            verdict = self._watched(holding, instrument, None, "native_waits", min(later, default=None))
            return verdict if later else replace(verdict, act=Send(tuple(live)), again_at=self._in_s(RETRY_S[0]))
        if not all(order.state in RESTING_LEGS for order in live):
            return self._watched(holding, instrument, None, "native_in_doubt")
        if not instrument.is_trading:
            # Nothing is cancelled while the symbol stands still: what rests is all there is.
            again = self._in_s(RETRY_S[2])
            return Verdict(holding, PositionState.HALTED, instrument.status.value, again_at=again)
        reason = self._why_replace(holding, instrument, scene.live)
        if reason is None:
            self._tries.pop(holding.lot.id, None)
            return Verdict(holding, PositionState.PROTECTED_NATIVE, None)
        if reason == "replaced" and scene.entry is not None and _may_still_fill(scene.entry):
            # What rests covers what was bought so far; replaced once, when all of it is known.
            return self._watched(holding, instrument, None, "entry_not_ended", self._in_s(RETRY_S[0]))
        # A stop that is gone, too small or left behind: take the rest down and put up a whole one.
        return replace(
            self._watched(holding, instrument, None, f"native_{reason}", self.clock.now()),
            act=TakeDown(tuple(live), reason),
        )

    def _bare(self, scene: LotScene, holding: Holding, instrument: Instrument, *, is_leaving: bool) -> Verdict:
        soon = self._in_s(RETRY_S[0])
        if any(each.lacks_fills for each in scene.legs):
            return self._watched(holding, instrument, None, "fills_on_their_way", soon)
        if scene.entry is not None and _may_still_fill(scene.entry):
            return self._watched(holding, instrument, None, "entry_not_ended", soon)
        if not instrument.is_trading:
            again = self._in_s(RETRY_S[2])
            return self._watched(holding, instrument, PositionState.HALTED, instrument.status.value, again)
        asking = self._ask_for_coins(scene, holding, instrument)
        if asking is not None:
            return asking
        price = self._price(holding)
        means = Means(Native(self.desk.protection(holding.venue, holding.environment).value))
        match wanted_protection(holding.lot, instrument, price, means):
            case NothingWanted():
                return self._stood_down(holding, PositionState.UNPROTECTED_BY_YOU, "opened_without_stop")
            case DustLeft():
                return self._stood_down(holding, PositionState.DUST, "below_venue_minimum")
            case MarketNow(cause=cause) if not is_leaving:
                return self._leaving(holding, Leave(cause, "price_already_beyond"))
            case (OcoWanted() | StopOnly()) as wanted:
                return self._put(scene, holding, instrument, wanted, is_leaving=is_leaving)
            case _:
                return self._watched(holding, instrument, None, "watched", self._in_s(RETRY_S[2]))

    def _ask_for_coins(self, scene: LotScene, holding: Holding, instrument: Instrument) -> Verdict | None:
        """Where a sell was refused for want of coins nothing is sent before it is known where they are."""
        lot_id = holding.lot.id
        past = [each.order for each in scene.legs]
        newest = max((order.generation for order in past), default=-1)
        if last_refusal(past) == LACKS_COINS and self._answered.get(lot_id, -1) < newest:
            self.outside.suspect([lot_id])
        known = self.outside.known(lot_id)
        if known is None:
            return None
        if known is Coins.THERE:
            self.outside.forget(lot_id)
            self._answered[lot_id] = newest
            return None
        again = self._in_s(RETRY_S[0])
        if known is Coins.BLOCKED:
            verdict = self._watched(
                holding, instrument, PositionState.BLOCKED_BY_YOUR_ORDER, "coins_in_your_order", again
            )
        elif known is Coins.MISSING:
            verdict = Verdict(holding, PositionState.UNPROTECTED, "coins_missing", again_at=again)
        else:
            verdict = self._watched(holding, instrument, None, "asking_for_coins", again)
        return replace(verdict, act=AskForCoins())

    def _put(
        self,
        scene: LotScene,
        holding: Holding,
        instrument: Instrument,
        wanted: OcoWanted | StopOnly,
        *,
        is_leaving: bool,
    ) -> Verdict:
        past = tuple(each.order for each in scene.legs)
        lot_id, refused = holding.lot.id, last_refusal(past)
        if refused in _BEYOND and not is_leaving:
            price = self._price(holding)
            is_above = price is not None and is_target_hit(holding.lot, price)
            cause = ExitCause.TARGET if is_above or refused == "would_match_immediately" else ExitCause.STOP
            return self._leaving(holding, Leave(cause, "price_already_beyond"))
        if self.clock.monotonic() < self._not_before.get(lot_id, 0.0):
            return self._watched(holding, instrument, None, refused or "native_refused", self._in_s(RETRY_S[0]))
        pause = self._pause_after(lot_id, refused)
        notice = "stop_cancelled_by_you" if _is_newest_cancelled_by_user(past, scene.cancelled_by_us) else None
        verdict = self._watched(holding, instrument, None, "native_on_its_way", self._in_s(pause))
        return replace(verdict, act=Put(wanted, past), notice=notice)

    def _pause_after(self, lot_id: str, refused: str | None) -> float:
        """Count a try and return how long the next one waits, should this one fail."""
        tries = self._tries.get(lot_id, 0)
        self._tries[lot_id] = tries + 1
        pause = RETRY_S[min(tries, len(RETRY_S) - 1)] if tries < _NATIVE_TRIES else _NATIVE_LATER_S
        if refused == "no_algo_slot":
            pause = _NATIVE_LATER_S
        self._not_before[lot_id] = self.clock.monotonic() + pause
        return pause

    # --- answers ---------------------------------------------------------------------------------

    def _watched(
        self,
        holding: Holding,
        instrument: Instrument | None,
        state: PositionState | None,
        reason: str,
        again_at: datetime | None = None,
    ) -> Verdict:
        """The watch stands guard; `state` None: it protects if the venue's own price is fresh."""
        self._arm(holding, instrument)
        if state is None and self._price(holding) is None:
            return Verdict(holding, PositionState.UNPROTECTED, "no_price", again_at=again_at)
        return Verdict(holding, state or PositionState.PROTECTED_WATCHED, reason, again_at=again_at)

    def _stood_down(self, holding: Holding, state: PositionState, reason: str) -> Verdict:
        """Nothing is wanted here: the watch goes, and so does whatever it had seen."""
        self.triggers.disarm(holding.lot.id)
        return Verdict(holding, state, reason)

    def _leaving(self, holding: Holding, act: Leave | Hurry) -> Verdict:
        price = self._price(holding)
        state = PositionState.UNPROTECTED if price is None else PositionState.PROTECTED_WATCHED
        return Verdict(holding, state, f"exit_{act.cause.value}" if price is not None else "no_price", act)

    # --- trailing --------------------------------------------------------------------------------

    def _trailed(self, holding: Holding, instrument: Instrument) -> tuple[Lot, Lot | None]:
        """Return the lot with every rise known of, and again if that is more than the database has."""
        lot = holding.lot
        if lot.trailing_bps is None:
            return lot, None
        best = self._highest(lot)
        price = self._price(holding)
        if price is not None:
            now = trailed(best, instrument, price)
            if now.stop is not None and (best.stop is None or has_risen(now.stop, best.stop, self.steps.watch_bps)):
                best = now
        if best.stop == lot.stop:
            self._risen.pop(lot.id, None)
            return lot, None
        self._risen[lot.id] = best
        return best, best

    def _why_replace(self, holding: Holding, instrument: Instrument, live: Sequence[Stored]) -> str | None:
        """Return why what rests at the venue is not the protection wanted; None if it is."""
        wanted = instrument.floor_quantity(holding.lot.quantity)
        covering = [each for each in live if each.order.leg is Leg.STOP and _covers(each, wanted)]
        if not covering:
            return "replaced"
        stop, resting = holding.lot.stop, covering[0].order.stop_price
        if holding.lot.trailing_bps is None or stop is None or resting is None:
            return None
        return "trailed" if has_risen(stop, resting, self.steps.native_bps) else None

    def _guard(self, scene: LotScene, instrument: Instrument) -> None:
        """Tell the triggers what rests at the venue: it acts first on the levels it guards."""
        resting = [each for each in scene.live if each.order.state in RESTING_LEGS]
        stop = next((each.order.stop_price for each in resting if each.order.leg is Leg.STOP), None)
        is_whole = stop is not None and self._why_replace(scene.holding, instrument, resting) != "replaced"
        has_target = any(each.order.leg is Leg.TARGET for each in resting)
        self.triggers.guard(scene.holding.lot.id, stop if is_whole else None, has_target=has_target)

    # --- small things ----------------------------------------------------------------------------

    def _arm(self, holding: Holding, instrument: Instrument | None) -> None:
        lot = self._highest(holding.lot)
        raise_at = None if instrument is None else raise_price(lot, instrument, self.steps.watch_bps)
        self.triggers.arm(replace(holding, lot=lot), raise_at)

    def _highest(self, lot: Lot) -> Lot:
        """The lot with what its trailing stop has risen to, on disk or on the way there."""
        risen = self._risen.get(lot.id)
        if risen is None:
            return lot
        return replace(lot, stop=_higher(lot.stop, risen.stop), peak=_higher(lot.peak, risen.peak))

    def _is_dust(self, holding: Holding, instrument: Instrument) -> bool:
        """Too little to sell at the price now, or at the stop where no price is known."""
        lot = holding.lot
        price = self._price(holding) or lot.stop or lot.entry_price
        return price is not None and not instrument.is_sellable(lot.quantity, price)

    @staticmethod
    def _is_users_will(scene: LotScene) -> bool:
        lot = scene.holding.lot
        if lot.stop is None and lot.target is None:
            return True
        return user_cancels([each.order for each in scene.legs], scene.cancelled_by_us) >= _USER_CANCELS_MAX

    def _price(self, holding: Holding) -> Price | None:
        return self.desk.fresh_price(holding.venue, holding.environment, holding.lot.symbol)

    def _instrument(self, holding: Holding) -> Instrument | None:
        try:
            return self.desk.instrument(holding.venue, holding.environment, holding.lot.symbol)
        except NotFound:
            # A venue that is switched off, or a market it no longer lists: nothing can be asked of it now.
            return None

    def _in_s(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)


def _will_of(lot: Lot) -> str:
    return "cancelled_twice_by_you" if lot.stop is not None or lot.target is not None else "opened_without_stop"


def _is_newest_cancelled_by_user(past: Sequence[Order], cancelled_by_us: frozenset[str]) -> bool:
    newest = max((order.generation for order in past), default=0)
    return user_cancels([order for order in past if order.generation == newest], cancelled_by_us) > 0


def _covers(stop: Stored, wanted: Quantity) -> bool:
    """Say whether a stop sells at least so much of a lot.

    Counted against what is booked: the lot does not know either of fills that are still on their way.
    """
    quantity = stop.order.quantity
    return quantity is not None and EXACT.subtract(quantity.value, stop.booked) >= wanted.value


def _may_still_fill(entry: Stored) -> bool:
    return not entry.order.is_ended or entry.lacks_fills


def _higher(one: Price | None, other: Price | None) -> Price | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _earliest(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)
