"""The decision: Place or Skip for one account and one signal, with its working (product.md D5, D7).

Rules of this file:
1. Pure and rule-based: the same facts give the same decision. Facts that can change are read once for a whole
   signal and handed in.
2. An EXIT is placed wherever something of the source is held or on its way; neither the market view, the
   gate, the plan nor a missing mandate stops it.
3. An entry is skipped for the FIRST reason in the order of `_entry`; the gate's reasons are all kept.
4. A market view that is UNKNOWN neither helps nor hurts.
5. A dry run is decided in full and denied at its claim, so the decision itself is not skipped for it (G8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from tradewind.core.analysis import MarketView, Regime
from tradewind.core.decision_values import Candidate, Exposure, Place, Skip, Verdict
from tradewind.core.gate import Closed, GateInputs, GateReason, gate
from tradewind.core.gate_text import GateCode
from tradewind.core.instrument import Instrument
from tradewind.core.levels import Levels, NoLevels, distances_of, entry_levels, is_comparable
from tradewind.core.mandate import Mandate
from tradewind.core.money import BPS, EXACT, ZERO, Money, Price, Quantity, plain
from tradewind.core.order import GateKind
from tradewind.core.plan import entries_left
from tradewind.core.risk import Refused, check
from tradewind.core.signal import Action, Signal, SizeKind, age_s, is_stale
from tradewind.core.sizing import CapName, SizeRequest, TooSmall, least_spend, size_entry
from tradewind.core.skip import SkipReason, reason_text
from tradewind.core.working import Step, Working, step, working_json

__all__ = [
    "Candidate",
    "Exposure",
    "Place",
    "Shared",
    "Skip",
    "SkipReason",
    "Step",
    "Verdict",
    "decide",
    "reason_text",
    "working_json",
]

# An entry below this confidence is a HOLD.
MIN_CONFIDENCE_PCT = 40
# Entries start here; the market view moves it by at most 30, a price that ran away by at most 15.
_BASE_CONFIDENCE_PCT = 60
_VIEW_SHARE = Decimal("0.6")
_REGIME_SCORES = {Regime.RISK_ON: Decimal(75), Regime.NEUTRAL: Decimal(50), Regime.RISK_OFF: Decimal(0)}
_DRIFT_STEPS = ((Decimal(200), -15), (Decimal(50), -5))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One decision's facts in one hand."""

    signal: Signal
    view: MarketView
    mandate: Mandate
    candidate: Candidate
    exposure: Exposure
    now: datetime
    max_age_s: int
    shared: Shared


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a market and a mandate's distances make of a signal, whoever trades it: an end, or levels and a minimum."""

    confidence: int
    looked: Working
    levels: Levels | None = None
    least: Decimal = ZERO
    skip: Skip | None = None


@dataclass(slots=True)
class Shared:
    """What the decisions of one signal have in common, worked out once; use it for one signal and one view.

    Facts are known again by being the same objects (which are kept here, so that no other takes their place): telling
    that two are equal would cost as much as the work that is saved. Facts that are equal and not the same are worked
    out twice.
    """

    _gates: dict[int, tuple[GateInputs, Skip | None]] = field(default_factory=dict)
    _frames: dict[tuple[object, ...], tuple[Instrument, Price, _Frame]] = field(default_factory=dict)

    def refusal(self, inputs: GateInputs) -> Skip | None:
        """Return why the gate lets no entry pass; None where it does."""
        known = self._gates.get(id(inputs))
        if known is None:
            known = self._gates[id(inputs)] = (inputs, _refused_by_gate(inputs))
        return known[1]

    def frame(self, case: _Case, instrument: Instrument, price: Price) -> _Frame:
        """Return what does not depend on who owns how much."""
        candidate = case.candidate
        key = (
            id(instrument),
            id(price),
            distances_of(case.mandate),
            candidate.caps.min_order_quote,
            candidate.fee_bps,
        )
        known = self._frames.get(key)
        if known is None:
            known = self._frames[key] = (instrument, price, _frame(case, instrument, price))
        return known[2]


