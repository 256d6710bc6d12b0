"""Order calls on their way: budget, signature, write, answer; many at once without a task or a future for each.

Rules of this file: an order goes out at most once, and what goes wrong with it is NotSent until the write and
OutcomeUnknown after it. Whoever handed it in is told once, by a plain call on the event loop; a mistake of ours on
the way is told as the error it is, and whoever is told takes it for doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tradewind.core.ids import OrderId
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.venues.base import Signer, SignPurpose
from tradewind.venues.binance.codec import WireCall, count_header, read_error
from tradewind.venues.binance.failures import is_usable, used_weight
from tradewind.venues.binance.rest import Rest
from tradewind.venues.breaker import BreakerState
from tradewind.venues.errors import NotSent, OutcomeUnknown, RateLimited, VenueError
from tradewind.venues.ratelimit import Lane, Permit
from tradewind.venues.transport import AnswerLost, Errand, HttpReply, HttpRequest, Timeouts

_log = logger(__name__)

# Orders signed in one go; then the event loop has a turn, for the answers of those before.
_TURN = 50


@dataclass(slots=True, eq=False)
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


@dataclass(slots=True)
class Sent:
    """An order call was answered, in whatever way."""

    reply: HttpReply
    signed_at_ms: int
    retry_at_ms: int | None


Told = Callable[[OrderJob, Sent | Exception], None]


@dataclass(slots=True, eq=False)
class _Flight:
    """One order from its permit to its answer; also what is asked directly before the write."""

    rest: Rest
    job: OrderJob
    permit: Permit
    # Held in monotonic time: neither signing nor waiting nor a step of a clock extends it.
    deadline: float
    signed_at_ms: int = 0
    why_not: str = "stopped"
    was_written: bool = False
    errand: Errand | None = None

    def may_write(self) -> bool:
        """The last look: latch, time, ban."""
        if not self.job.is_open():
            self.why_not = "stopped"
        elif self.rest.clock.monotonic() > self.deadline:
            self.why_not = "late"
        elif self.rest.budget.blocked_until_ms is not None:
            self.why_not = "banned"
        else:
            reached(Point.ORDER_BEFORE_WRITE)
            self.was_written = True
        return self.was_written


@dataclass(slots=True, eq=False)
class _Party:
    """Orders that were handed in together: who is in the air, and who waits for the last of them."""

    told: Told
    done: asyncio.Future[None]
    flights: dict[OrderJob, _Flight] = field(default_factory=dict)
    is_complete: bool = False

    def land(self, job: OrderJob, result: Sent | Exception) -> None:
        """One has ended."""
        self.flights.pop(job, None)
        try:
            self.told(job, result)
        finally:
            self.look()

    def look(self) -> None:
        """Say when all have ended."""
        if self.is_complete and not self.flights and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class OrderSender:
    """The one way by which orders and cancels reach Binance."""

    rest: Rest

    async def send(self, job: OrderJob) -> Sent:
        """Send an order call once and return its answer, whatever it says.

        Raises NotSent (also where a budget or ban forbids it), CredentialRefused (no usable key),
        OutcomeUnknown (written, no complete answer).
        """
        ended: list[Sent | Exception] = []
        await self.send_all([job], lambda _job, result: ended.append(result))
        (result,) = ended
        if isinstance(result, Exception):
            raise result
        return result

    async def send_all(self, jobs: Sequence[OrderJob], told: Told) -> None:
        """Send each once; `told` is called once for each, with its answer or the errors of `send`.

        Returns when all were told. Cancelled, it withdraws what was not written, and drops what was: nobody is
        told of those, and nobody knows.
        """
        party = _Party(told, asyncio.get_running_loop().create_future())
        stock: list[Permit] = []
        try:
            for number, job in enumerate(jobs):
                if number and number % _TURN == 0:
                    await asyncio.sleep(0)
                await self._send_one(party, job, stock, len(jobs) - number)
            # What nobody needed is given back now, not when the last answer is there.
            self._give_back(stock)
            party.is_complete = True
            party.look()
            await party.done
        finally:
            self._give_back(stock)
            for flight in list(party.flights.values()):
                self._abandon(flight)

    def _give_back(self, stock: list[Permit]) -> None:
        while stock:
            self.rest.budget.give_back(stock.pop())

    # --- out ---------------------------------------------------------------------------------------

    async def _send_one(self, party: _Party, job: OrderJob, stock: list[Permit], left: int) -> None:
        flight: _Flight | None = None
        try:
            self._demand_way(job)
            permit = await self._permit(job, stock, left)
            rest = self.rest
            deadline = rest.clock.monotonic() + (job.send_by_ms - rest.venue_clock.now_ms()) / 1_000
            flight = party.flights[job] = _Flight(rest, job, permit, deadline)
            request = await self._sign_in_time(flight)
            errand = rest.transport.dispatch(
                request,
                lambda result: self._land(party, flight, result),
                before_write=flight.may_write,
                timeouts=self._timeouts(flight),
                lane=job.lane,
            )
            # Told already, and gone: no connection, or refused at the last look.
            flight.errand = errand if job in party.flights else None
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Nothing was written: the transport tells of everything that comes later.
            if flight is None or party.flights.get(job) is flight:
                if flight is not None:
                    self._settle(flight, None)
                party.land(job, error)

    def _demand_way(self, job: OrderJob) -> None:
        rest = self.rest
        rest.demand_environment(job.signer)
        if rest.breaker.state is BreakerState.OPEN:
            retry_at_ms = rest.venue_clock.now_ms() + int(rest.breaker.opens_in_s() * 1_000)
            raise NotSent("breaker_open", "The venue did not answer lately.", retry_at_ms=retry_at_ms)

    async def _permit(self, job: OrderJob, stock: list[Permit], left: int) -> Permit:
        """Take from both budgets, waiting no longer than the order may still leave; from the first for all at once."""
        rest = self.rest
        if not stock:
            stock += rest.budget.reserve_now(job.lane, job.call.weight, left)
        if stock and stock[-1].fits(job.lane, job.call.weight):
            permit = stock.pop()
        else:
            left_s = (job.send_by_ms - rest.venue_clock.now_ms()) / 1_000
            try:
                permit = await rest.budget.reserve(job.lane, job.call.weight, wait_s=left_s)
            except RateLimited as error:
                raise NotSent(error.code, error.message, retry_at_ms=error.retry_at_ms) from None
        try:
            rest.counts.take(job.signer.account_id, job.count)
        except RateLimited as error:
            rest.budget.give_back(permit)
            raise NotSent(error.code, error.message, retry_at_ms=error.retry_at_ms) from None
        return permit

    async def _sign_in_time(self, flight: _Flight) -> HttpRequest:
        job = flight.job
        if not job.is_open():
            raise NotSent("stopped", "The order was stopped before it was signed.")
        request, flight.signed_at_ms = await self.rest.sign(
            job.call, job.signer, job.purpose, job.order_id, job.send_by_ms
        )
        reached(Point.ORDER_SIGNED)
        return request

    def _timeouts(self, flight: _Flight) -> Timeouts:
        left_s = max((flight.job.send_by_ms - flight.signed_at_ms) / 1_000, 0.0)
        usual = self.rest.timeouts
        return Timeouts(left_s, min(left_s, usual.connect_s), usual.first_byte_s, usual.whole_s)

    # --- back --------------------------------------------------------------------------------------

    def _land(self, party: _Party, flight: _Flight, result: HttpReply | Exception) -> None:
        try:
            self._settle(flight, result if isinstance(result, HttpReply) else None)
            ended: Sent | Exception = self._ended(flight, result)
        except Exception as error:
            # A mistake of ours in reading the answer: nobody knows what became of the order, and that is told.
            _log.exception("venues.order.answer_failed", order_id=flight.job.order_id)
            ended = error
        party.land(flight.job, ended)

    def _ended(self, flight: _Flight, result: HttpReply | Exception) -> Sent | Exception:
        rest, signed_at_ms = self.rest, flight.signed_at_ms
        if isinstance(result, HttpReply):
            rest.health.answered(result.elapsed_s, is_usable=is_usable(result))
            come_back_ms: int | None = None
            if result.status != 200:
                come_back_ms = rest.note_limits(result, read_error(result.status, result.body), flight.job.signer)
            return Sent(result, signed_at_ms, come_back_ms)
        if isinstance(result, AnswerLost):
            rest.health.failed("answer_lost")
            words = f"The venue did not answer: {result.phase}."
            return OutcomeUnknown("answer_lost", words, signed_at_ms=signed_at_ms)
        return self._not_sent(flight, result) if isinstance(result, NotSent) else result

    def _not_sent(self, flight: _Flight, error: NotSent) -> VenueError:
        if error.code == "not_allowed":
            return NotSent(
                flight.why_not,
                "The order was stopped directly before it would have left.",
                signed_at_ms=flight.signed_at_ms,
                retry_at_ms=self.rest.budget.blocked_until_ms,
            )
        self.rest.health.failed(error.code)
        return NotSent(error.code, error.message, signed_at_ms=flight.signed_at_ms)

    def _abandon(self, flight: _Flight) -> None:
        if flight.errand is not None:
            flight.errand.abandon()
        self._settle(flight, None)

    def _settle(self, flight: _Flight, reply: HttpReply | None) -> None:
        rest, job = self.rest, flight.job
        account_id = job.signer.account_id
        if not flight.was_written:
            rest.budget.give_back(flight.permit)
            rest.counts.settle(account_id, job.count, was_sent=False)
            return
        # "Successful order and cancel calls cost 0 request weight" (since 2026-04-02).
        is_free = reply is not None and reply.status == 200
        rest.budget.settle(flight.permit, is_free=is_free, stated=used_weight(reply) if reply is not None else None)
        stated = [count_header(reply.headers.get(name)) for name in rest.counts.header_names] if reply else []
        rest.counts.settle(account_id, job.count, was_sent=True, stated=stated)
