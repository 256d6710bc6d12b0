"""Times and ids."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import ManualClock

from tradewind.infra.clock import SystemClock, from_ms, to_ms
from tradewind.infra.ids import RandomIds

# Until the year 5138, as far as UUIDv7 reaches with room to spare.
_MS = st.integers(min_value=0, max_value=100_000_000_000_000)


@given(_MS)
def test_milliseconds_when_turned_into_a_time_and_back_then_are_the_same(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


@given(_MS, st.integers(min_value=0, max_value=999))
def test_to_ms_when_microseconds_follow_then_rounds_down(ms: int, micros: int) -> None:
    assert to_ms(from_ms(ms) + timedelta(microseconds=micros)) == ms


def test_to_ms_when_the_zone_is_another_then_the_instant_counts() -> None:
    seoul = timezone(timedelta(hours=9))
    assert to_ms(datetime(2026, 11, 20, 9, 0, tzinfo=seoul)) == to_ms(datetime(2026, 11, 20, 0, 0, tzinfo=UTC))


def test_to_ms_when_the_time_has_no_zone_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_ms(datetime(2026, 11, 20, 12, 0))  # noqa: DTZ001 - the very mistake that is refused


async def test_system_clock_when_asked_then_tells_utc_and_monotonic_time() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.now().tzinfo is UTC
    await clock.sleep(0)
    assert clock.monotonic() >= before


async def test_manual_clock_when_advanced_then_sleepers_wake_in_their_order() -> None:
    clock = ManualClock()
    woken: list[tuple[str, datetime]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleep("late", 5))
        tasks.create_task(sleep("early", 1))
        start = clock.now()
        await clock.advance(2)
        assert woken == [("early", start + timedelta(seconds=1))]
        await clock.advance(3)
    assert [name for name, _ in woken] == ["early", "late"]


def test_random_ids_when_made_one_after_the_other_then_differ_and_sort_by_time() -> None:
    clock = ManualClock()
    ids = RandomIds(clock)
    made = []
    for _ in range(100):
        clock.step_wall(0.001)
        made.append(ids.new())
    assert made == sorted(made)
    assert len(set(made)) == 100


def test_random_ids_when_clock_stands_or_goes_back_then_still_sort_as_made() -> None:
    clock = ManualClock()
    ids = RandomIds(clock)
    made = [ids.new() for _ in range(2_000)]
    clock.step_wall(-5)
    made += [ids.new() for _ in range(2_000)]
    assert made == sorted(set(made))
    assert {(each[14], each[19] in "89ab") for each in made} == {("7", True)}


def test_random_ids_when_made_then_are_uuids_of_version_seven() -> None:
    """order-protocol.md section 1."""
    clock = ManualClock()
    text = RandomIds(clock).new()
    assert [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12]
    assert text[14] == "7"
    assert text[19] in "89ab"
    assert int(text.replace("-", "")[:12], 16) == to_ms(clock.now())
