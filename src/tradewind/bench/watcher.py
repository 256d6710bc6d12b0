"""Who writes down, during a run, when each order was intended, signed, acknowledged and recorded."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field

from tradewind.bench.now import CLOCK
from tradewind.core.ids import AccountId, OrderId, SignalId
from tradewind.core.order import Leg, Order, OrderState
from tradewind.execution.outcomes import Moved


def cpu_s() -> float:
    """User and system time of this process so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(slots=True)
class Watcher:
    """A listener of the recorder for one signal; all times are monotonic seconds.

    How many orders it leads to is known when they are announced: whoever was skipped has none. Only what was
    bought is waited for to be protected.
    """

    base: str
    signal_id: SignalId | None = None
    intended_at: float | None = None
    placed: int = 0
    recorded: dict[OrderId, float] = field(default_factory=dict)
    entries: dict[OrderId, Order] = field(default_factory=dict)
    bare: set[AccountId] = field(default_factory=set)
    acknowledged_at: float = 0.0
    acknowledged_cpu: float = 0.0
    protected_at: float = 0.0
    all_acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    all_protected: asyncio.Event = field(default_factory=asyncio.Event)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """Take what the recorder announces, after its commit."""
        now = CLOCK.monotonic()
        if self.intended_at is None:
            # The worker announces all orders of a signal at once.
            self.placed = sum(1 for move in moved if self._is_intended(move.after))
            self.intended_at = now if self.placed else None
        for move in moved:
            if move.after.leg is Leg.ENTRY:
                self._entry(move.after, now)
            elif move.after.leg is Leg.STOP and move.after.state is OrderState.ACCEPTED:
                self._stop(move.after, now)

    def _is_intended(self, order: Order) -> bool:
        is_ours = order.leg is Leg.ENTRY and order.signal_id == self.signal_id
        return is_ours and order.state is OrderState.INTENDED

    def _entry(self, order: Order, now: float) -> None:
        if order.signal_id != self.signal_id:
            return
        before = self.entries.get(order.id)
        if order.executed.value > 0 and (before is None or before.executed.value == 0):
            self.bare.add(order.account_id)
        self.entries[order.id] = order
        if (order.acknowledged_at is not None or order.is_ended) and order.id not in self.recorded:
            self.recorded[order.id] = now
            self.acknowledged_at, self.acknowledged_cpu = now, cpu_s()
            if len(self.recorded) == self.placed:
                self.all_acknowledged.set()
                self._look_if_bare(now)

    def _stop(self, order: Order, now: float) -> None:
        if order.account_id in self.bare and order.symbol.startswith(self.base):
            self.bare.discard(order.account_id)
            self._look_if_bare(now)

    def _look_if_bare(self, now: float) -> None:
        if self.all_acknowledged.is_set() and not self.bare:
            self.protected_at = now
            self.all_protected.set()
