"""Listen to the venue: what private streams say becomes outcomes and balances.

Nothing is believed to be complete: whenever an account's stream comes up again its orders and balances are
asked for, an account without a stream is asked every 30 s, a quiet one every 15 minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from tradewind.core.ids import AccountId, UserId, is_ours
from tradewind.execution import record_store, store
from tradewind.execution.desk import Desk, fact
from tradewind.execution.outcomes import Outcome
from tradewind.execution.reconcile import Reconciler
from tradewind.execution.recorder import Recorder
from tradewind.infra import outbox
from tradewind.infra.clock import Clock, to_ms
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.outbox import Note
from tradewind.infra.points import Point, reached
from tradewind.portfolio.service import record_balances
from tradewind.venues.base import (
    AccountSnapshot,
    BalanceSeen,
    OrderEventSeen,
    StreamDown,
    StreamUp,
    UserEvents,
    VenueClient,
    VenueEvent,
)
from tradewind.venues.errors import CredentialRefused, VenueError

_log = logger("execution.listen")

_LOOK_S = 1.0
# Snapshots asked for at once after a reconnect of many accounts.
_ASKERS = 10


@dataclass(frozen=True, slots=True)
class Followed:
    """An account whose private stream is followed."""

    account_id: AccountId
    user_id: UserId
    client: VenueClient


@dataclass(slots=True)
class Listener:
    """Follows the private streams of all accounts; one per process."""

    db: Db
    ids: Ids
    recorder: Recorder
    reconciler: Reconciler
    desk: Desk
    clock: Clock
    on_credential: Callable[[AccountId, str | None], None]
    # How often an account is compared with its venue: quiet, or doubtful (no stream, key refused).
    quiet_s: float
    doubtful_s: float
    _streams: dict[VenueClient, UserEvents] = field(default_factory=dict)
    _followed: dict[AccountId, Followed] = field(default_factory=dict)
    _asked_at: dict[AccountId, float] = field(default_factory=dict)
    _down: set[AccountId] = field(default_factory=set)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ASKERS))
    _tasks: asyncio.TaskGroup | None = None

    def follow(self, followed: Followed) -> None:
        """Follow an account's private stream from now on (idempotent)."""
        account_id = followed.account_id
        known = self._followed.get(account_id)
        if known is not None:
            return
        self._followed[account_id] = followed
        self._down.add(account_id)
        self._asked_at[account_id] = self.clock.monotonic()
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

    def is_live(self, account_id: AccountId) -> bool:
        """Say whether the account's stream is up."""
        return account_id in self._followed and account_id not in self._down

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for stream in self._streams.values():
                self._start(tasks, stream)
            while True:
                await self.clock.sleep(_LOOK_S)
                now = self.clock.monotonic()
                for account_id in list(self._followed):
                    is_doubtful = account_id in self._down or self.desk.is_blind(account_id)
                    every = self.doubtful_s if is_doubtful else self.quiet_s
                    if now - self._asked_at.get(account_id, 0.0) >= every:
                        self._ask_soon(account_id)

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
                self._ask_soon(event.account_id)

    async def take(self, event: VenueEvent) -> None:
        """Record one event."""
        match event:
            case OrderEventSeen():
                await self._order_seen(event)
            case BalanceSeen():
                await self._balances_seen(event)
            case StreamUp():
                self._down.discard(event.account_id)
                self._ask_soon(event.account_id)
            case StreamDown():
                self._down.add(event.account_id)
                _log.info("execution.listen.stream_down", account_id=event.account_id, reason=event.reason)

    async def _order_seen(self, event: OrderEventSeen) -> None:
        if not is_ours(event.original_client_id):
            return
        reached(Point.STREAM_EVENT_SEEN)
        stored = await self.db.read(lambda tx: store.find_by_client_id(tx, event.account_id, event.original_client_id))
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

    # --- asking ----------------------------------------------------------------------------------

    def _ask_soon(self, account_id: AccountId) -> None:
        self._asked_at[account_id] = self.clock.monotonic()
        self.reconciler.account_gap(account_id)
        if self._tasks is not None and account_id in self._followed:
            self._tasks.create_task(self.refresh(account_id), name=f"balances {account_id}")

    async def refresh(self, account_id: AccountId) -> None:
        """Read an account's balances from its venue; a failure says nothing and is tried again later."""
        followed = self._followed.get(account_id)
        if followed is None:
            return
        try:
            async with self._slots:
                asked_at = self.clock.now()
                snapshot = await followed.client.account(self.desk.signer(account_id))
        except CredentialRefused as error:
            self.on_credential(account_id, error.code)
            return
        except VenueError as error:
            _log.info("execution.listen.no_balances", account_id=account_id, code=error.code)
            return
        except Exception:
            _log.exception("execution.listen.refresh_failed", account_id=account_id)
            return
        self.on_credential(account_id, None)
        await self._keep(followed, snapshot, asked_at)

    async def _keep(self, followed: Followed, snapshot: AccountSnapshot, asked_at: datetime) -> None:
        account_id = followed.account_id
        try:
            await self.db.write(
                lambda tx: record_balances(tx, followed.user_id, account_id, snapshot.balances, asked_at)
            )
        except CommitInDoubt:
            raise
        except Exception:
            # A busy or full database must not end the listening; the account is asked again soon.
            _log.exception("execution.listen.balances_not_stored", account_id=account_id)
            self._asked_at[account_id] = self.clock.monotonic() - self.quiet_s
