"""Decisions: every skip reason, exits that nothing blocks, confidence, and the working."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import (
    ETH,
    KRW,
    NOW,
    D,
    after,
    btcusdt,
    candidate,
    exposure,
    mandate,
    money,
    open_gate,
    price,
    quantity,
    signal,
)

from tradewind.core.analysis import UNKNOWN_VIEW, MarketView, Regime
from tradewind.core.decision import (
    MIN_CONFIDENCE_PCT,
    Candidate,
    Exposure,
    Place,
    Skip,
    Verdict,
    decide,
    reason_text,
    working_json,
)
from tradewind.core.gate import CredentialState
from tradewind.core.gate_text import GateCode
from tradewind.core.instrument import Environment, InstrumentStatus
from tradewind.core.mandate import Mandate, RiskLevel
from tradewind.core.plan import DEFAULT_PLANS, PlanName
from tradewind.core.risk import Caps
from tradewind.core.signal import Action, Signal, SizeKind
from tradewind.core.skip import SkipReason

PAPER = Environment.PAPER
CLOSE = signal(action=Action.CLOSE)


def run(
    *,
    said: Signal | None = None,
    view: MarketView = UNKNOWN_VIEW,
    obeys: Mandate | None = None,
    who: Candidate | None = None,
    bound: Exposure | None = None,
) -> Place | Skip:
    return decide(
        said or signal(), view, obeys or mandate(), who or candidate(), bound or exposure(), now=after(1), max_age_s=60
    )


def test_decide_when_all_is_well_then_a_sized_buy() -> None:
    answer = run()
    assert isinstance(answer, Place)
    assert (answer.verdict, answer.confidence_pct) == (Verdict.BUY, 60)
    assert answer.entry is not None
    assert (str(answer.entry.spend), str(answer.entry.stop), str(answer.entry.target)) == ("20 USDT", "97000", "106000")


SKIPS: dict[str, dict[str, object]] = {
    "mandate_off": {"obeys": mandate(is_enabled=False)},
    "mandate_damaged": {"obeys": mandate(is_damaged=True)},
    "stopped": {"who": candidate(gate=open_gate(PAPER, is_stopped=True, is_suspended=True, is_paused=True))},
    "paused": {"who": candidate(gate=open_gate(PAPER, is_paused=True))},
    "suspended": {"who": candidate(gate=open_gate(PAPER, is_suspended=True, is_paused=True, has_subscription=False))},
    "no_subscription": {"who": candidate(gate=open_gate(PAPER, has_subscription=False, is_paused=True))},
    "gate_closed": {"who": candidate(gate=open_gate(PAPER, trading_enabled=False, is_venue_healthy=False))},
    "venue_unhealthy": {"who": candidate(gate=open_gate(PAPER, is_venue_healthy=False))},
    "stale": {"said": signal(alert_at=after(-60))},
    "superseded": {"bound": exposure(last_close_at=after(1))},
    "exchange_not_followed": {"who": candidate(follows_exchange=False)},
    "preferred_account_elsewhere": {"who": candidate(is_preferred=False)},
    "unknown_instrument": {"who": candidate(instrument=None)},
    "instrument_halted": {"who": candidate(instrument=replace(btcusdt(), status=InstrumentStatus.HALTED))},
    "no_price": {"who": candidate(price=None)},
    "already_open": {"bound": exposure(has_position_from_source=True)},
    "max_positions": {"bound": exposure(open_positions=2, pending_entries=1)},
    "weekly_limit": {
        "who": candidate(plan=DEFAULT_PLANS[PlanName.TRIAL]),
        "bound": exposure(weekly_entries_used=3),
    },
    "no_balance_known": {"bound": exposure(free_quote=None)},
    "insufficient_funds": {"bound": exposure(free_quote=money("50 USDT"), pending_quote=D(50))},
    "budget_used": {"obeys": mandate(budget_quote=D(100)), "bound": exposure(committed_quote=D(95))},
    "day_limit": {"who": candidate(caps=Caps(D(10), None, D(100))), "bound": exposure(spent_today_quote=D(95))},
    "too_small": {"bound": exposure(free_quote=money("99 USDT"))},
    "size_not_followed": {
        "obeys": mandate(follows_source_size=True),
        "said": signal(quote=KRW, size=D(100_000), size_kind=SizeKind.QUOTE),
    },
    "stop_passed": {"said": signal(stop=price(100_000))},
    "target_passed": {"said": signal(targets=(price(100_000),))},
    "no_room_for_stop": {"who": candidate(instrument=replace(btcusdt(), tick=D(10)), price=price(10))},
    "hold": {"view": MarketView(Regime.RISK_OFF)},
    "nothing_held": {"said": CLOSE},
}


def test_skip_cases_cover_every_reason() -> None:
    # The book is looked at for all accounts together, after each has been decided (test_depth.py).
    assert set(SKIPS) == set(SkipReason) - {SkipReason.TOO_LARGE_FOR_THE_BOOK}


@pytest.mark.parametrize("name", SKIPS)
def test_decide_for_each_skip_reason_says_that_reason(name: str) -> None:
    answer = run(**SKIPS[name])  # type: ignore[arg-type]
    assert isinstance(answer, Skip)
    assert answer.reason is SkipReason(name)
    assert answer.verdict is Verdict.HOLD
    json.loads(working_json(answer.working))


@pytest.mark.parametrize("reason", SkipReason)
def test_skip_reason_reads_in_both_languages(reason: SkipReason) -> None:
    assert reason_text(reason).isascii()
    assert reason_text(reason).endswith(".")
    assert any("가" <= letter <= "힣" for letter in reason_text(reason, "ko"))


def test_skip_reasons_that_pass_are_those_of_missing_answers() -> None:
    assert {reason for reason in SkipReason if reason.is_passing} == {
        SkipReason.NO_BALANCE_KNOWN,
        SkipReason.NO_PRICE,
        SkipReason.VENUE_UNHEALTHY,
        SkipReason.INSTRUMENT_HALTED,
        SkipReason.TOO_LARGE_FOR_THE_BOOK,
        SkipReason.MANDATE_DAMAGED,
    }


def test_decide_without_mandate_then_entry_skipped_and_exit_placed() -> None:
    held = exposure(position_quantity=quantity("0.1"))
    entry = decide(signal(), UNKNOWN_VIEW, None, candidate(), held, now=NOW)
    assert isinstance(entry, Skip)
    assert entry.reason is SkipReason.MANDATE_OFF
    assert isinstance(decide(CLOSE, UNKNOWN_VIEW, None, candidate(), held, now=NOW), Place)


def test_decide_when_closing_then_placed_whatever_else_is_wrong() -> None:
    """Exits: no mandate, stale, risk off, every gate reason, no instrument, no price, no balance."""
    closed = open_gate(
        Environment.LIVE,
        trading_enabled=False,
        allow_live=False,
        is_suspended=True,
        has_subscription=False,
        is_stopped=True,
        is_venue_healthy=False,
        is_account_disabled=True,
        is_paused=True,
        is_dry_run=True,
        credential=CredentialState.REFUSED,
    )
    wrong = candidate(gate=closed, instrument=None, price=None, is_preferred=False, follows_exchange=False)
    held = Exposure(position_quantity=quantity("0.1"), weekly_entries_used=99, last_close_at=after(9))
    old = signal(action=Action.CLOSE, alert_at=after(-86_400))
    answer = decide(old, MarketView(Regime.RISK_OFF, D(0)), None, wrong, held, now=after(60))
    assert isinstance(answer, Place)
    assert (answer.verdict, answer.confidence_pct, answer.entry) == (Verdict.SELL, 100, None)
    assert dict(answer.working[1].values).keys() == {"credential_refused"}


def test_decide_when_closing_while_the_entry_is_on_its_way_then_placed() -> None:
    answer = run(said=CLOSE, bound=exposure(has_position_from_source=True))
    assert isinstance(answer, Place)
    assert dict(answer.working[0].values) == {"quantity": "0 BTC", "entry_on_its_way": "yes"}


def test_decide_when_gate_is_closed_then_every_reason_is_kept() -> None:
    answer = run(who=candidate(gate=open_gate(Environment.LIVE, allow_live=False, has_second_factor=False)))
    assert isinstance(answer, Skip)
    assert answer.reason is SkipReason.GATE_CLOSED
    assert [reason.code for reason in answer.gate_reasons] == [GateCode.ALLOW_LIVE, GateCode.SECOND_FACTOR]


def test_decide_when_venue_and_more_is_wrong_then_not_a_passing_reason() -> None:
    answer = run(who=candidate(gate=open_gate(PAPER, is_venue_healthy=False, trading_enabled=False)))
    assert isinstance(answer, Skip)
    assert not answer.reason.is_passing


def test_decide_when_no_funds_then_says_so() -> None:
    answer = run(who=candidate(gate=open_gate(PAPER, has_funds=False)))
    assert isinstance(answer, Skip)
    assert answer.reason is SkipReason.INSUFFICIENT_FUNDS
    assert answer.gate_reasons[0].text() == "No USDT available for trading."


def test_decide_in_dry_run_then_decided_in_full() -> None:
    assert isinstance(run(who=candidate(gate=open_gate(PAPER, is_dry_run=True))), Place)


@pytest.mark.parametrize(("seconds", "placed"), [(60, True), (61, False)])
def test_decide_without_a_given_age_then_sixty_seconds(seconds: int, placed: bool) -> None:
    answer = decide(signal(), UNKNOWN_VIEW, mandate(), candidate(), exposure(), now=after(seconds))
    assert isinstance(answer, Place) is placed


def test_decide_when_nothing_is_bound_by_default_then_only_the_balance_is_missing() -> None:
    answer = run(obeys=mandate(max_open_positions=1), bound=Exposure(free_quote=money("1000 USDT")))
    assert isinstance(answer, Place)


def test_decide_when_alert_and_close_carry_the_same_second_then_not_superseded() -> None:
    assert isinstance(run(said=signal(alert_at=NOW), bound=exposure(last_close_at=NOW)), Place)


def test_decide_when_adding_is_allowed_then_open_positions_do_not_block_it() -> None:
    held = exposure(has_position_from_source=True, open_positions=3, position_quantity=quantity("0.1"))
    assert isinstance(run(obeys=mandate(allows_adding=True), bound=held), Place)


@pytest.mark.parametrize(
    "unknown", [UNKNOWN_VIEW, MarketView(Regime.UNKNOWN, D(0)), MarketView(Regime.UNKNOWN, D(100))]
)
def test_confidence_when_view_is_unknown_then_neither_helped_nor_hurt(unknown: MarketView) -> None:
    answer = run(view=unknown)
    assert answer.confidence_pct == 60


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (MarketView(Regime.RISK_ON, D(100)), 90),
        (MarketView(Regime.RISK_ON), 75),
        (MarketView(Regime.NEUTRAL, D(50)), 60),
        (MarketView(Regime.RISK_OFF, D(20)), 42),
        (MarketView(Regime.RISK_OFF, D(0)), 30),
    ],
)
def test_confidence_follows_the_score(view: MarketView, expected: int) -> None:
    answer = run(view=view)
    assert answer.confidence_pct == expected
    assert isinstance(answer, Place) == (expected >= MIN_CONFIDENCE_PCT)


@pytest.mark.parametrize(
    ("then", "expected"), [("100000", 60), ("99600", 60), ("99400", 55), ("97000", 45), ("50000", 45), ("120000", 60)]
)
def test_confidence_when_price_ran_away_then_lower_but_never_alone_a_hold(then: str, expected: int) -> None:
    assert run(said=signal(price=price(then))).confidence_pct == expected


@pytest.mark.parametrize(("score", "confidence", "placed"), [("16.7", 40, True), ("15", 39, False)])
def test_confidence_of_forty_is_enough(score: str, confidence: int, placed: bool) -> None:
    answer = run(view=MarketView(Regime.RISK_OFF, D(score)))
    assert (answer.confidence_pct, isinstance(answer, Place)) == (confidence, placed)


@pytest.mark.parametrize(("now", "expected"), [("100500", 60), ("100500.01", 55), ("102000", 55), ("102000.01", 45)])
def test_confidence_at_the_edges_of_the_drift_steps(now: str, expected: int) -> None:
    answer = run(said=signal(price=price(100_000)), who=candidate(price=price(now)))
    assert answer.confidence_pct == expected


def test_confidence_when_signal_price_is_in_won_then_not_compared() -> None:
    assert run(said=signal(quote=KRW, price=price(1_000))).confidence_pct == 60


@pytest.mark.parametrize(
    ("kind", "amount", "spend"),
    [
        (SizeKind.PERCENT, "5", "50"),
        (SizeKind.PERCENT, "80", "100"),
        (SizeKind.BASE, "0.0004", "40"),
        (SizeKind.QUOTE, "33", "33"),
    ],
)
def test_size_when_the_source_is_followed_then_its_size_within_the_caps(
    kind: SizeKind, amount: str, spend: str
) -> None:
    said = signal(size=D(amount), size_kind=kind)
    answer = run(said=said, obeys=mandate(follows_source_size=True))
    assert isinstance(answer, Place)
    assert answer.entry is not None
    assert answer.entry.spend == money(f"{spend} USDT")
    own = run(said=said)
    assert isinstance(own, Place)
    assert own.entry is not None
    assert own.entry.spend == money("20 USDT")


def test_size_when_entries_are_on_their_way_then_their_spend_is_not_free() -> None:
    answer = run(bound=exposure(pending_quote=D(500)))
    assert isinstance(answer, Place)
    assert answer.entry is not None
    assert answer.entry.spend == money("10 USDT")


def test_working_of_a_placed_entry_shows_market_price_levels_balance_and_size() -> None:
    answer = run(said=signal(price=price(99_900)), obeys=mandate(risk=RiskLevel.HIGH))
    rows = json.loads(working_json(answer.working))
    assert [row["name"] for row in rows] == [
        "market",
        "price",
        "confidence",
        "levels",
        "balance",
        "wanted",
        "cap",
        "minimum",
        "spend",
    ]
    values = {row["name"]: row["values"] for row in rows}
    assert values["market"] == {"regime": "unknown", "score": "unknown", "confidence": "+0 %"}
    assert values["price"] == {"now": "100000 USDT", "over_signal": "0.10 %", "confidence": "+0 %"}
    assert values["levels"]["stop"] == "97000 USDT (-3.00 %, mandate)"
    assert values["wanted"] == {"available": "1000 USDT", "share": "5 %", "amount": "50 USDT"}
    assert values["spend"] == {"amount": "50 USDT", "quantity": "0.0005 BTC"}


def test_decide_when_signal_names_another_asset_then_instrument_decides() -> None:
    answer = run(said=signal(base=ETH, symbol_text="ETHUSDT"), who=candidate(instrument=None))
    assert dict(answer.working[0].values) == {"base": "ETH", "venue": "binance"}


amounts = st.decimals(min_value=0, max_value=D(100_000), places=2)


@given(
    amounts, amounts, amounts, st.one_of(st.none(), amounts.filter(bool)), st.sampled_from(RiskLevel), st.integers(0, 5)
)
def test_decide_for_any_exposure_places_within_every_limit(
    free: D, pending: D, committed: D, budget: D | None, risk: RiskLevel, positions: int
) -> None:
    bound = exposure(
        free_quote=money(f"{free} USDT"), pending_quote=pending, committed_quote=committed, open_positions=positions
    )
    answer = run(obeys=mandate(budget_quote=budget, risk=risk), bound=bound)
    if isinstance(answer, Place):
        assert answer.entry is not None
        spend = answer.entry.spend.amount
        assert positions < 3
        assert spend <= (free - pending) / 10
        assert budget is None or spend <= budget - committed
        assert spend >= 10


ENTRY_SKIPS = sorted(set(SKIPS) - {"nothing_held"})


@given(st.sampled_from(ENTRY_SKIPS), st.sampled_from(ENTRY_SKIPS))
def test_decide_when_two_things_are_wrong_then_still_skipped(first: str, second: str) -> None:
    both = {**SKIPS[first], **SKIPS[second]}
    assert isinstance(run(**both), Skip)  # type: ignore[arg-type]
