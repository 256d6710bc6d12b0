"""Values of the portfolio: a lot with its owner and state, and a balance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import Asset, Price
from tradewind.core.position import Lot


@dataclass(frozen=True, slots=True)
class Holding:
    """A lot with whose it is, where, and how it is protected (order-protocol.md section 5)."""

    lot: Lot
    user_id: UserId
    venue: VenueName
    environment: Environment
    state: str
    state_reason: str | None
    closed_at: datetime | None
    rev: int


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
