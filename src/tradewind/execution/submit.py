"""Send one claimed order once, and say what is known of it afterwards.

Nothing here retries and nothing here writes to the journal: an `Outcome` goes back to the dispatcher.
Default for anything unforeseen: OutcomeLost, never failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
        try:
            client, signer, instrument = self._bench(order)
            request = self._place(order, instrument)
            ack = await client.place(signer, request, self._window(order))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return [self._failure(order, error)]
        reached(Point.ORDER_ANSWERED)
        self.on_credential(order.account_id, None)
        return self._accepted([order], ack)

    async def send_list(self, stop: Order, target: Order) -> list[Outcome]:
        """Send an OCO: both legs share one request and one fate unless the venue says otherwise."""
        assert stop.list_client_id is not None
        try:
            client, signer, instrument = self._bench(stop)
            pair = PlaceList(stop.list_client_id, self._place(target, instrument), self._place(stop, instrument))
            ack = await client.place_list(signer, pair, self._window(stop))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return [self._failure(stop, error), self._failure(target, error)]
        reached(Point.LIST_ANSWERED)
        self.on_credential(stop.account_id, None)
        return self._accepted([stop, target], ack)

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

    def _accepted(self, orders: list[Order], ack: Ack) -> list[Outcome]:
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


def _retry_at(error: VenueError, now: datetime) -> datetime:
    earliest = now + _RETURN_DELAY
    return earliest if error.retry_at_ms is None else max(earliest, from_ms(error.retry_at_ms))