def decide(
    signal: Signal,
    view: MarketView,
    mandate: Mandate | None,
    candidate: Candidate,
    exposure: Exposure,
    *,
    now: datetime,
    max_age_s: int = 60,
    shared: Shared | None = None,
) -> Place | Skip:
    """Decide one signal for one account; `mandate` None is an account that only holds lots of the source.

    `shared` is that of the signal's other decisions under the same view; without it everything is worked out anew,
    with the same answer.
    """
    if signal.action is Action.CLOSE:
        return _exit(signal, candidate, exposure)
    if mandate is None or not mandate.is_enabled:
        return Skip(SkipReason.MANDATE_OFF, (step("mandate", enabled="no"),))
    if mandate.is_damaged:
        return Skip(SkipReason.MANDATE_DAMAGED, (step("mandate", readable="no"),))
    case = _Case(
        signal=signal,
        view=view,
        mandate=mandate,
        candidate=candidate,
        exposure=exposure,
        now=now,
        max_age_s=max_age_s,
        shared=shared or Shared(),
    )
    return _entry(case)


def _exit(signal: Signal, candidate: Candidate, exposure: Exposure) -> Place | Skip:
    """All that the source opened here is sold; the quantity is fixed when the order is claimed."""
    held = step(
        "held",
        quantity=f"{exposure.position_quantity} {signal.base}",
        entry_on_its_way=_yes(exposure.has_position_from_source),
    )
    if not exposure.position_quantity.is_positive and not exposure.has_position_from_source:
        return Skip(SkipReason.NOTHING_HELD, (held,))
    answer = gate(GateKind.EXIT, candidate.gate)
    waits = _gate_step(answer.reasons) if isinstance(answer, Closed) else step("gate", answer="open")
    return Place(100, (held, waits))


def _entry(case: _Case) -> Place | Skip:
    refused = case.shared.refusal(case.candidate.gate) or _refused_by_signal(case) or _refused_by_exposure(case)
    if refused is not None:
        return refused
    # _refused_by_signal has seen to these; the type checker has not.
    instrument, price, free = case.candidate.instrument, case.candidate.price, case.exposure.free_quote
    assert instrument is not None
    assert price is not None
    assert free is not None
    frame = case.shared.frame(case, instrument, price)
    return frame.skip or _sized(case, frame)


def _frame(case: _Case, instrument: Instrument, price: Price) -> _Frame:
    confidence, looked = _confidence(case.signal, case.view, instrument, price)
    if confidence < MIN_CONFIDENCE_PCT:
        return _Frame(confidence, looked, skip=Skip(SkipReason.HOLD, looked, confidence_pct=confidence))
    levels = entry_levels(case.signal, case.mandate, instrument, price)
    if isinstance(levels, NoLevels):
        skip = Skip(levels.reason, (*looked, levels.working), confidence_pct=confidence)
        return _Frame(confidence, looked, skip=skip)
    candidate = case.candidate
    least = least_spend(instrument, price, levels.stop, candidate.caps.min_order_quote, candidate.fee_bps)
    return _Frame(confidence, looked, levels, least)


def _refused_by_gate(inputs: GateInputs) -> Skip | None:
    answer = gate(GateKind.ENTRY, inputs)
    if not isinstance(answer, Closed):
        return None
    reasons = tuple(reason for reason in answer.reasons if reason.code is not GateCode.DRY_RUN)
    if not reasons:
        return None
    codes = {reason.code for reason in reasons}
    named = next((skip for code, skip in _NAMED_REASONS if code in codes), None)
    if named is None:
        named = SkipReason.GATE_CLOSED
        # A single passing reason is itself passing; together with a lasting one it is not.
        if len(codes) == 1:
            named = _LONE_REASONS.get(next(iter(codes)), named)
    return Skip(named, (_gate_step(reasons),), gate_reasons=reasons)


