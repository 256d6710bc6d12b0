"""What protection a lot wants, when a watch fires, and the one state a position is in."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import D, btcusdt, empty_lot, lot_of, price, quantity

from tradewind.core.money import Price
from tradewind.core.position import Lot
from tradewind.core.protection import (
    WATCH_PRICE_AGE_MS_MAX,
    DustLeft,
    ExitCause,
    MarketNow,
    Means,
    Native,
    NothingWanted,
    OcoWanted,
    PositionState,
    ProtectionFacts,
    StopOnly,
    UnprotectedReason,
    WatchOnly,
    classify,
    has_risen,
    raise_price,
    trailed,
    wanted_protection,
)

OCO, STOP, WATCHED = Means(Native.OCO), Means(Native.STOP), Means(Native.WATCHED)


def lot(amount: str = "0.010305", *, stop: str | None = "48500", target: str | None = "53000") -> Lot:
    return lot_of(f"{amount} BTC @ 50000", stop=stop, target=target)


def test_wanted_when_venue_has_oco_then_oco_with_rounded_quantity() -> None:
    wanted = wanted_protection(lot(), btcusdt(), price(50_100), OCO)
    assert wanted == OcoWanted(quantity("0.0103"), price(48_500), price(53_000))


@pytest.mark.parametrize(
    ("means", "kind"),
    [
        (STOP, StopOnly),
        (WATCHED, WatchOnly),
        (Means(Native.OCO, free_slots=0), WatchOnly),
        (Means(Native.STOP, free_slots=0), WatchOnly),
        (Means(Native.OCO, free_slots=1), OcoWanted),
    ],
)
def test_wanted_walks_down_the_ladder(means: Means, kind: type) -> None:
    """order-protocol.md section 5."""
    wanted = wanted_protection(lot(), btcusdt(), price(50_100), means)
    assert isinstance(wanted, kind)
    assert not isinstance(wanted, NothingWanted)
    assert wanted.quantity == quantity("0.0103")


def test_wanted_when_symbol_takes_no_oco_then_native_stop_and_watched_target() -> None:
    wanted = wanted_protection(lot(), replace(btcusdt(), has_oco=False), price(50_100), OCO)
    assert wanted == StopOnly(quantity("0.0103"), price(48_500), price(53_000))


def test_wanted_when_only_a_stop_or_only_a_target_is_set() -> None:
    assert wanted_protection(lot(target=None), btcusdt(), None, OCO) == StopOnly(
        quantity("0.0103"), price(48_500), None
    )
    assert wanted_protection(lot(stop=None), btcusdt(), None, OCO) == WatchOnly(quantity("0.0103"), None, price(53_000))


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        ("48500", ExitCause.STOP),
        ("48499.99", ExitCause.STOP),
        ("53000", ExitCause.TARGET),
        ("60000", ExitCause.TARGET),
    ],
)
@pytest.mark.parametrize("means", [OCO, STOP, WATCHED])
def test_wanted_when_price_is_already_beyond_then_market_now(now: str, cause: ExitCause, means: Means) -> None:
    """order-protocol.md section 5."""
    assert wanted_protection(lot(), btcusdt(), price(now), means) == MarketNow(quantity("0.0103"), cause)


def test_wanted_when_price_is_unknown_then_never_a_market_sale() -> None:
    assert isinstance(wanted_protection(lot(), btcusdt(), None, OCO), OcoWanted)


@pytest.mark.parametrize("amount", ["0.0001", "0.00010", "0.000001"])
def test_wanted_when_too_little_for_the_venue_then_dust(amount: str) -> None:
    """order-protocol.md section 5."""
    wanted = wanted_protection(lot(amount), btcusdt(), price(50_000), OCO)  # at most 4.85 USDT at the stop
    assert wanted == DustLeft(quantity(amount))


def test_wanted_when_just_enough_at_the_stop_then_protected() -> None:
    assert isinstance(wanted_protection(lot("0.00011"), btcusdt(), price(50_000), OCO), OcoWanted)


def test_wanted_when_nothing_is_held_or_no_level_set_then_nothing() -> None:
    assert wanted_protection(empty_lot(), btcusdt(), price(1), OCO) == NothingWanted()
    assert wanted_protection(lot(stop=None, target=None), btcusdt(), price(1), OCO) == NothingWanted()


@given(
    st.decimals(min_value=D("0.00000001"), max_value=D(10), places=8),
    st.decimals(min_value=D(1), max_value=D(100_000), places=2),
    st.sampled_from([OCO, STOP, WATCHED, Means(Native.OCO, 0)]),
)
def test_wanted_for_any_lot_never_sells_more_than_is_held(amount: Decimal, now: Decimal, means: Means) -> None:
    wanted = wanted_protection(lot(str(amount)), btcusdt(), Price(now), means)
    assert not isinstance(wanted, NothingWanted)
    assert wanted.quantity.value <= amount
    if isinstance(wanted, OcoWanted):
        assert wanted.stop.value < now < wanted.target.value  # Binance refuses any other layout


def test_trailed_follows_the_peak_up_and_never_down() -> None:
    moving = replace(lot(), trailing_bps=200)
    up = trailed(moving, btcusdt(), price(52_000))
    assert (up.peak, up.stop) == (price(52_000), price(50_960))
    down = trailed(up, btcusdt(), price(51_000))
    assert (down.peak, down.stop) == (price(52_000), price(50_960))


def test_trailed_when_wider_than_the_stop_then_the_stop_stays() -> None:
    wide = trailed(replace(lot(), trailing_bps=5_000), btcusdt(), price(50_500))
    assert wide.stop == price(48_500)


def test_trailed_without_a_distance_then_unchanged() -> None:
    assert trailed(lot(), btcusdt(), price(60_000)) == lot()


def facts(**changes: object) -> ProtectionFacts:
    base = ProtectionFacts(
        is_credential_usable=True,
        is_trading=True,
        is_dust=False,
        has_levels=True,
        is_native_live=False,
        is_watch_armed=True,
        price_age_ms=1_000,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({}, "protected_watched", None),
        ({"price_age_ms": WATCH_PRICE_AGE_MS_MAX}, "protected_watched", None),
        ({"price_age_ms": WATCH_PRICE_AGE_MS_MAX + 1}, "unprotected", UnprotectedReason.NO_PRICE),
        ({"price_age_ms": None}, "unprotected", UnprotectedReason.NO_PRICE),
        ({"is_watch_armed": False}, "unprotected", UnprotectedReason.NOT_ARMED),
        ({"has_levels": False}, "unprotected", UnprotectedReason.NO_LEVELS),
        ({"is_native_live": True, "price_age_ms": None, "is_watch_armed": False}, "protected_native", None),
        ({"is_native_live": True, "is_blocked_by_user": True}, "protected_native", None),
        ({"is_blocked_by_user": True}, "blocked_by_your_order", None),
        ({"is_removed_by_user": True}, "unprotected_by_you", None),
        ({"is_trading": False, "is_native_live": True}, "halted", None),
        ({"is_dust": True, "is_native_live": True}, "dust", None),
        ({"is_credential_usable": False, "is_native_live": True, "is_dust": True}, "blind", None),
    ],
)
def test_classify_names_the_one_state(changes: dict[str, object], state: str, reason: UnprotectedReason | None) -> None:
    """order-protocol.md section 5."""
    standing = classify(facts(**changes))
    assert (standing.state, standing.reason) == (PositionState(state), reason)


def test_classify_for_every_combination_is_protected_only_with_native_or_a_fresh_watch() -> None:
    """order-protocol.md section 5."""
    names = [name for name in ProtectionFacts.__slots__ if name != "price_age_ms"]
    seen = set()
    for flags in product([False, True], repeat=len(names)):
        for age in (None, 0, 9_999):
            case = ProtectionFacts(**dict(zip(names, flags, strict=True)), price_age_ms=age)
            standing = classify(case)
            seen.add(standing.state)
            assert (standing.reason is not None) == standing.state.is_alarmed
            if standing.state.is_protected:
                assert case.is_credential_usable
                assert case.is_native_live or (case.is_watch_armed and age == 0 and case.has_levels)
    assert seen == set(PositionState)


def test_trailed_when_the_tick_is_coarser_than_the_distance_then_the_stop_stays_below_the_price() -> None:
    coarse = replace(btcusdt(), tick=Decimal(1_000))
    moving = replace(lot(stop="48000"), trailing_bps=10)
    assert trailed(moving, coarse, price(50_000)).stop == price(48_000)


@given(
    stop=st.integers(40_000_00, 49_999_00),
    bps=st.integers(10, 2_000),
    step=st.integers(1, 200),
    peak=st.integers(50_000_00, 60_000_00),
)
def test_raise_price_is_the_lowest_tick_at_which_the_stop_has_gone_up_by_a_step(
    stop: int, bps: int, step: int, peak: int
) -> None:
    """order-protocol.md section 5: a trailing stop moves in steps and is never loosened."""
    cent = Decimal("0.01")
    moving = replace(lot(), stop=Price(stop * cent), peak=Price(peak * cent), trailing_bps=bps)
    at = raise_price(moving, btcusdt(), step)
    assert at is not None
    after = trailed(moving, btcusdt(), at)
    assert after.stop is not None
    assert moving.stop is not None
    assert after.stop >= moving.stop
    below = Price(at.value - cent)
    if moving.peak is not None and below > moving.peak:
        lower = trailed(moving, btcusdt(), below)
        assert lower.stop is not None
        # Rounding the stop up to the tick may win the step one tick early, never late.
        assert has_risen(after.stop, moving.stop, step)
        assert not has_risen(Price(lower.stop.value - cent), moving.stop, step)
