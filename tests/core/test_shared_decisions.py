"""What accounts have in common is worked out once, and every account is decided as if it were alone."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import NOW, after, btcusdt, candidate, exposure, mandate, money, open_gate, signal

from tradewind.core.analysis import UNKNOWN_VIEW, MarketView, Regime
from tradewind.core.decision import Candidate, Exposure, Shared, decide
from tradewind.core.instrument import Environment, Instrument, InstrumentStatus
from tradewind.core.mandate import Mandate, RiskLevel
from tradewind.core.money import Price
from tradewind.core.plan import DEFAULT_PLANS, PlanName
from tradewind.core.risk import Caps
from tradewind.core.signal import Action, Signal, SizeKind

# A few objects that accounts share, as the engine hands them in, and equal ones that they do not.
_GATES = [
    open_gate(Environment.PAPER),
    open_gate(Environment.PAPER),
    open_gate(Environment.PAPER, is_paused=True),
    open_gate(Environment.PAPER, is_dry_run=True),
    open_gate(Environment.PAPER, is_venue_healthy=False, is_stopped=True),
]
_MARKETS: list[Instrument | None] = [btcusdt(), btcusdt(), None]
_PRICES = [Price(Decimal(100_000)), Price(Decimal(100_000)), Price(Decimal("99999.5")), Price(Decimal(103_000)), None]
_CAPS = [Caps(Decimal(10)), Caps(Decimal(10), Decimal(15)), Caps(Decimal(50), None, Decimal(60))]
_CLOSED = Instrument(**{**{n: getattr(btcusdt(), n) for n in Instrument.__slots__}, "status": InstrumentStatus.HALTED})

mandates = st.builds(
    mandate,
    risk=st.sampled_from(RiskLevel),
    stop_bps=st.sampled_from([300, 500]),
    budget_quote=st.sampled_from([None, Decimal(30), Decimal(1_000)]),
    follows_source_size=st.booleans(),
    allows_adding=st.booleans(),
    is_enabled=st.sampled_from([True, True, True, False]),
)
candidates = st.builds(
    candidate,
    gate=st.sampled_from(_GATES),
    instrument=st.sampled_from([*_MARKETS, _CLOSED]),
    price=st.sampled_from(_PRICES),
    caps=st.sampled_from(_CAPS),
    plan=st.sampled_from([DEFAULT_PLANS[PlanName.PRO], DEFAULT_PLANS[PlanName.TRIAL]]),
    fee_bps=st.sampled_from([10, 25]),
)
exposures = st.builds(
    exposure,
    free_quote=st.one_of(st.none(), st.integers(0, 5_000).map(lambda amount: money(f"{amount}.37 USDT"))),
    committed_quote=st.sampled_from([Decimal(0), Decimal(20)]),
    pending_quote=st.sampled_from([Decimal(0), Decimal(40)]),
    spent_today_quote=st.sampled_from([Decimal(0), Decimal(55)]),
    weekly_entries_used=st.integers(0, 4),
    has_position_from_source=st.booleans(),
)
signals = st.builds(
    signal,
    action=st.sampled_from([Action.OPEN, Action.OPEN, Action.OPEN, Action.CLOSE]),
    price=st.sampled_from([None, Price(Decimal(98_000))]),
    stop=st.sampled_from([None, Price(Decimal(97_000)), Price(Decimal(101_000))]),
    size=st.just(Decimal(30)),
    size_kind=st.sampled_from([SizeKind.QUOTE, SizeKind.PERCENT]),
)
_VIEWS = [UNKNOWN_VIEW, MarketView(Regime.RISK_OFF, Decimal(0)), MarketView(Regime.RISK_ON, Decimal(80))]


@given(signals, st.sampled_from(_VIEWS), st.lists(st.tuples(mandates, candidates, exposures), min_size=1, max_size=12))
def test_decide_when_accounts_share_what_is_equal_then_each_is_decided_as_if_it_were_alone(
    said: Signal, view: MarketView, accounts: list[tuple[Mandate, Candidate, Exposure]]
) -> None:
    """order-protocol.md section 3.1: one Decision an account, whoever else the signal concerns."""
    shared = Shared()
    for each, known, bound in accounts:
        together = decide(said, view, each, known, bound, now=after(5), shared=shared)
        alone = decide(said, view, each, known, bound, now=after(5))
        assert together == alone


def test_decide_when_a_fact_is_gone_then_what_takes_its_place_in_memory_is_not_taken_for_it() -> None:
    """What is known again by being the same object is kept, so that no other object can become it."""
    shared, said = Shared(), signal()
    for number in range(200):
        closed = open_gate(Environment.PAPER, is_paused=number % 2 == 0)
        answer = decide(said, UNKNOWN_VIEW, mandate(), candidate(gate=closed), exposure(), now=NOW, shared=shared)
        assert (type(answer).__name__ == "Skip") == closed.is_paused
