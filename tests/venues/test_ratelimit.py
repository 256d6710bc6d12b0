"""Budgets, lanes, bans: nothing over the venue's limits, nothing at all during a ban, exits first."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import ManualClock

from tradewind.core.ids import AccountId
from tradewind.infra.clock import to_ms
from tradewind.venues.errors import RateLimited
from tradewind.venues.ratelimit import IpBudget, Lane, OrderCounts, Permit, WindowLimit, window_ms

A, B = AccountId("a"), AccountId("b")
MINUTE = 60_000


def budget(clock: ManualClock, capacity: int = 100, calls: int | None = None, waiters_max: int = 50) -> IpBudget:
    limits = [WindowLimit(MINUTE, capacity)]
    if calls is not None:
        limits.append(WindowLimit(300_000, calls, counts_calls=True))
    return IpBudget(clock, lambda: to_ms(clock.now()), limits, waiters_max=waiters_max)


async def take(it: IpBudget, lane: Lane, weight: int) -> Permit:
    return await it.reserve(lane, weight, wait_s=0)


async def test_reserve_when_lanes_fill_up_then_reads_stop_first_and_exits_use_all() -> None:
    """order-protocol.md section 3."""
    it = budget(ManualClock())
    await take(it, Lane.READ, 80)
    for lane, fits in ((Lane.READ, 0), (Lane.QUERY, 10), (Lane.ENTRY, 5), (Lane.EXIT, 5)):
        with pytest.raises(RateLimited):
            await take(it, lane, fits + 1)
        if fits:
            await take(it, lane, fits)
    assert it.used_weight() == 100


async def test_reserve_when_one_call_is_heavier_than_the_share_then_an_empty_window_takes_it() -> None:
    it = budget(ManualClock(), capacity=20)
    await take(it, Lane.READ, 20)
    with pytest.raises(RateLimited) as caught:
        await take(it, Lane.READ, 1)
    assert caught.value.retry_at_ms is not None


async def test_settle_when_venue_states_more_than_we_counted_then_its_figure_holds() -> None:
    clock = ManualClock()
    it = budget(clock)
    permit = await take(it, Lane.READ, 1)
    it.settle(permit, stated=79)  # somebody else uses our address too
    with pytest.raises(RateLimited):
        await take(it, Lane.READ, 2)


async def test_settle_when_answers_overtake_each_other_then_the_highest_figure_of_the_window_holds() -> None:
    it = budget(ManualClock())
    first, second = await take(it, Lane.READ, 1), await take(it, Lane.READ, 1)
    it.settle(second, stated=60)
    it.settle(first, stated=59)
    assert it.used_weight() == 60


async def test_settle_when_answer_is_of_the_window_before_then_its_figure_is_not_carried_over() -> None:
    clock = ManualClock()
    it = budget(clock)
    permit = await take(it, Lane.READ, 5)
    await clock.advance(60)
    it.settle(permit, stated=99)
    assert it.used_weight() == 5


async def test_settle_when_order_succeeded_then_it_cost_nothing() -> None:
    it = budget(ManualClock())
    permit = await take(it, Lane.ENTRY, 1)
    assert it.used_weight() == 1
    it.settle(permit, is_free=True)
    assert it.used_weight() == 0


async def test_give_back_when_never_sent_then_nothing_is_used() -> None:
    it = budget(ManualClock(), calls=1)
    it.give_back(await take(it, Lane.ENTRY, 1))
    await take(it, Lane.ENTRY, 1)


async def test_reserve_when_calls_are_limited_too_then_free_orders_count_as_calls() -> None:
    it = budget(ManualClock(), calls=3)
    for _ in range(3):
        it.settle(await take(it, Lane.EXIT, 1), is_free=True)
    with pytest.raises(RateLimited):
        await take(it, Lane.EXIT, 1)


async def test_reserve_when_window_turns_then_waiters_go_on_in_order_of_lanes() -> None:
    clock = ManualClock()
    it = budget(clock)
    it.settle(await take(it, Lane.EXIT, 100))
    done: list[str] = []

    async def ask(name: str, lane: Lane) -> None:
        await it.reserve(lane, 60, wait_s=200)
        done.append(name)

    tasks = [asyncio.create_task(ask(name, lane)) for name, lane in (("read", Lane.READ), ("exit", Lane.EXIT))]
    await clock.advance(30)
    assert done == []
    await clock.advance(31)
    assert done == ["exit"]  # its 60 are on their way, so the read waits on
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_reserve_when_weight_comes_back_then_waiters_are_served_before_the_window_turns() -> None:
    clock = ManualClock()
    it = budget(clock)
    held = [await take(it, Lane.ENTRY, 1) for _ in range(95)]
    waiting = asyncio.create_task(it.reserve(Lane.ENTRY, 1, wait_s=50))
    await clock.advance(0.2)
    assert not waiting.done()
    it.settle(held[0], is_free=True)
    await clock.advance(0.1)
    assert waiting.done()
    assert it.used_weight() == 95


async def test_reserve_when_waiting_takes_too_long_then_rate_limited_with_the_end_of_the_window() -> None:
    clock = ManualClock()
    it = budget(clock)
    it.settle(await take(it, Lane.EXIT, 100))
    waiting = asyncio.create_task(it.reserve(Lane.READ, 1, wait_s=5))
    await clock.advance(6)
    with pytest.raises(RateLimited) as caught:
        await waiting
    assert caught.value.retry_at_ms == (to_ms(clock.now()) // MINUTE + 1) * MINUTE


async def test_reserve_when_too_many_wait_then_rate_limited_at_once() -> None:
    clock = ManualClock()
    it = budget(clock, waiters_max=2)
    it.settle(await take(it, Lane.EXIT, 100))
    tasks = [asyncio.create_task(it.reserve(Lane.READ, 1, wait_s=5)) for _ in range(2)]
    await clock.advance(0.1)
    with pytest.raises(RateLimited):
        await it.reserve(Lane.READ, 1, wait_s=5)
    await clock.advance(6)
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_reserve_when_newcomer_has_room_but_another_waits_in_its_lane_then_it_queues() -> None:
    clock = ManualClock()
    it = budget(clock)
    it.settle(await take(it, Lane.EXIT, 50))
    heavy = asyncio.create_task(it.reserve(Lane.READ, 40, wait_s=100))
    await clock.advance(0.1)
    light = asyncio.create_task(it.reserve(Lane.READ, 1, wait_s=100))
    await clock.advance(1)
    assert not light.done()
    await take(it, Lane.EXIT, 1)  # an exit does not queue behind reads
    await clock.advance(61)
    await asyncio.gather(heavy, light)


async def test_reserve_when_waiter_is_cancelled_as_it_is_served_then_its_weight_comes_back() -> None:
    clock = ManualClock()
    it = budget(clock)
    held = await take(it, Lane.EXIT, 100)
    waiting = asyncio.create_task(it.reserve(Lane.EXIT, 100, wait_s=50))
    await clock.advance(0.1)
    it.settle(held, is_free=True)  # serves the waiter
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert it.used_weight() == 0


# --- bans --------------------------------------------------------------------------------------------


async def test_block_when_banned_then_nothing_leaves_until_it_ends_and_nobody_queues_past_it() -> None:
    clock = ManualClock()
    it = budget(clock)
    it.settle(await take(it, Lane.EXIT, 100))
    waiting = asyncio.create_task(it.reserve(Lane.EXIT, 1, wait_s=500))
    await clock.advance(0.1)
    until = to_ms(clock.now()) + 120_000
    it.block(until)
    with pytest.raises(RateLimited) as told:
        await waiting
    assert told.value.retry_at_ms == until
    for lane in Lane:
        with pytest.raises(RateLimited) as caught:
            await it.reserve(lane, 1, wait_s=500)
        assert (caught.value.code, caught.value.retry_at_ms) == ("banned", until)
    await clock.advance(119)
    with pytest.raises(RateLimited):
        await take(it, Lane.EXIT, 1)
    await clock.advance(1)
    assert it.blocked_until_ms is None
    await take(it, Lane.EXIT, 1)


async def test_block_when_a_shorter_ban_is_heard_of_later_then_the_longer_one_holds() -> None:
    clock = ManualClock()
    it = budget(clock)
    now = to_ms(clock.now())
    it.block(now + 60_000)
    it.block(now + 1_000)
    assert it.blocked_until_ms == now + 60_000


# --- limits ------------------------------------------------------------------------------------------


async def test_set_limits_when_venue_publishes_others_then_counts_go_on_and_permits_settle() -> None:
    it = budget(ManualClock())
    permit = await take(it, Lane.EXIT, 50)
    it.set_limits([WindowLimit(MINUTE, 60), WindowLimit(300_000, 10, counts_calls=True)])
    with pytest.raises(RateLimited):
        await take(it, Lane.EXIT, 11)
    it.settle(permit, is_free=True)
    await take(it, Lane.EXIT, 60)


@pytest.mark.parametrize(
    ("interval", "count", "expected"),
    [("MINUTE", 1, 60_000), ("SECOND", 10, 10_000), ("DAY", 1, 86_400_000), ("MINUTE", 0, None), ("YEAR", 1, None)],
)
def test_window_ms_when_interval_is_read_then_milliseconds(interval: str, count: int, expected: int | None) -> None:
    assert window_ms(interval, count) == expected


@given(
    st.lists(st.tuples(st.sampled_from(list(Lane)), st.integers(1, 40), st.booleans(), st.floats(0, 30)), max_size=60)
)
async def test_reserve_when_any_calls_are_made_then_no_window_is_ever_overdrawn(
    calls: list[tuple[Lane, int, bool, float]],
) -> None:
    clock = ManualClock()
    it = budget(clock)
    spent: dict[int, int] = {}
    for lane, weight, is_free, pause in calls:
        window = to_ms(clock.now()) // MINUTE
        try:
            permit = await take(it, lane, weight)
        except RateLimited:
            pass
        else:
            spent[window] = spent.get(window, 0) + (0 if is_free else weight)
            it.settle(permit, is_free=is_free)
        await clock.advance(pause)
    assert all(total <= 100 for total in spent.values())


# --- order counts ------------------------------------------------------------------------------------


def counts(clock: ManualClock) -> OrderCounts:
    return OrderCounts(lambda: to_ms(clock.now()), [WindowLimit(10_000, 3), WindowLimit(86_400_000, 5)])


async def test_order_counts_when_an_account_is_full_then_others_are_not() -> None:
    clock = ManualClock()
    it = counts(clock)
    it.take(A, 2)
    it.take(A, 1)
    with pytest.raises(RateLimited) as caught:
        it.take(A, 1)
    assert caught.value.retry_at_ms == (to_ms(clock.now()) // 10_000 + 1) * 10_000
    it.take(B, 3)


async def test_order_counts_when_window_turns_then_room_again_until_the_day_is_full() -> None:
    clock = ManualClock()
    it = counts(clock)
    for count in (3, 2):
        it.take(A, count)
        it.settle(A, count, was_sent=True)
        await clock.advance(10)
    with pytest.raises(RateLimited):
        it.take(A, 1)
    await clock.advance(86_400)
    it.take(A, 1)


async def test_order_counts_when_never_sent_then_nothing_is_counted() -> None:
    it = counts(ManualClock())
    it.take(A, 3)
    it.settle(A, 3, was_sent=False)
    it.take(A, 3)


async def test_order_counts_when_fills_lowered_the_venues_figure_then_it_holds() -> None:
    it = counts(ManualClock())
    it.take(A, 3)
    it.settle(A, 3, was_sent=True, stated=[0, 1])
    it.take(A, 3)


async def test_order_counts_when_venue_says_wait_then_that_account_waits() -> None:
    clock = ManualClock()
    it = counts(clock)
    it.block(A, to_ms(clock.now()) + 5_000)
    with pytest.raises(RateLimited):
        it.take(A, 1)
    it.take(B, 1)
    await clock.advance(5)
    it.take(A, 1)


async def test_order_counts_when_accounts_fall_idle_then_they_are_forgotten() -> None:
    clock = ManualClock()
    it = counts(clock)
    it.take(A, 1)
    it.settle(A, 1, was_sent=True)
    it.block(B, to_ms(clock.now()) + 5_000)
    it.forget_idle()
    assert (len(it._accounts), len(it._blocked)) == (1, 1)
    await clock.advance(86_400)
    it.forget_idle()
    assert (len(it._accounts), len(it._blocked)) == (0, 0)


async def test_order_counts_when_limits_are_known_then_headers_are_named_as_the_venue_names_them() -> None:
    assert counts(ManualClock()).header_names == ("x-mbx-order-count-10s", "x-mbx-order-count-1d")
