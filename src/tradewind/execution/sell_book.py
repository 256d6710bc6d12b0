"""Open lots and everything that sells or may bring coins, of some accounts and markets, in a handful of statements.

A book is what one transaction read: exits of many accounts are decided, and claimed, on it as if each had read alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tradewind.core.ids import AccountId, IntentId, LotId, OrderId
from tradewind.core.order import IntentKind, Order, Side
from tradewind.core.position import SellPart
from tradewind.execution import intent_store, parts_store, store
from tradewind.execution.intent_store import Intent
from tradewind.execution.rounds import Key
from tradewind.execution.scope import sell_scope
from tradewind.execution.store import Stored
from tradewind.infra.db import Tx
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import SellScope, open_lots

_BY_HAND = (IntentKind.HAND, IntentKind.TEST)


@dataclass(slots=True)
class SellBook:
    """What one transaction saw of some accounts and symbols; nothing of other markets is in it."""

    tx: Tx
    lots: dict[Key, list[Holding]]
    orders: dict[Key, list[Stored]]
    intents: dict[IntentId, Intent]
    parts: dict[OrderId, tuple[SellPart, ...]]

    @classmethod
    def read(cls, tx: Tx, keys: Collection[Key], *, lock: bool = False) -> SellBook:
        """Read these accounts and symbols; `lock` holds their lots for this transaction (PostgreSQL).

        Raises LaterRelease where one of their orders cannot be read: a sum without it would be wrong.
        """
        wanted = set(keys)
        accounts = sorted({account_id for account_id, _ in wanted})
        lots: dict[Key, list[Holding]] = {}
        for holding in open_lots(tx, account_ids=accounts, lock=lock) if accounts else ():
            lots.setdefault((holding.lot.account_id, holding.lot.symbol), []).append(holding)
        orders: dict[Key, list[Stored]] = {}
        for stored in store.list_unsettled_at(tx, wanted):
            orders.setdefault((stored.order.account_id, stored.order.symbol), []).append(stored)
        wide = [each.order for found in orders.values() for each in found if each.order.lot_id is None]
        sells = [order.id for order in wide if order.side is Side.SELL and order.quantity is not None]
        return cls(
            tx,
            {key: lots[key] for key in wanted & lots.keys()},
            orders,
            intent_store.load_intents(tx, {order.intent_id for order in wide}),
            parts_store.list_parts(tx, sells) if sells else {},
        )

    def unsettled(self, account_id: AccountId, symbol: str) -> Sequence[Stored]:
        """Orders there that have not ended, or of which not every fill is booked, oldest first."""
        return self.orders.get((account_id, symbol), ())

    def scope_of(self, order: Order) -> SellScope:
        """Which lots a sell takes from; one that names its lot takes from that one, whoever asked for it."""
        if order.lot_id is not None and order.intent_kind not in _BY_HAND:
            return SellScope(order.account_id, order.symbol, LotId(order.lot_id), order.source_id)
        intent = self.intents.get(order.intent_id)
        if intent is None:
            intent = self.intents[order.intent_id] = intent_store.load_intent(self.tx, order.intent_id)
        return sell_scope(order, intent)

    def lots_in(self, scope: SellScope) -> list[Holding]:
        """Open lots that a sell of this scope may take from, oldest first."""
        if not scope.touches_lots:
            return []
        here = self.lots.get((scope.account_id, scope.symbol), ())
        if scope.lot_id is not None:
            return [each for each in here if each.lot.id == scope.lot_id]
        of_source = [each for each in here if scope.source_id is None or each.lot.source_id == scope.source_id]
        return [each for each in of_source if scope.includes(each.lot)]

    def touches_lots(self, order: Order) -> bool:
        """Say whether a sell takes from lots; a hand sell of other coins does not."""
        return order.intent_kind not in _BY_HAND or self.scope_of(order).touches_lots
