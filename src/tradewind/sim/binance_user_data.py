"""User-data subscriptions: which connection hears which account, and what goes wrong on the way.

Many accounts may be subscribed on one connection and one account on many connections; a message carries the
subscription's id so that the client can tell them apart (web-socket-api.md, 2026-07-21). Events are handed
over at the moment the exchange made them, so a client normally hears of a fill before the answer to its
order. Nothing is kept for a client that is not connected: missed events are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from tradewind.sim.binance_events import is_fill, user_event
from tradewind.sim.binance_sockets import Socket
from tradewind.sim.faults import FaultBook, FaultKind
from tradewind.sim.types import Event

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One account heard on one connection."""

    uid: int
    subscription_id: int
    socket: Socket

    def send(self, event_text: str) -> None:
        """Send an encoded event in the subscription's envelope."""
        self.socket.post(f'{{"subscriptionId":{self.subscription_id},"event":{event_text}}}')


class UserStreams:
    """All user-data subscriptions of the venue."""

    def __init__(self, faults: FaultBook) -> None:
        self._faults = faults
        self._by_uid: dict[int, list[Subscription]] = {}
        self._late: set[asyncio.TimerHandle] = set()

    def add(self, subscription: Subscription) -> None:
        """Begin to send an account's events to a connection."""
        self._by_uid.setdefault(subscription.uid, []).append(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Stop; nothing happens when it was stopped before."""
        kept = [one for one in self._by_uid.get(subscription.uid, []) if one is not subscription]
        if kept:
            self._by_uid[subscription.uid] = kept
        else:
            self._by_uid.pop(subscription.uid, None)

    def sockets(self, uid: int | None = None) -> set[Socket]:
        """List the connections that hear an account, or any account."""
        uids = self._by_uid.keys() if uid is None else [uid]
        return {one.socket for key in uids for one in self._by_uid.get(key, [])}

    def count(self, uid: int | None = None) -> int:
        """Count subscriptions of one account or of all."""
        if uid is not None:
            return len(self._by_uid.get(uid, []))
        return sum(len(subscriptions) for subscriptions in self._by_uid.values())

    def publish(self, events: Iterable[Event]) -> None:
        """Send events to whoever hears their accounts."""
        batches: dict[int, list[Event]] = {}
        for event in events:
            if event.uid in self._by_uid:
                batches.setdefault(event.uid, []).append(event)
        for uid, batch in batches.items():
            self._deliver(uid, batch)

    def close(self) -> None:
        """Forget events that are still being held back."""
        for handle in self._late:
            handle.cancel()
        self._late.clear()

    def _deliver(self, uid: int, batch: list[Event]) -> None:
        mute = self._faults.standing(FaultKind.STREAM_MUTE, uid)
        if mute is not None and mute.stream in {"user", "all"}:
            return
        if len(batch) > 1 and (fault := self._faults.event_fault(FaultKind.REORDER, uid)) is not None:
            fault.generator.shuffle(batch)
        for event in batch:
            text = _encode(user_event(event)).decode()
            if is_fill(event):
                self._send_fill(uid, text)
            else:
                self._send(uid, text)

    def _send_fill(self, uid: int, text: str) -> None:
        copies = 2 if self._faults.event_fault(FaultKind.DUPLICATE_FILLS, uid) is not None else 1
        late = self._faults.event_fault(FaultKind.LATE_FILLS, uid)
        for _ in range(copies):
            if late is None:
                self._send(uid, text)
            else:
                self._send_later(uid, text, (late.value or 0.0) / 1000)

    def _send_later(self, uid: int, text: str, delay_s: float) -> None:
        def deliver() -> None:
            self._late.discard(handle)
            self._send(uid, text)

        handle = asyncio.get_running_loop().call_later(delay_s, deliver)
        self._late.add(handle)

    def _send(self, uid: int, text: str) -> None:
        for subscription in self._by_uid.get(uid, []):
            subscription.send(text)
