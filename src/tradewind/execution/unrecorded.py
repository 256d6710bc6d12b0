"""Watched stops that fired and cannot be recorded: told at once, carried out before any entry (section 6).

With the database away nothing can be recorded, so nothing is sent, exits included. A watch that fires then is
told by every channel that works without it: the log, and the open streams of the user and of the operators. It
stays pending in memory (and its price level in the database), and until its exit was on the wire no entry is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tradewind.core.ids import LotId
from tradewind.core.order import Leg, OrderState
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Moved
from tradewind.execution.triggers import Fired, Triggers
from tradewind.infra.bus import Bus, Message
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger

_log = logger("execution.unrecorded")

_EVERY_S = 0.1
# With the database there an exit is recorded in milliseconds; a full queue of writes may hold it up a little.
_LATE_S = 1.0
# Entries wait for exits at most this long once the database takes writes again.
_HOLD_S = 10.0


@dataclass(slots=True)
class _Told:
    """A lot told of. Times are monotonic."""

    fired_at: float
    # When the database took a write again.
    back_at: float | None = None
    # Its exit was sent and something came of it, or there was nothing to send.
    is_out: bool = False


@dataclass(slots=True)
class Unrecorded:
    """Watches the watches; one per process."""

    db: Db
    clock: Clock
    bus: Bus
    ids: Ids
    triggers: Triggers
    latch: Latch
    _committed_at: float = 0.0
    _told: dict[LotId, _Told] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._committed_at = self.clock.monotonic()
        self.db.after_commit(self._note_commit)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for fired in self.look():
                await self._tell(fired)
            await self.clock.sleep(_EVERY_S)

    def look(self) -> list[Fired]:
        """Return what fired and must be told now, and hold entries while something waits to be recorded."""
        now = self.clock.monotonic()
        pending = {fired.holding.lot.id: fired for fired in self.triggers.fired()}
        fresh = [
            fired for lot_id, fired in pending.items() if lot_id not in self._told and self._is_unrecorded(fired, now)
        ]
        for fired in fresh:
            self._told[fired.holding.lot.id] = _Told(fired.at)
        for lot_id, told in list(self._told.items()):
            if told.back_at is None and (self._committed_at > told.fired_at or lot_id not in pending):
                told.back_at = now
            if lot_id not in pending and (told.is_out or not self._holds(told, now)):
                del self._told[lot_id]
                _log.info("execution.unrecorded.done", lot_id=lot_id)
        self.latch.is_held = any(self._holds(told, now) for told in self._told.values())
        return fresh

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """An exit has an answer: recorded is not enough, it must have been on the wire before an entry is."""
        for move in moved if self._told else ():
            order = move.after
            told = self._told.get(LotId(order.lot_id)) if order.lot_id and order.leg is Leg.EXIT else None
            if told is not None and order.state not in (OrderState.INTENDED, OrderState.SENT):
                told.is_out = True

    @staticmethod
    def _holds(told: _Told, now: float) -> bool:
        return not told.is_out and (told.back_at is None or now - told.back_at < _HOLD_S)

    def _is_unrecorded(self, fired: Fired, now: float) -> bool:
        if self._committed_at > fired.at:
            # The database takes writes: whatever keeps this one is the exit's own business.
            return False
        return now - fired.at >= _LATE_S or self.db.away_s > 0

    def _note_commit(self) -> None:
        self._committed_at = self.clock.monotonic()

    async def _tell(self, fired: Fired) -> None:
        holding = fired.holding
        lot = holding.lot
        _log.error(
            "execution.unrecorded.exit",
            lot_id=lot.id,
            account_id=lot.account_id,
            user_id=holding.user_id,
            symbol=lot.symbol,
            cause=fired.cause.value,
        )
        payload = {
            "id": self.ids.new(),
            "rev": 0,
            "at": self.clock.now().isoformat(),
            "kind": "exit_not_recorded",
            "lot_id": lot.id,
            "account_id": lot.account_id,
            "environment": holding.environment.value.upper(),
            "symbol": lot.symbol,
            "cause": fired.cause.value,
            "text": (
                f"The {fired.cause} of your {lot.base} was reached, but the database cannot be written, so the sale "
                "cannot be sent. It goes out before anything else when the database is back. To sell now, use the "
                f"{holding.venue} app."
            ),
        }
        await self.bus.publish(Message(0, "notice", holding.user_id, payload))
