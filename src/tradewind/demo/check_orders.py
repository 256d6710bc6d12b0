"""The check, order by order: states and figures, fills, claims before sending, ids. Pure.

What the exchange has and the journal has not is lost; what the journal has and the exchange has not is invented.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tradewind.core.ids import AccountId, IntentId, client_order_id
from tradewind.core.order import ENDED, RESTING, OrderState
from tradewind.demo.case import NEVER_THERE, Case, Disagreement, Wrong
from tradewind.demo.facts import JournalOrder, VenueOrder

# The journal's words for what the exchange says; REJECTED orders never came into being there.
_SAME = {
    OrderState.ACCEPTED: {"NEW", "PENDING_NEW"},
    OrderState.PARTIALLY_FILLED: {"PARTIALLY_FILLED"},
    OrderState.FILLED: {"FILLED"},
    OrderState.CANCELED: {"CANCELED"},
    OrderState.EXPIRED: {"EXPIRED", "EXPIRED_IN_MATCH"},
    OrderState.REJECTED: {"REJECTED"},
}


def check_orders(case: Case) -> Iterator[Disagreement]:
    """Compare orders, fills, claims and ids one by one."""
    yield from _orders(case)
    yield from _fills(case)
    yield from _claims(case)
    yield from _ids(case)


def _orders(case: Case) -> Iterator[Disagreement]:
    known = {(order.account_id, order.client_order_id) for order in case.journal.orders}
    for order in case.venue.orders:
        account_id = case.accounts_by_uid.get(order.uid, "")
        if (account_id, order.client_order_id) not in known:
            whose = case.name(account_id) if account_id else f"exchange user {order.uid}"
            yield Disagreement(
                Wrong.ORDER_LOST, f"{whose}: order {order.order_id} at the exchange is not in the journal"
            )
    for ours in case.journal.orders:
        yield from _order(case, ours)


def _order(case: Case, order: JournalOrder) -> Iterator[Disagreement]:
    state = OrderState(order.state)
    if (state not in ENDED and state not in RESTING) or state is OrderState.CANCEL_SENT:
        yield Disagreement(
            Wrong.UNFINISHED,
            f"{case.name(order.account_id)}: {order.leg} order {order.client_order_id} is still {state}",
        )
        return
    found = case.at_venue(order)
    if len(found) > 1:
        yield Disagreement(
            Wrong.ID, f"{case.name(order.account_id)}: the exchange has {len(found)} orders {order.client_order_id}"
        )
    elif not found and state not in NEVER_THERE and state is not OrderState.REJECTED:
        yield Disagreement(
            Wrong.ORDER_INVENTED,
            f"{case.name(order.account_id)}: the journal has {order.client_order_id} as {state}, the exchange has none",
        )
    for theirs in found:
        if (text := _difference(order, state, theirs)) is not None:
            yield Disagreement(Wrong.ORDER_DIFFERS, f"{case.name(order.account_id)}: order {theirs.order_id}: {text}")


def _difference(order: JournalOrder, state: OrderState, theirs: VenueOrder) -> str | None:
    if theirs.status not in _SAME.get(state, set()):
        return f"the journal says {state}, the exchange {theirs.status}"
    if (order.executed, order.executed_quote) != (theirs.executed, theirs.executed_quote):
        return (
            f"the journal has {order.executed} for {order.executed_quote}, the exchange {theirs.executed} for "
            + str(theirs.executed_quote)
        )
    if (order.symbol, order.side.upper(), order.venue_order_id) != (theirs.symbol, theirs.side, theirs.order_id):
        return "market, side or the exchange's id differ"
    return None


def _fills(case: Case) -> Iterator[Disagreement]:
    """Every fill booked once, with its own numbers."""
    booked = Counter((each.account_id, each.symbol, each.venue_order_id, each.fill_id) for each in case.journal.fills)
    ours = {(each.account_id, each.symbol, each.venue_order_id, each.fill_id): each for each in case.journal.fills}
    executed = set()
    for fill in case.venue.fills:
        account_id = case.accounts_by_uid.get(fill.uid, "")
        key = (account_id, fill.symbol, fill.order_id, fill.fill_id)
        executed.add(key)
        mine = ours.get(key)
        if mine is None:
            yield Disagreement(
                Wrong.FILL_LOST, f"{case.name(account_id)}: fill {fill.fill_id} of order {fill.order_id} is not booked"
            )
        elif (mine.quantity, mine.price) != (fill.quantity, fill.price):
            yield Disagreement(
                Wrong.FILL_DIFFERS,
                f"{case.name(account_id)}: fill {fill.fill_id} is booked as {mine.quantity} @ {mine.price}, "
                f"the exchange has {fill.quantity} @ {fill.price}",
            )
    for key, count in booked.items():
        if count > 1 or key not in executed:
            what = f"booked {count} times" if count > 1 else "unknown to the exchange"
            yield Disagreement(Wrong.FILL_INVENTED, f"{case.name(key[0])}: fill {key[3]} of order {key[2]} is {what}")


# --- claims and ids --------------------------------------------------------------------------------


def _claims(case: Case) -> Iterator[Disagreement]:
    """Each sending has a claim of its own, committed before the exchange received it."""
    claims: dict[tuple[str, str], list[int]] = {}
    lists: dict[tuple[str, str], set[str]] = defaultdict(set)
    for order in case.journal.orders:
        claims[order.account_id, order.client_order_id] = list(order.claimed_ms)
        if order.list_client_id is not None:
            lists[order.account_id, order.list_client_id].add(order.client_order_id)
    for request in sorted(case.venue.requests, key=lambda each: each.sequence):
        account_id = case.accounts_by_uid.get(request.uid or -1, "")
        for client_id in request.client_ids:
            if (account_id, client_id) in lists:
                continue
            waiting = claims.get((account_id, client_id), [])
            if not waiting or waiting[0] > request.received_ms:
                yield Disagreement(
                    Wrong.UNCLAIMED,
                    f"{case.name(account_id)}: the exchange received {client_id} before the journal had claimed it",
                )
            if waiting:
                waiting.pop(0)


def _ids(case: Case) -> Iterator[Disagreement]:
    """One id per intent, leg and generation, and it is the one that follows from them."""
    places = Counter((order.intent_id, order.account_id, order.leg, order.generation) for order in case.journal.orders)
    for (_, account_id, leg, generation), count in places.items():
        if count > 1:
            yield Disagreement(Wrong.ID, f"{case.name(account_id)}: {count} {leg} orders of generation {generation}")
    ids = Counter((order.account_id, order.client_order_id) for order in case.journal.orders)
    for (account_id, client_id), count in ids.items():
        if count > 1:
            yield Disagreement(Wrong.ID, f"{case.name(account_id)}: {count} orders of the journal share {client_id}")
    for order in case.journal.orders:
        wanted = client_order_id(IntentId(order.intent_id), AccountId(order.account_id), order.leg, order.generation)
        if wanted != order.client_order_id:
            yield Disagreement(
                Wrong.ID, f"{case.name(order.account_id)}: {order.client_order_id} does not follow from its intent"
            )
