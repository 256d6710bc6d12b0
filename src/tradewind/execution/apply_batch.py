"""What one transaction of outcomes reads at its start and writes at its end.

Rules of this file: an order's row is written once, with the rev it was read with, whatever number of outcomes it
took; lots that were bought are written before anybody reads lots; nothing is kept beyond the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradewind.core.ids import AccountId, IntentId, OrderId
from tradewind.core.money import EXACT, ZERO
from tradewind.core.order import Order, Side
from tradewind.core.position import SellPart
from tradewind.execution import intent_store, parts_store, record_store, store
from tradewind.execution.intent_store import Intent
from tradewind.execution.outcomes import Outcome
from tradewind.execution.record_store import FillKey
from tradewind.execution.scope import event_row
from tradewind.execution.store import Stored
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.outbox import Note
from tradewind.infra.points import Point, reached
from tradewind.portfolio.sales import Sales
from tradewind.portfolio.service import Portfolio, Purchases
from tradewind.venues.base import VenueFill


@dataclass(slots=True)
class Batch:
    """Orders, fills, intents and lots of some outcomes, as this transaction sees them."""

    tx: Tx
    now: datetime
    orders: dict[OrderId, Stored]
    intents: Mapping[IntentId, Intent]
    purchases: Purchases
    sales: Sales
    # Which lots the claims of wide sells fixed.
    parts: Mapping[OrderId, tuple[SellPart, ...]]
    # Sum of the quote amounts of an order's fills.
    quotes: dict[OrderId, Decimal]
    notes: list[Note] = field(default_factory=list)
    _known_fills: set[FillKey] = field(default_factory=set)
    _fills: list[dict[str, Any]] = field(default_factory=list)
    _events: list[dict[str, Any]] = field(default_factory=list)
    _read_revs: dict[OrderId, int] = field(default_factory=dict)
    _touched: set[AccountId] = field(default_factory=set)

    @classmethod
    def read(cls, tx: Tx, outcomes: Sequence[Outcome], now: datetime, portfolio: Portfolio) -> Batch:
        """Read what these outcomes are about, orders under lock."""
        orders = store.find_orders(tx, {outcome.order_id for outcome in outcomes}, lock=True)
        filled = {each.order_id for each in outcomes if each.fills and each.order_id in orders}
        of_fills = [orders[order_id].order for order_id in filled]
        bought = [order.id for order in of_fills if order.side is Side.BUY]
        sold = [
            orders[each.order_id].order
            for each in outcomes
            if each.order_id in orders and _is_of_sale(orders[each.order_id].order, each)
        ]
        parts = parts_store.list_parts(tx, [order.id for order in sold if order.lot_id is None]) if sold else {}
        batch = cls(
            tx,
            now,
            orders,
            intent_store.load_intents(tx, {order.intent_id for order in (*of_fills, *sold)}),
            portfolio.purchases(tx, bought),
            Sales.read(
                tx, {order.account_id for order in sold}, {part.lot_id for found in parts.values() for part in found}
            ),
            parts,
            record_store.booked_quotes(tx, filled),
        )
        at_venue = {
            (order.venue, order.account_id, order.symbol, fill.venue_order_id)
            for each in outcomes
            if each.fills and each.order_id in orders
            for order in (orders[each.order_id].order,)
            for fill in each.fills
        }
        batch._known_fills = record_store.known_fills(tx, at_venue)
        return batch

    def fresh_fills(self, order: Order, seen: Sequence[VenueFill]) -> list[VenueFill]:
        """Return those of the fills that are not booked yet, each once."""
        fresh: dict[FillKey, VenueFill] = {}
        for fill in seen:
            key = (order.venue, order.account_id, order.symbol, fill.venue_order_id, fill.fill_id)
            if key not in self._known_fills:
                fresh.setdefault(key, fill)
        return list(fresh.values())

    def keep(self, before: Order, after: Order, fresh: Sequence[VenueFill], outcome: Outcome) -> Stored:
        """Take over what an outcome made of an order and its fills."""
        booked = self.orders[before.id].booked
        for fill in fresh:
            key = (after.venue, after.account_id, after.symbol, fill.venue_order_id, fill.fill_id)
            self._known_fills.add(key)
            self._fills.append(_fill_row(after, fill, self.now))
            self.quotes[after.id] = EXACT.add(self.quotes.get(after.id, ZERO), fill.quote_amount)
            booked = EXACT.add(booked, fill.quantity.value)
        stored = self.orders[before.id] = Stored(after, booked)
        self._read_revs.setdefault(before.id, before.rev)
        self._touched.add(after.account_id)
        if after.rev != before.rev:
            self._events.append(event_row(before, after, outcome, self.now))
        return stored

    def write(self) -> None:
        """Write everything. Raises RuntimeError where an order moved under its own lock."""
        tx = self.tx
        kept = [(self.orders[order_id], rev) for order_id, rev in self._read_revs.items()]
        moved = [(stored, rev) for stored, rev in kept if stored.order.rev != rev]
        if not store.update_stored(tx, moved):
            raise RuntimeError(f"one of the orders {[each.order.id for each, _ in moved][:5]} moved under its own lock")
        if self._fills:
            record_store.insert_fills(tx, self._fills)
            reached(Point.FILL_WRITTEN)
            store.update_booked(tx, [stored for stored, rev in kept if stored.order.rev == rev])
        self.purchases.write(tx)
        self.sales.write(tx)
        record_store.insert_events(tx, self._events)
        outbox.append(tx, self.notes, self.now)
        store.bump_exposure(tx, self._touched)


def _is_of_sale(order: Order, outcome: Outcome) -> bool:
    """Say whether an outcome may change what lots hold, or end a sale that has."""
    return order.side is Side.SELL and (outcome.says_executed or order.executed.is_positive)


def _fill_row(order: Order, fill: VenueFill, now: datetime) -> dict[str, Any]:
    return {
        "venue": order.venue,
        "environment": order.environment.value,
        "account_id": order.account_id,
        "user_id": order.user_id,
        "symbol": order.symbol,
        "venue_order_id": fill.venue_order_id,
        "fill_id": fill.fill_id,
        "order_id": OrderId(order.id),
        "side": fill.side.value,
        "quantity": fill.quantity.value,
        "price": fill.price.value,
        "quote_amount": fill.quote_amount,
        "fee_amount": None if fill.fee is None else fill.fee.amount,
        "fee_asset": None if fill.fee is None else fill.fee.asset,
        "at": fill.at,
        "booked_at": now,
    }
