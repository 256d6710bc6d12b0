"""Binance's REST calls: budget, signature, write, and what the answer means for limits and clock.

Rules of this file: a read goes through breaker, retries and budget, and what goes wrong with it is VenueDown,
RateLimited, CredentialRefused or SymbolUnknown; an order goes out at most once, and what goes wrong with it is
NotSent until the write and OutcomeUnknown after it. Keys, signatures and queries are in no error text.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tradewind.core.ids import OrderId
from tradewind.core.instrument import Environment
from tradewind.infra.clock import Clock
from tradewind.infra.points import Point, reached
from tradewind.venues.base import Signer, SignPurpose, SignRequest
from tradewind.venues.binance.codec import (
    NotUnderstood,
    WireCall,
    count_header,
    read_error,
    retry_after_s,
    signed,
    timed,
)
from tradewind.venues.binance.codec_market import TIME_CALL, read_time
from tradewind.venues.binance.codes import ApiError, is_account_limit
from tradewind.venues.binance.failures import (
    BLOCK_MS_MAX,
    BUSY_MS,
    ClockRefused,
    blocked_until_ms,
    is_usable,
    read_failure,
    used_weight,
)
from tradewind.venues.breaker import Breaker, BreakerState, ReadRefused
from tradewind.venues.clocksync import VenueClock
from tradewind.venues.errors import (
    CredentialRefused,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    VenueDown,
    VenueError,
)
from tradewind.venues.health import HealthRecord
from tradewind.venues.ratelimit import IpBudget, Lane, OrderCounts, Permit
from tradewind.venues.transport import AnswerLost, HttpReply, HttpRequest, Timeouts, Transport

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9]{1,128}")
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_ORDER_WINDOW_MS = 10_000


@dataclass(frozen=True, slots=True)
class OrderJob:
    """One order call on its way out. `count` is what it adds to the account's order count."""

    call: WireCall
    signer: Signer
    purpose: SignPurpose
    order_id: OrderId
    lane: Lane
    count: int
    send_by_ms: int
    is_open: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Sent:
    """An order call was answered, in whatever way."""

    reply: HttpReply
    signed_at_ms: int
    retry_at_ms: int | None


class _Gate:
    """What is asked directly before the write of an order."""

    __slots__ = ("_deadline", "_is_open", "_rest", "reason", "was_passed")

    def __init__(self, rest: Rest, is_open: Callable[[], bool], deadline: float) -> None:
        self._rest = rest
        self._is_open = is_open
        self._deadline = deadline
        self.reason = "stopped"
        self.was_passed = False

    def __call__(self) -> bool:
        if not self._is_open():
            self.reason = "stopped"
        elif self._rest.clock.monotonic() > self._deadline:
            self.reason = "late"
        elif self._rest.budget.blocked_until_ms is not None:
            self.reason = "banned"
        else:
            reached(Point.ORDER_BEFORE_WRITE)
            self.was_passed = True
        return self.was_passed


