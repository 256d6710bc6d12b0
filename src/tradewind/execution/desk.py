"""What execution asks of the world while it works, and how it names an order to a venue."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tradewind.core.ids import AccountId
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Price
from tradewind.core.order import Order, VenueReport
from tradewind.venues.base import OrderRef, OrderReport, Protection, Signer, VenueClient


class Desk(Protocol):
    """Where submit finds what it needs for an account; wired by app."""

    def client(self, venue: VenueName, environment: Environment) -> VenueClient:
        """Return the client of a venue."""
        ...

    def signer(self, account_id: AccountId) -> Signer:
        """Return the signer of an account."""
        ...

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument:
        """Return the instrument's rules. Raises NotFound."""
        ...

    async def confirm_status(self, venue: VenueName, environment: Environment, symbol: str) -> None:
        """Ask the venue whether a symbol trades now; `instrument` says it afterwards. Raises NotFound."""
        ...

    def fresh_price(self, venue: VenueName, environment: Environment, symbol: str) -> Price | None:
        """Return the venue's own price if it was confirmed within the watch's age, else None."""
        ...

    def protection(self, venue: VenueName, environment: Environment) -> Protection:
        """Return the strongest protection the venue can hold."""
        ...

    def is_blind(self, account_id: AccountId) -> bool:
        """Say whether the venue refuses the account's key at present."""
        ...


def fact(report: OrderReport, now: datetime, signed_at_ms: int | None = None) -> VenueReport:
    """Turn the venue's word into the state machine's."""
    return VenueReport(
        at=now,
        state=report.state,
        executed=report.executed,
        executed_quote=report.executed_quote,
        venue_order_id=report.venue_order_id,
        reason=report.reason,
        signed_at_ms=signed_at_ms,
    )


def reference(order: Order, instrument: Instrument) -> OrderRef:
    """Name an order to the venue, by its own id where known."""
    return OrderRef(order.id, instrument, order.client_order_id, order.venue_order_id, order.list_client_id)