_NAMED_REASONS = (
    (GateCode.STOP, SkipReason.STOPPED),
    (GateCode.SUSPENDED, SkipReason.SUSPENDED),
    (GateCode.SUBSCRIPTION, SkipReason.NO_SUBSCRIPTION),
    (GateCode.PAUSED, SkipReason.PAUSED),
)
_LONE_REASONS = {GateCode.VENUE: SkipReason.VENUE_UNHEALTHY, GateCode.NO_FUNDS: SkipReason.INSUFFICIENT_FUNDS}


def _refused_by_signal(case: _Case) -> Skip | None:
    """Is it for this account, fresh, and tradable here?"""
    candidate, signal = case.candidate, case.signal
    if not candidate.is_preferred:
        return Skip(SkipReason.PREFERRED_ACCOUNT_ELSEWHERE, ())
    if not candidate.follows_exchange:
        return Skip(
            SkipReason.EXCHANGE_NOT_FOLLOWED, (step("exchange", named=signal.exchange or "none", here=candidate.venue),)
        )
    if is_stale(signal, case.now, case.max_age_s):
        return Skip(SkipReason.STALE, (step("age", age=f"{age_s(signal, case.now)} s", max=f"{case.max_age_s} s"),))
    last_close = case.exposure.last_close_at
    if last_close is not None and signal.dated_at < last_close:
        return Skip(
            SkipReason.SUPERSEDED, (step("times", opened=signal.dated_at.isoformat(), closed=last_close.isoformat()),)
        )
    instrument = candidate.instrument
    if instrument is None:
        return Skip(SkipReason.UNKNOWN_INSTRUMENT, (step("instrument", base=signal.base, venue=candidate.venue),))
    if not instrument.is_trading:
        return Skip(
            SkipReason.INSTRUMENT_HALTED, (step("instrument", symbol=instrument.symbol, status=instrument.status),)
        )
    if candidate.price is None:
        return Skip(SkipReason.NO_PRICE, (step("price", symbol=instrument.symbol, price="none"),))
    return None


def _refused_by_exposure(case: _Case) -> Skip | None:
    """Is there room for one more, and money?"""
    mandate, exposure, plan = case.mandate, case.exposure, case.candidate.plan
    is_adding = exposure.has_position_from_source
    if is_adding and not mandate.allows_adding:
        return Skip(
            SkipReason.ALREADY_OPEN, (step("position", quantity=f"{exposure.position_quantity} {case.signal.base}"),)
        )
    bound = exposure.open_positions + exposure.pending_entries
    if not is_adding and bound >= mandate.max_open_positions:
        return Skip(SkipReason.MAX_POSITIONS, (step("positions", open=f"{bound} of {mandate.max_open_positions}"),))
    if entries_left(plan, exposure.weekly_entries_used) == 0:
        used = f"{exposure.weekly_entries_used} of {plan.weekly_entries} entries"
        return Skip(SkipReason.WEEKLY_LIMIT, (step("week", plan=plan.name, used=used),))
    if exposure.free_quote is None:
        return Skip(SkipReason.NO_BALANCE_KNOWN, (step("balance", free="unknown"),))
    if _available(exposure.free_quote, exposure) <= ZERO:
        return Skip(SkipReason.INSUFFICIENT_FUNDS, (_free_step(exposure.free_quote, exposure),))
    return None


