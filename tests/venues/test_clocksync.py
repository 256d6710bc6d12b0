"""Venue time: the quickest answer counts, steps of our clock change nothing, only the venue's words confirm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import ManualClock

from tradewind.infra.clock import to_ms
from tradewind.venues.clocksync import VenueClock


def measured(clock: ManualClock, ahead_ms: int = 0, round_trip_s: float = 0.02) -> VenueClock:
    it = VenueClock(clock)
    observe(it, clock, ahead_ms, round_trip_s)
    return it


def observe(it: VenueClock, clock: ManualClock, ahead_ms: int, round_trip_s: float = 0.02, late: float = 0.5) -> bool:
    """An answer that is here now; `late`: which part of the round trip was the way back."""
    now = clock.monotonic()
    stated = to_ms(clock.now()) + ahead_ms - int(round_trip_s * late * 1_000)
    return it.observe(now - round_trip_s, now, stated)


def test_now_when_never_measured_then_our_own_clock() -> None:
    clock = ManualClock()
    it = VenueClock(clock)
    assert it.now_ms() == to_ms(clock.now())
    assert it.offset_ms is None
    assert it.confirmed_ms == 0
    assert it.needs_measurement()


@pytest.mark.parametrize("ahead_ms", [0, 250, -250, 10_000, -10_000, 3_600_000])
async def test_now_when_measured_then_the_venues_time_runs_on(ahead_ms: int) -> None:
    clock = ManualClock()
    it = measured(clock, ahead_ms)
    await clock.advance(100)
    assert abs(it.now_ms() - (to_ms(clock.now()) + ahead_ms)) <= 1
    assert it.offset_ms is not None
    assert abs(it.offset_ms - ahead_ms) <= 1
    assert not it.needs_measurement()


async def test_observe_when_answers_differ_in_speed_then_the_quickest_counts() -> None:
    clock = ManualClock()
    it = measured(clock, 100, round_trip_s=0.01)
    observe(it, clock, 100, round_trip_s=2.0, late=0.0)  # an answer that says far too late a time
    observe(it, clock, 100, round_trip_s=2.0, late=1.0)
    assert abs(it.now_ms() - to_ms(clock.now()) - 100) <= 1


async def test_observe_when_quick_answer_grows_old_then_it_is_forgotten() -> None:
    clock = ManualClock()
    it = measured(clock, 100, round_trip_s=0.001)
    for _ in range(8):
        await clock.advance(10)
        observe(it, clock, 160)
    assert abs(it.now_ms() - to_ms(clock.now()) - 160) <= 1


async def test_fault_31_now_when_our_wall_clock_steps_then_venue_time_does_not_and_measurement_is_asked_for() -> None:
    clock = ManualClock()
    it = measured(clock, 0)
    before = it.now_ms()
    clock.step_wall(-3_600)
    assert it.now_ms() == before
    assert it.needs_measurement()
    observe(it, clock, 3_600_000)
    assert abs(it.now_ms() - before) <= 1
    assert not it.needs_measurement()


async def test_needs_measurement_when_wall_clock_is_slewed_then_not() -> None:
    clock = ManualClock()
    it = measured(clock)
    clock.step_wall(0.1)
    assert not it.needs_measurement()


async def test_observe_when_one_answer_jumps_by_seconds_then_it_is_believed_only_when_repeated() -> None:
    clock = ManualClock()
    it = measured(clock, 0)
    assert observe(it, clock, 60_000) is False
    assert abs(it.now_ms() - to_ms(clock.now())) <= 1
    assert it.confirmed_ms <= to_ms(clock.now())
    assert it.needs_measurement()
    assert observe(it, clock, 60_000) is True
    assert abs(it.now_ms() - to_ms(clock.now()) - 60_000) <= 1


@pytest.mark.parametrize("stated", [0, -5, 1, 1_400_000_000_000, 10**15])
def test_observe_when_answer_is_no_time_of_a_venue_then_not_believed(stated: int) -> None:
    clock = ManualClock()
    it = VenueClock(clock)
    assert it.observe(1.0, 1.1, stated) is False
    assert not it.is_measured
    assert it.confirmed_ms == 0


async def test_confirmed_when_only_our_clock_moves_then_it_stays() -> None:
    """order-protocol.md section 3."""
    clock = ManualClock()
    it = measured(clock)
    confirmed = it.confirmed_ms
    await clock.advance(3_600)
    clock.step_wall(3_600)
    assert it.confirmed_ms == confirmed


async def test_confirm_when_venue_states_times_in_passing_then_the_latest_holds() -> None:
    clock = ManualClock()
    it = measured(clock)
    now = to_ms(clock.now())
    it.confirm(now + 40)
    it.confirm(now + 20)
    assert it.confirmed_ms == now + 40
    it.confirm(now + 3_600_000)  # no venue is an hour ahead of itself
    assert it.confirmed_ms == now + 40


def test_confirm_when_never_measured_then_nothing_is_confirmed() -> None:
    clock = ManualClock()
    it = VenueClock(clock)
    it.confirm(to_ms(clock.now()))
    assert it.confirmed_ms == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.floats(0, 1), st.floats(0, 5)),
        min_size=1,
        max_size=20,
    )
)
async def test_now_when_answers_are_delayed_at_will_then_error_is_within_half_the_quickest_round_trip(
    answers: list[tuple[int, float, float]],
) -> None:
    clock = ManualClock()
    it = VenueClock(clock)
    recent: list[int] = []
    for round_trip_ms, late, pause in answers:
        await clock.advance(pause)
        observe(it, clock, 700, round_trip_ms / 1_000, late)
        recent = [*recent[-7:], round_trip_ms]
        assert abs(it.now_ms() - to_ms(clock.now()) - 700) <= min(recent) / 2 + 2
