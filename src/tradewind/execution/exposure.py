"""What one signal's decisions look at, and what of it one account has bound already: pure, from one read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tradewind.core.decision import Exposure
from tradewind.core.ids import AccountId
from tradewind.core.instrument import Instrument
from tradewind.core.mandate import Mandate
from tradewind.core.money import EXACT, NOTHING, ZERO, Asset, Money, Quantity
from tradewind.core.signal import Action, Signal
from tradewind.execution.exposure_store import BoundEntry
from tradewind.execution.roster import AccountFacts
from tradewind.portfolio.holding import Held, OpenLot


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one signal's decisions look at, from one read."""

    signal: Signal
    mandates: Mapping[AccountId, Mandate]
    accounts: Mapping[AccountId, AccountFacts]
    versions: Mapping[AccountId, int]
    # In the quote assets of the markets that may be chosen; 0 where an account was read and has nothing.
    balances: Mapping[AccountId, Mapping[Asset, Held]]
    # Of the signal's source alone.
    lots: Mapping[AccountId, Sequence[OpenLot]]
    # Of every source: all of them take from the same balance.
    bound: Mapping[AccountId, Sequence[BoundEntry]]
    last_close_at: datetime | None
    is_source_bound: bool
    order: tuple[AccountId, ...]
    # The signal's place in the inbox; None where it is not in it (a preview).
    signal_seq: int | None = None
    # Accounts that leave the entry to another account of the same person.
    passed_over: frozenset[AccountId] = frozenset()
    # Entries of the week, and quote spent today, of the accounts that have such a limit.
    used: Mapping[AccountId, int] = field(default_factory=dict)
    spent: Mapping[AccountId, Decimal] = field(default_factory=dict)


def exposure_of(facts: Facts, account_id: AccountId, instrument: Instrument | None) -> Exposure:
    """Add up an account's lots and entries, in the instrument's quote asset."""
    free, free_at = _free(facts, account_id, instrument)
    lots, bound = facts.lots.get(account_id), facts.bound.get(account_id)
    used, spent = facts.used.get(account_id, 0), facts.spent.get(account_id, ZERO)
    if not lots and not bound:
        return Exposure(
            free_quote=free,
            free_quote_at=free_at,
            weekly_entries_used=used,
            spent_today_quote=spent,
            last_close_at=facts.last_close_at,
        )
    signal = facts.signal
    of_source = [each for each in bound or () if each.source_id == signal.source_id]
    # Entries that have not left are superseded by a close; they hold nothing.
    waiting = [each for each in of_source if each.has_left or signal.action is not Action.CLOSE]
    held = [each.quantity for each in lots or () if each.base == signal.base]
    symbols = {each.symbol for each in lots or ()}
    cost = _sum(each.cost_quote for each in lots or ())
    return Exposure(
        open_positions=len(symbols),
        has_position_from_source=bool(held) or any(each.base == signal.base for each in waiting),
        position_quantity=Quantity(_sum(held)) if held else NOTHING,
        pending_entries=len({each.symbol for each in of_source} - symbols),
        committed_quote=EXACT.add(cost, _sum(each.bound for each in of_source)),
        pending_quote=_pending(bound or (), instrument),
        spent_today_quote=spent,
        weekly_entries_used=used,
        free_quote=free,
        free_quote_at=free_at,
        last_close_at=facts.last_close_at,
    )


def _free(facts: Facts, account_id: AccountId, instrument: Instrument | None) -> tuple[Money | None, datetime | None]:
    """The free balance in the instrument's quote; None for an account whose balances were never read."""
    known = facts.balances.get(account_id)
    if instrument is None or known is None:
        return None, None
    held = known.get(instrument.quote)
    return (None, None) if held is None else (Money(held.free, instrument.quote), held.at)


def _pending(bound: Iterable[BoundEntry], instrument: Instrument | None) -> Decimal:
    if instrument is None:
        return ZERO
    return _sum(each.bound for each in bound if each.quote == instrument.quote)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
