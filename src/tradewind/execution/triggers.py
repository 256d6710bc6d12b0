"""Which lots must be sold by the engine: levels reached while only the watch stood, and times that are up.

A level that a resting order of the venue guards is the venue's to act on; the engine steps in when a stop
was reached and nothing happened for a while (escalation). Lots that stood down have no triggers at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tradewind.core.protection import ExitCause, PositionState, is_time_up
from tradewind.execution.watch import Armed, Hit, Watch
from tradewind.infra.clock import Clock
from tradewind.portfolio.holding import Holding

# Nothing is wanted for these: too little to sell, or the user's own will.
STOOD_DOWN = frozenset({PositionState.UNPROTECTED_BY_YOU.value, PositionState.DUST.value})


@dataclass(slots=True)
class Triggers:
    """Armed levels and what they have seen."""

    clock: Clock
    stop_escalation_s: float
    watch: Watch = field(default_factory=Watch)
    # First and last time a level was reached without a pause in between.
    _hits: dict[str, tuple[float, float]] = field(default_factory=dict)
    _pending: dict[str, ExitCause] = field(default_factory=dict)

    def arm(self, holding: Holding) -> None:
        """Watch a lot's levels."""
        lot = holding.lot
        self.watch.arm((holding.venue, holding.environment, lot.symbol), Armed(lot.id, lot.stop, lot.target))

    def disarm(self, lot_id: str) -> None:
        """Stop watching a lot and forget what was seen of it (idempotent)."""
        self.watch.disarm(lot_id)
        self._hits.pop(lot_id, None)
        self._pending.pop(lot_id, None)

    def take(self, hit: Hit, holding: Holding) -> bool:
        """Take a level that was reached; True if the engine must act now."""
        if holding.state in STOOD_DOWN:
            return False
        now = self.clock.monotonic()
        first, last = self._hits.get(hit.lot_id, (now, now))
        if now - last > self.stop_escalation_s:
            first = now
        self._hits[hit.lot_id] = (first, now)
        is_native = holding.state == PositionState.PROTECTED_NATIVE.value
        if is_native and (hit.cause is ExitCause.TARGET or now - first < self.stop_escalation_s):
            return False
        self._pending[hit.lot_id] = hit.cause
        return True

    def due(self, holding: Holding) -> ExitCause | None:
        """Return why a lot must be sold by the engine now, if it must."""
        cause = self._pending.get(holding.lot.id)
        if cause is not None:
            return cause
        return ExitCause.TIME if is_time_up(holding.lot, self.clock.now()) else None

    def acted(self, lot_id: str) -> None:
        """The exit is recorded: what was seen has had its effect."""
        self._pending.pop(lot_id, None)
