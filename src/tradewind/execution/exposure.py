"""What one signal's decisions look at, and what of it one account has bound already: pure, from one read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tradewind.core.decision import Exposure
from tradewind.core.ids import AccountId
from tradewind.core.instrument import Instrument
from tradewind.core.mandate import Mandate
from tradewind.core.money import EXACT, NOTHING, ZERO, Asset, Money
from tradewind.core.order import IntentKind, Order, OrderState
from tradewind.core.plan import day_start, week_start
from tradewind.core.signal import Action, Signal
from tradewind.execution.roster import AccountFacts
from tradewind.execution.store import Stored
from tradewind.portfolio.holding import Held, Holding


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one signal's decisions look at, from one read."""

    signal: Signal
    mandates: Mapping[AccountId, Mandate]
    accounts: Mapping[AccountId, AccountFacts]
    versions: Mapping[AccountId, int]
    balances: Mapping[AccountId, Mapping[Asset, Held]]
    lots: Mapping[AccountId, Sequence[Holding]]
    undone: Mapping[AccountId, Sequence[Stored]]
    week: Mapping[AccountId, Sequence[Stored]]
    last_close_at: datetime | None
    is_source_bound: bool
    order: tuple[AccountId, ...]
    # The signal's place in the inbox; None where it is not in it (a preview).
    signal_seq: int | None = None
    # Accounts that leave the entry to another account of the same person.
    passed_over: frozenset[AccountId] = frozenset()


def exposure_of(facts: Facts, account_id: AccountId, instrument: Instrument | None, now: datetime) -> Exposure:
    """Add up an account's lots and entries, in the instrument's quote asset."""
    signal = facts.signal
    lots = [each for each in facts.lots.get(account_id, ()) if each.lot.source_id == signal.source_id]
    undone = facts.undone.get(account_id, ())
    of_source = [each.order for each in undone if each.order.source_id == signal.source_id]
    waiting = of_source
    if signal.action is Action.CLOSE:
        # Entries that have not left are superseded by this close; they hold nothing.
        waiting = [order for order in of_source if order.state is not OrderState.INTENDED]
    held = [each for each in lots if each.lot.base == signal.base]
    quantity = NOTHING
    for each in held:
        quantity = quantity + each.lot.quantity
    week = [each.order for each in facts.week.get(account_id, ())]
    free, free_at = _free(facts, account_id, instrument)
    return Exposure(
        open_positions=len({each.lot.symbol for each in lots}),
        has_position_from_source=bool(held) or any(order.base == signal.base for order in waiting),
        position_quantity=quantity,
        pending_entries=len({order.symbol for order in of_source} - {each.lot.symbol for each in lots}),
        committed_quote=EXACT.add(_sum(each.lot.cost_quote for each in lots), _sum(map(_spend, of_source))),
        pending_quote=_pending(undone, instrument),
        spent_today_quote=_sum(_spend(order) for order in week if order.created_at >= day_start(now)),
        weekly_entries_used=sum(
            1 for order in week if order.created_at >= week_start(now) and order.intent_kind is IntentKind.SIGNAL
        ),
        free_quote=free,
        free_quote_at=free_at,
        last_close_at=facts.last_close_at,
    )


def _free(facts: Facts, account_id: AccountId, instrument: Instrument | None) -> tuple[Money | None, datetime | None]:
    """The free balance in the instrument's quote; an account read without it has none."""
    known = facts.balances.get(account_id, {})
    if instrument is None or not known:
        return None, None
    held = known.get(instrument.quote)
    if held is None:
        return Money(ZERO, instrument.quote), max(each.at for each in known.values())
    return Money(held.free, instrument.quote), held.at


def _spend(order: Order) -> Decimal:
    """What an entry binds: its amount while it may still execute, what it executed afterwards."""
    if order.is_ended:
        return order.executed_quote
    return order.executed_quote if order.spend is None else max(order.spend.amount, order.executed_quote)


def _pending(undone: Sequence[Stored], instrument: Instrument | None) -> Decimal:
    if instrument is None:
        return ZERO
    return _sum(_spend(each.order) for each in undone if each.order.quote == instrument.quote)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
