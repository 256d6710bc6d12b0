"""What a signal would do, account by account, without sending and without writing (product.md S6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel

from tradewind.core.decision import Candidate, Place, Skip
from tradewind.core.gate import Closed, gate
from tradewind.core.ids import AccountId
from tradewind.core.instrument import Instrument
from tradewind.core.money import BPS, EXACT, NOTHING, ZERO, Price, Quantity, plain
from tradewind.core.order import GateKind
from tradewind.core.signal import Action
from tradewind.core.skip import Lang, reason_text
from tradewind.core.working import working_rows
from tradewind.execution.journal import DecidedAccount
from tradewind.execution.outlook import Outlook
from tradewind.execution.shown import ReasonOut, StepOut

_CENT = Decimal("0.01")


class PreviewAccountOut(BaseModel):
    """What one account would do. `spend` and `fee_estimate` in quote, `quantity` in base; null where nothing is done.

    `gate` lists what closes the gate of this account for such an order now.
    """

    account_id: str
    label: str
    venue: str
    environment: str
    plan: str
    verdict: str
    reason: str | None
    reason_text: str | None
    confidence_pct: int | None
    symbol: str | None
    price: str | None
    side: str | None
    spend: str | None
    quantity: str | None
    quote: str | None
    stop: str | None
    target: str | None
    fee_estimate: str | None
    release_at: datetime | None
    gate: list[ReasonOut]
    working: list[StepOut]


class PreviewMarketOut(BaseModel):
    """All entries in one market together. `asks` is what the book offers near its best price, where that was asked."""

    venue: str
    environment: str
    symbol: str
    entries: int
    spend: str
    quote: str
    asks: str | None


class PreviewCountsOut(BaseModel):
    """Counts: placed + skipped = accounts."""

    accounts: int
    placed: int
    skipped: int
    skip_reasons: dict[str, int]


class PreviewOut(BaseModel):
    """What a signal would do if it came now. Nothing of it is stored, and nothing is sent."""

    at: datetime
    source_id: str
    action: str
    base: str
    counts: PreviewCountsOut
    markets: list[PreviewMarketOut]
    accounts: list[PreviewAccountOut]


def preview_out(outlook: Outlook, at: datetime, lang: Lang) -> PreviewOut:
    """Show an outlook."""
    decided = outlook.decided
    skips = Counter(each.answer.reason.value for each in decided if isinstance(each.answer, Skip))
    counts = PreviewCountsOut(
        accounts=len(decided),
        placed=len(decided) - skips.total(),
        skipped=skips.total(),
        skip_reasons=dict(sorted(skips.items())),
    )
    return PreviewOut(
        at=at,
        source_id=outlook.signal.source_id,
        action=outlook.signal.action.value,
        base=outlook.signal.base,
        counts=counts,
        markets=_markets(outlook, decided),
        accounts=[_account(outlook, each, lang) for each in decided],
    )


def _account(outlook: Outlook, decided: DecidedAccount, lang: Lang) -> PreviewAccountOut:
    facts, candidate, answer = outlook.facts.accounts[decided.account_id], decided.candidate, decided.answer
    assert candidate is not None
    assert answer is not None
    skip = answer if isinstance(answer, Skip) else None
    kind = GateKind.EXIT if outlook.signal.action is Action.CLOSE else GateKind.ENTRY
    closed = gate(kind, candidate.gate)
    reasons = closed.reasons if isinstance(closed, Closed) else ()
    instrument = candidate.instrument
    shown = PreviewAccountOut(
        account_id=decided.account_id,
        label=facts.label,
        venue=facts.venue,
        environment=facts.environment.value.upper(),
        plan=facts.plan.name.value,
        verdict="place" if skip is None else "skip",
        reason=None if skip is None else skip.reason.value,
        reason_text=None if skip is None else reason_text(skip.reason, lang),
        confidence_pct=answer.confidence_pct,
        symbol=None if instrument is None else instrument.symbol,
        price=None if candidate.price is None else str(candidate.price),
        side=None,
        spend=None,
        quantity=None,
        quote=None if instrument is None else instrument.quote,
        stop=None,
        target=None,
        fee_estimate=None,
        release_at=None if decided.order is None else decided.order.release_at,
        gate=[ReasonOut(code=each.code.value, text=each.text(lang)) for each in reasons],
        working=[StepOut.model_validate(row) for row in working_rows(answer.working)],
    )
    if isinstance(answer, Place):
        _tell_size(shown, outlook, decided.account_id, candidate, answer)
    return shown


def _tell_size(
    shown: PreviewAccountOut, outlook: Outlook, account_id: AccountId, candidate: Candidate, place: Place
) -> None:
    entry = place.entry
    if entry is None:
        held = NOTHING
        for lot in outlook.facts.lots.get(account_id, ()):
            if lot.base == outlook.signal.base:
                held = held + Quantity(lot.quantity)
        shown.side, shown.quantity = "sell", str(held)
        amount = None if candidate.price is None else candidate.price.cost(held)
    else:
        shown.side, shown.quantity, shown.spend = "buy", str(entry.order_quantity), plain(entry.spend.amount)
        shown.stop, shown.target = str(entry.stop), str(entry.target)
        amount = entry.spend.amount
    if amount is not None:
        shown.fee_estimate = _fee(amount, candidate.fee_bps, candidate.instrument, candidate.price)


def _fee(amount: Decimal, fee_bps: int, instrument: Instrument | None, price: Price | None) -> str | None:
    """The taker's fee in quote; the venue may take it in base or in a third asset instead."""
    if instrument is None or price is None:
        return None
    fee = EXACT.divide(EXACT.multiply(amount, Decimal(fee_bps)), BPS)
    return plain(fee.quantize(min(_CENT, instrument.quote_step)))


def _markets(outlook: Outlook, decided: Sequence[DecidedAccount]) -> list[PreviewMarketOut]:
    found: dict[tuple[str, str, str], PreviewMarketOut] = {}
    totals: dict[tuple[str, str, str], Decimal] = {}
    for each in decided:
        order, answer = each.order, each.answer
        if order is None or not isinstance(answer, Place) or answer.entry is None:
            continue
        key = (order.venue, order.environment.value.upper(), order.symbol)
        visible = outlook.visible.get((order.venue, order.environment, order.symbol))
        asks = None if visible is None else plain(visible.quantize(_CENT))
        shown = found.setdefault(
            key,
            PreviewMarketOut(
                venue=key[0], environment=key[1], symbol=key[2], entries=0, spend="0", quote=order.quote, asks=asks
            ),
        )
        totals[key] = EXACT.add(totals.get(key, ZERO), answer.entry.spend.amount)
        shown.entries, shown.spend = shown.entries + 1, plain(totals[key])
    return list(found.values())
