"""The check at the end: do the exchange's own log and our journal tell the same story? Pure.

Rules of this file (order-protocol.md sections 1, 5 and 11):
1. Every open-alert has exactly one Decision per account under mandate; each Place has exactly the order it
   calls for, a Skip and a refused key have none, and nobody has one twice.
2. What the exchange has and the journal has not is lost; what the journal has and the exchange has not is
   invented. Both are wrong, for orders and for fills.
3. An order was claimed in the journal before the exchange received it; one id is one order.
4. What an account holds of an asset equals its lots; every open lot is in one of the states of section 5, and
   one that claims native protection has it resting at the exchange.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tradewind.core.money import ZERO
from tradewind.core.order import RESTING, Leg, OrderState
from tradewind.core.protection import PositionState
from tradewind.demo.case import NEVER_THERE, Case, Disagreement, KeyOutcome, Wrong
from tradewind.demo.check_orders import check_orders
from tradewind.demo.facts import Expected, Journal, JournalOrder, Venue


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check found. Counts are over the whole run; all of them must be 0."""

    disagreements: tuple[Disagreement, ...]
    duplicates: int
    lost: int
    unknown: int
    unprotected: int

    @property
    def agrees(self) -> bool:
        return not self.disagreements and not (self.duplicates or self.lost or self.unknown or self.unprotected)


_DOUBT = frozenset({OrderState.SENT, OrderState.UNKNOWN, OrderState.BLIND, OrderState.CANCEL_SENT})
_ALLOWED_STATES = frozenset(state.value for state in PositionState) - {PositionState.UNPROTECTED.value}
# What the exchange calls a market buy; a stop leg of ours is a sell.
_BUY = "BUY"


def check(journal: Journal, venue: Venue, expected: Sequence[Expected], keys: Sequence[KeyOutcome] = ()) -> Verdict:
    """Compare both sides. The two must have been read while nothing moved."""
    case = Case(journal, venue, expected)
    found = [
        *_keys(keys),
        *_decisions(case),
        *_fates(case),
        *_entries(case),
        *check_orders(case),
        *_holdings(case),
        *_positions(case),
        *_closes(case),
    ]
    kinds = Counter(each.kind for each in found)
    return Verdict(
        disagreements=tuple(found),
        duplicates=kinds[Wrong.ENTRY_TWICE],
        lost=kinds[Wrong.ORDER_LOST] + kinds[Wrong.FILL_LOST],
        unknown=sum(1 for order in journal.orders if OrderState(order.state) in _DOUBT),
        unprotected=sum(1 for lot in journal.lots if lot.is_open and lot.state == PositionState.UNPROTECTED.value),
    )


def entry_of(journal: Journal, signal_id: str, account_id: str) -> JournalOrder | None:
    """Return the entry that counts for a Decision: its newest generation."""
    entries = [
        order
        for order in journal.orders
        if order.signal_id == signal_id and order.account_id == account_id and _is_signal_entry(order)
    ]
    return max(entries, key=lambda order: order.generation, default=None)


def _is_signal_entry(order: JournalOrder) -> bool:
    return order.leg == Leg.ENTRY and order.intent_kind == "signal"


def _keys(keys: Sequence[KeyOutcome]) -> Iterator[Disagreement]:
    """The right keys were taken, the others refused for the right reason."""
    for key in keys:
        if key.code != key.expected:
            wanted, got = key.expected or "taken", key.code or "taken"
            yield Disagreement(Wrong.KEY, f"the key of user {key.number} should be {wanted}, was {got}")


# --- decisions and entries -------------------------------------------------------------------------


