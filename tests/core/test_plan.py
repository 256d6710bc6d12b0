"""Plans: weeks in Seoul, release delays, weekly limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import NOW, after

from tradewind.core.plan import DEFAULT_PLANS, SEOUL, PlanName, day_start, entries_left, release_at, week_start

moments = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis wants naive bounds


@pytest.mark.parametrize(
    ("name", "delay_ms", "weekly", "commission_bps"),
    [("TRIAL", 3000, 3, 0), ("FLEX", 1000, 10, 2000), ("PRO", 0, 50, 1000), ("ENTERPRISE", 0, None, 1000)],
)
def test_default_plans_are_the_published_ones(
    name: str, delay_ms: int, weekly: int | None, commission_bps: int
) -> None:
    plan = DEFAULT_PLANS[PlanName(name)]
    assert (plan.release_delay_ms, plan.weekly_entries, plan.commission_bps) == (delay_ms, weekly, commission_bps)
    assert release_at(NOW, plan) == after(ms=delay_ms)


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2026-11-22T14:59:59.999999+00:00", "2026-11-15T15:00:00+00:00"),
        ("2026-11-22T15:00:00+00:00", "2026-11-22T15:00:00+00:00"),
        ("2026-11-23T00:00:00+09:00", "2026-11-22T15:00:00+00:00"),
        ("2027-01-01T00:00:00+00:00", "2026-12-27T15:00:00+00:00"),
        ("2028-02-29T12:00:00+00:00", "2028-02-27T15:00:00+00:00"),
    ],
)
def test_week_start_at_the_edges_is_monday_midnight_in_seoul(now: str, start: str) -> None:
    assert week_start(datetime.fromisoformat(now)).isoformat() == start


@given(moments)
def test_week_start_at_any_time_is_the_monday_at_most_a_week_back(now: datetime) -> None:
    start = week_start(now)
    assert timedelta(0) <= now - start < timedelta(days=7)
    local = start.astimezone(SEOUL)
    assert (local.weekday(), local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0, 0)
    assert week_start(start) == start


@given(moments, st.integers(-12, 14))
def test_week_and_day_start_do_not_depend_on_the_zone_of_the_argument(now: datetime, hours: int) -> None:
    elsewhere = now.astimezone(timezone(timedelta(hours=hours)))
    assert week_start(elsewhere) == week_start(now)
    assert day_start(elsewhere) == day_start(now)
    assert timedelta(0) <= now - day_start(now) < timedelta(days=1)


def test_week_and_day_start_of_naive_time_are_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the naive time is the case
    for start in (week_start, day_start):
        with pytest.raises(ValueError, match="zone"):
            start(naive)


@pytest.mark.parametrize(("used", "left"), [(0, 3), (2, 1), (3, 0), (9, 0)])
def test_entries_left_counts_down_to_zero(used: int, left: int) -> None:
    assert entries_left(DEFAULT_PLANS[PlanName.TRIAL], used) == left
    assert entries_left(DEFAULT_PLANS[PlanName.ENTERPRISE], used) is None
