"""Events on their way from the connections to their one reader, in order of arrival, bounded.

Rules of this file: what does not fit is refused, and the connection that brought it is given up, so that a loss is
a gap everybody hears of; the news that a stream is up or down always fits. Of that there are at most two for
each account beyond the bound, because nothing is subscribed while there is no room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from tradewind.venues.base import StreamDown, StreamUp, VenueEvent


class EventQueue:
    """One reader, many writers, one event loop."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._items: deque[VenueEvent] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: VenueEvent) -> bool:
        """Add an event; False if there is no room."""
        if not self.has_room:
            return False
        self._items.append(event)
        self._arrived.set()
        return True

    def put_news(self, event: StreamUp | StreamDown) -> None:
        """Add news of a stream's state, room or not."""
        self._items.append(event)
        self._arrived.set()

    @property
    def has_room(self) -> bool:
        """Whether another event fits."""
        return len(self._items) < self._size_max

    @property
    def has_drained(self) -> bool:
        """Whether the reader has caught up far enough for a connection to begin anew."""
        return len(self._items) * 2 <= self._size_max

    async def read(self) -> AsyncIterator[VenueEvent]:
        """Yield events for ever."""
        while True:
            while self._items:
                yield self._items.popleft()
            self._arrived.clear()
            await self._arrived.wait()
