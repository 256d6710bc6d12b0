"""Reads are tried again and given up together; what is refused is neither."""

import random
from collections.abc import Awaitable, Callable

import pytest
from tests.support.clock import ManualClock

from tradewind.venues.breaker import Breaker, BreakerRules, BreakerState, ReadRefused
from tradewind.venues.errors import CredentialRefused, RateLimited, VenueDown

RULES = BreakerRules(failures_max=3, pause_s=10, pause_s_max=40, attempts=3, backoff_s=0.1, backoff_s_max=0.4)
ONCE = BreakerRules(failures_max=3, pause_s=10, pause_s_max=40, attempts=1)


class ImpatientClock(ManualClock):
    """Sleeps take no time in the test, but are counted."""

    slept = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


def failing(times: int, calls: list[int], error: Callable[[], Exception]) -> Callable[[], Awaitable[str]]:
    async def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error()
        return "ok"

    return call


def down() -> VenueDown:
    return VenueDown("http_503", "away")


def breaker(rules: BreakerRules = RULES) -> tuple[Breaker, ImpatientClock]:
    clock = ImpatientClock()
    return Breaker(clock, rules, chance=random.Random(7)), clock


async def test_read_when_venue_fails_twice_then_third_try_answers_after_growing_pauses() -> None:
    it, clock = breaker()
    calls: list[int] = []
    assert await it.read(failing(2, calls, down)) == "ok"
    assert len(calls) == 3
    assert 0.05 < clock.slept <= 0.6
    assert it.state is BreakerState.CLOSED


async def test_read_when_all_tries_fail_then_venue_down() -> None:
    it, _ = breaker(BreakerRules(failures_max=10, attempts=3))
    calls: list[int] = []
    with pytest.raises(VenueDown):
        await it.read(failing(9, calls, down))
    assert len(calls) == 3


@pytest.mark.parametrize(
    "error",
    [
        lambda: ReadRefused("code_-1100", "no"),
        lambda: RateLimited("banned", "no", retry_at_ms=1),
        lambda: CredentialRefused("key_refused", "no"),
    ],
)
async def test_read_when_refused_then_not_tried_again_and_not_counted(error: Callable[[], Exception]) -> None:
    it, _ = breaker()
    for _ in range(10):
        calls: list[int] = []
        with pytest.raises((ReadRefused, RateLimited, CredentialRefused)):
            await it.read(failing(9, calls, error))
        assert len(calls) == 1
    assert it.state is BreakerState.CLOSED


async def test_read_when_failures_reach_the_limit_then_open_and_nobody_is_asked() -> None:
    it, _ = breaker(ONCE)
    for _ in range(3):
        with pytest.raises(VenueDown):
            await it.read(failing(9, [], down))
    assert it.state is BreakerState.OPEN
    assert 8 <= it.opens_in_s() <= 12
    calls: list[int] = []
    with pytest.raises(VenueDown) as caught:
        await it.read(failing(0, calls, down))
    assert caught.value.code == "breaker_open"
    assert calls == []


async def test_read_when_successes_lie_between_then_failures_do_not_add_up() -> None:
    it, _ = breaker(ONCE)
    for _ in range(5):
        for _ in range(2):
            with pytest.raises(VenueDown):
                await it.read(failing(9, [], down))
        await it.read(failing(0, [], down))
    assert it.state is BreakerState.CLOSED


async def open_breaker() -> tuple[Breaker, ImpatientClock]:
    it, clock = breaker(ONCE)
    for _ in range(3):
        with pytest.raises(VenueDown):
            await it.read(failing(9, [], down))
    return it, clock


async def test_read_when_pause_is_over_then_one_probe_closes_it() -> None:
    it, clock = await open_breaker()
    await clock.advance(13)
    assert it.state is BreakerState.HALF_OPEN
    assert await it.read(failing(0, [], down)) == "ok"
    assert it.opens_in_s() == 0
    assert str(it.state) == "closed"


async def test_read_when_probe_fails_then_the_pause_doubles_up_to_its_limit() -> None:
    it, clock = await open_breaker()
    for pause in (20, 40, 40):
        await clock.advance(60)
        with pytest.raises(VenueDown):
            await it.read(failing(9, [], down))
        assert it.state is BreakerState.OPEN
        assert pause * 0.8 <= it.opens_in_s() <= pause * 1.2


async def test_read_when_a_probe_is_under_way_then_others_are_not_let_through() -> None:
    it, clock = await open_breaker()
    await clock.advance(13)

    async def probe() -> str:
        with pytest.raises(VenueDown) as caught:
            await it.read(failing(0, [], down))
        assert caught.value.code == "breaker_open"
        return "ok"

    assert await it.read(probe) == "ok"
    assert await it.read(failing(0, [], down)) == "ok"
