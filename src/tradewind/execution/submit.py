"""Send claimed orders, each once, and say what is known of them afterwards.

Nothing here retries and nothing here writes to the journal: an `Outcome` goes back to the dispatcher.
Default for anything unforeseen: OutcomeLost, never failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tradewind.core.ids import AccountId
from tradewind.core.instrument import Instrument
from tradewind.core.money import NOTHING, ZERO
from tradewind.core.order import (
    Denied,
    GateKind,
    Order,
    OrderEvent,
    OrderState,
    OutcomeLost,
    ReturnedUnsent,
    VenueReport,
)
from tradewind.execution.desk import Desk, fact, reference
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Outcome
from tradewind.execution.stops import STOPPED
from tradewind.infra.clock import Clock, from_ms
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.venues.base import (
    Ack,
    OrderReport,
    PlaceList,
    Placement,
    PlaceOrder,
    SendWindow,
    Signer,
    VenueClient,
)
from tradewind.venues.errors import CredentialRefused, NotExecuted, NotSent, OrderRefused, VenueError

_log = logger("execution.submit")

# An order that could not leave is tried again after this; the venue's own retry-at goes before it.
_RETURN_DELAY = timedelta(milliseconds=250)
# A refused key makes the account BLIND: whoever looks after it asks nothing until a key is accepted again, so
# what waits need not wait longer than this after that.
_CREDENTIAL_DELAY = timedelta(seconds=1)


# What goes in one request: an order, or the stop and the target of a list.
Sending = tuple[Order] | tuple[Order, Order]


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What became of a cancel: the venue's reports; or, with `retry_at`, proof that it changed nothing.

    Neither: nobody knows, and somebody must ask about the orders.
    """

    reports: tuple[OrderReport, ...]
    retry_at: datetime | None = None


