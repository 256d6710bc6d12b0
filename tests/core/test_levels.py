"""Stop and target: the source's within the mandate's limits, else the mandate's."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import KRW, USDC, D, btcusdt, mandate, price, signal

from tradewind.core.levels import Levels, NoLevels, entry_levels
from tradewind.core.money import Price
from tradewind.core.skip import SkipReason


def levels(now: str = "100000", *, limits: dict[str, object] | None = None, **changes: object) -> Levels | NoLevels:
    return entry_levels(signal(**changes), mandate(**(limits or {})), btcusdt(), price(now))


def both(answer: Levels | NoLevels) -> tuple[str, str]:
    assert isinstance(answer, Levels)
    return str(answer.stop), str(answer.target)


def test_entry_levels_when_signal_has_none_then_the_mandate_percentages() -> None:
    assert both(levels()) == ("97000", "106000")
    assert both(levels(limits={"stop_bps": 100, "target_bps": 250})) == ("99000", "102500")


def test_entry_levels_when_signal_has_them_then_obeyed() -> None:
    assert both(levels(stop=price(96_500), targets=(price(104_000), price(110_000)))) == ("96500", "104000")
    assert both(levels(stop_bps=150, target_bps=400)) == ("98500", "104000")


def test_entry_levels_when_beyond_the_limits_then_moved_to_the_limit() -> None:
    wide = levels(stop=price(50_000), targets=(price(900_000),), limits={"max_stop_bps": 1000, "max_target_bps": 2000})
    assert both(wide) == ("90000", "120000")
    tight = levels(stop=price("99999"), targets=(price("100001"),), limits={"min_stop_bps": 50, "min_target_bps": 50})
    assert both(tight) == ("99500", "100500")


@pytest.mark.parametrize("stop", ["100000", "100000.01", "120000"])
def test_entry_levels_when_stop_is_not_below_the_price_then_refused(stop: str) -> None:
    answer = levels(stop=price(stop))
    assert isinstance(answer, NoLevels)
    assert answer.reason is SkipReason.STOP_PASSED


@pytest.mark.parametrize("target", ["100000", "99999", "5"])
def test_entry_levels_when_target_is_not_above_the_price_then_refused(target: str) -> None:
    answer = levels(targets=(price(target), price(200_000)))
    assert isinstance(answer, NoLevels)
    assert answer.reason is SkipReason.TARGET_PASSED


def test_entry_levels_when_signal_is_in_won_then_its_distances_count() -> None:
    won = levels(quote=KRW, price=price(150_000_000), stop=price(147_000_000), targets=(price(156_000_000),))
    assert both(won) == ("98000", "104000")


def test_entry_levels_when_signal_is_in_won_without_price_then_the_mandate_percentages() -> None:
    assert both(levels(quote=KRW, stop=price(147_000_000), targets=(price(156_000_000),))) == ("97000", "106000")


def test_entry_levels_when_signal_is_in_another_dollar_then_prices_count() -> None:
    assert both(levels(quote=USDC, price=price(100_500), stop=price(98_000), targets=(price(103_000),))) == (
        "98000",
        "103000",
    )


def test_entry_levels_round_stop_up_and_target_down_to_the_tick() -> None:
    odd = levels("100000.07")
    assert isinstance(odd, Levels)
    assert odd.stop == price("97000.07")  # 97000.0679 up
    assert odd.target == price("106000.07")  # 106000.0742 down


def test_entry_levels_when_tick_is_coarse_then_stop_stays_below_and_target_above() -> None:
    coarse = replace(btcusdt(), tick=D(10))
    answer = entry_levels(signal(), mandate(), coarse, price(100))
    assert isinstance(answer, Levels)
    assert (answer.stop, answer.target) == (price(90), price(110))


def test_entry_levels_when_no_tick_fits_below_the_price_then_refused() -> None:
    coarse = replace(btcusdt(), tick=D(10))
    answer = entry_levels(signal(), mandate(), coarse, price(10))
    assert isinstance(answer, NoLevels)
    assert answer.reason is SkipReason.NO_ROOM_FOR_STOP


positive = st.decimals(min_value=D("0.0001"), max_value=D(10_000_000), places=4)


@given(
    positive,
    st.one_of(st.none(), positive),
    st.one_of(st.none(), positive),
    st.sampled_from([D("0.01"), D("0.0001"), D(1), D(100)]),
)
def test_entry_levels_for_any_signal_lie_on_ticks_around_the_price(
    now: Decimal, stop: Decimal | None, target: Decimal | None, tick: Decimal
) -> None:
    wanted = signal(stop=None if stop is None else Price(stop), targets=() if target is None else (Price(target),))
    answer = entry_levels(wanted, mandate(), replace(btcusdt(), tick=tick), Price(now))
    if isinstance(answer, NoLevels):
        return
    assert answer.stop.value < now < answer.target.value
    assert answer.stop.value % tick == 0
    assert answer.target.value % tick == 0
    assert answer.stop.value >= now * D("0.8") - tick
