"""SQL of what counts against accounts when a signal is decided: entries on their way, of the week, and of today.

Read by position and by indexes that hold only what still counts, so that the cost follows the accounts and not their
history. An order of a later release is left out where its words must be judged, and counted where a count is all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from tradewind.core.ids import AccountId, SourceId
from tradewind.core.instrument import VenueName
from tradewind.core.money import EXACT, ZERO, Asset
from tradewind.core.order import ENDED, OrderState
from tradewind.execution.order_rows import WORDS
from tradewind.execution.tables import EXECUTED, IS_ENTRY, UNSETTLED, orders
from tradewind.infra import bulk
from tradewind.infra.db import Tx

# Not taken by the venue: they use up nothing, unless the venue executed them after all (a state that ended stays).
_TAKEN = "state NOT IN ('DENIED', 'NEVER_ARRIVED', 'REJECTED')"
_BOUND_NAMES = (
    *("account_id", "source_id", "venue", "symbol", "base", "quote"),
    *("state", "leg", "side", "type", "intent_kind", "spend", "executed", "executed_quote", "booked"),
)
_SPENT_NAMES = ("account_id", "state", "spend", "executed_quote")
_ENDED = frozenset(state.value for state in ENDED)
_JUDGED = tuple((_BOUND_NAMES.index(column), words) for column, words in WORDS.items())


class BoundEntry(NamedTuple):
    """An entry that has not ended, or of which not every fill is booked; `bound` in quote is what it holds."""

    account_id: AccountId
    source_id: SourceId | None
    venue: VenueName
    symbol: str
    base: Asset
    quote: Asset
    has_left: bool
    bound: Decimal


def bound_entries(tx: Tx, account_ids: Sequence[AccountId]) -> dict[AccountId, list[BoundEntry]]:
    """Read the entries that bind money of these accounts, BLIND included."""
    rows = bulk.select_among(
        tx,
        orders,
        _BOUND_NAMES,
        "account_id",
        account_ids,
        where=f"{IS_ENTRY} AND {UNSETTLED}",
        index="ix_orders_unsettled_entries",
    )
    found: dict[AccountId, list[BoundEntry]] = {}
    for row in rows:
        entry = _bound(row)
        if entry is not None:
            found.setdefault(entry.account_id, []).append(entry)
    return found


def entries_used(tx: Tx, account_ids: Iterable[AccountId], since: datetime) -> Mapping[AccountId, int]:
    """Count the entries of signals that were created since a time and taken by the venue, or may yet be."""
    wanted, values = list(account_ids), {"created_at": since}
    where = f"{IS_ENTRY} AND created_at >= :created_at AND intent_kind = 'signal' AND"
    rows = bulk.group_among(tx, orders, "count(*)", "account_id", wanted, where=f"{where} {_TAKEN}", values=values)
    # By a question of its own: the other one is answered from the index alone.
    late = f"{where} NOT ({_TAKEN}) AND {EXECUTED}"
    rows += bulk.group_among(tx, orders, "count(*)", "account_id", wanted, where=late, values=values)
    used: dict[AccountId, int] = {}
    for account_id, count in rows:
        used[AccountId(account_id)] = used.get(AccountId(account_id), 0) + count
    return used


def spent_since(tx: Tx, account_ids: Iterable[AccountId], since: datetime) -> dict[AccountId, Decimal]:
    """Add up what the entries created since a time have spent, or bind while they may still execute."""
    where = f"{IS_ENTRY} AND created_at >= :created_at AND ({_TAKEN} OR {EXECUTED})"
    rows = bulk.select_among(
        tx, orders, _SPENT_NAMES, "account_id", account_ids, where=where, values={"created_at": since}
    )
    spent: dict[AccountId, Decimal] = {}
    for account_id, state, spend, executed_quote in rows:
        spent[account_id] = EXACT.add(spent.get(account_id, ZERO), _binds(state, spend, executed_quote))
    return spent


def _bound(row: Sequence[Any]) -> BoundEntry | None:
    """What an entry binds; None where it is settled after all, or written in words of a later release."""
    if any(row[place] not in words for place, words in _JUDGED):
        return None
    account_id, source_id, venue, symbol, base, quote, state = row[:7]
    spend, executed, executed_quote, booked = row[11:]
    # Text columns were compared for inequality only; the size is judged in Decimal.
    if state in _ENDED and executed <= booked:
        return None
    has_left = state != OrderState.INTENDED
    return BoundEntry(account_id, source_id, venue, symbol, base, quote, has_left, _binds(state, spend, executed_quote))


def _binds(state: str, spend: Decimal | None, executed_quote: Decimal) -> Decimal:
    """Its amount while it may still execute, what it executed afterwards."""
    if state in _ENDED or spend is None:
        return executed_quote
    return max(spend, executed_quote)
