"""The modelled book: on the grid, around the mid, the same every time."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.exchange import FLAT_BOOK

from tradewind.sim.instruments import rules_for
from tradewind.sim.pricing import Book, BookModel, Level
from tradewind.sim.types import Side

RULES = rules_for("ABCUSDT", "ABC", "USDT", Decimal(100))


def test_book_when_flat_is_what_the_parameters_say() -> None:
    # half spread 1 %, levels 1 % apart, each worth about 10,100 USDT, rounded down to the step of 0.001
    assert FLAT_BOOK.book(RULES, Decimal(100)) == Book(
        bids=(
            Level(Decimal("99.00"), Decimal("102.020")),
            Level(Decimal("98.00"), Decimal("103.061")),
            Level(Decimal("97.00"), Decimal("104.123")),
        ),
        asks=(
            Level(Decimal("101.00"), Decimal("100.000")),
            Level(Decimal("102.00"), Decimal("99.019")),
            Level(Decimal("103.00"), Decimal("98.058")),
        ),
    )


def test_book_when_spread_is_below_a_tick_keeps_one_tick_a_side_and_a_level() -> None:
    tight = BookModel(half_spread_bps=Decimal("0.01"), level_step_bps=Decimal(0), levels=3)
    book = tight.book(RULES, Decimal("100.00"))
    assert [level.price for level in book.asks] == [Decimal("100.01"), Decimal("100.02"), Decimal("100.03")]
    assert [level.price for level in book.bids] == [Decimal("99.99"), Decimal("99.98"), Decimal("99.97")]


def test_book_when_price_is_the_smallest_has_no_bid() -> None:
    rules = rules_for("TINYUSDT", "TINY", "USDT", Decimal("0.00000001"))
    book = BookModel().book(rules, Decimal("0.00000001"))
    assert book.bids == ()
    assert book.asks[0].price == Decimal("0.00000002")
    assert BookModel().best(rules, Side.BUY, Decimal("0.00000001")) is None


def test_book_when_jittered_differs_by_symbol_and_level_around_the_size() -> None:
    sizes = [level.price * level.quantity for level in BookModel().book(RULES, Decimal(100)).asks]
    assert len(set(sizes)) == 20
    assert Decimal(5_000) * Decimal("0.99") < min(sizes) < Decimal(10_000) < max(sizes) <= Decimal(15_000)


def test_book_when_one_level_deep_is_a_book() -> None:
    assert len(BookModel(levels=1).book(RULES, Decimal(100)).asks) == 1


def test_book_when_depth_is_asked_for_has_no_more_levels() -> None:
    assert FLAT_BOOK.book(RULES, Decimal(100), 2) == Book(*(side[:2] for side in FLAT_BOOK.book(RULES, Decimal(100))))
    assert len(FLAT_BOOK.book(RULES, Decimal(100), 99).bids) == 3


def test_book_when_symbol_has_a_depth_factor_is_that_much_deeper() -> None:
    deep = BookModel(jitter=Decimal(0), level_quote=Decimal(1_000), depth_factors=(("ABCUSDT", Decimal(3)),))
    first = deep.book(RULES, Decimal(100), 1).asks[0]
    assert first.quantity == RULES.floor_qty(Decimal(3_000) / first.price)


def test_book_when_described_names_every_parameter_and_says_modelled() -> None:
    told = BookModel(depth_factors=(("ABCUSDT", Decimal(3)),)).describe()
    for part in ("MODELLED", "2 bps", "20 a side", "10000", "0.5 to 1.5", "whole again", "ABCUSDT: 3"):
        assert part in told


@pytest.mark.parametrize(
    "wrong",
    [
        {"half_spread_bps": Decimal(0)},
        {"level_step_bps": Decimal(-1)},
        {"levels": 0},
        {"level_quote": Decimal(0)},
        {"jitter": Decimal(1)},
    ],
)
def test_book_model_when_a_parameter_makes_no_book_is_refused(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="book model"):
        BookModel(**wrong)  # type: ignore[arg-type]  # the names are parameters of different types


prices = st.decimals("0.00000001", "1000000", places=8)


@given(prices, st.integers(1, 500), st.integers(0, 50), st.text("ABCXYZ", min_size=1, max_size=4))
def test_book_at_any_price_is_sorted_on_the_grid_and_uncrossed(
    price: Decimal, half_spread: int, step: int, base: str
) -> None:
    rules = rules_for(f"{base}USDT", base, "USDT", price)
    mid = max(rules.floor_price(price), rules.tick)
    model = BookModel(half_spread_bps=Decimal(half_spread), level_step_bps=Decimal(step), levels=5)
    book = model.book(rules, mid)
    asks, bids = [level.price for level in book.asks], [level.price for level in book.bids]
    assert asks == sorted(set(asks))
    assert bids == sorted(set(bids), reverse=True)
    assert asks[0] > mid
    assert all(0 < bid < mid for bid in bids)
    assert all(price % rules.tick == 0 for price in asks + bids)
    assert all(one.quantity > 0 and one.quantity % rules.step == 0 for one in book.asks + book.bids)
    # half to one and a half times the size, less what rounding down to the step takes; never less than a step
    sizes = [one.quantity * one.price / model.level_quote for one in book.asks + book.bids if one.quantity > rules.step]
    assert all(Decimal("0.25") < size <= Decimal("1.5") for size in sizes)
    assert book == model.book(rules, mid)
    assert model.best(rules, Side.SELL, mid) == asks[0]
    assert model.best(rules, Side.BUY, mid) == (bids[0] if bids else None)
