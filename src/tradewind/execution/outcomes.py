"""What became of something sent, on its way into the journal; and what the journal made of it."""

from __future__ import annotations

from dataclasses import dataclass

from tradewind.core.ids import OrderId
from tradewind.core.order import Incident, Order, OrderEvent, VenueReport
from tradewind.portfolio.holding import Holding
from tradewind.venues.base import VenueFill


@dataclass(frozen=True, slots=True)
class Outcome:
    """One event for one order, with the fills that came along.

    `attempt` names the sending it answers; None for what the venue says by itself. An answer to an earlier
    attempt, or one that a fact has overtaken, changes nothing.
    """

    order_id: OrderId
    event: OrderEvent
    fills: tuple[VenueFill, ...] = ()
    attempt: int | None = None

    @property
    def says_executed(self) -> bool:
        """Whether it tells of anything that was executed."""
        return bool(self.fills) or (isinstance(self.event, VenueReport) and self.event.executed.is_positive)


@dataclass(frozen=True, slots=True)
class Moved:
    """An order before and after a transaction; `new_fills` were booked in it, `new_lots` bought by them."""

    before: Order
    after: Order
    new_fills: tuple[VenueFill, ...] = ()
    incident: Incident | None = None
    lacks_fills: bool = False
    new_lots: tuple[Holding, ...] = ()
