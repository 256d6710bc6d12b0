"""Slices of a fan-out: never more than a share of the book at once, never more than a second share in all (E9)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tradewind.core.depth import DepthRules, slice_numbers, visible_asks
from tradewind.core.money import Price, Quantity

D = Decimal
RULES = DepthRules(allowance_orders=100, within_bps=50, slice_pct=25, refuse_pct=200, slice_every=timedelta(seconds=1))
spends = st.lists(st.decimals(D("0.01"), D(1_000), places=2), max_size=40)
bounds = st.decimals(D("0.01"), D(5_000), places=2)


def test_visible_asks_when_the_book_is_empty_then_nothing() -> None:
    assert visible_asks([], 50) == 0


def test_bounds_when_the_book_is_known_then_its_shares() -> None:
    assert RULES.bounds(D(1_000), RULES.allowance(D(5))) == (D(250), D(2_000))


def test_bounds_when_the_book_is_unknown_then_the_allowance_stands_for_a_slice() -> None:
    assert RULES.bounds(None, RULES.allowance(D(5))) == (D(500), D(4_000))


def test_slices_when_one_entry_is_larger_than_a_slice_then_it_has_its_own() -> None:
    assert slice_numbers([D(10), D(300), D(10)], D(100), D(1_000)) == [0, 1, 2]


@given(spends, bounds, bounds)
def test_slices_of_any_entries_keep_within_both_bounds_and_in_order(
    amounts: list[Decimal], slice_most: Decimal, total_most: Decimal
) -> None:
    numbers = slice_numbers(amounts, slice_most, total_most)
    placed = [(number, amount) for number, amount in zip(numbers, amounts, strict=True) if number is not None]
    assert sum(amount for _, amount in placed) <= total_most
    assert [number for number, _ in placed] == sorted(number for number, _ in placed)
    for number in {number for number, _ in placed}:
        group = [amount for each, amount in placed if each == number]
        assert len(group) == 1 or sum(group) <= slice_most


@given(st.lists(st.tuples(st.decimals(D(1), D(2), places=3), st.decimals(D(0), D(9), places=3)), max_size=20))
def test_visible_asks_of_any_book_count_only_what_is_near(rows: list[tuple[Decimal, Decimal]]) -> None:
    asks = sorted(rows)
    near = [price * size for price, size in asks if price <= asks[0][0] * D("1.005")]
    assert visible_asks([(Price(price), Quantity(size)) for price, size in asks], 50) == sum(near)
