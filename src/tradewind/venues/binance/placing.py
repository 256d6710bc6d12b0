"""Placing orders and lists at Binance: requests written by the codec, answers judged by codes.py.

Rules of this file: an order is accepted by an answer that names it, refused by the allow-list, and in doubt by
everything else; each of many has its own answer, and one that cannot be written holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tradewind.core.ids import OrderId
from tradewind.core.order import Side
from tradewind.infra.clock import to_ms
from tradewind.infra.log import logger
from tradewind.venues.base import Ack, OrderReport, PlaceList, Placement, PlacementTold, SignPurpose
from tradewind.venues.binance import codec_orders, codec_reports
from tradewind.venues.binance.catalogue import Catalogue
from tradewind.venues.binance.codes import judge_placement
from tradewind.venues.binance.outcome import accepted
from tradewind.venues.binance.rest import Rest
from tradewind.venues.binance.sending import OrderJob, OrderSender, Sent
from tradewind.venues.errors import OrderRefused, VenueError
from tradewind.venues.ratelimit import Lane

_log = logger(__name__)


@dataclass(slots=True)
class Placer:
    """Places orders of any account, many at once."""

    sender: OrderSender
    catalogue: Catalogue

    async def place(self, placement: Placement) -> Ack:
        """Place once. Raises OrderRefused, NotSent, NotExecuted, CredentialRefused, else OutcomeUnknown."""
        ended: list[Ack | Exception] = []
        await self.place_all([placement], lambda _placement, result: ended.append(result))
        (result,) = ended
        if isinstance(result, Exception):
            raise result
        return result

    async def place_all(self, placements: Sequence[Placement], told: PlacementTold) -> None:
        """Place each once; `told` is called once for each with its acknowledgement or an error as of `place`."""
        of_job: dict[OrderJob, Placement] = {}
        for placement in placements:
            try:
                of_job[self._job(placement)] = placement
            except Exception as error:
                # One order that cannot be written down holds up no other.
                _log.warning("venues.order.not_written", order_id=_order_id(placement), error=type(error).__name__)
                told(placement, error)

        def ended(job: OrderJob, result: Sent | Exception) -> None:
            placement = of_job[job]
            told(placement, self._judged(placement, result))

        await self.sender.send_all(list(of_job), ended)

    def _job(self, placement: Placement) -> OrderJob:
        wanted = placement.wanted
        is_list = isinstance(wanted, PlaceList)
        order = wanted.stop if isinstance(wanted, PlaceList) else wanted
        has_stop_market = self.catalogue.has_stop_market(order.instrument)
        if isinstance(wanted, PlaceList):
            call = codec_orders.oco_call(wanted, has_stop_market=has_stop_market)
        else:
            call = codec_orders.place_call(wanted, has_stop_market=has_stop_market)
        return OrderJob(
            call=call,
            signer=placement.signer,
            purpose=SignPurpose.ORDER,
            order_id=order.order_id,
            lane=Lane.EXIT if order.side is Side.SELL else Lane.ENTRY,
            count=2 if is_list else 1,
            send_by_ms=placement.window.send_by_ms,
            is_open=placement.window.is_open,
        )

    def _judged(self, placement: Placement, result: Sent | Exception) -> Ack | Exception:
        if isinstance(result, Exception):
            return result
        wanted = placement.wanted
        try:
            if isinstance(wanted, PlaceList):
                return self._placed(result, lambda body: codec_reports.read_list_ack(body, wanted, result.signed_at_ms))
            return self._placed(result, lambda body: codec_reports.read_ack(body, wanted, result.signed_at_ms))
        except VenueError as error:
            return error
        except Exception as error:
            # A mistake of ours in reading it: told as it is, and what is no proof is doubt to whoever is told.
            _log.exception("venues.order.unreadable", order_id=_order_id(placement))
            return error

    def _placed(self, sent: Sent, parse: Callable[[bytes], Ack]) -> Ack:
        try:
            ack = accepted(sent, judge_placement, parse)
        except OrderRefused as refused:
            self.catalogue.doubt(refused.code)
            raise
        confirm(self.sender.rest, ack.reports)
        return ack


def confirm(rest: Rest, reports: Sequence[OrderReport]) -> None:
    """Take the times that the venue stated with its answers."""
    for report in reports:
        rest.venue_clock.confirm(to_ms(report.at))


def _order_id(placement: Placement) -> OrderId:
    wanted = placement.wanted
    return wanted.stop.order_id if isinstance(wanted, PlaceList) else wanted.order_id
