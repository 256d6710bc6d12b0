"""Mandates and market views refuse contradictory limits."""

from __future__ import annotations

import pytest
from tests.support.core_builders import D, mandate

from tradewind.core.analysis import UNKNOWN_VIEW, MarketView, Regime
from tradewind.core.errors import InvalidInput
from tradewind.core.mandate import RiskLevel


def test_risk_levels_are_one_two_and_five_percent() -> None:
    assert [level.bps for level in RiskLevel] == [100, 200, 500]


def test_mandate_defaults_are_three_and_six_percent_and_three_positions() -> None:
    default = mandate()
    assert (default.stop_bps, default.target_bps, default.max_open_positions) == (300, 600, 3)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stop_bps": 10}, "mandate_stop"),
        ({"max_stop_bps": 200}, "mandate_stop"),
        ({"max_stop_bps": 10_000}, "mandate_stop"),
        ({"min_stop_bps": 0}, "mandate_stop"),
        ({"target_bps": 5}, "mandate_target"),
        ({"min_target_bps": 0}, "mandate_target"),
        ({"max_open_positions": 0}, "mandate_positions"),
        ({"budget_quote": D(0)}, "mandate_budget"),
        ({"trailing_bps": 10_000}, "mandate_trailing"),
        ({"time_exit_s": 0}, "mandate_time_exit"),
    ],
)
def test_mandate_when_limits_contradict_then_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mandate(**changes)
    assert refused.value.code == code


def test_unknown_view_has_no_score() -> None:
    assert (UNKNOWN_VIEW.regime, UNKNOWN_VIEW.score) == (Regime.UNKNOWN, None)


@pytest.mark.parametrize("score", ["-0.1", "100.1"])
def test_market_view_when_score_out_of_range_then_refused(score: str) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        MarketView(Regime.NEUTRAL, D(score))
