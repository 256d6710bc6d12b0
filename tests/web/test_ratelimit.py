"""Token buckets: what is allowed, what is told, what is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from tests.support.clock import ManualClock
from tests.support.people import browser
from tests.support.web import OPERATOR_TOKEN, USER_TOKEN, guarded_app

from tradewind.core.errors import TooMany
from tradewind.web.principal import Caller
from tradewind.web.ratelimit import Limiter, Rate, address_of

_RATE = Rate("test", 5, 60)


def test_take_when_the_bucket_is_empty_then_is_refused_with_the_time_to_come_back() -> None:
    limiter = Limiter(ManualClock())
    assert [limiter.take(_RATE, "a").is_allowed for _ in range(6)] == [True] * 5 + [False]
    refused = limiter.take(_RATE, "a")
    assert (refused.remaining, refused.retry_after_s) == (0, 12)
    with pytest.raises(TooMany) as caught:
        limiter.demand(_RATE, "a")
    assert caught.value.retry_after_s == 12


async def test_take_when_time_goes_by_then_one_after_the_other_comes_back() -> None:
    clock = ManualClock()
    limiter = Limiter(clock)
    for _ in range(5):
        limiter.demand(_RATE, "a")
    await clock.advance(11.9)
    assert not limiter.take(_RATE, "a").is_allowed
    await clock.advance(0.2)
    assert limiter.take(_RATE, "a").is_allowed
    assert not limiter.take(_RATE, "a").is_allowed


def test_take_when_callers_or_limits_differ_then_they_do_not_share() -> None:
    limiter = Limiter(ManualClock())
    for _ in range(5):
        limiter.demand(_RATE, "a")
    assert limiter.take(_RATE, "b").is_allowed
    assert limiter.take(Rate("other", 1, 60), "a").is_allowed


def test_take_when_a_burst_is_saved_up_then_it_may_be_spent_at_once() -> None:
    limiter = Limiter(ManualClock())
    rate = Rate("hook", 10, 1, burst=50)
    assert sum(limiter.take(rate, "a").is_allowed for _ in range(100)) == 50


def test_take_when_the_wall_clock_jumps_then_nothing_changes() -> None:
    clock = ManualClock()
    limiter = Limiter(clock)
    for _ in range(5):
        limiter.demand(_RATE, "a")
    clock.step_wall(86_400)
    assert not limiter.take(_RATE, "a").is_allowed


def test_limiter_when_more_callers_come_than_it_holds_then_memory_stays_bounded() -> None:
    limiter = Limiter(ManualClock(), size_max=100)
    for number in range(10_000):
        limiter.take(_RATE, str(number))
    assert len(limiter._buckets) == 100


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=60))
async def test_take_when_called_at_any_times_then_never_more_than_burst_and_rate(gaps: list[float]) -> None:
    clock = ManualClock()
    limiter = Limiter(clock)
    start, allowed = clock.monotonic(), 0
    for gap in gaps:
        await clock.advance(gap)
        allowed += limiter.take(_RATE, "a").is_allowed
    assert allowed <= 5 + (clock.monotonic() - start) * 5 / 60 + 1e-6


async def test_requests_when_a_user_has_used_an_hours_worth_then_is_told_and_others_go_on() -> None:
    app = guarded_app()

    @app.get("/x")
    async def x(_caller: Caller) -> int:
        return 1

    async with browser(app, USER_TOKEN) as client:
        first = await client.get("/x")
        for _ in range(999):
            last = await client.get("/x")
        refused = await client.get("/x")
    assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("1000", "999")
    assert last.headers["ratelimit-remaining"] == "0"
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "4"
    assert refused.headers["ratelimit-remaining"] == "0"
    assert refused.headers["ratelimit-reset"] == "3600"
    async with browser(app, OPERATOR_TOKEN) as client:
        assert (await client.get("/x")).status_code == 200


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("not an address", "not an address"),
    ],
)
def test_address_when_it_is_ipv6_then_its_network_counts(host: str, key: str) -> None:
    assert address_of(HTTPConnection({"type": "http", "client": (host, 1), "headers": []})) == key


def test_address_when_there_is_none_then_all_such_share_one_bucket() -> None:
    assert address_of(HTTPConnection({"type": "http", "client": None, "headers": []})) == "unknown"
