"""Lots and positions: the sum of the fills is the position, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import BNB, BTC, USDT, D, after, empty_lot, fill, lot_of, money, price, quantity

from tradewind.core.ids import FillId, OrderId
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import Side
from tradewind.core.position import (
    Fill,
    Lot,
    apply_fill,
    book_sell,
    positions_of,
    sellable,
    split_sell,
)


def test_buy_without_fee_adds_quantity_and_cost() -> None:
    lot = apply_fill(empty_lot(), fill("buy 0.1 BTC @ 50000")).lot
    assert (lot.quantity, lot.cost_quote, lot.bought_quantity) == (quantity("0.1"), D(5000), quantity("0.1"))
    assert lot.entry_price == price(50_000)
    assert lot.peak == price(50_000)


@pytest.mark.parametrize(
    ("fee", "held", "cost", "others"),
    [
        ("0.0001 BTC", "0.0999", "5000", ()),
        ("5 USDT", "0.1", "5005", ()),
        ("0.008 BNB", "0.1", "5000", ("0.008 BNB",)),
    ],
)
def test_buy_with_fee_in_base_quote_or_third_asset(fee: str, held: str, cost: str, others: tuple[str, ...]) -> None:
    lot = apply_fill(empty_lot(), fill("buy 0.1 BTC @ 50000", fee=fee)).lot
    assert (lot.quantity, lot.bought_quantity) == (quantity(held), quantity(held))
    assert (lot.cost_quote, lot.bought_quote) == (D(cost), D(cost))
    assert tuple(str(each) for each in lot.fees_other) == others


def test_buy_in_parts_adds_up_and_keeps_the_highest_price() -> None:
    lot = empty_lot()
    for text in ("buy 0.04 BTC @ 50000", "buy 0.06 BTC @ 50010"):
        lot = apply_fill(lot, fill(text, fee="0.001 BNB")).lot
    assert (lot.quantity, lot.cost_quote, lot.peak) == (quantity("0.1"), D("5000.6"), price(50_010))
    assert lot.fees_other == (money("0.002 BNB"),)


@pytest.mark.parametrize(
    ("fee", "proceeds", "fees"),
    [(None, "2600", ()), ("2.6 USDT", "2597.4", ()), ("0.004 BNB", "2600", ("0.004 BNB",))],
)
def test_sell_of_half_releases_half_the_cost(fee: str | None, proceeds: str, fees: tuple[str, ...]) -> None:
    booked = apply_fill(lot_of("0.1 BTC @ 50000"), fill("sell 0.05 BTC @ 52000", fee=fee))
    assert booked.sale is not None
    assert (booked.lot.quantity, booked.lot.cost_quote) == (quantity("0.05"), D(2500))
    assert (booked.sale.proceeds_quote, booked.sale.cost_quote) == (D(proceeds), D(2500))
    assert booked.sale.gain_quote == D(proceeds) - 2500
    assert tuple(str(each) for each in booked.sale.fees_other) == fees


def test_sell_with_fee_in_base_takes_those_coins_too() -> None:
    booked = apply_fill(lot_of("0.1 BTC @ 50000"), fill("sell 0.05 BTC @ 52000", fee="0.01 BTC"))
    assert booked.sale is not None
    assert booked.lot.quantity == quantity("0.04")
    assert booked.sale.cost_quote == 3000


def test_sell_of_the_last_piece_takes_the_rest_of_cost_and_fees() -> None:
    lot = apply_fill(empty_lot(), fill("buy 0.3 BTC @ 33333.33", fee="0.01 BNB")).lot
    sales = []
    for _ in range(3):
        booked = apply_fill(lot, fill("sell 0.1 BTC @ 40000"))
        lot = booked.lot
        sales.append(booked.sale)
    assert (lot.quantity, lot.cost_quote, lot.fees_other, lot.is_open) == (quantity(0), D(0), (), False)
    assert sum(sale.cost_quote for sale in sales if sale) == D("9999.999")
    assert sum(sale.fees_other[0].amount for sale in sales if sale) == D("0.01")


def test_sell_of_more_than_the_lot_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot sell"):
        apply_fill(lot_of("0.1 BTC @ 50000"), fill("sell 0.2 BTC @ 50000"))


def test_split_sell_takes_the_oldest_lot_first() -> None:
    young = lot_of("0.1 BTC @ 50000", lot_id="a", at=after(5))
    old = lot_of("0.1 BTC @ 40000", lot_id="b", at=after(1))
    split = split_sell([young, old], quantity("0.15"))
    assert [(part.lot_id, str(part.quantity)) for part in split.parts] == [("b", "0.1"), ("a", "0.05")]
    assert split.unallocated == quantity(0)


def test_split_sell_of_more_than_is_held_names_the_excess() -> None:
    split = split_sell([lot_of("0.1 BTC @ 50000")], quantity("0.25"))
    assert [str(part.quantity) for part in split.parts] == ["0.1"]
    assert split.unallocated == quantity("0.15")


def test_book_sell_over_two_lots_shares_amount_and_fee() -> None:
    old, young = lot_of("0.1 BTC @ 40000", lot_id="a"), lot_of("0.1 BTC @ 50000", lot_id="b", at=after(1))
    booked = book_sell([old, young], fill("sell 0.15 BTC @ 60000", fee="9 USDT"))
    assert [str(lot.quantity) for lot in booked.lots] == ["0", "0.05"]
    assert [sale.proceeds_quote for sale in booked.sales] == [D(5994), D(2997)]
    assert [sale.cost_quote for sale in booked.sales] == [4000, 2500]


def test_book_sell_of_what_nobody_holds_makes_no_sale() -> None:
    booked = book_sell([], fill("sell 0.1 BTC @ 60000"))
    assert (booked.lots, booked.sales, booked.unallocated) == ((), (), quantity("0.1"))


def test_positions_add_open_lots_up_by_account_and_symbol() -> None:
    first = lot_of("0.1 BTC @ 40000", lot_id="a", at=after(1))
    second = lot_of("0.3 BTC @ 50000", lot_id="b")
    other = replace(lot_of("0.5 BTC @ 1", lot_id="c"), account_id=empty_lot(account="acc2").account_id)
    closed = replace(first, id=second.id, quantity=quantity(0))
    positions = positions_of([first, second, other, closed])
    assert [(p.account_id, str(p.quantity)) for p in positions] == [("acc1", "0.4"), ("acc2", "0.5")]
    assert positions[0].average_entry == price(47_500)
    assert positions[0].opened_at == second.opened_at
    assert positions[0].unrealised(price(50_000)) == money("1000 USDT")


def test_entry_price_of_an_empty_lot_is_none() -> None:
    assert empty_lot().entry_price is None


@pytest.mark.parametrize(
    ("held", "open_sells", "left"), [("0.1", [], "0.1"), ("0.1", ["0.04", "0.05"], "0.01"), ("0.1", ["0.2"], "0")]
)
def test_sellable_is_what_is_held_less_every_open_sell(held: str, open_sells: list[str], left: str) -> None:
    assert sellable(quantity(held), [quantity(each) for each in open_sells]) == quantity(left)


amounts = st.decimals(min_value=D("0.00000001"), max_value=D(1000), places=8)
prices = st.decimals(min_value=D("0.01"), max_value=D(200_000), places=2)


@st.composite
def fills(draw: st.DrawFn, side: Side | None = None) -> Fill:
    amount, each = draw(amounts), draw(prices)
    kind = draw(st.sampled_from(["none", "base", "quote", "third"]))
    fee = {
        "none": None,
        "base": Money(amount / 1000, BTC),
        "quote": Money(amount * each / 1000, USDT),
        "third": Money(D("0.001"), BNB),
    }[kind]
    return Fill(
        FillId("f"),
        OrderId("o"),
        side or draw(st.sampled_from(Side)),
        Quantity(amount),
        Price(each),
        amount * each,
        fee,
        after(draw(st.integers(0, 100))),
    )


def of(fee: Money | None, asset: Asset) -> Decimal:
    return fee.amount if fee is not None and fee.asset == asset else D(0)


@given(st.lists(fills(Side.BUY), min_size=1, max_size=8))
def test_sum_of_buys_is_the_lot(buys: list[Fill]) -> None:
    lot = empty_lot()
    for each in buys:
        lot = apply_fill(lot, each).lot
    assert lot.quantity.value == sum(each.quantity.value - of(each.fee, BTC) for each in buys)
    assert lot.cost_quote == sum(each.quote_amount + of(each.fee, USDT) for each in buys)
    assert sum(each.amount for each in lot.fees_other) == sum(of(each.fee, BNB) for each in buys)


def run(sequence: list[Fill]) -> tuple[list[Lot], Decimal, Decimal, Decimal]:
    """Book a sequence: every buy opens a lot, every sell leaves the oldest first."""
    lots: dict[str, Lot] = {}
    released = proceeds = unallocated = D(0)
    for number, each in enumerate(sequence):
        if each.side is Side.BUY:
            made = apply_fill(empty_lot(f"{number:03}", at=each.at), each).lot
            lots[made.id] = made
            continue
        booked = book_sell(list(lots.values()), each)
        lots |= {lot.id: lot for lot in booked.lots}
        released += sum(sale.cost_quote for sale in booked.sales)
        proceeds += sum(sale.proceeds_quote for sale in booked.sales)
        unallocated += booked.unallocated.value
    return list(lots.values()), released, proceeds, unallocated


@given(st.lists(fills(), max_size=12))
def test_cost_is_never_lost_nor_made_by_any_sequence(sequence: list[Fill]) -> None:
    lots, released, _, _ = run(sequence)
    paid = sum(lot.bought_quote for lot in lots)
    assert released + sum(lot.cost_quote for lot in lots) == paid
    assert all(lot.cost_quote == 0 for lot in lots if not lot.is_open)


@given(st.lists(fills(), max_size=12))
def test_sells_of_any_sequence_never_exceed_what_is_held(sequence: list[Fill]) -> None:
    lots, _, _, _ = run(sequence)
    assert all(lot.quantity.value >= 0 for lot in lots)


@given(st.lists(fills().filter(lambda f: f.fee is None or f.fee.asset != BTC), max_size=12))
def test_sum_of_fills_is_the_position_without_base_fees(sequence: list[Fill]) -> None:
    lots, _, _, unallocated = run(sequence)
    signed = sum(each.quantity.value * (1 if each.side is Side.BUY else -1) for each in sequence)
    assert sum(lot.quantity.value for lot in lots) - unallocated == signed


@given(st.lists(fills(Side.BUY), min_size=1, max_size=4), st.lists(fills(Side.SELL), max_size=4))
def test_proceeds_are_shared_without_remainder(buys: list[Fill], sells: list[Fill]) -> None:
    lots = [apply_fill(empty_lot(str(n), at=each.at), each).lot for n, each in enumerate(buys)]
    for each in sells:
        booked = book_sell(lots, each)
        if not booked.unallocated.is_positive:
            assert sum(sale.proceeds_quote for sale in booked.sales) == each.quote_amount - of(each.fee, USDT)


@given(amounts, st.lists(amounts, min_size=1, max_size=5))
def test_split_sell_of_any_quantity_adds_up_in_order(asked: Decimal, held: list[Decimal]) -> None:
    lots = [lot_of(f"{each} BTC @ 100", lot_id=f"{n}", at=after(n)) for n, each in enumerate(held)]
    split = split_sell(lots, Quantity(asked))
    assert sum(part.quantity.value for part in split.parts) + split.unallocated.value == asked
    assert [part.lot_id for part in split.parts] == [lot.id for lot in lots[: len(split.parts)]]
    # Every lot but the last touched one is emptied before the next is touched.
    for (part, _), lot in zip(pairwise(split.parts), lots, strict=False):
        assert part.quantity == lot.quantity
