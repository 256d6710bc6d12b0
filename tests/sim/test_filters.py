"""Filters, one table: which one fails, at its very bound."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.exchange import order, small_rules
from tests.support.shared_data import shared_json

from tradewind.sim.filters import (
    FilterFailure,
    FilterName,
    OpenCounts,
    check_counts,
    check_order,
    check_precision,
    triggers_above,
)
from tradewind.sim.instruments import SymbolRules
from tradewind.sim.types import NewOrder, OrderType, Side

RULES = small_rules()["ABCUSDT"]
REFERENCE = Decimal(100)


@pytest.mark.parametrize(
    ("line", "failing"),
    [
        ("BUY LIMIT 1 @ 100", None),
        ("BUY LIMIT 1 @ 100.001", "PRICE_FILTER"),
        ("BUY LIMIT 1 @ 0.001", "PRICE_FILTER"),
        ("BUY LIMIT 1 @ 10000.01", "PRICE_FILTER"),
        ("SELL STOP_LOSS 1 stop 99.995", "PRICE_FILTER"),
        ("BUY LIMIT 1 @ 500", None),
        ("BUY LIMIT 1 @ 500.01", "PERCENT_PRICE_BY_SIDE"),
        ("BUY LIMIT 1 @ 20", None),
        ("BUY LIMIT 1 @ 19.99", "PERCENT_PRICE_BY_SIDE"),
        ("SELL LIMIT 1 @ 500.01", "PERCENT_PRICE_BY_SIDE"),
        ("BUY MARKET 0.0505", "LOT_SIZE"),
        ("BUY MARKET 100001", "LOT_SIZE"),
        ("BUY MARKET 10000", None),
        ("BUY MARKET 10000.001", "MARKET_LOT_SIZE"),
        ("BUY LIMIT 10000.001 @ 100", None),
        ("BUY MARKET 0.05", None),
        ("BUY MARKET 0.049", "NOTIONAL"),
        ("BUY LIMIT 0.05 @ 100", None),
        ("BUY LIMIT 0.05 @ 99.99", "NOTIONAL"),
        ("BUY LIMIT 90000 @ 100", None),
        ("BUY LIMIT 90000.001 @ 100", "NOTIONAL"),
        ("SELL STOP_LOSS_LIMIT 0.06 @ 80 stop 95", "NOTIONAL"),
    ],
)
def test_check_order_at_each_bound_names_the_filter_that_fails(line: str, failing: str | None) -> None:
    found = check_order(RULES, order(line), REFERENCE)
    assert (found.filter if found else None) == failing


def test_check_order_when_sides_have_their_own_percentages_uses_its_sides() -> None:
    # as a live symbol published them in September 2026
    lopsided = replace(
        RULES,
        bid_multiplier_up=Decimal("1.1"),
        bid_multiplier_down=Decimal("0.8"),
        ask_multiplier_up=Decimal("1.2"),
        ask_multiplier_down=Decimal("0.9"),
    )
    fine = {"BUY LIMIT 1 @ 110", "BUY LIMIT 1 @ 80", "SELL LIMIT 1 @ 120", "SELL LIMIT 1 @ 90"}
    wrong = {"BUY LIMIT 1 @ 110.01", "BUY LIMIT 1 @ 79.99", "SELL LIMIT 1 @ 120.01", "SELL LIMIT 1 @ 89.99"}
    assert {line for line in fine | wrong if check_order(lopsided, order(line), REFERENCE)} == wrong


def test_check_order_when_bought_for_quote_counts_the_quote_as_notional() -> None:
    spend = NewOrder("ABCUSDT", Side.BUY, OrderType.MARKET, quote_quantity=Decimal("4.99"))
    assert check_order(RULES, spend, REFERENCE) == FilterFailure(FilterName.NOTIONAL)
    assert check_order(RULES, replace(spend, quote_quantity=Decimal(5)), REFERENCE) is None


def test_check_order_when_notional_does_not_apply_to_market_lets_it_pass() -> None:
    lenient = replace(RULES, apply_min_to_market=False)
    assert check_order(lenient, order("BUY MARKET 0.001"), REFERENCE) is None


@pytest.mark.parametrize(("iceberg", "failing"), [("0.01", None), ("0.009", "ICEBERG_PARTS"), ("0.0105", "LOT_SIZE")])
def test_check_order_when_cut_into_too_many_parts_fails(iceberg: str, failing: str | None) -> None:
    found = check_order(RULES, order("BUY LIMIT 1 @ 100", iceberg_quantity=Decimal(iceberg)), REFERENCE)
    assert (found.filter if found else None) == failing


@pytest.mark.parametrize(("delta", "is_fine"), [(9, False), (10, True), (2000, True), (2001, False)])
def test_check_order_when_trailing_delta_is_out_of_range_fails(delta: int, is_fine: bool) -> None:
    found = check_order(RULES, order("SELL STOP_LOSS 1", trailing_delta=delta), REFERENCE)
    assert found == (None if is_fine else FilterFailure(FilterName.TRAILING_DELTA))


@pytest.mark.parametrize(
    ("have", "add", "failing"),
    [
        (OpenCounts(199, 0, 0), OpenCounts(1), None),
        (OpenCounts(200, 0, 0), OpenCounts(1), "MAX_NUM_ORDERS"),
        (OpenCounts(199, 0, 0), OpenCounts(2, 1, 1), "MAX_NUM_ORDERS"),
        (OpenCounts(5, 4, 0), OpenCounts(1, 1), None),
        (OpenCounts(5, 5, 0), OpenCounts(1, 1), "MAX_NUM_ALGO_ORDERS"),
        (OpenCounts(5, 5, 0), OpenCounts(1, 0), None),
        (OpenCounts(40, 3, 20), OpenCounts(2, 1, 1), "MAX_NUM_ORDER_LISTS"),
        (OpenCounts(300, 9, 30), OpenCounts(), None),
    ],
)
def test_check_counts_when_too_much_is_open_names_the_filter(
    have: OpenCounts, add: OpenCounts, failing: str | None
) -> None:
    found = check_counts(RULES, have, add)
    assert (found.filter if found else None) == failing


def test_filter_failure_when_told_has_the_venues_text() -> None:
    assert FilterFailure(FilterName.LOT_SIZE).message == "Filter failure: LOT_SIZE"


@pytest.mark.parametrize(
    ("new", "parameter"),
    [
        (order("BUY LIMIT 1.00000001 @ 100"), None),
        (order("BUY LIMIT 1.000000010 @ 100"), None),
        (order("BUY LIMIT 1.000000001 @ 100"), "quantity"),
        (order("BUY LIMIT 1 @ 100.000000001"), "price"),
        (order("SELL STOP_LOSS 1 stop 0.123456789"), "stopPrice"),
    ],
)
def test_check_precision_when_an_asset_cannot_have_so_many_decimals_names_it(
    new: NewOrder, parameter: str | None
) -> None:
    assert check_precision(new) == parameter


@pytest.mark.parametrize(
    ("side", "kind", "above"),
    [
        (Side.BUY, OrderType.STOP_LOSS, True),
        (Side.SELL, OrderType.TAKE_PROFIT_LIMIT, True),
        (Side.SELL, OrderType.STOP_LOSS_LIMIT, False),
        (Side.BUY, OrderType.TAKE_PROFIT, False),
    ],
)
def test_triggers_above_by_side_and_type_is_the_venues_table(side: Side, kind: OrderType, above: bool) -> None:
    assert triggers_above(side, kind) is above


def recorded_rules(symbol: str) -> SymbolRules:
    """A symbol's filters as the venue published them."""
    known = {one["symbol"]: one for one in shared_json("payloads/binance/markets_exchangeInfo.json")["symbols"]}
    filters = {one["filterType"]: one for one in known[symbol]["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    notional = filters.get("NOTIONAL") or filters["MIN_NOTIONAL"]
    return replace(
        RULES,
        symbol=symbol,
        tick=Decimal(price["tickSize"]),
        min_price=Decimal(price["minPrice"]),
        max_price=Decimal(price["maxPrice"]),
        step=Decimal(lot["stepSize"]),
        min_qty=Decimal(lot["minQty"]),
        max_qty=Decimal(lot["maxQty"]),
        min_notional=Decimal(notional["minNotional"]),
        max_notional=Decimal("Infinity"),
    )


def test_check_order_on_recorded_filters_accepts_and_refuses_as_the_venue_documents() -> None:
    cases = shared_json("payloads/binance/filter_cases.json")["cases"]
    for case in cases:
        price, quantity = Decimal(case["price"]), Decimal(case["quantity"])
        new = replace(order("BUY LIMIT 1 @ 1", case["symbol"]), price=price, quantity=quantity)
        found = check_order(recorded_rules(case["symbol"]), new, price)
        # the simulated venue has NOTIONAL, which replaced MIN_NOTIONAL
        wanted = (case["error"] or {"msg": None})["msg"]
        assert (found.message if found else None) == (wanted and wanted.replace("MIN_NOTIONAL", "NOTIONAL")), case["id"]
    assert len(cases) == 80