@dataclass(slots=True)
class Submitter:
    """Turns claimed orders into requests and answers into outcomes."""

    desk: Desk
    latch: Latch
    clock: Clock
    # Told of every credential answer: (account, was it accepted). Counting and disabling are the accounts room's.
    on_credential: Callable[[AccountId, str | None], None]

    async def send(self, order: Order) -> list[Outcome]:
        """Send one order; always returns an outcome unless cancelled."""
        return await self._send_one((order,))

    async def send_list(self, stop: Order, target: Order) -> list[Outcome]:
        """Send an OCO: both legs share one request and one fate unless the venue says otherwise."""
        return await self._send_one((stop, target))

    async def _send_one(self, sending: Sending) -> list[Outcome]:
        ended: list[Outcome] = []
        await self.send_all([sending], ended.extend)
        return ended

    async def send_all(self, sendings: Sequence[Sending], told: Callable[[list[Outcome]], None]) -> None:
        """Send many side by side; `told` is called once for each, on the event loop, unless this is cancelled."""
        lots: dict[VenueClient, dict[Placement, Sending]] = {}
        for sending in sendings:
            try:
                client, placement = self._placement(sending)
            except Exception as error:
                told(self._outcomes(sending, error))
            else:
                lots.setdefault(client, {})[placement] = sending
        if len(lots) == 1:
            ((client, waiting),) = lots.items()
            await self._send_lot(client, waiting, told)
            return
        # One venue's trouble holds up no other.
        async with asyncio.TaskGroup() as tasks:
            for client, waiting in lots.items():
                tasks.create_task(self._send_lot(client, waiting, told))

    async def _send_lot(
        self, client: VenueClient, waiting: dict[Placement, Sending], told: Callable[[list[Outcome]], None]
    ) -> None:
        def ended(placement: Placement, result: Ack | Exception) -> None:
            told(self._outcomes(waiting.pop(placement), result))

        try:
            await client.place_all(list(waiting), ended)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            for sending in waiting.values():
                told(self._outcomes(sending, error))

    def _outcomes(self, sending: Sending, result: Ack | Exception) -> list[Outcome]:
        """Say what an answer proves; never raises: whoever called would lose the order, and its place on the wire."""
        try:
            if isinstance(result, Exception):
                return self._failures(sending, result)
            if len(sending) > 1:
                reached(Point.LIST_ANSWERED)
            else:
                reached(Point.ORDER_ANSWERED)
            self.on_credential(sending[0].account_id, None)
            return self._accepted(sending, result)
        except Exception:
            _log.exception("execution.submit.outcome_failed", order_ids=[order.id for order in sending])
            doubt = OutcomeLost(self.clock.now(), "unforeseen_error", _signed_at_ms(result))
            return [Outcome(order.id, doubt, attempt=order.attempt) for order in sending]

    def _failures(self, sending: Sending, error: Exception) -> list[Outcome]:
        return [self._failure(order, error) for order in sending]

    def _placement(self, sending: Sending) -> tuple[VenueClient, Placement]:
        first = sending[0]
        client, signer, instrument = self._bench(first)
        wanted: PlaceOrder | PlaceList = self._place(first, instrument)
        if len(sending) > 1:
            assert first.list_client_id is not None
            wanted = PlaceList(
                first.list_client_id, self._place(sending[1], instrument), self._place(first, instrument)
            )
        return client, Placement(signer, wanted, self._window(first))

    async def cancel(self, order: Order) -> CancelAnswer:
        """Ask the venue to cancel, once, and say what its answer proves."""
        try:
            client, signer, instrument = self._bench(order)
            return CancelAnswer(await client.cancel(signer, reference(order, instrument)))
        except asyncio.CancelledError:
            raise
        except CredentialRefused as error:
            self.on_credential(order.account_id, error.code)
            return CancelAnswer((), retry_at=self.clock.now() + _CREDENTIAL_DELAY)
        except (NotSent, NotExecuted) as error:
            return CancelAnswer((), retry_at=_retry_at(error, self.clock.now()))
        except VenueError as error:
            _log.info("execution.cancel.not_certain", order_id=order.id, code=error.code)
        except Exception:
            _log.exception("execution.cancel.failed", order_id=order.id)
        return CancelAnswer(())

    def _bench(self, order: Order) -> tuple[VenueClient, Signer, Instrument]:
        client = self.desk.client(order.venue, order.environment)
        signer = self.desk.signer(order.account_id)
        # A live account never trades in simulation and a paper account never for real (section 7).
        assert client.environment is order.environment, "client and order are of different environments"
        assert signer.environment is order.environment, "signer and order are of different environments"
        assert signer.account_id == order.account_id, "signer and order are of different accounts"
        return client, signer, self.desk.instrument(order.venue, order.environment, order.symbol)

    @staticmethod
    def _place(order: Order, instrument: Instrument) -> PlaceOrder:
        return PlaceOrder(
            order_id=order.id,
            instrument=instrument,
            client_order_id=order.client_order_id,
            side=order.side,
            type=order.type,
            quantity=order.quantity,
            spend=order.spend,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
        )

    def _window(self, order: Order) -> SendWindow:
        assert order.send_by_ms is not None, "a claimed order has a send_by"
        return SendWindow(order.send_by_ms, lambda: self.latch.lets_pass(order))

    def _accepted(self, orders: Sequence[Order], ack: Ack) -> list[Outcome]:
        now = self.clock.now()
        by_client_id = {report.client_order_id: report for report in ack.reports}
        outcomes = []
        for order in orders:
            report = by_client_id.get(order.client_order_id)
            if report is None:
                event: OrderEvent = OutcomeLost(now, "answer_without_our_id", ack.signed_at_ms)
                outcomes.append(Outcome(order.id, event, attempt=order.attempt))
                continue
            mine = tuple(fill for fill in ack.fills if fill.venue_order_id == report.venue_order_id)
            outcomes.append(Outcome(order.id, fact(report, now, ack.signed_at_ms), mine, order.attempt))
        return outcomes

    def _failure(self, order: Order, error: Exception) -> Outcome:
        now = self.clock.now()
        if isinstance(error, CredentialRefused):
            self.on_credential(order.account_id, error.code)
        if isinstance(error, NotSent) and self.latch.stops(order):
            # Proven not written, and stopped: it does not wait for another release (section 6).
            return Outcome(order.id, Denied(now, STOPPED), attempt=order.attempt)
        return Outcome(order.id, event_of(order, error, now), attempt=order.attempt)


def event_of(order: Order, error: Exception, now: datetime) -> OrderEvent:
    """What an error proves; what it does not prove is OutcomeLost."""
    match error:
        case OrderRefused():
            return VenueReport(
                now, OrderState.REJECTED, NOTHING, ZERO, reason=error.code, signed_at_ms=error.signed_at_ms
            )
        case CredentialRefused():
            if order.gate_kind is GateKind.ENTRY:
                return Denied(now, "credential_refused")
            return ReturnedUnsent(now, "credential_refused", now + _CREDENTIAL_DELAY)
        case NotSent() | NotExecuted():
            return ReturnedUnsent(now, error.code, _retry_at(error, now))
        case VenueError():
            return OutcomeLost(now, error.code, error.signed_at_ms)
        case _:
            _log.error("execution.submit.unforeseen", order_id=order.id, error=type(error).__name__, exc_info=error)
            return OutcomeLost(now, "unforeseen_error")


def _signed_at_ms(result: Ack | Exception) -> int | None:
    """The recorded signing time, from which the fence is counted; None where none is known."""
    return result.signed_at_ms if isinstance(result, Ack | VenueError) else None


def _retry_at(error: VenueError, now: datetime) -> datetime:
    earliest = now + _RETURN_DELAY
    return earliest if error.retry_at_ms is None else max(earliest, from_ms(error.retry_at_ms))
