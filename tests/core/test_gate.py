"""The gate: every reason by kind and environment, its texts, and that it is monotone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import USDC, open_gate

from tradewind.core.gate import CONCERNS, Closed, CredentialState, GateInputs, Open, gate
from tradewind.core.gate_text import TEXTS, GateCode
from tradewind.core.instrument import Environment
from tradewind.core.order import GateKind

# reason: (what makes it fail, environments it concerns: P paper, T testnet, L live, does it close exits)
TABLE: dict[str, tuple[dict[str, object], str, bool]] = {
    "trading_enabled": ({"trading_enabled": False}, "PTL", False),
    "dry_run": ({"is_dry_run": True}, "PTL", False),
    "emergency_stop": ({"is_stopped": True}, "PTL", False),
    "paused": ({"is_paused": True}, "PTL", False),
    "suspended": ({"is_suspended": True}, "PTL", False),
    "no_subscription": ({"has_subscription": False}, "PTL", False),
    "venue_unhealthy": ({"is_venue_healthy": False}, "PTL", False),
    "account_disabled": ({"is_account_disabled": True}, "PTL", False),
    "no_funds": ({"has_funds": False}, "PTL", False),
    "credential_missing": ({"credential": CredentialState.MISSING}, "PTL", True),
    "credential_refused": ({"credential": CredentialState.REFUSED}, "PTL", True),
    "no_trade_right": ({"credential": CredentialState.NO_TRADE_RIGHT}, "PTL", True),
    "credential_unverified": ({"credential": CredentialState.UNVERIFIED}, "TL", False),
    "allow_live": ({"allow_live": False}, "L", False),
    "live_confirm_token": ({"has_live_token": False}, "L", False),
    "confirmation": ({"has_confirmed_live": False}, "L", False),
    "second_factor": ({"has_second_factor": False}, "L", False),
    "reconciling": ({"is_reconciling": True}, "PTL", False),
}
LETTERS = {"P": Environment.PAPER, "T": Environment.TESTNET, "L": Environment.LIVE}


def test_table_of_reasons_is_complete() -> None:
    assert set(TABLE) == set(GateCode) == set(CONCERNS) == set(TEXTS)


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("kind", GateKind)
def test_gate_when_nothing_speaks_against_then_open(kind: GateKind, environment: Environment) -> None:
    assert gate(kind, open_gate(environment)) == Open()


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("kind", GateKind)
@pytest.mark.parametrize("name", TABLE)
def test_gate_for_each_single_reason_follows_the_table(name: str, kind: GateKind, environment: Environment) -> None:
    """order-protocol.md section 6."""
    failing, letters, closes_exits = TABLE[name]
    answer = gate(kind, open_gate(environment, **failing))
    concerned = environment in {LETTERS[letter] for letter in letters}
    if concerned and (kind is GateKind.ENTRY or closes_exits):
        assert isinstance(answer, Closed)
        assert answer.codes == {GateCode(name)}
    else:
        assert answer == Open()


def test_gate_when_inputs_are_the_defaults_then_live_entry_names_every_missing_step() -> None:
    answer = gate(GateKind.ENTRY, GateInputs(environment=Environment.LIVE, venue_label="Binance"))
    assert isinstance(answer, Closed)
    assert answer.codes == {
        GateCode.CREDENTIAL_MISSING,
        GateCode.TRADING_ENABLED,
        GateCode.SUBSCRIPTION,
        GateCode.VENUE,
        GateCode.ALLOW_LIVE,
        GateCode.LIVE_TOKEN,
        GateCode.CONFIRMATION,
        GateCode.SECOND_FACTOR,
    }


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"trading_enabled": False},
            "Trading is disabled. Set TRADEWIND_TRADING_ENABLED=true to enable it.",
        ),
        (
            {"credential": CredentialState.MISSING},
            "Binance API credentials are not configured for live.",
        ),
        ({"has_funds": False, "quote": USDC}, "No USDC available for trading."),
        (
            {"is_stopped": True, "stopped_since": "14:00 KST", "stopped_by": "operator"},
            "Emergency stop is on since 14:00 KST (operator). Entries go on when it is lifted.",
        ),
        (
            {"has_subscription": False, "subscription_ended_on": "2026-11-01"},
            "No active subscription (ended: 2026-11-01). Exits go on; entries wait until you renew it.",
        ),
        (
            {"is_suspended": True, "suspended_until": "2026-12-01", "suspension_reason": "chargeback"},
            "Suspended until 2026-12-01: chargeback. Ask the operator.",
        ),
        (
            {"is_venue_healthy": False, "venue_silent_s": 41},
            "Binance has not answered for 41 s. Entries reopen by themselves when it does.",
        ),
    ],
)
def test_gate_reason_reads_as_documented(changes: dict[str, object], text: str) -> None:
    answer = gate(GateKind.ENTRY, open_gate(**changes))
    assert isinstance(answer, Closed)
    assert [reason.text() for reason in answer.reasons] == [text]


@pytest.mark.parametrize("name", TABLE)
def test_gate_reason_has_both_languages_with_every_value_filled_in(name: str) -> None:
    failing = TABLE[name][0]
    answer = gate(GateKind.ENTRY, open_gate(Environment.LIVE, **failing))
    assert isinstance(answer, Closed)
    for reason in answer.reasons:
        english, korean = reason.text("en"), reason.text("ko")
        assert english.isascii()
        assert any("가" <= letter <= "힣" for letter in korean)
        assert "{" not in english + korean


def test_gate_reason_when_a_value_contains_braces_then_text_is_still_made() -> None:
    answer = gate(GateKind.ENTRY, open_gate(is_suspended=True, suspension_reason="see {rule 3}"))
    assert isinstance(answer, Closed)
    assert "see {rule 3}" in answer.reasons[0].text()


FAILURES = [(name, failing) for name, (failing, _, _) in TABLE.items()]


@given(
    st.sampled_from(Environment),
    st.sampled_from(GateKind),
    st.lists(st.sampled_from(FAILURES), max_size=8),
    st.sampled_from(FAILURES),
)
def test_gate_when_one_more_reason_is_added_then_it_never_opens(
    environment: Environment,
    kind: GateKind,
    failures: list[tuple[str, dict[str, object]]],
    extra: tuple[str, dict[str, object]],
) -> None:
    inputs = open_gate(environment)
    for _, failing in failures:
        inputs = replace(inputs, **failing)  # type: ignore[arg-type]
    before = gate(kind, inputs)
    worse = gate(kind, replace(inputs, **extra[1]))  # type: ignore[arg-type]
    # A credential has one state: replacing it by another is not one more reason.
    if isinstance(before, Closed) and "credential" not in extra[1]:
        assert isinstance(worse, Closed)
        assert before.codes <= worse.codes
