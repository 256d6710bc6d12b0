"""What exits see: each with its newest order, the lots in its scope, and what holds their coins, from one read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tradewind.core.ids import IntentId
from tradewind.core.order import IntentKind, Leg, Order, OrderState, Side
from tradewind.execution import store
from tradewind.execution.intent_store import Intent
from tradewind.execution.sell_book import SellBook
from tradewind.execution.store import Stored
from tradewind.portfolio.holding import Holding


@dataclass(frozen=True, slots=True)
class ExitScene:
    """What an exit sees in one read."""

    intent: Intent
    latest: Order
    in_scope: tuple[Holding, ...]
    protective: tuple[Order, ...]
    has_entry_in_doubt: bool
    has_sell_unbooked: bool


def see_exits(book: SellBook, intents: Sequence[Intent]) -> list[ExitScene]:
    """Read what these exits see. An exit of which no order can be read is left out."""
    latest = _latest(book, intents)
    book.intents.update({intent.id: intent for intent in intents})
    return [_scene(book, intent, latest[intent.id]) for intent in intents if intent.id in latest]


def _latest(book: SellBook, intents: Sequence[Intent]) -> dict[IntentId, Order]:
    found: dict[IntentId, Order] = {}
    for stored in store.list_of_intents(book.tx, [intent.id for intent in intents], Leg.EXIT):
        order = stored.order
        known = found.get(order.intent_id)
        if known is None or known.generation < order.generation:
            found[order.intent_id] = order
    return found


def _scene(book: SellBook, intent: Intent, latest: Order) -> ExitScene:
    in_scope = tuple(book.lots_in(book.scope_of(latest)))
    unsettled = book.unsettled(latest.account_id, latest.symbol)
    lot_ids = {holding.lot.id for holding in in_scope}
    waits_for_entries = intent.lot_id is None and intent.kind is IntentKind.SIGNAL
    return ExitScene(
        intent,
        latest,
        in_scope,
        tuple(each.order for each in unsettled if _is_live_protection(each, lot_ids)),
        waits_for_entries and any(_may_still_bring_coins(book, each, intent) for each in unsettled),
        any(_is_unbooked_sell(book, each, lot_ids) for each in unsettled),
    )


def _is_live_protection(stored: Stored, lot_ids: Collection[str]) -> bool:
    order = stored.order
    return order.leg in (Leg.STOP, Leg.TARGET) and order.lot_id in lot_ids and not order.is_ended


def _may_still_bring_coins(book: SellBook, stored: Stored, intent: Intent) -> bool:
    """An entry of the source that is on its way, in doubt, or filled without its fills being here."""
    order = stored.order
    is_of_source = order.leg is Leg.ENTRY and order.source_id == intent.source_id
    if not is_of_source or order.state is OrderState.INTENDED:
        return False
    return is_up_to(book.intents[order.intent_id].signal_seq, intent.signal_seq)


def is_up_to(seq: int | None, last: int | None) -> bool:
    """Say whether a signal came into the inbox no later than another; one without a place counts as earlier."""
    return seq is None or last is None or seq <= last


def _is_unbooked_sell(book: SellBook, stored: Stored, lot_ids: Collection[str]) -> bool:
    """A sell that took coins out of these lots, or out of any, and whose fills are not here yet."""
    order = stored.order
    if order.side is not Side.SELL or not stored.lacks_fills:
        return False
    return order.lot_id in lot_ids if order.lot_id is not None else book.touches_lots(order)
