"""The account's caps, alone."""

from __future__ import annotations

import pytest
from tests.support.core_builders import D, money

from tradewind.core.risk import Approved, Caps, Refused, RiskCode, check, day_left

CAPS = Caps(min_order_quote=D(10), max_order_quote=D(300), max_day_quote=D(1000))


@pytest.mark.parametrize(("amount", "spent"), [("10", "0"), ("300", "700"), ("299.99", "0")])
def test_check_when_within_every_cap_then_approved(amount: str, spent: str) -> None:
    asked = money(f"{amount} USDT")
    assert check(asked, CAPS, D(spent), money("5000 USDT")) == Approved(asked)


@pytest.mark.parametrize(
    ("amount", "spent", "free", "code", "limit"),
    [
        ("0", "0", "5000", RiskCode.NOT_POSITIVE, "0"),
        ("-5", "0", "5000", RiskCode.NOT_POSITIVE, "0"),
        ("9.99", "0", "5000", RiskCode.BELOW_MINIMUM, "10"),
        ("50", "0", "49.99", RiskCode.OVER_FREE, "49.99"),
        ("300.01", "0", "5000", RiskCode.OVER_ORDER, "300"),
        ("300", "700.01", "5000", RiskCode.OVER_DAY, "299.99"),
        ("50", "2000", "5000", RiskCode.OVER_DAY, "0"),
    ],
)
def test_check_when_a_cap_is_broken_then_refused_with_its_limit(
    amount: str, spent: str, free: str, code: RiskCode, limit: str
) -> None:
    answer = check(money(f"{amount} USDT"), CAPS, D(spent), money(f"{free} USDT"))
    assert isinstance(answer, Refused)
    assert (answer.code, answer.limit) == (code, money(f"{limit} USDT"))
    assert "{" not in answer.text()


def test_check_without_caps_then_only_the_minimum_counts() -> None:
    asked = money("123456789 USDT")
    assert check(asked, Caps(min_order_quote=D(10)), D(10**9)) == Approved(asked)


def test_day_left_never_falls_below_zero() -> None:
    assert day_left(CAPS, D(5000)) == 0
    assert day_left(Caps(min_order_quote=D(10)), D(5000)) is None