@dataclass(slots=True)
class Rest:
    """The one way to Binance's REST API for all accounts of one environment."""

    environment: Environment
    transport: Transport
    clock: Clock
    venue_clock: VenueClock
    budget: IpBudget
    counts: OrderCounts
    breaker: Breaker
    health: HealthRecord
    recv_window_ms: int
    read_wait_s: float
    timeouts: Timeouts
    measuring: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- reads -------------------------------------------------------------------------------------

    async def read(
        self,
        call: WireCall,
        parse: Callable[[HttpReply], T],
        *,
        signer: Signer | None = None,
        lane: Lane = Lane.READ,
        body_bytes_max: int | None = None,
        whole_s: float | None = None,
    ) -> T:
        """Ask, again where the venue did not answer, and parse.

        Raises VenueDown (Answered where asking again is useless), RateLimited, CredentialRefused, SymbolUnknown.
        """

        async def once() -> T:
            reply = await self._read_once(call, signer, lane, body_bytes_max, whole_s)
            return self._parse(reply, parse, signer)

        if signer is None:
            return await self.breaker.read(once)
        await self._measure_if_doubted()
        try:
            return await self.breaker.read(once)
        except ClockRefused:
            await self._measure_if_doubted()
            return await self.breaker.read(once)

    async def measure_clock(self) -> int:
        """Ask the venue's time (ms) and take the answer as a measurement.

        Raises VenueDown (also for an answer that contradicts the last ones and was not repeated), RateLimited.
        """
        stated_ms, is_believed = await self._ask_time()
        if not is_believed:
            raise VenueDown("time_not_believed", "The venue's time jumped; it is believed when it is said again.")
        return stated_ms

    async def _ask_time(self) -> tuple[int, bool]:
        def parse(reply: HttpReply) -> tuple[HttpReply, int]:
            return reply, read_time(reply.body)

        # Ahead of other reads: fences and health wait for the venue's time.
        reply, stated_ms = await self.read(TIME_CALL, parse, lane=Lane.ENTRY)
        answered_at = self.clock.monotonic()
        return stated_ms, self.venue_clock.observe(answered_at - reply.elapsed_s, answered_at, stated_ms)

    async def _measure_if_doubted(self) -> None:
        """Where the clock is in doubt a signed question would only be refused."""
        async with self.measuring:
            # A measurement that contradicts the last ones is believed when it is repeated.
            for _ in range(2):
                if self.venue_clock.needs_measurement():
                    await self._ask_time()

    async def _read_once(
        self, call: WireCall, signer: Signer | None, lane: Lane, body_bytes_max: int | None, whole_s: float | None
    ) -> HttpReply:
        permit = await self.budget.reserve(lane, call.weight, wait_s=self.read_wait_s)
        reply: HttpReply | None = None
        was_written = False

        def may_write() -> bool:
            nonlocal was_written
            was_written = self.budget.blocked_until_ms is None
            return was_written

        try:
            request = await self._read_request(call, signer)
            reply = await self.transport.request(
                request,
                before_write=may_write,
                timeouts=self.timeouts if whole_s is None else replace(self.timeouts, whole_s=whole_s),
                lane=lane,
                body_bytes_max=body_bytes_max,
            )
        except NotSent as error:
            raise self._read_not_sent(error) from None
        except AnswerLost as error:
            self.health.failed("answer_lost")
            raise VenueDown("answer_lost", f"The venue did not answer: {error.phase}.") from None
        finally:
            if was_written:
                self._settle_read(permit, call, reply)
            else:
                self.budget.give_back(permit)
        return reply

    async def _read_request(self, call: WireCall, signer: Signer | None) -> HttpRequest:
        if signer is None:
            return HttpRequest(call.method, f"{call.path}?{call.query}" if call.query else call.path)
        self._demand_environment(signer)
        request, _ = await self._sign(call, signer, SignPurpose.READ, None)
        return request

    def _read_not_sent(self, error: NotSent) -> VenueError:
        blocked_until = self.budget.blocked_until_ms
        if blocked_until is not None:
            return RateLimited("banned", "The venue told us to send nothing for now.", retry_at_ms=blocked_until)
        if error.code in ("wrong_environment", "malformed"):
            return ReadRefused(error.code, error.message)
        self.health.failed(error.code)
        return VenueDown(error.code, error.message)

    def _settle_read(self, permit: Permit, call: WireCall, reply: HttpReply | None) -> None:
        # /sapi counts in headers and windows of its own.
        stated = None if call.path.startswith("/sapi") or reply is None else used_weight(reply)
        self.budget.settle(permit, stated=stated)

    def _parse(self, reply: HttpReply, parse: Callable[[HttpReply], T], signer: Signer | None) -> T:
        self.health.answered(reply.elapsed_s, is_usable=is_usable(reply))
        if reply.status == 200:
            try:
                return parse(reply)
            except NotUnderstood as error:
                self.health.failed("not_understood")
                raise VenueDown("not_understood", f"The venue's answer cannot be read: {error}.") from None
        answer = read_error(reply.status, reply.body)
        failure = read_failure(answer, self._note_limits(reply, answer, signer))
        self.health.failed(failure.code)
        raise failure

    # --- orders ------------------------------------------------------------------------------------

    async def send(self, job: OrderJob) -> Sent:
        """Send an order call once and return its answer, whatever it says.

        Raises NotSent (also where a budget or ban forbids it), CredentialRefused (no usable key),
        OutcomeUnknown (written, no complete answer).
        """
        self._demand_environment(job.signer)
        if self.breaker.state is BreakerState.OPEN:
            retry_at_ms = self.venue_clock.now_ms() + int(self.breaker.opens_in_s() * 1_000)
            raise NotSent("breaker_open", "The venue did not answer lately.", retry_at_ms=retry_at_ms)
        permit = await self._permit(job)
        reply: HttpReply | None = None
        gate: _Gate | None = None
        try:
            # Held in monotonic time from here: neither signing nor waiting nor a step of a clock extends it.
            deadline = self.clock.monotonic() + (job.send_by_ms - self.venue_clock.now_ms()) / 1_000
            request, signed_at_ms = await self._sign_in_time(job)
            gate = _Gate(self, job.is_open, deadline)
            reply = await self._write(job, request, gate, signed_at_ms)
        finally:
            self._settle_order(job, permit, reply, was_sent=gate is not None and gate.was_passed)
        self.health.answered(reply.elapsed_s, is_usable=is_usable(reply))
        come_back_ms: int | None = None
        if reply.status != 200:
            come_back_ms = self._note_limits(reply, read_error(reply.status, reply.body), job.signer)
        return Sent(reply, signed_at_ms, come_back_ms)

    async def _permit(self, job: OrderJob) -> Permit:
        """Take from both budgets, waiting no longer than the order may still leave."""
        left_s = (job.send_by_ms - self.venue_clock.now_ms()) / 1_000
        try:
            permit = await self.budget.reserve(job.lane, job.call.weight, wait_s=left_s)
        except RateLimited as error:
            raise NotSent(error.code, error.message, retry_at_ms=error.retry_at_ms) from None
        try:
            self.counts.take(job.signer.account_id, job.count)
        except RateLimited as error:
            self.budget.give_back(permit)
            raise NotSent(error.code, error.message, retry_at_ms=error.retry_at_ms) from None
        return permit

    async def _sign_in_time(self, job: OrderJob) -> tuple[HttpRequest, int]:
        if not job.is_open():
            raise NotSent("stopped", "The order was stopped before it was signed.")
        request, signed_at_ms = await self._sign(job.call, job.signer, job.purpose, job.order_id, job.send_by_ms)
        reached(Point.ORDER_SIGNED)
        return request, signed_at_ms

    async def _write(self, job: OrderJob, request: HttpRequest, gate: _Gate, signed_at_ms: int) -> HttpReply:
        left_s = max((job.send_by_ms - signed_at_ms) / 1_000, 0.0)
        usual = self.timeouts
        timeouts = Timeouts(left_s, min(left_s, usual.connect_s), usual.first_byte_s, usual.whole_s)
        try:
            return await self.transport.request(request, before_write=gate, timeouts=timeouts, lane=job.lane)
        except NotSent as error:
            if error.code == "not_allowed":
                raise NotSent(
                    gate.reason,
                    "The order was stopped directly before it would have left.",
                    signed_at_ms=signed_at_ms,
                    retry_at_ms=self.budget.blocked_until_ms,
                ) from None
            self.health.failed(error.code)
            raise NotSent(error.code, error.message, signed_at_ms=signed_at_ms) from None
        except AnswerLost as error:
            self.health.failed("answer_lost")
            raise OutcomeUnknown(
                "answer_lost", f"The venue did not answer: {error.phase}.", signed_at_ms=signed_at_ms
            ) from None

    def _settle_order(self, job: OrderJob, permit: Permit, reply: HttpReply | None, *, was_sent: bool) -> None:
        account_id = job.signer.account_id
        if not was_sent:
            self.budget.give_back(permit)
            self.counts.settle(account_id, job.count, was_sent=False)
            return
        # "Successful order and cancel calls cost 0 request weight" (since 2026-04-02).
        is_free = reply is not None and reply.status == 200
        self.budget.settle(permit, is_free=is_free, stated=used_weight(reply) if reply is not None else None)
        stated = [count_header(reply.headers.get(name)) for name in self.counts.header_names] if reply else []
        self.counts.settle(account_id, job.count, was_sent=True, stated=stated)

    # --- shared ------------------------------------------------------------------------------------

    async def _sign(
        self,
        call: WireCall,
        signer: Signer,
        purpose: SignPurpose,
        order_id: OrderId | None,
        send_by_ms: int | None = None,
    ) -> tuple[HttpRequest, int]:
        """Read the clock once, sign with that reading, and write the request down."""
        api_key = await signer.api_key()
        if not _KEY.fullmatch(api_key):
            raise CredentialRefused("key_malformed", "The API key has characters that Binance keys do not have.")
        timestamp_ms = self.venue_clock.now_ms()
        if send_by_ms is not None and timestamp_ms > send_by_ms:
            raise NotSent("late", "The time in which the order may leave has passed.")
        query = timed(call.query, timestamp_ms, self.recv_window_ms)
        request = SignRequest(purpose, call.method, call.path, query.encode("ascii"), order_id)
        complete = signed(query, await signer.sign(request))
        if call.method == "POST":
            headers = (("X-MBX-APIKEY", api_key), _FORM)
            return HttpRequest(call.method, call.path, headers, complete.encode("ascii")), timestamp_ms
        return HttpRequest(call.method, f"{call.path}?{complete}", (("X-MBX-APIKEY", api_key),)), timestamp_ms

    def _demand_environment(self, signer: Signer) -> None:
        if signer.environment is not self.environment:
            raise NotSent("wrong_environment", "The account trades in another environment than this client.")

    def _note_limits(self, reply: HttpReply, error: ApiError, signer: Signer | None) -> int | None:
        """Obey what an error answer says of limits; return when to come back (venue ms), if it says."""
        now_ms = self.venue_clock.now_ms()
        if error.code == -1021:
            self.venue_clock.doubt()
        if error.code == -1008:
            return now_ms + BUSY_MS
        stated_s = retry_after_s(reply.headers.get("retry-after"))
        if is_account_limit(error):
            window_end = (now_ms // _ORDER_WINDOW_MS + 1) * _ORDER_WINDOW_MS
            until_ms = now_ms + stated_s * 1_000 if stated_s is not None else window_end
            if signer is not None:
                self.counts.block(signer.account_id, min(until_ms, now_ms + BLOCK_MS_MAX))
            return until_ms
        until = blocked_until_ms(error, now_ms, stated_s)
        if until is not None:
            self.budget.block(until)
        return until
