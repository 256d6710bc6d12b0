"""Money, Price, Quantity and their rounding."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import D, money, price

from tradewind.core.errors import InvalidInput
from tradewind.core.money import Asset, Money, Price, Quantity, ceil_to_step, decimal, floor_to_step, plain

amounts = st.decimals(min_value=0, max_value=D("1e12"), allow_nan=False, allow_infinity=False, places=10)
steps = st.sampled_from([D("1e-8"), D("0.001"), D("0.01"), D("0.05"), D("1"), D("5"), D("10")])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.50", D("1.50")),
        (" 7 ", D(7)),
        ("-0.1", D("-0.1")),
        ("1e-8", D("1e-8")),
        ("5.", D(5)),
        (".5", D("0.5")),
        (3, D(3)),
    ],
)
def test_decimal_when_plain_then_exact(text: str | int, value: Decimal) -> None:
    assert decimal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "NaN",
        "Infinity",
        "-inf",
        "1,000",
        "1_000",
        "１２",
        "0x10",
        "1e",
        "--1",
        "{{close}}",
        "null",
        "9" * 41,
    ],
)
def test_decimal_when_not_a_plain_number_then_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        decimal(text)


@pytest.mark.parametrize("text", ["1e999", "1e41", "1e-41", "0e900"])
def test_decimal_when_absurdly_large_or_small_then_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="too large or too small"):
        decimal(text)


def test_decimal_when_huge_exponent_then_refused_without_writing_it_out() -> None:
    with pytest.raises(InvalidInput):
        decimal("1e999999999")


def test_decimal_when_float_then_type_error() -> None:
    with pytest.raises(TypeError):
        decimal(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("build", [lambda v: Money(v, Asset("USDT")), Price, Quantity])
def test_values_when_built_from_a_float_then_type_error(build: type[Price]) -> None:
    with pytest.raises(TypeError):
        build(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["NaN", "Infinity"])
def test_values_when_not_finite_then_refused(text: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        Price(D(text))


@pytest.mark.parametrize("text", ["0", "-1"])
def test_price_when_not_above_zero_then_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        price(text)


def test_money_when_assets_differ_then_never_combined() -> None:
    usdt, krw = money("1 USDT"), money("1 KRW")
    for combine in (lambda: usdt + krw, lambda: usdt - krw, lambda: usdt < krw, lambda: usdt >= krw):
        with pytest.raises(ValueError, match="cannot combine"):
            combine()


def test_money_when_compared_then_by_amount() -> None:
    one, two = money("1 USDT"), money("2 USDT")
    assert [one < two, two < one, one < one, one <= one, two <= one] == [True, False, False, True, False]
    assert [two > one, one > two, one > one, one >= one, one >= two] == [True, False, False, True, False]


@pytest.mark.parametrize("text", ["1e40", "1e-40"])
def test_decimal_when_at_the_edge_of_the_range_then_read(text: str) -> None:
    assert decimal(text) == D(text)


def test_money_when_negated_then_no_digit_is_lost() -> None:
    amount = D("1234567890123456789012345678901.123456789")
    assert (-Money(amount, money("1 USDT").asset)).amount == amount.copy_negate()


def test_money_when_trailing_zeros_differ_then_equal() -> None:
    assert money("1.0 USDT") == money("1.000 USDT")
    assert hash(money("1.0 USDT")) == hash(money("1.000 USDT"))


@given(amounts, steps)
def test_floor_to_step_for_any_amount_is_the_largest_multiple_not_above(value: Decimal, step: Decimal) -> None:
    floored = floor_to_step(value, step)
    assert floored <= value < floored + step
    assert floored % step == 0


@given(amounts, steps)
def test_ceil_to_step_for_any_amount_is_the_smallest_multiple_not_below(value: Decimal, step: Decimal) -> None:
    raised = ceil_to_step(value, step)
    assert raised - step < value <= raised
    assert raised % step == 0


@given(amounts, steps)
def test_floor_to_step_when_done_twice_then_same(value: Decimal, step: Decimal) -> None:
    assert floor_to_step(floor_to_step(value, step), step) == floor_to_step(value, step)


def test_floor_to_step_when_step_is_zero_then_unchanged() -> None:
    assert floor_to_step(D("1.234"), D(0)) == D("1.234")
    assert ceil_to_step(D("1.234"), D(0)) == D("1.234")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=D("-1e20"), max_value=D("1e20")))
def test_plain_for_any_number_reads_back_as_the_same(value: Decimal) -> None:
    text = plain(value)
    assert Decimal(text) == value
    assert "E" not in text


@given(amounts, st.integers(min_value=-9_999, max_value=100_000))
def test_shifted_bps_for_any_price_is_exact(value: Decimal, bps: int) -> None:
    if value > 0:
        assert Price(value).shifted_bps(bps).value == value * (10_000 + bps) / 10_000
