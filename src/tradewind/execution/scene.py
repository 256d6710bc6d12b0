"""What protection sees: many lots with their orders, in a handful of statements and from one moment.

Lot and orders come from one read: a fill between two reads would look like a stop that is too small.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tradewind.core.ids import OrderId
from tradewind.core.order import IntentKind, Leg, OrderState
from tradewind.execution import intent_store, record_store, store
from tradewind.execution.exit_scene import ExitScene, see_exits
from tradewind.execution.rounds import Key
from tradewind.execution.sell_book import SellBook
from tradewind.execution.store import Stored
from tradewind.infra.db import Tx
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import open_lots

LEGS = (Leg.STOP, Leg.TARGET)
EXIT_KINDS = (IntentKind.SIGNAL, IntentKind.ENGINE_EXIT, IntentKind.HAND)


@dataclass(frozen=True, slots=True)
class LotScene:
    """A lot with its protective orders of all generations, its entry, and what we ever cancelled of it."""

    holding: Holding
    legs: tuple[Stored, ...]
    entry: Stored | None
    cancelled_by_us: frozenset[str]

    @property
    def live(self) -> list[Stored]:
        """Protective orders that have not ended."""
        return [each for each in self.legs if not each.order.is_ended]


@dataclass(frozen=True, slots=True)
class Scenes:
    """Everything at some accounts and symbols: open lots, and exits that are not done."""

    lots: dict[Key, list[LotScene]]
    exits: dict[Key, list[ExitScene]]


def see(tx: Tx, keys: Collection[Key]) -> Scenes:
    """Read lots, orders and exits of these accounts and symbols."""
    wanted = set(keys)
    accounts = sorted({account_id for account_id, _ in wanted})
    intents = [
        intent
        for intent in intent_store.list_open_of(tx, EXIT_KINDS, accounts)
        if (intent.account_id, intent.symbol) in wanted
    ]
    exits: dict[Key, list[ExitScene]] = {}
    if intents:
        book = SellBook.read(tx, {(intent.account_id, intent.symbol) for intent in intents})
        for exit_scene in see_exits(book, intents):
            exits.setdefault((exit_scene.intent.account_id, exit_scene.intent.symbol), []).append(exit_scene)
    held = [each for each in open_lots(tx, account_ids=accounts) if (each.lot.account_id, each.lot.symbol) in wanted]
    lots: dict[Key, list[LotScene]] = {}
    for scene in _scenes(tx, held):
        lot = scene.holding.lot
        lots.setdefault((lot.account_id, lot.symbol), []).append(scene)
    return Scenes(lots, exits)


def _scenes(tx: Tx, held: Sequence[Holding]) -> list[LotScene]:
    if not held:
        return []
    legs: dict[str, list[Stored]] = {}
    for stored in store.list_of_lots(tx, [each.lot.id for each in held], LEGS):
        legs.setdefault(stored.order.lot_id or "", []).append(stored)
    entries = store.find_orders(tx, [OrderId(each.lot.entry_order_id) for each in held])
    ours = record_store.cancelled_by_us(tx, _cancelled(legs))
    return [
        LotScene(
            each,
            tuple(legs.get(each.lot.id, ())),
            entries.get(each.lot.entry_order_id),
            frozenset(ours & {stored.order.id for stored in legs.get(each.lot.id, ())}),
        )
        for each in held
    ]


def _cancelled(legs: dict[str, list[Stored]]) -> list[OrderId]:
    """Cancels for which no cause is known: ours or the user's."""
    found = (stored.order for group in legs.values() for stored in group)
    return [order.id for order in found if order.state is OrderState.CANCELED and not order.reason]
