"""Which lots must be sold by the engine: levels reached while only the watch stood, and times that are up.

A level that a resting order of the venue guards is the venue's to act on; the engine steps in when a stop
was reached, the price has not come back, and nothing happened for a while (escalation, order-protocol.md
section 5). Lots that stood down have no triggers at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tradewind.core.money import Price
from tradewind.core.protection import ExitCause, PositionState, is_time_up
from tradewind.execution.watch import Armed, Crossing, Level, Watch
from tradewind.infra.clock import Clock
from tradewind.portfolio.holding import Holding

# Nothing is wanted for these: too little to sell, or the user's own will.
STOOD_DOWN = frozenset({PositionState.UNPROTECTED_BY_YOU.value, PositionState.DUST.value})
_CAUSES = {Level.STOP: ExitCause.STOP, Level.TARGET: ExitCause.TARGET}


@dataclass(frozen=True, slots=True)
class Fired:
    """A level reached while the watch alone stood; `at` in monotonic seconds."""

    holding: Holding
    cause: ExitCause
    at: float


@dataclass(slots=True)
class Triggers:
    """Armed levels and what they have seen."""

    clock: Clock
    stop_escalation_s: float
    watch: Watch = field(default_factory=Watch)
    # Levels the price has reached and not left, with the time at which it did.
    _reached: dict[str, dict[ExitCause, float]] = field(default_factory=dict)
    # Stops that rest at the venue: those levels are its to act on first.
    _guards: dict[str, Price] = field(default_factory=dict)
    # Lots among them whose target does not rest there: a venue that holds a stop alone. It is ours to watch.
    _bare_targets: set[str] = field(default_factory=set)
    # Reached while the watch alone stood: that counts even if the price comes back before anything is sent.
    _pending: dict[str, ExitCause] = field(default_factory=dict)
    # What was reached and has led to an exit, recorded or hurried on, until the price leaves it.
    _acted: dict[str, set[ExitCause]] = field(default_factory=dict)
    _fired: dict[str, Fired] = field(default_factory=dict)

    def arm(self, holding: Holding, raise_at: Price | None = None) -> None:
        """Watch a lot's levels; `raise_at` is where its trailing stop goes up next."""
        lot = holding.lot
        self.watch.arm((holding.venue, holding.environment, lot.symbol), Armed(lot.id, lot.stop, lot.target, raise_at))

    def disarm(self, lot_id: str) -> None:
        """Stop watching a lot and forget what was seen of it (idempotent)."""
        self.watch.disarm(lot_id)
        for known in (self._reached, self._pending, self._guards, self._acted):
            known.pop(lot_id, None)
        self._bare_targets.discard(lot_id)

    def guard(self, lot_id: str, stop: Price | None, *, has_target: bool = True) -> None:
        """Say at which price a whole native stop of the lot rests (None: there is none), and whether a target does."""
        if stop is None:
            self._guards.pop(lot_id, None)
        else:
            self._guards[lot_id] = stop
        (self._bare_targets.discard if has_target else self._bare_targets.add)(lot_id)

    def take(self, crossing: Crossing, holding: Holding) -> bool:
        """Take a stop or target that was reached or left; True if somebody must look at the lot now."""
        cause = _CAUSES.get(crossing.level)
        if cause is None or holding.state in STOOD_DOWN:
            return False
        reached = self._reached.setdefault(crossing.lot_id, {})
        if not crossing.is_reached:
            reached.pop(cause, None)
            self._acted.get(crossing.lot_id, set()).discard(cause)
            return False
        reached[cause] = self.clock.monotonic()
        if self._is_guarded(crossing.lot_id, cause, crossing.price):
            # The venue's order acts first; a target there is a resting limit order and needs no help.
            return cause is ExitCause.STOP
        self._pending.setdefault(crossing.lot_id, cause)
        self._fired.setdefault(crossing.lot_id, Fired(holding, cause, self.clock.monotonic()))
        return True

    def due(self, holding: Holding) -> ExitCause | None:
        """Return why a lot must be sold by the engine now, if it must."""
        lot_id = holding.lot.id
        cause = self._pending.get(lot_id)
        if cause is not None:
            return cause
        reached = self._reached.get(lot_id, {})
        if ExitCause.STOP in reached and self.escalates_in_s(holding) is None:
            return ExitCause.STOP
        if ExitCause.TARGET in reached and not self._has_resting_target(lot_id):
            return ExitCause.TARGET
        return ExitCause.TIME if is_time_up(holding.lot, self.clock.now()) else None

    def hurries(self, holding: Holding) -> ExitCause | None:
        """Return why an exit that waits for its next try must go now: once for each time a level is reached."""
        lot_id = holding.lot.id
        if lot_id in self._pending:
            return self._pending[lot_id]
        cause = self.due(holding)
        is_new = cause in self._reached.get(lot_id, {}) and cause not in self._acted.get(lot_id, set())
        return cause if is_new else None

    def escalates_in_s(self, holding: Holding) -> float | None:
        """Return how long a resting stop that was reached still has; None if none has or its time is over."""
        since = self._reached.get(holding.lot.id, {}).get(ExitCause.STOP)
        if since is None or holding.lot.id not in self._guards:
            return None
        left = self.stop_escalation_s - (self.clock.monotonic() - since)
        return left if left > 0 else None

    def fired(self) -> list[Fired]:
        """Return what the watch saw and nobody has recorded an exit for yet."""
        self._fired = {lot_id: fired for lot_id, fired in self._fired.items() if lot_id in self._pending}
        return list(self._fired.values())

    def acted(self, lot_id: str) -> None:
        """An exit is recorded, or one that waited goes now: what was seen has had its effect."""
        self._pending.pop(lot_id, None)
        if lot_id in self._reached:
            self._acted.setdefault(lot_id, set()).update(self._reached[lot_id])

    def _is_guarded(self, lot_id: str, cause: ExitCause, price: Price) -> bool:
        """A trailing stop may have gone up further than the one at the venue: in between the watch acts."""
        if cause is ExitCause.TARGET:
            return self._has_resting_target(lot_id)
        guard = self._guards.get(lot_id)
        return guard is not None and price <= guard

    def _has_resting_target(self, lot_id: str) -> bool:
        return lot_id in self._guards and lot_id not in self._bare_targets
