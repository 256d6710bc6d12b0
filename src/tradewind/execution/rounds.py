"""One task at a time on an account and symbol, called by whatever moves there or by a clock."""

from __future__ import annotations

import asyncio
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


@dataclass(slots=True)
class _Place:
    is_busy: bool = False
    is_dirty: bool = False
    look_again_at: datetime | None = None


@dataclass(slots=True)
class Rounds:
    """Calls `work` for keys that are dirty or due, each key by one task at a time."""

    clock: Clock
    work: Work
    wake: Wake
    _places: dict[Key, _Place] = field(default_factory=dict)

    def look(self, key: Key) -> None:
        """Something moved there: have it looked after soon; once more if it is being looked after now."""
        self._places.setdefault(key, _Place()).is_dirty = True
        self.wake.set()

    def start_due(self, tasks: asyncio.TaskGroup) -> None:
        """Start the work for every key that wants it and is not busy."""
        now = self.clock.now()
        for key, place in list(self._places.items()):
            is_due = place.look_again_at is not None and place.look_again_at <= now
            if not place.is_busy and (place.is_dirty or is_due):
                place.is_busy, place.is_dirty, place.look_again_at = True, False, None
                tasks.create_task(self._carry_out(key, place), name=f"round {key}")

    async def pause(self, seconds_max: float) -> None:
        """Sleep until a key wants work."""
        self.wake.clear()
        now = self.clock.now()
        times = [each.look_again_at for each in self._places.values() if each.look_again_at and not each.is_busy]
        pause = min([seconds_max, *((at - now).total_seconds() for at in times)])
        await self.wake.wait(max(_LEAST_PAUSE_S, pause))

    async def _carry_out(self, key: Key, place: _Place) -> None:
        try:
            again = await self.work(key)
            least = self.clock.now() + timedelta(seconds=_LEAST_PAUSE_S)
            place.look_again_at = None if again is None else max(again, least)
        finally:
            place.is_busy = False
            if not place.is_dirty and place.look_again_at is None:
                self._places.pop(key, None)
            self.wake.set()
