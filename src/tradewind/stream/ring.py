"""One reader's numbered events, as a ring: the newest 1,000 can be told again.

Rules of this file:
1. Numbers count 1, 2, 3 ... without holes for as long as events are kept.
2. Whoever stands at n gets n+1 ... newest, or None: "what you ask for is gone, fetch everything".
3. `forget` drops the events AND uses up one number, so that nobody who stood at the old newest number can
   be told that nothing happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tradewind.stream.frames import Ev

RING_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Event:
    """A fact before it has its number; shared by every ring that holds it."""

    topic: str
    id: str
    rev: int
    at: str
    data: Mapping[str, Any]


class Ring:
    """The last events of one reader."""

    def __init__(self, seq: int = 0, *, size: int = RING_SIZE) -> None:
        self._seq = seq
        self._events: deque[Event] = deque(maxlen=size)

    @property
    def seq(self) -> int:
        """The newest number given."""
        return self._seq

    def append(self, event: Event) -> int:
        """Give the event its number; the oldest goes when the ring is full."""
        self._seq += 1
        self._events.append(event)
        return self._seq

    def after(self, seq: int, limit: int | None = None) -> list[Ev] | None:
        """Events numbered above `seq`, oldest first, at most `limit`; None if some of them are gone."""
        missing = self._seq - seq
        if missing < 0 or missing > len(self._events):
            return None
        start = len(self._events) - missing
        stop = len(self._events) if limit is None else min(len(self._events), start + limit)
        return [self._numbered(index) for index in range(start, stop)]

    def forget(self) -> None:
        """Drop all events, leaving a hole that everybody notices."""
        self._events.clear()
        self._seq += 1

    def _numbered(self, index: int) -> Ev:
        event = self._events[index]
        seq = self._seq - len(self._events) + 1 + index
        return Ev(seq, event.topic, event.id, event.rev, event.at, event.data)
