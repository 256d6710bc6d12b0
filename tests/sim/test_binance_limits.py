"""Weight per address on aligned minutes, bans, unfilled orders per account."""

import pytest

from tradewind.sim.limits import LimitSettings, OrderCounter, RetryLater, WeightLimiter

MINUTE = 1_795_000_020_000 - 1_795_000_020_000 % 60_000
ME = "127.0.0.1"


def refusal(limiter: WeightLimiter, weight: int, now_ms: int) -> RetryLater:
    with pytest.raises(RetryLater) as refused:
        limiter.charge(ME, weight, now_ms)
    return refused.value


def test_weight_is_counted_until_the_aligned_minute_ends() -> None:
    limiter = WeightLimiter(LimitSettings(weight_per_minute=10))
    limiter.charge(ME, 10, MINUTE + 59_000)
    assert refusal(limiter, 1, MINUTE + 59_999).status == 429
    limiter.charge(ME, 10, MINUTE + 60_000)
    assert limiter.used(ME, MINUTE + 60_000) == 10


def test_refusal_says_when_to_come_back() -> None:
    limiter = WeightLimiter(LimitSettings(weight_per_minute=10))
    limiter.charge(ME, 10, MINUTE)
    late = refusal(limiter, 1, MINUTE + 47_500)
    assert late.retry_after_s() == 13
    assert late.code == -1003
    assert late.msg.startswith("Too much request weight used; current limit is 10 request weight per 1 MINUTE.")


def test_caller_who_keeps_calling_is_banned_and_then_longer() -> None:
    limiter = WeightLimiter(LimitSettings(weight_per_minute=1, calls_before_ban=3, ban_s=120))
    limiter.charge(ME, 1, MINUTE)
    assert [refusal(limiter, 1, MINUTE + 1).status for _ in range(5)] == [429, 429, 429, 418, 418]
    banned = refusal(limiter, 1, MINUTE + 60_000)
    assert (banned.status, banned.code, banned.retry_after_s()) == (418, -1003, 61)
    assert f"IP banned until {MINUTE + 120_001}" in banned.msg
    again = MINUTE + 180_000
    limiter.charge(ME, 1, again)
    assert [refusal(limiter, 1, again).status for _ in range(4)][-1] == 418
    assert refusal(limiter, 1, again).retry_after_s() == 240


def test_refund_makes_a_successful_order_free() -> None:
    limiter = WeightLimiter(LimitSettings())
    limiter.charge(ME, 1, MINUTE)
    limiter.refund(ME, 1, MINUTE)
    assert limiter.used(ME, MINUTE) == 0


def test_addresses_do_not_share_weight() -> None:
    limiter = WeightLimiter(LimitSettings(weight_per_minute=1))
    limiter.charge(ME, 1, MINUTE)
    limiter.charge("127.0.0.2", 1, MINUTE)
    assert refusal(limiter, 1, MINUTE).status == 429


def test_raw_requests_have_a_limit_of_their_own() -> None:
    limiter = WeightLimiter(LimitSettings(raw_per_5_minutes=2))
    limiter.charge(ME, 0, MINUTE)
    limiter.charge(ME, 0, MINUTE)
    assert refusal(limiter, 0, MINUTE).status == 429


def test_orders_are_refused_above_the_ten_second_limit_until_the_next_mark() -> None:
    counter = OrderCounter(LimitSettings(orders_per_10s=2))
    counter.add(1, 2, MINUTE)
    with pytest.raises(RetryLater) as refused:
        counter.check(1, 1, MINUTE + 3_000)
    assert refused.value.msg == "Too many new orders; current limit is 2 orders per 10 SECOND."
    assert (refused.value.code, refused.value.status, refused.value.retry_after_s()) == (-1015, 429, 7)
    counter.check(1, 2, MINUTE + 10_000)
    counter.check(2, 2, MINUTE)


def test_first_fill_gives_back_one_as_taker_and_five_as_maker_never_below_zero() -> None:
    counter = OrderCounter(LimitSettings())
    counter.add(1, 8, MINUTE)
    counter.first_fill(1, is_maker=False, now_ms=MINUTE)
    assert counter.counts(1, MINUTE) == (7, 7)
    counter.first_fill(1, is_maker=True, now_ms=MINUTE)
    assert counter.counts(1, MINUTE) == (2, 2)
    counter.first_fill(1, is_maker=True, now_ms=MINUTE)
    assert counter.counts(1, MINUTE) == (0, 0)


def test_ten_second_count_stands_still_while_the_day_is_exceeded() -> None:
    counter = OrderCounter(LimitSettings(orders_per_day=3))
    counter.add(1, 4, MINUTE)
    counter.add(1, 2, MINUTE)
    assert counter.counts(1, MINUTE) == (4, 6)
