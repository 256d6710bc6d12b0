"""One connection of the WebSocket API with the private streams of many accounts (web-socket-api.md, 2026-07-21).

Rules of this file: one task does everything, frame by frame, so there is nothing to lock; accounts wanted and
accounts subscribed are compared on every turn; a question that is not answered ends the connection; an event that
cannot be read is a gap of that account alone. The venue replays nothing: up means "ask what happened before".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from tradewind.core.ids import AccountId
from tradewind.infra.clock import Clock
from tradewind.infra.log import logger
from tradewind.venues.base import (
    BalanceSeen,
    OrderEventSeen,
    Signer,
    SignPurpose,
    SignRequest,
    VenueEvent,
)
from tradewind.venues.binance import codec_stream
from tradewind.venues.binance.codec import NotUnderstood
from tradewind.venues.binance.codec_stream import Answer, BalanceEvent, Ended, OrderEvent, Shutdown, UnreadableEvent
from tradewind.venues.binance.codes import ApiError, credential_name
from tradewind.venues.binance.signing import SUBSCRIBE_METHOD, ws_payload
from tradewind.venues.clocksync import VenueClock
from tradewind.venues.errors import RateLimited, VenueError
from tradewind.venues.ratelimit import IpBudget, Lane
from tradewind.venues.stream_socket import Socket, SocketEnded, StreamRules, open_socket

_log = logger(__name__)

_SUBSCRIBE_WEIGHT = 2
# Subscriptions sent between two looks at what came in.
_BATCH = 20
# A refused key does not mend itself; another refusal may.
_REFUSED_RETRY_S = 300.0
_OTHER_RETRY_S = 15.0
_TIMESTAMP_RETRY_S = 2.0
_UNANSWERED_BAN_MS = 60_000
_TOO_SLOW = "the reader of the events is too slow"


class Carrier(Protocol):
    """Who hears what a session learns."""

    def deliver(self, event: VenueEvent) -> bool:
        """Pass an event on; False if there is no room for it."""
        ...

    def up(self, session: Session, account_id: AccountId) -> None:
        """The account's stream is live on this session."""
        ...

    def down(self, session: Session, account_id: AccountId, reason: str) -> None:
        """The account's stream is not live on this session any more, or could not be made so."""
        ...

    def gap(self, session: Session, account_id: AccountId, reason: str) -> bool:
        """The stream goes on, but something of it was missed; False if there is no room to say so."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether the reader keeps up, so that more may be subscribed."""
        ...


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What every session needs."""

    url: str
    clock: Clock
    venue_clock: VenueClock
    budget: IpBudget
    rules: StreamRules
    recv_window_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """That an account be followed with this key; a new wish for the same account means: subscribe anew."""

    signer: Signer


@dataclass(frozen=True, slots=True)
class _Asked:
    account_id: AccountId
    wish: Wish
    asked_at: float


@dataclass(frozen=True, slots=True)
class _Subscribed:
    wish: Wish
    id: int


class Session:
    """One connection; `wanted` is shared with its owner and may change at any time."""

    def __init__(self, parts: SessionParts, carrier: Carrier, wanted: dict[AccountId, Wish]) -> None:
        self._parts = parts
        self._carrier = carrier
        self._wanted = wanted
        self._count = 0
        self._asked: dict[str, _Asked] = {}
        self._subscriptions: dict[AccountId, _Subscribed] = {}
        self._accounts: dict[int, AccountId] = {}
        self._not_before: dict[AccountId, float] = {}
        self._time_asked_at: float | None = None
        self._heard_at = 0.0
        self._opened_at = 0.0
        self._chores_at = 0.0
        self.is_ready = asyncio.Event()
        self.wants_successor = asyncio.Event()

    def retry_now(self, account_id: AccountId) -> None:
        """Forget that the account was refused: its key may be another one now."""
        self._not_before.pop(account_id, None)

    async def run(self) -> None:
        """Connect and serve until the connection ends. Raises SocketEnded."""
        async with open_socket(self._parts.url, self._parts.budget, self._parts.rules) as socket:
            self._opened_at = self._heard_at = self._parts.clock.monotonic()
            while self._wanted:
                if self._parts.clock.monotonic() >= self._chores_at:
                    await self._tend(socket)
                frame = await socket.receive()
                if frame is not None:
                    self._heard_at = self._parts.clock.monotonic()
                    self._take(frame)

    # --- asking ------------------------------------------------------------------------------------

    async def _tend(self, socket: Socket) -> None:
        """What is looked at once a tick, not for every frame."""
        await self._unsubscribe_unwanted(socket)
        has_more = await self._subscribe_missing(socket)
        await self._watch_time(socket)
        self._chores_at = self._parts.clock.monotonic() + (0.0 if has_more else self._parts.rules.tick_s)

    async def _subscribe_missing(self, socket: Socket) -> bool:
        """Ask for streams of accounts that have none; True if there are more than were asked for now."""
        if not self._carrier.has_room:
            return False
        now = self._parts.clock.monotonic()
        pending = {asked.account_id for asked in self._asked.values()}
        missing = [
            account_id
            for account_id in self._wanted
            if account_id not in self._subscriptions
            and account_id not in pending
            and self._not_before.get(account_id, now) <= now
        ]
        for account_id in missing[:_BATCH]:
            wish = self._wanted.get(account_id)
            if wish is not None and not await self._subscribe(socket, account_id, wish):
                return False
        if not missing and not self._asked:
            self.is_ready.set()
        return len(missing) > _BATCH

    async def _subscribe(self, socket: Socket, account_id: AccountId, wish: Wish) -> bool:
        """Ask for one account's stream; False when the budget has no room now."""
        parts = self._parts
        try:
            # Before looks at accounts: what a stream tells costs no question, and a look without it is repeated.
            permit = await parts.budget.reserve(Lane.ENTRY, _SUBSCRIBE_WEIGHT, wait_s=0)
        except RateLimited:
            return False
        parts.budget.settle(permit)
        try:
            params = await self._signed_params(wish.signer)
        except VenueError as error:
            self._refuse(account_id, error.code, _REFUSED_RETRY_S)
            return True
        request_id = self._next_id()
        self._asked[request_id] = _Asked(account_id, wish, parts.clock.monotonic())
        await socket.send(codec_stream.subscribe_frame(request_id, params))
        return True

    async def _signed_params(self, signer: Signer) -> dict[str, str | int]:
        params: dict[str, str | int] = {
            "apiKey": await signer.api_key(),
            "recvWindow": self._parts.recv_window_ms,
            "timestamp": self._parts.venue_clock.now_ms(),
        }
        request = SignRequest(SignPurpose.STREAM, "WS", SUBSCRIBE_METHOD, ws_payload(params))
        params["signature"] = await signer.sign(request)
        return params

    async def _unsubscribe_unwanted(self, socket: Socket) -> None:
        for account_id, held in list(self._subscriptions.items()):
            if self._wanted.get(account_id) is not held.wish:
                del self._subscriptions[account_id]
                self._accounts.pop(held.id, None)
                await socket.send(codec_stream.unsubscribe_frame(self._next_id(), held.id))

    async def _watch_time(self, socket: Socket) -> None:
        """End a connection that does not answer; ask for its time when it was silent; announce its old age."""
        rules, now = self._parts.rules, self._parts.clock.monotonic()
        if any(now - asked.asked_at > rules.answer_s for asked in self._asked.values()):
            raise SocketEnded("a subscription was not answered")
        if self._time_asked_at is not None and self._heard_at > self._time_asked_at:
            self._time_asked_at = None
        if self._time_asked_at is not None and now - self._time_asked_at > rules.answer_s:
            raise SocketEnded("silent")
        may_ask = self._parts.budget.blocked_until_ms is None
        if may_ask and self._time_asked_at is None and now - self._heard_at > rules.silence_s:
            self._time_asked_at = now
            await socket.send(codec_stream.time_frame(self._next_id()))
        if now - self._opened_at > rules.rotate_s:
            self.wants_successor.set()

    def _next_id(self) -> str:
        self._count += 1
        return f"r{self._count}"

    # --- hearing -----------------------------------------------------------------------------------

    def _take(self, frame: bytes) -> None:
        try:
            found = codec_stream.read_user_frame(frame)
        except UnreadableEvent as error:
            account_id = self._accounts.get(error.subscription_id)
            if account_id is not None and not self._carrier.gap(self, account_id, "an event could not be read"):
                raise SocketEnded(_TOO_SLOW) from None
            return
        except NotUnderstood:
            _log.warning("venues.stream.unreadable", bytes=len(frame))
            return
        if isinstance(found, Answer):
            self._take_answer(found)
        elif isinstance(found, OrderEvent | BalanceEvent):
            self._take_event(found)
        elif isinstance(found, Ended):
            self._take_end(found)
        elif isinstance(found, Shutdown):
            self.wants_successor.set()

    def _take_event(self, found: OrderEvent | BalanceEvent) -> None:
        self._parts.venue_clock.confirm(found.stated_ms)
        account_id = self._accounts.get(found.subscription_id)
        if account_id is None:
            return
        event: VenueEvent
        if isinstance(found, OrderEvent):
            event = OrderEventSeen(account_id, found.report, found.fill, found.original_client_id)
        else:
            event = BalanceSeen(account_id, found.balances, found.at)
        if not self._carrier.deliver(event):
            raise SocketEnded(_TOO_SLOW)

    def _take_end(self, found: Ended) -> None:
        account_id = self._accounts.pop(found.subscription_id, None)
        if account_id is not None:
            self._subscriptions.pop(account_id, None)
            self._refuse(account_id, "ended by the venue", _OTHER_RETRY_S)

    def _take_answer(self, answer: Answer) -> None:
        self._time_asked_at = None
        if answer.server_time_ms is not None:
            self._parts.venue_clock.confirm(answer.server_time_ms)
        asked = self._asked.pop(answer.id, None)
        if answer.status in (418, 429):
            until_ms = answer.retry_at_ms or self._parts.venue_clock.now_ms() + _UNANSWERED_BAN_MS
            self._parts.budget.block(until_ms)
            raise SocketEnded("told to wait")
        if asked is None:
            return
        if answer.status == 200 and answer.subscription_id is not None:
            self._subscriptions[asked.account_id] = _Subscribed(asked.wish, answer.subscription_id)
            self._accounts[answer.subscription_id] = asked.account_id
            if self._wanted.get(asked.account_id) is asked.wish:
                self._carrier.up(self, asked.account_id)
            return
        self._take_refusal(asked.account_id, answer)

    def _take_refusal(self, account_id: AccountId, answer: Answer) -> None:
        if answer.code == -1021:
            self._parts.venue_clock.doubt()
            self._refuse(account_id, "timestamp", _TIMESTAMP_RETRY_S)
            return
        name = credential_name(ApiError(answer.status, answer.code, answer.text))
        if name is not None:
            self._refuse(account_id, name, _REFUSED_RETRY_S)
        else:
            self._refuse(account_id, f"code_{answer.code}", _OTHER_RETRY_S)

    def _refuse(self, account_id: AccountId, reason: str, retry_s: float) -> None:
        self._not_before[account_id] = self._parts.clock.monotonic() + retry_s
        self._carrier.down(self, account_id, reason)
