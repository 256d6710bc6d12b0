"""Realised P&L with fees in quote, base and third assets."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import BNB, USDT, D, empty_lot, fill, lot_of, money, price

from tradewind.core.money import Asset
from tradewind.core.pnl import Pnl, display, percent_of, realised, tally, total
from tradewind.core.position import Sale, apply_fill


def round_trip(buy_fee: str | None, sell_fee: str | None, *, sold: str = "0.1") -> Sale:
    lot = apply_fill(empty_lot(), fill("buy 0.1 BTC @ 50000", fee=buy_fee)).lot
    sale = apply_fill(lot, fill(f"sell {sold} BTC @ 53000", fee=sell_fee)).sale
    assert sale is not None
    return sale


@pytest.mark.parametrize(
    ("buy_fee", "sell_fee", "sold", "gain"),
    [
        (None, None, "0.1", "300"),
        ("5 USDT", "5.3 USDT", "0.1", "289.7"),
        ("0.0001 BTC", "5.2947 USDT", "0.0999", "289.4053"),
        ("0.01 BNB", "0.01 BNB", "0.1", "288"),
    ],
    ids=["none", "quote", "base", "third"],
)
def test_realised_of_a_round_trip_is_after_every_fee(
    buy_fee: str | None, sell_fee: str | None, sold: str, gain: str
) -> None:
    pnl = realised(round_trip(buy_fee, sell_fee, sold=sold), {BNB: price(600)})
    assert pnl.amount == money(f"{gain} USDT")
    assert pnl.unvalued_fees == ()
    assert pnl.is_winner


def test_realised_when_a_third_asset_has_no_price_then_reported_apart() -> None:
    pnl = realised(round_trip("0.01 BNB", "0.02 BNB"))
    assert pnl.amount == money("300 USDT")
    assert pnl.unvalued_fees == (money("0.03 BNB"),)


def test_percent_is_of_cost() -> None:
    assert realised(round_trip(None, None)).percent == 6
    assert Pnl(money("1 USDT"), D(0)).percent is None


def test_total_adds_amount_cost_and_unvalued_fees() -> None:
    parts = [realised(round_trip("0.01 BNB", None)), realised(round_trip(None, "0.02 BNB"))]
    added = total(parts, USDT)
    assert (added.amount, added.cost_quote, added.unvalued_fees) == (money("600 USDT"), D(10_000), (money("0.03 BNB"),))


def test_total_when_quotes_differ_then_value_error() -> None:
    with pytest.raises(ValueError, match="cannot combine"):
        total([realised(round_trip(None, None))], Asset("KRW"))


def test_tally_counts_winners_losers_and_rate() -> None:
    trades = [Pnl(money(f"{amount} USDT"), D(100)) for amount in ("5", "-2", "0", "1")]
    counted = tally(trades, USDT)
    assert (counted.trades, counted.winners, counted.losers, counted.amount) == (4, 2, 1, money("4 USDT"))
    assert counted.win_rate == 50
    assert tally([], USDT).win_rate is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0.00"),
        ("0.005", "0.00"),
        ("0.015", "+0.02"),
        ("-0.025", "-0.02"),
        ("1234.5", "+1234.50"),
        ("-0.004", "0.00"),
    ],
)
def test_display_rounds_half_to_even_with_a_sign(value: str, text: str) -> None:
    assert display(D(value)) == text


def test_percent_of_nothing_is_none() -> None:
    assert percent_of(D(1), D(0)) is None
    assert percent_of(D(1), D(-1)) is None


@given(st.lists(st.integers(1, 10), min_size=1, max_size=6), st.decimals(min_value=1, max_value=99_999, places=2))
def test_gain_of_pieces_is_the_gain_of_the_whole(pieces: list[int], each: Decimal) -> None:
    """However a lot is sold at one price, the pieces gain what one sale would."""
    whole = D(sum(pieces)) / 100
    lot = lot_of(f"{whole} BTC @ 33333.33")
    gained = D(0)
    for piece in pieces:
        booked = apply_fill(lot, fill(f"sell {D(piece) / 100} BTC @ {each}"))
        lot = booked.lot
        assert booked.sale is not None
        gained += realised(booked.sale).amount.amount
    assert gained == whole * each - whole * D("33333.33")
