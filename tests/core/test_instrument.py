"""Instruments: rounding to steps and the venue's minimums."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import D, btcusdt, money, price, quantity

from tradewind.core.instrument import InstrumentStatus
from tradewind.core.money import Price, Quantity


@pytest.mark.parametrize(("status", "trading"), [("trading", True), ("halted", False), ("cancel_only", False)])
def test_is_trading_only_while_the_venue_matches(status: str, trading: bool) -> None:
    assert replace(btcusdt(), status=InstrumentStatus(status)).is_trading is trading


@pytest.mark.parametrize(
    ("amount", "at", "sellable"),
    [
        ("0.0001", "50000", True),
        ("0.0001", "49999.99", False),
        ("0.000109", "46000", False),
        ("0.000009", "9999999", False),
    ],
)
def test_is_sellable_needs_step_minimum_quantity_and_notional(amount: str, at: str, sellable: bool) -> None:
    assert btcusdt().is_sellable(quantity(amount), price(at)) is sellable


def test_notional_is_exact() -> None:
    assert btcusdt().notional(quantity("0.00001"), price("99999.99")) == money("0.9999999 USDT")


def test_floor_price_never_reaches_zero() -> None:
    assert btcusdt().floor_price(price("0.001")) == price("0.01")


values = st.decimals(min_value=D("0.01"), max_value=D(1_000_000), places=8)


@given(values)
def test_rounding_of_any_value_lies_on_the_step_and_goes_the_right_way(value: Decimal) -> None:
    spec = btcusdt()
    assert spec.floor_quantity(Quantity(value)).value <= value
    assert spec.floor_price(Price(value)).value <= value <= spec.ceil_price(Price(value)).value
    assert spec.ceil_price(Price(value)).value % spec.tick == 0
