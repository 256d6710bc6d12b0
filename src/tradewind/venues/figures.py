"""Figures of a venue that the engine reckons with: what questions cost, and how the venue looks from here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tradewind.core.instrument import Environment, VenueName


@dataclass(frozen=True, slots=True)
class CallCosts:
    """What questions cost of the venue's budget, in its own weights; for choosing the cheapest way to ask."""

    find_order: int = 1
    open_orders: int = 1
    open_orders_all: int = 1
    orders_since: int = 1
    fills_of_order: int = 1
    account: int = 1
    # Subscribing to an account's private stream.
    subscribe: int = 0


@dataclass(frozen=True, slots=True)
class VenueHealth:
    """How a venue looks from here (V12). `offset_ms` = venue clock minus ours."""

    venue: VenueName
    environment: Environment
    is_healthy: bool
    checked_at: datetime | None
    offset_ms: int | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    banned_until_ms: int | None
    used_weight: int | None
    last_error: str | None
    # What questions may use of the venue's budget within a minute; None where the venue names no budget.
    weight_a_minute: int | None = None