def _decisions(case: Case) -> Iterator[Disagreement]:
    """One Decision per account under mandate and open-alert, none for others."""
    counted = Counter((each.signal_id, each.account_id) for each in case.journal.decisions)
    for (signal_id, account_id), count in counted.items():
        if count > 1:
            yield Disagreement(Wrong.DECISION, f"{case.name(account_id)} has {count} decisions on signal {signal_id}")
    for signal in case.journal.signals:
        if signal.action != "open" or signal.state == "dead":
            continue
        wanted = {account for source, account in case.journal.mandates if source == signal.source_id}
        decided = {account for signal_id, account in counted if signal_id == signal.id}
        for account_id in sorted(wanted - decided):
            yield Disagreement(Wrong.DECISION, f"{case.name(account_id)} has no decision on the {signal.base} alert")
        for account_id in sorted(decided - wanted):
            yield Disagreement(
                Wrong.DECISION, f"{case.name(account_id)} was decided on the {signal.base} alert without a mandate"
            )


def _fates(case: Case) -> Iterator[Disagreement]:
    """Each account ended as the story calls for."""
    decisions = {(each.signal_id, each.account_id): each for each in case.journal.decisions}
    for expected in case.expected:
        decision = decisions.get((expected.signal_id, expected.account_id))
        if decision is None:
            yield Disagreement(Wrong.FATE, f"{case.name(expected.account_id)} was not decided at all")
            continue
        said = decision.reason if decision.verdict == "skip" else None
        if said != expected.skip_reason:
            wanted, got = expected.skip_reason or "an order", said or "an order"
            yield Disagreement(Wrong.FATE, f"{case.name(expected.account_id)} should get {wanted}, got {got}")
        elif expected.is_first_executed is not None:
            yield from _failure(case, expected)


def _failure(case: Case, expected: Expected) -> Iterator[Disagreement]:
    """A failure between us and the venue: was it found out as it really was?"""
    entry = entry_of(case.journal, expected.signal_id, expected.account_id)
    if entry is None:
        return
    generations = [
        order
        for order in case.journal.orders
        if order.intent_id == entry.intent_id and order.leg == Leg.ENTRY and order.generation == 0
    ]
    was_executed = any(found.executed > ZERO for order in generations for found in case.at_venue(order))
    if was_executed is not expected.is_first_executed:
        wanted = "executed" if expected.is_first_executed else "never executed"
        yield Disagreement(
            Wrong.FATE, f"{case.name(expected.account_id)}: the first sending should have been {wanted} at the exchange"
        )
    if not any(is_broken(case.venue, order) for order in generations):
        yield Disagreement(Wrong.FATE, f"{case.name(expected.account_id)}: the answer that should be lost was given")
    if not any(was_found_out(order) for order in generations):
        yield Disagreement(
            Wrong.FATE,
            f"{case.name(expected.account_id)}: no answer came, and what became of the order was not found out",
        )


def is_broken(venue: Venue, order: JournalOrder) -> bool:
    """Say whether the exchange's log has a sending of this order whose answer did not reach us whole."""
    return any(not each.is_answered and order.client_order_id in each.client_ids for each in venue.requests)


def was_found_out(order: JournalOrder) -> bool:
    """Say whether an unanswered order's fate was learnt: asked about, or told by the account's stream.

    The stream may tell of the fill before the missing answer is even missed; then nothing was ever in doubt.
    """
    return order.was_in_doubt or order.executed > ZERO


def _entries(case: Case) -> Iterator[Disagreement]:
    """For each Decision exactly the entry it calls for at the exchange, none elsewhere."""
    placed = {(each.signal_id, each.account_id) for each in case.journal.decisions if each.verdict == "place"}
    opens = {signal.id for signal in case.journal.signals if signal.action == "open"}
    for signal_id, account_id in sorted(placed):
        if signal_id in opens:
            yield from _entry(case, signal_id, account_id)
    for order in case.journal.orders:
        if _is_signal_entry(order) and (order.signal_id, order.account_id) not in placed:
            yield Disagreement(Wrong.ENTRY_UNCALLED, f"{case.name(order.account_id)} has an entry nobody decided on")
    for bought in case.venue.orders:
        if bought.side == _BUY and bought.uid not in case.accounts_by_uid:
            yield Disagreement(
                Wrong.ENTRY_UNCALLED, f"exchange user {bought.uid}, whose key was refused, has order {bought.order_id}"
            )


