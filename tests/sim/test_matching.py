"""Walking a book, and who waits for which price."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.sim.matching import Ladder, cost_of, cut, quantity_of, walk_quantity, walk_quote
from tradewind.sim.pricing import Level
from tradewind.sim.types import Side

STEP = Decimal("0.1")


def levels(*pairs: tuple[str, str]) -> list[Level]:
    return [Level(Decimal(price), Decimal(quantity)) for price, quantity in pairs]


ASKS = levels(("10", "1"), ("11", "2"), ("12", "3"))


@pytest.mark.parametrize(
    ("quantity", "limit", "expected"),
    [
        ("0.5", None, [("10", "0.5")]),
        ("3", None, [("10", "1"), ("11", "2")]),
        ("3.5", None, [("10", "1"), ("11", "2"), ("12", "0.5")]),
        ("99", None, [("10", "1"), ("11", "2"), ("12", "3")]),
        ("99", "11", [("10", "1"), ("11", "2")]),
        ("99", "9.99", []),
    ],
)
def test_walk_quantity_when_buying_takes_the_cheapest_first_within_the_limit(
    quantity: str, limit: str | None, expected: list[tuple[str, str]]
) -> None:
    bound = None if limit is None else Decimal(limit)
    assert walk_quantity(ASKS, Decimal(quantity), Side.BUY, bound) == levels(*expected)


def test_walk_quantity_when_selling_stops_below_the_limit() -> None:
    bids = levels(("10", "1"), ("9", "2"))
    assert walk_quantity(bids, Decimal(5), Side.SELL, Decimal("9.5")) == levels(("10", "1"))
    assert walk_quantity(bids, Decimal(5), Side.SELL, Decimal(9)) == bids


@pytest.mark.parametrize(
    ("quote", "expected", "is_dry"),
    [
        # 5.49 / 10 = 0.549 -> 0.5 on the step
        ("5.49", [("10", "0.5")], False),
        # 10 for the first, 12 left: 12 / 11 = 1.09 -> 1.0
        ("22", [("10", "1"), ("11", "1.0")], False),
        # exactly the first level, nothing left for the second
        ("10", [("10", "1")], False),
        ("0.5", [], False),
        # 10 + 22 + 36 = 68
        ("68", [("10", "1"), ("11", "2"), ("12", "3")], True),
        ("500", [("10", "1"), ("11", "2"), ("12", "3")], True),
    ],
)
def test_walk_quote_when_spending_stays_within_the_money_and_on_the_step(
    quote: str, expected: list[tuple[str, str]], is_dry: bool
) -> None:
    assert walk_quote(ASKS, Decimal(quote), STEP) == (levels(*expected), is_dry)


def test_sums_of_a_walk_when_worked_by_hand() -> None:
    assert (quantity_of(ASKS), cost_of(ASKS)) == (Decimal(6), Decimal(68))
    assert cut(ASKS, Decimal("1.5")) == levels(("10", "1"), ("11", "0.5"))


@given(st.integers(1, 2_000))
def test_walk_quote_for_any_money_never_spends_more_and_leaves_less_than_a_step(cents: int) -> None:
    quote = Decimal(cents) / 10
    slices, is_dry = walk_quote(ASKS, quote, STEP)
    left = quote - cost_of(slices)
    assert left >= 0
    assert is_dry or left < STEP * Decimal(12)
    assert all(part.quantity % STEP == 0 for part in slices)


def test_ladder_when_price_falls_gives_those_waiting_at_or_above_it() -> None:
    ladder = Ladder()
    for price, order_id in (("10", 1), ("12", 2), ("11", 3), ("11", 4)):
        ladder.add(Decimal(price), order_id)
    assert ladder.at_or_above(Decimal("11")) == [3, 4, 2]
    assert ladder.at_or_below(Decimal("11")) == [1, 3, 4]
    ladder.remove(Decimal("11"), 3)
    assert ladder.at_or_above(Decimal("10.5")) == [4, 2]
    assert len(ladder) == 3


@given(st.lists(st.integers(1, 20), max_size=40), st.integers(0, 21))
def test_ladder_with_any_orders_reaches_exactly_those_a_scan_reaches(prices: list[int], price: int) -> None:
    ladder = Ladder()
    for order_id, waited in enumerate(prices, start=1):
        ladder.add(Decimal(waited), order_id)
    above = [order_id for order_id, waited in enumerate(prices, start=1) if waited >= price]
    below = [order_id for order_id, waited in enumerate(prices, start=1) if waited <= price]
    assert sorted(ladder.at_or_above(Decimal(price))) == above
    assert sorted(ladder.at_or_below(Decimal(price))) == below
