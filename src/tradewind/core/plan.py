"""Plans: when an entry is released, how many a week, what commission (product.md E2, E6, F7).

Weeks run from Monday 00:00 to Monday 00:00 in Seoul. Korea has had no daylight saving time since 1988, so
a fixed offset of +9 h is exact and core needs no time zone database. Plans delay entries only: exits and
protective orders are released at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

SEOUL = timezone(timedelta(hours=9), "KST")


class PlanName(StrEnum):
    """The four plans."""

    TRIAL = "TRIAL"
    FLEX = "FLEX"
    PRO = "PRO"
    ENTERPRISE = "ENTERPRISE"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan entitles to. `weekly_entries` None means without limit; commission in bps of profit."""

    name: PlanName
    release_delay_ms: int
    weekly_entries: int | None
    commission_bps: int


DEFAULT_PLANS: Mapping[PlanName, Plan] = {
    PlanName.TRIAL: Plan(PlanName.TRIAL, 3_000, 3, 0),
    PlanName.FLEX: Plan(PlanName.FLEX, 1_000, 10, 2_000),
    PlanName.PRO: Plan(PlanName.PRO, 0, 50, 1_000),
    PlanName.ENTERPRISE: Plan(PlanName.ENTERPRISE, 0, None, 1_000),
}


def week_start(now: datetime) -> datetime:
    """Return the latest Monday 00:00 Asia/Seoul at or before `now`, in UTC.

    >>> week_start(datetime(2026, 11, 20, 12, 0, tzinfo=UTC)).isoformat()
    '2026-11-15T15:00:00+00:00'
    """
    if now.tzinfo is None:
        raise ValueError("week_start needs a time with its zone")
    local = now.astimezone(SEOUL)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight - timedelta(days=local.weekday())).astimezone(UTC)


def day_start(now: datetime) -> datetime:
    """Return the latest 00:00 Asia/Seoul at or before `now`, in UTC; daily limits count from it."""
    if now.tzinfo is None:
        raise ValueError("day_start needs a time with its zone")
    return now.astimezone(SEOUL).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def release_at(signal_received_at: datetime, plan: Plan) -> datetime:
    """Return when an entry of this plan may be claimed."""
    return signal_received_at + timedelta(milliseconds=plan.release_delay_ms)


def entries_left(plan: Plan, used: int) -> int | None:
    """Return how many automatic entries remain this week; None means without limit."""
    return None if plan.weekly_entries is None else max(0, plan.weekly_entries - used)
