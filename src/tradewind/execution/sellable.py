"""What may be sold: held, less everything that is being sold or was sold and is not booked yet.

Rules of this file (order-protocol.md section 4):
1. A sell of ours counts against what is held until it has ended AND its fills are booked: the venue's word
   "filled" moves no lot by itself.
2. The legs of one list hold the same coins once.
3. Coins that belong to lots are never sold as the user's others, whether a resting order holds them or not.
4. The claim of a sell fixes which lots it takes from and how much of each. What it may still take is counted
   lot by lot, so two sells of different scope never lean on the same coins, whichever is filled first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from tradewind.core.ids import AccountId, LotId, OrderId
from tradewind.core.instrument import Instrument
from tradewind.core.money import EXACT, NOTHING, ZERO, Asset, Price, Quantity
from tradewind.core.order import RESTING, IntentKind, Leg, Order, OrderState, Side
from tradewind.core.position import Lot, SellPart, parts_after, parts_within, sellable, split_sell, take_free
from tradewind.execution import intent_store, store
from tradewind.execution.rounds import Key
from tradewind.execution.scope import sell_scope
from tradewind.execution.sell_book import SellBook
from tradewind.execution.store import Stored
from tradewind.infra.db import Tx
from tradewind.portfolio.service import balances_of, open_lots


class Hold(StrEnum):
    """Why an exit cannot be claimed with a quantity now."""

    NOTHING_HELD = "nothing_held"
    DUST = "dust"
    # Something is held, and another sell of ours may still take it: wait for that one.
    OTHER_SELL = "other_sell"


class Coverage(StrEnum):
    """Whether a lot holds what a protective order would sell."""

    WHOLE = "whole"
    SHORT = "short"
    # An exit that may leave now goes before it.
    EXIT_FIRST = "exit_first"


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a sell takes: its quantity, and out of which lots, in order (none: coins that belong to no lot)."""

    quantity: Quantity
    parts: tuple[SellPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Market:
    """The rules of the market and a fresh price of it, if one is known."""

    instrument: Instrument
    price: Price | None


def sells_open(orders: Sequence[Stored]) -> list[Quantity]:
    """Return what our sells may still take out of the lots, each list once."""
    resting: dict[str, Quantity] = {}
    unbooked: dict[str, Quantity] = {}
    for stored in orders:
        order = stored.order
        if order.side is not Side.SELL or order.quantity is None:
            continue
        key = order.list_client_id or order.id
        missing = Quantity(max(ZERO, EXACT.subtract(order.executed.value, stored.booked)))
        unbooked[key] = unbooked.get(key, NOTHING) + missing
        if not order.is_ended:
            left = Quantity(max(ZERO, EXACT.subtract(order.quantity.value, order.executed.value)))
            resting[key] = max(resting.get(key, NOTHING), left)
    keys = sorted(resting.keys() | unbooked.keys())
    totals = [resting.get(key, NOTHING) + unbooked.get(key, NOTHING) for key in keys]
    return [total for total in totals if total.is_positive]


def coverages(tx: Tx, lists: Sequence[Sequence[Order]], now: datetime) -> list[Coverage]:
    """Say of each list of protective legs whether its lot still holds what they would sell, beside our other sells."""
    book = SellBook.read(tx, {(legs[0].account_id, legs[0].symbol) for legs in lists}, lock=True)
    sells = [each for found in book.orders.values() for each in found if each.order.side is Side.SELL]
    claimed = [each for each in sells if each.order.state is not OrderState.INTENDED and book.touches_lots(each.order)]
    taken: dict[LotId, Quantity] = {}
    for part in parts_open(book, claimed):
        taken[part.lot_id] = taken.get(part.lot_id, NOTHING) + part.quantity
    due: dict[Key, list[Order]] = {}
    for each in sells:
        if _is_due_exit(each.order, now):
            due.setdefault((each.order.account_id, each.order.symbol), []).append(each.order)
    return [_coverage(book, legs[0], taken, due) for legs in lists]


def _coverage(
    book: SellBook, leg: Order, taken: Mapping[LotId, Quantity], due: Mapping[Key, Sequence[Order]]
) -> Coverage:
    assert leg.lot_id is not None
    assert leg.quantity is not None
    key = (leg.account_id, leg.symbol)
    lot = next((each.lot for each in book.lots.get(key, ()) if each.lot.id == leg.lot_id), None)
    if lot is None:
        return Coverage.SHORT
    if any(_takes_from(book, order, lot) for order in due.get(key, ())):
        return Coverage.EXIT_FIRST
    free = sellable(lot.quantity, [taken.get(lot.id, NOTHING)])
    return Coverage.WHOLE if free >= leg.quantity else Coverage.SHORT


def _takes_from(book: SellBook, order: Order, lot: Lot) -> bool:
    """Say whether an exit of the same account and symbol may take from a lot."""
    if order.lot_id is not None:
        return order.lot_id == lot.id
    scope = book.scope_of(order)
    is_source = scope.source_id is None or scope.source_id == lot.source_id
    return scope.touches_lots and is_source and scope.includes(lot)


def _is_due_exit(order: Order, now: datetime) -> bool:
    return order.leg is Leg.EXIT and order.state is OrderState.INTENDED and order.release_at <= now


def parts_open(book: SellBook, orders: Sequence[Stored]) -> list[SellPart]:
    """Return what our sells may still take, lot by lot; the legs of one list hold the same coins once."""
    sells = [each for each in orders if each.order.side is Side.SELL and each.order.quantity is not None]
    resting: dict[tuple[str, LotId], Quantity] = {}
    unbooked: dict[tuple[str, LotId], Quantity] = {}
    for stored in sells:
        order = stored.order
        left = _parts_left(book, stored)
        missing = Quantity(max(ZERO, EXACT.subtract(order.executed.value, stored.booked)))
        name = order.list_client_id or order.id
        for part in parts_within(left, missing):
            unbooked[name, part.lot_id] = unbooked.get((name, part.lot_id), NOTHING) + part.quantity
        if not order.is_ended:
            for part in parts_after(left, missing):
                resting[name, part.lot_id] = max(resting.get((name, part.lot_id), NOTHING), part.quantity)
    keys = sorted(resting.keys() | unbooked.keys())
    return [SellPart(key[1], resting.get(key, NOTHING) + unbooked.get(key, NOTHING)) for key in keys]


def _parts_left(book: SellBook, stored: Stored) -> tuple[SellPart, ...]:
    """What of a sell's parts is not booked yet."""
    order = stored.order
    assert order.quantity is not None
    if order.lot_id is not None:
        return parts_after([SellPart(LotId(order.lot_id), order.quantity)], Quantity(stored.booked))
    if order.id in book.parts:
        return parts_after(book.parts[order.id], Quantity(stored.booked))
    # Claimed by a release that fixed no parts: it is booked oldest lot first.
    left = Quantity(max(ZERO, EXACT.subtract(order.quantity.value, stored.booked)))
    return split_sell([each.lot for each in book.lots_in(book.scope_of(order))], left).parts


def allocate_exit(book: SellBook, order: Order, market: Market) -> Allocation | Hold:
    """Fix how much an exit sells now, and out of which lots; under the account's row lock."""
    scope = book.scope_of(order)
    if not scope.touches_lots:
        return _of_other_coins(book.tx, order, market)
    lots = [each.lot for each in book.lots_in(scope)]
    held = total(lot.quantity for lot in lots)
    if not held.is_positive:
        return Hold.NOTHING_HELD
    wanted = held if order.quantity is None else min(held, order.quantity)
    if not _is_sellable(market, wanted):
        return Hold.DUST
    others = _other_sells(book, order, {order.id})
    parts = take_free(lots, parts_open(book, others), wanted)
    # A sell whose lot has shrunk under it takes from other lots: so the sum is looked at, too.
    everything = book.lots_in(replace(scope, lot_id=None, source_id=None, until_seq=None))
    free = sellable(total(each.lot.quantity for each in everything), sells_open(others))
    quantity = _capped(market.instrument, min(total(part.quantity for part in parts), free))
    if not _is_sellable(market, quantity):
        return Hold.OTHER_SELL
    return Allocation(quantity, parts_within(parts, quantity))


def other_coins(tx: Tx, account_id: AccountId, symbol: str, base: Asset, *, besides: OrderId | None = None) -> Quantity:
    """Return free coins that belong to no lot and to no other hand sell of ours.

    The balance is as old as the venue's last word: it may not know yet that our stop has locked coins, that
    a buy brought some or that a sell took some. So free and locked are taken together, every lot is taken
    off, and so is every sell that ended since; what is unsure is never sold.
    """
    held = balances_of(tx, [account_id])[account_id].get(base)
    if held is None:
        return NOTHING
    lots = total(each.lot.quantity for each in open_lots(tx, account_ids=[account_id], symbol=symbol))
    unsettled = [each for each in store.list_unsettled(tx, account_id, symbol) if each.order.id != besides]
    locked_by_us = total(sells_open([each for each in unsettled if _holds_coins(each.order)]))
    locked_by_user = max(ZERO, EXACT.subtract(held.locked, locked_by_us.value))
    left = EXACT.subtract(EXACT.add(held.free, held.locked), locked_by_user)
    for taken in (lots, _sold_meanwhile(tx, account_id, symbol, since=held.at, besides=besides)):
        left = EXACT.subtract(left, taken.value)
    return Quantity(max(ZERO, min(left, held.free)))


def total(quantities: Iterable[Quantity]) -> Quantity:
    """Add quantities up."""
    summed = NOTHING
    for quantity in quantities:
        summed = summed + quantity
    return summed


def touches_lots(tx: Tx, order: Order) -> bool:
    """Say whether a sell takes from lots; a hand sell of other coins does not."""
    if order.intent_kind not in (IntentKind.HAND, IntentKind.TEST):
        return True
    return sell_scope(order, intent_store.load_intent(tx, order.intent_id)).touches_lots


def _of_other_coins(tx: Tx, order: Order, market: Market) -> Allocation | Hold:
    assert order.quantity is not None, "a hand sell names its quantity"
    most = other_coins(tx, order.account_id, order.symbol, order.base, besides=order.id)
    is_there = order.quantity <= most and _is_sellable(market, order.quantity)
    return Allocation(order.quantity) if is_there else Hold.NOTHING_HELD


def _other_sells(book: SellBook, order: Order, mine: Collection[OrderId]) -> list[Stored]:
    """Sells that may take coins by themselves. One that stands INTENDED may not: it is counted when it is
    claimed, under the same lock, and two that wait would otherwise wait for each other (ADR 0012)."""
    unsettled = book.unsettled(order.account_id, order.symbol)
    sells = [each for each in unsettled if each.order.side is Side.SELL and each.order.id not in mine]
    return [each for each in sells if each.order.state is not OrderState.INTENDED and book.touches_lots(each.order)]


def _sold_meanwhile(
    tx: Tx, account_id: AccountId, symbol: str, *, since: datetime, besides: OrderId | None
) -> Quantity:
    """Sells that the balance does not show yet: hand sells under way, and whatever ended since it was read."""
    found = [each.order for each in store.list_sells_after(tx, account_id, symbol, since) if each.order.id != besides]
    ended = [order.executed for order in found if order.is_ended]
    by_hand = [order.quantity or NOTHING for order in found if not order.is_ended and not touches_lots(tx, order)]
    return total([*ended, *by_hand])


def _holds_coins(order: Order) -> bool:
    """A resting stop or target of ours locks its coins at the venue."""
    return order.leg in (Leg.STOP, Leg.TARGET) and order.state in RESTING


def _is_sellable(market: Market, quantity: Quantity) -> bool:
    floored = market.instrument.floor_quantity(quantity)
    if market.price is None:
        return floored.is_positive and floored.value >= market.instrument.min_quantity
    return market.instrument.is_sellable(floored, market.price)


def _capped(instrument: Instrument, quantity: Quantity) -> Quantity:
    """No more than the venue takes in one market order; the rest goes in the next."""
    most = instrument.max_market_quantity or instrument.max_quantity
    return instrument.floor_quantity(min(quantity, Quantity(most)))
