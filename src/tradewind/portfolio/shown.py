"""How the doors of the portfolio answer. A lot reads here as on the stream: both come from `lot_view`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class LotOut(BaseModel):
    """A lot. `quantity` in base, `cost` in quote, prices in quote per base.

    `naked_ms` is the time without any protection, `watched_ms` the time under our watch alone; on the stream
    both run up to `protection_since`, in a list of positions up to now.
    """

    id: str
    rev: int
    account_id: str
    environment: str
    venue: str
    symbol: str
    base: str
    quote: str
    source_id: str | None
    signal_id: str | None
    entry_order_id: str
    opened_at: datetime
    closed_at: datetime | None
    quantity: str
    cost: str
    entry_price: str | None
    stop: str | None
    target: str | None
    trailing_bps: int | None
    time_exit_at: datetime | None
    protection: str
    protection_reason: str | None
    protection_since: datetime
    naked_ms: int
    watched_ms: int


class PositionOut(LotOut):
    """An open lot with its price now; null where no venue has said anything. `unrealised` in quote, without fees.

    `price_venue` is another venue than the lot's where its own has no price: for the eye, never for a stop.
    """

    age_s: int
    price: str | None = None
    price_age_s: str | None = None
    price_venue: str | None = None
    unrealised: str | None = None
    unrealised_pct_of_cost: str | None = None


class PositionsOut(BaseModel):
    """Open positions, newest first, at a time."""

    items: list[PositionOut]
    at: datetime


class BalanceOut(BaseModel):
    """One asset of one account, free and locked in orders, as the venue said at a time."""

    account_id: str
    asset: str
    free: str
    in_orders: str
    at: datetime


class BalancesOut(BaseModel):
    """Balances."""

    items: list[BalanceOut]
