"""Binance's REST calls: budget, signature, write, and what the answer means for limits and clock.

Rules of this file: a read goes through breaker, retries and budget, and what goes wrong with it is VenueDown,
RateLimited, CredentialRefused or SymbolUnknown; orders go out by sending.py. Keys, signatures and queries are in no
error text.
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
from tradewind.venues.base import Signer, SignPurpose, SignRequest
from tradewind.venues.binance.codec import (
    NotUnderstood,
    WireCall,
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
from tradewind.venues.breaker import Breaker, ReadRefused
from tradewind.venues.clocksync import VenueClock
from tradewind.venues.errors import (
    CredentialRefused,
    NotSent,
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
        self.demand_environment(signer)
        request, _ = await self.sign(call, signer, SignPurpose.READ, None)
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
        failure = read_failure(answer, self.note_limits(reply, answer, signer))
        self.health.failed(failure.code)
        raise failure

    # --- shared ------------------------------------------------------------------------------------

    async def sign(
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

    def demand_environment(self, signer: Signer) -> None:
        """Refuse to act for an account of another environment. Raises NotSent."""
        if signer.environment is not self.environment:
            raise NotSent("wrong_environment", "The account trades in another environment than this client.")

    def note_limits(self, reply: HttpReply, error: ApiError, signer: Signer | None) -> int | None:
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
