"""Listen to the venue: what private streams say becomes outcomes and balances.

Nothing is believed to be complete: whenever an account's stream comes up or goes down, or an event is lost to
us, recovery.py is told, and it compares the account with its venue.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tradewind.core.ids import AccountId, is_ours
from tradewind.execution import record_store, store
from tradewind.execution.account_look import Followed
from tradewind.execution.desk import Desk, fact
from tradewind.execution.outcomes import Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.recovery import Recovery
from tradewind.infra import outbox
from tradewind.infra.clock import Clock, to_ms
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.outbox import Note
from tradewind.infra.points import Point, reached
from tradewind.portfolio.service import record_balances
from tradewind.venues.base import (
    BalanceSeen,
    OrderEventSeen,
    StreamDown,
    StreamUp,
    UserEvents,
    VenueClient,
    VenueEvent,
)

_log = logger("execution.listen")


@dataclass(slots=True)
class Listener:
    """Follows the private streams of all accounts; one per process."""

    db: Db
    ids: Ids
    recorder: Recorder
    recovery: Recovery
    desk: Desk
    clock: Clock
    _streams: dict[VenueClient, UserEvents] = field(default_factory=dict)
    _followed: dict[AccountId, Followed] = field(default_factory=dict)
    _down: set[AccountId] = field(default_factory=set)
    _tasks: asyncio.TaskGroup | None = None

    def follow(self, followed: Followed) -> None:
        """Follow an account's private stream from now on (idempotent)."""
        account_id = followed.account_id
        known = self._followed.get(account_id)
        if known is not None:
            return
        self._followed[account_id] = followed
        self._down.add(account_id)
        self.recovery.follow(followed)
        stream = self._streams.get(followed.client)
        if stream is None:
            stream = self._streams[followed.client] = followed.client.user_events()
            if self._tasks is not None:
                self._start(self._tasks, stream)
        stream.add(self.desk.signer(account_id))

    def unfollow(self, account_id: AccountId) -> None:
        """Stop following an account (idempotent); follow it again to use a new key."""
        followed = self._followed.pop(account_id, None)
        if followed is not None:
            self._streams[followed.client].remove(account_id)
        self._down.discard(account_id)
        self.recovery.unfollow(account_id)

    def resubscribe(self, account_id: AccountId) -> None:
        """Subscribe an account's private stream anew: it is up and says nothing."""
        followed = self._followed.get(account_id)
        if followed is not None:
            stream = self._streams[followed.client]
            # Until the venue says that it is subscribed anew it counts as away.
            self._down.add(account_id)
            self.recovery.stream_down(account_id)
            stream.remove(account_id)
            stream.add(self.desk.signer(account_id))

    def is_live(self, account_id: AccountId) -> bool:
        """Say whether the account's stream is up."""
        return account_id in self._followed and account_id not in self._down

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for stream in self._streams.values():
                self._start(tasks, stream)
            await asyncio.Event().wait()

    def _start(self, tasks: asyncio.TaskGroup, stream: UserEvents) -> None:
        tasks.create_task(stream.run(), name="user stream")
        tasks.create_task(self._consume(stream), name="user events")

    async def _consume(self, stream: UserEvents) -> None:
        async for event in stream.events():
            try:
                await self.take(event)
            except CommitInDoubt:
                raise
            except Exception:
                # The event itself is lost to us; asking the venue brings back what it said.
                _log.exception("execution.listen.event_failed", account_id=event.account_id)
                self.recovery.look_soon(event.account_id, "event_lost")

    async def take(self, event: VenueEvent) -> None:
        """Record one event."""
        if isinstance(event, OrderEventSeen | BalanceSeen):
            self.recovery.heard(event.account_id)
        match event:
            case OrderEventSeen():
                await self._order_seen(event)
            case BalanceSeen():
                await self._balances_seen(event)
            case StreamUp():
                self._down.discard(event.account_id)
                self.recovery.stream_up(event.account_id)
            case StreamDown():
                self._down.add(event.account_id)
                self.recovery.stream_down(event.account_id)
                _log.info("execution.listen.stream_down", account_id=event.account_id, reason=event.reason)

    async def _order_seen(self, event: OrderEventSeen) -> None:
        if not is_ours(event.original_client_id):
            return
        reached(Point.STREAM_EVENT_SEEN)
        try:
            stored = await self.db.read(
                lambda tx: store.find_by_client_id(tx, event.account_id, event.original_client_id)
            )
        except store.LaterRelease as error:
            _log.warning("execution.listen.left_alone", account_id=event.account_id, reason=error.message)
            return
        if stored is None:
            await self._foreign(event)
            return
        fills = () if event.fill is None else (event.fill,)
        await self.recorder.record([Outcome(stored.order.id, fact(event.report, self.clock.now()), fills)])

    async def _foreign(self, event: OrderEventSeen) -> None:
        """An order with an id of our form that the journal does not know: told, never guessed at."""
        followed = self._followed.get(event.account_id)
        if followed is None:
            return
        now = self.clock.now()
        detail = {"client_order_id": event.original_client_id, "symbol": event.report.symbol}
        incident_id = self.ids.new()

        def work(tx: Tx) -> None:
            values = {
                "id": incident_id,
                "at": now,
                "user_id": followed.user_id,
                "account_id": event.account_id,
                "order_id": None,
                "kind": "unknown_order_of_ours",
                "detail": detail,
            }
            record_store.insert_incident(tx, values)
            payload = {"id": incident_id, "rev": 0, "at": now.isoformat(), "kind": "unknown_order_of_ours", **detail}
            outbox.append(tx, [Note("incident", followed.user_id, payload)], now)

        await self.db.write(work)

    async def _balances_seen(self, event: BalanceSeen) -> None:
        account_id, found = event.account_id, event.balances
        followed = self._followed.get(account_id)
        if followed is None:
            return
        now = self.clock.now()

        def work(tx: Tx) -> None:
            # Dated by our own clock at arrival: ages are judged by it.
            record_balances(tx, followed.user_id, account_id, found, now)
            payload = {
                "id": account_id,
                "rev": to_ms(now),
                "at": now.isoformat(),
                "balances": [
                    {"asset": each.asset, "free": format(each.free, "f"), "in_orders": format(each.locked, "f")}
                    for each in found
                ],
            }
            outbox.append(tx, [Note("balance", followed.user_id, payload)], now)

        await self.db.write(work)
