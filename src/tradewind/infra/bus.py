"""The bus wakes people up; the database is the truth.

Delivery is at most once to those who listen now. A subscriber with a full queue loses the oldest message
and is told so (`missed`), because a slow reader must never hold up trading.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One published note. `seq` is the outbox sequence, 0 for what never was in the outbox."""

    seq: int
    topic: str
    user_id: str | None
    payload: Mapping[str, Any]


class Subscription:
    """A bounded inbox of one listener; iterate it, close it."""

    def __init__(self, topics: frozenset[str], size_max: int) -> None:
        self._topics = topics
        self._queue: deque[Message] = deque()
        self._size_max = size_max
        self._ready = asyncio.Event()
        self._closed = False
        self.missed = 0

    def wants(self, topic: str) -> bool:
        """Say whether this listener asked for the topic (no topics = all)."""
        return not self._topics or topic in self._topics

    def push(self, message: Message) -> None:
        """Deliver; the oldest goes when the queue is full."""
        if len(self._queue) >= self._size_max:
            self._queue.popleft()
            self.missed += 1
        self._queue.append(message)
        self._ready.set()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._closed:
                return
            self._ready.clear()
            await self._ready.wait()


class Bus(Protocol):
    """Publish to whoever listens."""

    async def publish(self, message: Message) -> None:
        """Deliver to present subscribers; never waits for them."""
        ...

    def subscribe(self, *topics: str, size_max: int = 10_000) -> Subscription:
        """Listen to these topics (none named: all)."""
        ...

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening (idempotent)."""
        ...


class InProcessBus:
    """The bus of a single process."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    async def publish(self, message: Message) -> None:
        """Deliver to present subscribers; never waits for them."""
        for subscription in self._subscriptions:
            if subscription.wants(message.topic):
                subscription.push(message)

    def subscribe(self, *topics: str, size_max: int = 10_000) -> Subscription:
        """Listen to these topics (none named: all)."""
        subscription = Subscription(frozenset(topics), size_max)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening (idempotent)."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
        subscription.close()
