"""One task at a time on an account and symbol, called by whatever moves there or by a clock.

Most calls are urgent and start at once. Some can wait: a lot that is watched from its first fill on gets its
native protection when the fan-out that filled it has left, and only so many are worked on at the same time. What
can wait waits for `PATIENCE_S` at most (docs/adr/0016-native-protection-after-the-burst.md).
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tradewind.core.ids import AccountId
from tradewind.infra.clock import Clock
from tradewind.infra.wake import Wake

Key = tuple[AccountId, str]

# Does the work for a key; returns when to look again at the latest, None for when something moves.
Work = Callable[[Key], Awaitable[datetime | None]]

# Never spin: a time that has just passed is looked at this much later.
_LEAST_PAUSE_S = 0.01
# Longest wait of work that can wait, while something more urgent is on its way.
PATIENCE_S = 1.0
# While patient work is held back, whether it may start is asked this often.
_ASK_AGAIN_S = 0.02
# Patient work at the same time: each takes a few reads and writes, and the database does them one by one.
_AT_ONCE = 64


def _always() -> bool:
    return True


@dataclass(slots=True)
class _Place:
    is_busy: bool = False
    look_again_at: datetime | None = None


@dataclass(slots=True)
class Rounds:
    """Calls `work` for keys that are dirty or due, each key by one task at a time."""

    clock: Clock
    work: Work
    wake: Wake
    # Says whether work that can wait may start now.
    has_room: Callable[[], bool] = _always
    _places: dict[Key, _Place] = field(default_factory=dict)
    _urgent: dict[Key, None] = field(default_factory=dict)
    # In order of their calls, with the monotonic time at which patience ends.
    _patient: dict[Key, float] = field(default_factory=dict)
    _timed: list[tuple[datetime, Key]] = field(default_factory=list)
    _busy: int = 0

    def look(self, key: Key, *, can_wait: bool = False) -> None:
        """Something moved there: have it looked after soon; once more if it is being looked after now."""
        if not can_wait:
            self._patient.pop(key, None)
            self._urgent[key] = None
        elif key not in self._urgent:
            self._patient.setdefault(key, self.clock.monotonic() + PATIENCE_S)
        self.wake.set()

    def start_due(self, tasks: asyncio.TaskGroup) -> None:
        """Start the work for every key that wants it and is not busy."""
        now = self.clock.now()
        while self._timed and self._timed[0][0] <= now:
            at, key = heapq.heappop(self._timed)
            if self._places.get(key, _Place()).look_again_at == at:
                self._urgent[key] = None
        for key in [each for each in self._urgent if not self._is_busy(each)]:
            del self._urgent[key]
            self._patient.pop(key, None)
            self._start(tasks, key)
        self._start_patient(tasks)

    def _start_patient(self, tasks: asyncio.TaskGroup) -> None:
        if not self._patient:
            return
        has_room, now = self.has_room(), self.clock.monotonic()
        for key, until in list(self._patient.items()):
            if self._busy >= _AT_ONCE or not (has_room or until <= now):
                return
            if not self._is_busy(key):
                del self._patient[key]
                self._start(tasks, key)

    def _is_busy(self, key: Key) -> bool:
        place = self._places.get(key)
        return place is not None and place.is_busy

    def _start(self, tasks: asyncio.TaskGroup, key: Key) -> None:
        place = self._places.setdefault(key, _Place())
        place.is_busy, place.look_again_at = True, None
        self._busy += 1
        tasks.create_task(self._carry_out(key, place), name=f"round {key}")

    async def pause(self, seconds_max: float) -> None:
        """Sleep until a key wants work."""
        self.wake.clear()
        pause = seconds_max
        if self._timed:
            pause = min(pause, (self._timed[0][0] - self.clock.now()).total_seconds())
        if self._patient and self._busy < _AT_ONCE:
            pause = min(pause, _ASK_AGAIN_S)
        await self.wake.wait(max(_LEAST_PAUSE_S, pause))

    async def _carry_out(self, key: Key, place: _Place) -> None:
        try:
            again = await self.work(key)
            if again is not None:
                place.look_again_at = max(again, self.clock.now() + timedelta(seconds=_LEAST_PAUSE_S))
                heapq.heappush(self._timed, (place.look_again_at, key))
        finally:
            place.is_busy = False
            self._busy -= 1
            if key not in self._urgent and key not in self._patient and place.look_again_at is None:
                self._places.pop(key, None)
            self.wake.set()
