"""Sizes: worked cases, and that no size ever exceeds its risk or a cap."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import KRW, D, btcusdt, money, price, quantity

from tradewind.core.levels import Levels
from tradewind.core.money import Money, Price
from tradewind.core.risk import Approved, Caps, check
from tradewind.core.sizing import CapName, Sized, SizeRequest, TooSmall, is_exit_possible, size_entry, spend_step
from tradewind.core.working import step


def request(**changes: object) -> SizeRequest:
    base = SizeRequest(
        instrument=btcusdt(),
        price=price(100_000),
        available=money("1204.50 USDT"),
        risk_bps=200,
        caps=Caps(min_order_quote=D(10), max_order_quote=D(300)),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def size(**changes: object) -> Sized | TooSmall:
    return size_entry(request(**changes), Levels(price(97_000), price(106_000), step("levels")))


def spend(answer: Sized | TooSmall) -> str:
    assert isinstance(answer, Sized), answer
    return str(answer.spend)


@pytest.mark.parametrize(("risk_bps", "text"), [(100, "12.04 USDT"), (200, "24.09 USDT"), (500, "60.22 USDT")])
def test_size_by_risk_level_is_that_share_of_free_rounded_down(risk_bps: int, text: str) -> None:
    assert spend(size(risk_bps=risk_bps)) == text


@pytest.mark.parametrize(
    ("changes", "text", "cap"),
    [
        ({"wanted_quote": D(5000)}, "120.45 USDT", "free_share"),
        ({"wanted_quote": D(5000), "budget_quote": D(100)}, "100 USDT", "budget"),
        ({"wanted_quote": D(5000), "budget_quote": D(100), "committed_quote": D("50.019")}, "49.98 USDT", "budget"),
        ({"wanted_quote": D(5000), "caps": Caps(D(10), D(40))}, "40 USDT", "order"),
        ({"wanted_quote": D(5000), "caps": Caps(D(10), None, D(90)), "spent_today_quote": D(70)}, "20 USDT", "day"),
        ({"wanted_quote": D(50)}, "50 USDT", "free_share"),
    ],
)
def test_size_when_a_cap_binds_then_that_cap_is_spent(changes: dict[str, object], text: str, cap: str) -> None:
    answer = size(**changes)
    assert spend(answer) == text
    assert dict(answer.working[1].values)["name"] == cap


def test_size_when_below_the_platform_minimum_then_raised_within_the_caps() -> None:
    answer = size(available=money("400 USDT"), risk_bps=100)  # 4 USDT wanted, 40 allowed
    assert spend(answer) == "10 USDT"
    assert dict(answer.working[2].values)["raised"] == "yes"


@pytest.mark.parametrize(
    ("changes", "binding"),
    [
        ({"available": money("99.99 USDT")}, CapName.FREE_SHARE),
        ({"budget_quote": D("9.99")}, CapName.BUDGET),
        ({"budget_quote": D(50), "committed_quote": D(60)}, CapName.BUDGET),
        ({"caps": Caps(D(10), D("9.99"))}, CapName.ORDER),
        ({"caps": Caps(D(10), None, D(100)), "spent_today_quote": D("90.01")}, CapName.DAY),
        ({"caps": Caps(D(10), None, D(100)), "spent_today_quote": D(5000)}, CapName.DAY),
    ],
)
def test_size_when_caps_do_not_reach_the_minimum_then_too_small(changes: dict[str, object], binding: CapName) -> None:
    answer = size(**changes)
    assert isinstance(answer, TooSmall)
    assert answer.binding is binding
    assert answer.minimum == money("10 USDT")
    assert answer.allowed < answer.minimum


def test_size_when_platform_minimum_is_two_then_the_exit_decides() -> None:
    """5 USDT at the stop less 5 % after a fee of 0.1 %: 0.00006 BTC to keep, 0.00007 to buy, 7 USDT."""
    answer = size(available=money("100 USDT"), caps=Caps(min_order_quote=D(2)))
    assert spend(answer) == "7 USDT"
    assert isinstance(answer, Sized)
    assert answer.expected_quantity == quantity("0.00006")


def test_size_when_only_the_step_makes_an_exit_impossible_then_too_small() -> None:
    coarse = replace(btcusdt(), step=D("0.001"), min_quantity=D("0.001"))
    answer = size(instrument=coarse)  # one step after the fee needs two, 200 USDT; 10 % of free is 120
    assert isinstance(answer, TooSmall)
    assert answer.minimum == money("200 USDT")


def test_size_when_order_is_larger_than_the_venue_takes_then_capped() -> None:
    small = replace(btcusdt(), max_market_quantity=D("0.0005"))
    assert spend(size(instrument=small, wanted_quote=D(100))) == "50 USDT"
    assert spend(size(instrument=replace(btcusdt(), max_notional=D(60)), wanted_quote=D(100))) == "60 USDT"


def test_size_when_venue_states_no_largest_quantity_then_not_capped() -> None:
    assert spend(size(instrument=replace(btcusdt(), max_quantity=D(0)), wanted_quote=D(100))) == "100 USDT"


def test_size_when_quote_is_won_then_whole_won() -> None:
    won = replace(btcusdt(), quote=KRW, step=D("0.00000001"), min_quantity=D(0), min_notional=D(5000))
    answer = size_entry(
        request(
            instrument=won,
            price=price(150_000_000),
            available=money("1234567.89 KRW"),
            caps=Caps(min_order_quote=D(5000)),
        ),
        Levels(price(145_500_000), price(159_000_000), step("levels")),
    )
    assert spend(answer) == "24691 KRW"


def test_size_when_balance_is_in_another_asset_then_value_error() -> None:
    with pytest.raises(ValueError, match="USDT"):
        size(available=money("100 KRW"))


def test_spend_step_is_the_coarser_of_venue_and_cent() -> None:
    assert spend_step(btcusdt()) == D("0.01")
    assert spend_step(replace(btcusdt(), quote_step=D("0.1"))) == D("0.1")
    assert spend_step(replace(btcusdt(), quote=money("1 BTC").asset)) == D("0.00000001")


def test_working_names_every_number_with_its_unit() -> None:
    answer = size()
    assert [(s.name, dict(s.values)) for s in answer.working] == [
        ("wanted", {"available": "1204.5 USDT", "share": "2 %", "amount": "24.09 USDT"}),
        ("cap", {"name": "free_share", "amount": "120.45 USDT"}),
        ("minimum", {"amount": "10 USDT", "raised": "no"}),
        ("spend", {"amount": "24.09 USDT", "quantity": "0.00024 BTC"}),
    ]


amounts = st.decimals(min_value=0, max_value=D(1_000_000), places=8)
caps = st.one_of(st.none(), amounts)


@st.composite
def requests(draw: st.DrawFn) -> SizeRequest:
    instrument = replace(
        btcusdt(),
        step=draw(st.sampled_from([D("1e-8"), D("0.00001"), D("0.1"), D(1)])),
        min_notional=draw(st.sampled_from([D(0), D(1), D(5), D(100)])),
        max_market_quantity=draw(st.sampled_from([None, D("0.5"), D(1000)])),
    )
    return SizeRequest(
        instrument=instrument,
        price=Price(draw(st.decimals(min_value=D("0.01"), max_value=D(200_000), places=2))),
        available=Money(draw(amounts), instrument.quote),
        risk_bps=draw(st.sampled_from([100, 200, 500])),
        caps=Caps(draw(st.sampled_from([D(0), D(2), D(10)])), draw(caps), draw(caps)),
        spent_today_quote=draw(amounts),
        budget_quote=draw(caps),
        committed_quote=draw(amounts),
        wanted_quote=draw(st.one_of(st.none(), amounts)),
        fee_bps=draw(st.sampled_from([0, 10, 75])),
    )


@given(requests(), st.integers(20, 2_000))
def test_size_for_any_request_keeps_within_risk_and_every_cap(wanted: SizeRequest, stop_bps: int) -> None:
    levels = Levels(wanted.price.shifted_bps(-stop_bps), wanted.price.shifted_bps(600), step("levels"))
    answer = size_entry(wanted, levels)
    if isinstance(answer, TooSmall):
        assert answer.allowed < answer.minimum
        return
    amount = answer.spend.amount
    assert 0 <= amount <= wanted.available.amount / 10
    for cap in (wanted.budget_quote and wanted.budget_quote - wanted.committed_quote, wanted.caps.max_order_quote):
        assert cap is None or amount <= cap
    assert amount % D("0.01") == 0
    assert amount >= wanted.caps.min_order_quote
    is_raised = dict(answer.working[2].values)["raised"] == "yes"
    risk = wanted.available.amount * wanted.risk_bps / 10_000
    assert is_raised or amount <= (risk if wanted.wanted_quote is None else wanted.wanted_quote)
    assert answer.order_quantity.value * wanted.price.value <= amount
    if amount > 0:
        checked = check(answer.spend, wanted.caps, wanted.spent_today_quote, wanted.available)
        assert checked == Approved(answer.spend)


@given(requests(), st.integers(20, 2_000))
def test_size_for_any_request_can_be_sold_five_percent_below_the_stop(wanted: SizeRequest, stop_bps: int) -> None:
    """order-protocol.md section 5."""
    stop = wanted.price.shifted_bps(-stop_bps)
    answer = size_entry(wanted, Levels(stop, wanted.price.shifted_bps(600), step("levels")))
    if isinstance(answer, Sized):
        assert is_exit_possible(wanted.instrument, answer.expected_quantity, stop)