def _sized(case: _Case, frame: _Frame) -> Place | Skip:
    candidate, mandate, exposure = case.candidate, case.mandate, case.exposure
    instrument, price, free = candidate.instrument, candidate.price, exposure.free_quote
    assert instrument is not None
    assert price is not None
    assert free is not None
    levels, confidence, looked = frame.levels, frame.confidence, frame.looked
    assert levels is not None, "a frame without levels is a skip"
    available = Money(_available(free, exposure), free.asset)
    wanted, is_usable = _source_size(case, instrument, price, available)
    if not is_usable:
        said = step("size", source=f"{case.signal.size} {case.signal.size_kind} {case.signal.quote}")
        return Skip(SkipReason.SIZE_NOT_FOLLOWED, (*looked, said), confidence_pct=confidence)
    request = SizeRequest(
        instrument=instrument,
        price=price,
        available=available,
        risk_bps=mandate.risk.bps,
        caps=candidate.caps,
        spent_today_quote=exposure.spent_today_quote,
        budget_quote=mandate.budget_quote,
        committed_quote=exposure.committed_quote,
        wanted_quote=wanted,
        fee_bps=candidate.fee_bps,
    )
    looked = (*looked, levels.working, _free_step(free, exposure))
    sized = size_entry(request, levels, frame.least)
    working = (*looked, *sized.working)
    if isinstance(sized, TooSmall):
        return Skip(_BINDING_REASONS.get(sized.binding, SkipReason.TOO_SMALL), working, confidence_pct=confidence)
    checked = check(sized.spend, candidate.caps, exposure.spent_today_quote, available)
    # Sizing keeps within the caps; if it ever did not, the order must not leave.
    assert not isinstance(checked, Refused), checked
    return Place(confidence, working, sized)


_BINDING_REASONS = {CapName.BUDGET: SkipReason.BUDGET_USED, CapName.DAY: SkipReason.DAY_LIMIT}


def _source_size(case: _Case, instrument: Instrument, price: Price, available: Money) -> tuple[Decimal | None, bool]:
    """The source's size in our quote asset, and whether it can be used; (None, True) means our own size."""
    signal = case.signal
    if not case.mandate.follows_source_size or signal.size is None:
        return None, True
    match signal.size_kind:
        case SizeKind.PERCENT:
            return available.times(signal.size / 100).amount, True
        case SizeKind.BASE:
            return price.cost(Quantity(signal.size)), True
        case _:
            return signal.size, is_comparable(signal.quote, instrument.quote)


def _confidence(signal: Signal, view: MarketView, instrument: Instrument, price: Price) -> tuple[int, Working]:
    by_view = _view_points(view)
    drift_bps = _drift_bps(signal, instrument, price)
    by_drift = 0 if drift_bps is None else next((points for bps, points in _DRIFT_STEPS if drift_bps > bps), 0)
    total = max(0, min(100, _BASE_CONFIDENCE_PCT + by_view + by_drift))
    drift = "unknown" if drift_bps is None else f"{_two_places(drift_bps / 100)} %"
    return total, (
        step("market", regime=view.regime, score=_score_text(view), confidence=f"{by_view:+d} %"),
        step("price", now=f"{price} {instrument.quote}", over_signal=drift, confidence=f"{by_drift:+d} %"),
        step("confidence", start=f"{_BASE_CONFIDENCE_PCT} %", total=f"{total} %", least=f"{MIN_CONFIDENCE_PCT} %"),
    )


def _view_points(view: MarketView) -> int:
    if view.regime is Regime.UNKNOWN:
        return 0
    score = _REGIME_SCORES[view.regime] if view.score is None else view.score
    return int(((score - 50) * _VIEW_SHARE).to_integral_value(rounding=ROUND_HALF_EVEN))


def _drift_bps(signal: Signal, instrument: Instrument, price: Price) -> Decimal | None:
    """How far the price has risen above the signal's; None where the two cannot be compared."""
    if signal.price is None or not is_comparable(signal.quote, instrument.quote):
        return None
    return EXACT.multiply(EXACT.divide(price.value - signal.price.value, signal.price.value), BPS)


def _available(free: Money, exposure: Exposure) -> Decimal:
    return EXACT.subtract(free.amount, exposure.pending_quote)


def _free_step(free: Money, exposure: Exposure) -> Step:
    at = "unknown" if exposure.free_quote_at is None else exposure.free_quote_at.isoformat()
    return step("balance", free=str(free), on_its_way=f"{plain(exposure.pending_quote)} {free.asset}", read_at=at)


def _gate_step(reasons: tuple[GateReason, ...]) -> Step:
    return Step("gate", tuple((reason.code.value, reason.text()) for reason in reasons))


def _score_text(view: MarketView) -> str:
    return "unknown" if view.score is None else f"{view.score} of 100"


def _two_places(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"