def _entry(case: Case, signal_id: str, account_id: str) -> Iterator[Disagreement]:
    entries = [
        order
        for order in case.journal.orders
        if order.signal_id == signal_id and order.account_id == account_id and _is_signal_entry(order)
    ]
    executed = [found for order in entries for found in case.at_venue(order) if found.executed > ZERO]
    if len(executed) > 1:
        ids = ", ".join(found.order_id for found in executed)
        yield Disagreement(Wrong.ENTRY_TWICE, f"{case.name(account_id)} bought {len(executed)} times: orders {ids}")
    counts = max(entries, key=lambda order: order.generation, default=None)
    if counts is None:
        yield Disagreement(Wrong.ENTRY_MISSING, f"{case.name(account_id)} was decided Place and has no order")
    elif counts.state == OrderState.FILLED and not executed:
        yield Disagreement(
            Wrong.ENTRY_MISSING, f"{case.name(account_id)} counts as filled; the exchange has no such order"
        )
    elif OrderState(counts.state) in NEVER_THERE and executed:
        yield Disagreement(Wrong.ENTRY_UNCALLED, f"{case.name(account_id)} bought although its order is {counts.state}")


# --- holdings and protection -----------------------------------------------------------------------


def _holdings(case: Case) -> Iterator[Disagreement]:
    """Nobody owned coins before, so what the exchange holds for an account is the sum of its lots."""
    held: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for lot in case.journal.lots:
        held[lot.account_id, lot.base] += lot.quantity
    for (uid, asset), amount in case.venue.holdings.items():
        account_id = case.accounts_by_uid.get(uid, "")
        if account_id and (account_id, asset) not in held and asset != "USDT":
            held[account_id, asset] = ZERO
        if not account_id and asset != "USDT" and amount != ZERO:
            yield Disagreement(Wrong.HOLDING, f"exchange user {uid}, whose key was refused, holds {amount} {asset}")
    for (account_id, asset), ours in sorted(held.items()):
        theirs = case.venue.holdings.get((case.journal.accounts.get(account_id, -1), asset), ZERO)
        if ours != theirs:
            yield Disagreement(
                Wrong.HOLDING, f"{case.name(account_id)}: the lots hold {ours} {asset}, the exchange {theirs}"
            )


def _positions(case: Case) -> Iterator[Disagreement]:
    resting: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for order in case.journal.orders:
        if (
            order.lot_id is not None
            and OrderState(order.state) in RESTING
            and any(theirs.is_open for theirs in case.at_venue(order))
        ):
            resting[order.account_id, order.lot_id][order.leg] += 1
    for lot in case.journal.lots:
        if not lot.is_open:
            continue
        if lot.state not in _ALLOWED_STATES:
            reason = f" ({lot.state_reason})" if lot.state_reason else ""
            yield Disagreement(Wrong.UNPROTECTED, f"{case.name(lot.account_id)}: {lot.symbol} is {lot.state}{reason}")
        legs = resting[lot.account_id, lot.id]
        if lot.state == PositionState.PROTECTED_NATIVE and legs[Leg.STOP] != 1:
            yield Disagreement(
                Wrong.NATIVE_ABSENT,
                f"{case.name(lot.account_id)}: {lot.symbol} counts as protected by the exchange, "
                f"which has {legs[Leg.STOP]} stops of it resting",
            )


def _closes(case: Case) -> Iterator[Disagreement]:
    """After a close nothing of its source is left in its asset, but for what is too small to sell."""
    for signal in case.journal.signals:
        if signal.action != "close" or signal.state == "dead":
            continue
        for lot in case.journal.lots:
            is_meant = lot.source_id == signal.source_id and lot.base == signal.base
            if is_meant and lot.is_open and lot.state != PositionState.DUST:
                yield Disagreement(
                    Wrong.NOT_CLOSED,
                    f"{case.name(lot.account_id)}: the close-alert left {lot.quantity} {lot.base}",
                )
