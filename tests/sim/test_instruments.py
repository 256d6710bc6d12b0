"""Steps and filters by price magnitude."""

from decimal import Decimal

import pytest

from tradewind.sim.instruments import rules_for, step_for, tick_for


@pytest.mark.parametrize(
    ("price", "tick", "step"),
    [
        ("80996.62", "0.01", "0.00001"),
        ("2500", "0.01", "0.0001"),
        ("100", "0.01", "0.001"),
        ("99.99", "0.001", "0.01"),
        ("1.45", "0.0001", "0.1"),
        ("0.27", "0.00001", "1"),
        ("0.012", "0.000001", "1"),
        ("0.0012", "0.0000001", "1"),
        ("0.0000066", "0.00000001", "1"),
        ("0.00000001", "0.00000001", "1"),
    ],
)
def test_grid_by_price_when_looked_up_is_fine_enough(price: str, tick: str, step: str) -> None:
    assert (tick_for(Decimal(price)), step_for(Decimal(price))) == (Decimal(tick), Decimal(step))


def test_rules_for_btc_price_when_derived_look_like_the_venues() -> None:
    rules = rules_for("BTCUSDT", "BTC", "USDT", Decimal("80996.62"))
    assert (rules.tick, rules.step, rules.min_qty) == (Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"))
    assert (rules.max_price, rules.max_qty, rules.market_max_qty) == (Decimal(1_000_000), Decimal(1_000), Decimal(100))
    assert (rules.min_notional, rules.apply_min_to_market, rules.max_algo_orders) == (Decimal(5), True, 5)


def test_floor_when_rounding_a_price_or_quantity_never_rounds_up() -> None:
    rules = rules_for("ABCUSDT", "ABC", "USDT", Decimal(100))
    assert rules.floor_price(Decimal("99.999")) == Decimal("99.99")
    assert rules.floor_qty(Decimal("0.0019")) == Decimal("0.001")
