"""A subscription as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tradewind.core.ids import UserId
from tradewind.core.plan import PlanName


@dataclass(frozen=True, slots=True)
class Subscription:
    """One user on one plan for a time; `ends_at` None: open-ended."""

    id: str
    user_id: UserId
    plan: PlanName
    status: str
    starts_at: datetime
    ends_at: datetime | None
    created_at: datetime
