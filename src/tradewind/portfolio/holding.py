"""Values of the portfolio: a lot with its owner and state, and a balance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import Asset, Price
from tradewind.core.position import Lot
from tradewind.core.protection import PositionState


@dataclass(frozen=True, slots=True)
class Holding:
    """A lot with whose it is, where, and how it is protected (order-protocol.md section 5).

    `naked_ms` is the time it stood UNPROTECTED, `watched_ms` the time the engine's watch alone stood guard,
    both up to `state_since`: what has passed since then belongs to the present state.
    """

    lot: Lot
    user_id: UserId
    venue: VenueName
    environment: Environment
    state: str
    state_reason: str | None
    closed_at: datetime | None
    rev: int
    state_since: datetime
    naked_ms: int = 0
    watched_ms: int = 0

    def exposed(self, now: datetime) -> tuple[int, int]:
        """Return the time unprotected and the time under the watch alone, both in ms and up to now."""
        passed = max(0, int((now - self.state_since).total_seconds() * 1_000))
        is_open = self.closed_at is None
        naked = passed if is_open and self.state == PositionState.UNPROTECTED.value else 0
        watched = passed if is_open and self.state == PositionState.PROTECTED_WATCHED.value else 0
        return self.naked_ms + naked, self.watched_ms + watched

    def moved_to(self, state: str, reason: str | None, now: datetime) -> Holding:
        """Return the holding in another state of protection, with the time it spent in the last one counted."""
        naked_ms, watched_ms = self.exposed(now)
        return replace(
            self,
            state=state,
            state_reason=reason,
            state_since=max(now, self.state_since),
            naked_ms=naked_ms,
            watched_ms=watched_ms,
            rev=self.rev + 1,
        )


class OpenLot(NamedTuple):
    """What a decision looks at of an open lot: what is left of it, and what that cost in quote."""

    account_id: AccountId
    venue: VenueName
    symbol: str
    base: Asset
    quote: Asset
    quantity: Decimal
    cost_quote: Decimal


@dataclass(frozen=True, slots=True)
class Held:
    """One asset of one account: free and locked at a time."""

    account_id: AccountId
    asset: Asset
    free: Decimal
    locked: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class ShownPrice:
    """A price for people to see, its age in seconds, and the venue that said it."""

    price: Price
    age_s: float
    venue: VenueName
