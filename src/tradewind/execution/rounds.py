"""One task at a time on an account and symbol, called by whatever moves there or by a clock.

Keys that want work are taken in batches, so that thousands of fills of one signal are looked after in a few
transactions; each key is given back by itself, so that one slow account holds up nobody else.

Most calls are urgent and are handed out at once. Some can wait: a lot that is watched from its first fill on gets
its native protection when the fan-out that filled it has left. What can wait waits for `PATIENCE_S` at most
(docs/adr/0016-native-protection-after-the-burst.md).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from tradewind.core.ids import AccountId
from tradewind.infra.clock import Clock
from tradewind.infra.wake import Wake

Key = tuple[AccountId, str]

# A key that stands aside is thought of again after this.
_ASIDE_S = 0.5
# Never spin: a time that has just passed is looked at this much later.
_LEAST_PAUSE = timedelta(milliseconds=10)
# Longest wait of a look that can wait, while something more urgent is on its way.
PATIENCE_S = 1.0
# While patient looks are held back, whether they may start is asked this often.
_ASK_AGAIN_S = 0.02


def _always() -> bool:
    return True


@dataclass(slots=True)
class _Place:
    is_busy: bool = False
    is_queued: bool = False
    is_dirty: bool = False
    look_again_at: datetime | None = None


@dataclass(slots=True)
class Rounds:
    """Hands out keys that are dirty or due, each to one taker at a time."""

    clock: Clock
    wake: Wake
    # Says whether a look that can wait may start now.
    has_room: Callable[[], bool] = _always
    # Keys that must not be handed out yet: a restored account's, until it has been reconciled.
    stands_aside: Callable[[Key], bool] = lambda _key: False
    _places: dict[Key, _Place] = field(default_factory=dict)
    _ready: deque[Key] = field(default_factory=deque)
    _due: list[tuple[datetime, Key]] = field(default_factory=list)
    # In order of their calls, with the monotonic time at which patience ends.
    _patient: dict[Key, float] = field(default_factory=dict)

    def look(self, key: Key, *, can_wait: bool = False) -> None:
        """Something moved there: have it looked after soon; once more if it is being looked after now."""
        place = self._places.setdefault(key, _Place())
        if not can_wait:
            self._patient.pop(key, None)
            place.is_dirty = True
            self._queue(key, place)
        elif not place.is_dirty:
            self._patient.setdefault(key, self.clock.monotonic() + PATIENCE_S)
        self.wake.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being looked after and nothing asks to be now; what is due later may be waiting."""
        is_wanted = any(place.is_busy or place.is_queued for place in self._places.values())
        return not (is_wanted or self._patient)

    def take(self, limit: int) -> list[Key]:
        """Return keys that want work, oldest wish first; each must come back through `done`."""
        self._queue_due()
        self._queue_patient()
        taken: list[Key] = []
        while self._ready and len(taken) < limit:
            key = self._ready.popleft()
            place = self._places[key]
            if self.stands_aside(key):
                self._put_off(key, place)
                continue
            place.is_queued, place.is_dirty, place.is_busy, place.look_again_at = False, False, True, None
            taken.append(key)
        return taken

    def done(self, key: Key, again_at: datetime | None) -> None:
        """Give a key back; it is looked at again at this time at the latest (None: when something moves)."""
        place = self._places[key]
        place.is_busy = False
        if place.is_dirty:
            self._queue(key, place)
        elif again_at is not None:
            place.look_again_at = max(again_at, self.clock.now() + _LEAST_PAUSE)
            heapq.heappush(self._due, (place.look_again_at, key))
        elif key not in self._patient:
            del self._places[key]
        self.wake.set()

    async def pause(self, seconds_max: float) -> None:
        """Sleep until a key wants work."""
        if self._ready:
            return
        self.wake.clear()
        pause = seconds_max
        if self._due:
            pause = min(pause, (self._due[0][0] - self.clock.now()).total_seconds())
        if self._patient:
            pause = min(pause, _ASK_AGAIN_S)
        await self.wake.wait(max(_LEAST_PAUSE.total_seconds(), pause))

    def _put_off(self, key: Key, place: _Place) -> None:
        place.is_queued, place.look_again_at = False, self.clock.now() + timedelta(seconds=_ASIDE_S)
        heapq.heappush(self._due, (place.look_again_at, key))

    def _queue(self, key: Key, place: _Place) -> None:
        if not place.is_busy and not place.is_queued:
            place.is_queued = True
            self._ready.append(key)

    def _queue_patient(self) -> None:
        if not self._patient:
            return
        has_room, now = self.has_room(), self.clock.monotonic()
        # Asked many times a second, with thousands waiting: only those are walked whose time has come.
        ripe = takewhile(lambda each: has_room or each[1] <= now, self._patient.items())
        for key in [key for key, _ in ripe if not self._places[key].is_busy]:
            del self._patient[key]
            self._queue(key, self._places[key])

    def _queue_due(self) -> None:
        now = self.clock.now()
        while self._due and self._due[0][0] <= now:
            at, key = heapq.heappop(self._due)
            place = self._places.get(key)
            # A time that was overtaken by an earlier look counts no more.
            if place is not None and place.look_again_at == at:
                self._queue(key, place)
