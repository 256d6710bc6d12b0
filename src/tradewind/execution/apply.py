"""Bring events into the journal: one transaction for order, fills, position and outbox.

Facts and answers come here in any order and any number of times. The state machine says what moves, the
unique key on fills keeps each from being booked twice, and what surprises becomes an incident. Nothing
here talks to a venue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradewind.core.errors import IllegalTransition
from tradewind.core.ids import OrderId
from tradewind.core.instrument import Instrument
from tradewind.core.money import EXACT, ZERO, Price, Quantity, plain
from tradewind.core.order import (
    AbsenceProven,
    Applied,
    Incident,
    Order,
    OrderState,
    OutcomeLost,
    ReturnedUnsent,
    Side,
    VenueReport,
    apply,
)
from tradewind.core.position import Fill, parts_after
from tradewind.execution import intent_store, parts_store, record_store, store
from tradewind.execution.intent_store import Intent
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.owner import Owner
from tradewind.execution.scope import cause_of, event_row, lot_plan, sell_scope
from tradewind.execution.store import Stored
from tradewind.execution.words import order_note, position_note
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.outbox import Note
from tradewind.infra.points import Point, reached
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import Change, Portfolio
from tradewind.venues.base import VenueFill

_log = logger("execution.apply")


@dataclass(slots=True)
class Applier:
    """Applies outcomes to the journal inside a caller's transaction."""

    ids: Ids
    portfolio: Portfolio
    # The rules of an order's market, to tell dust; None while no list of the venue is known.
    rules: Callable[[Order], Instrument | None]
    owner: Owner = field(default_factory=Owner)

    def apply_all(self, tx: Tx, outcomes: Sequence[Outcome], now: datetime) -> list[Moved]:
        """Apply outcomes in order; an illegal step of ours is logged and leaves its order alone."""
        self.owner.demand(tx)
        found = store.find_orders(tx, {outcome.order_id for outcome in outcomes}, lock=True)
        moved: list[Moved] = []
        events: list[dict[str, Any]] = []
        notes: list[Note] = []
        for outcome in outcomes:
            stored = found.get(outcome.order_id)
            if stored is None:
                _log.error("execution.apply.order_missing", order_id=outcome.order_id)
                continue
            result = self._apply_one(tx, stored, outcome, now, notes)
            if result is None:
                continue
            after, move = result
            found[outcome.order_id] = after
            moved.append(move)
            if move.after.rev != move.before.rev:
                events.append(event_row(move.before, move.after, outcome, now))
        record_store.insert_events(tx, events)
        outbox.append(tx, notes, now)
        store.bump_exposure(tx, {move.after.account_id for move in moved})
        reached(Point.OUTCOME_WRITTEN)
        return moved

    def _apply_one(
        self, tx: Tx, stored: Stored, outcome: Outcome, now: datetime, notes: list[Note]
    ) -> tuple[Stored, Moved] | None:
        before = stored.order
        if is_overtaken(before, outcome):
            return None
        try:
            applied = apply(before, outcome.event)
        except IllegalTransition as error:
            _log.error("execution.apply.illegal", order_id=before.id, state=before.state, error=error.message)
            return None
        fresh = self._fresh_fills(tx, before, outcome.fills)
        if not applied.is_changed and not fresh and applied.incident is None:
            return None
        order, incident = _grown_by_fills(
            applied, stored, fresh, record_store.booked_quote(tx, before.id) if fresh else ZERO
        )
        booked = stored.booked
        if order is not before and not store.update_order(tx, order, expected_rev=before.rev):
            raise RuntimeError(f"order {before.id} moved under its own lock")
        if fresh:
            booked = self._book(tx, order, fresh, now, notes, booked)
        if incident is not None:
            self._open_incident(tx, order, incident, outcome, now, notes)
        notes.append(order_note(order))
        after = Stored(order, booked)
        if order.side is Side.SELL and order.is_ended and not after.lacks_fills and order.executed.is_positive:
            notes.extend(position_note(each, now) for each in self._close_dust(tx, order, now))
        return after, Moved(before, order, tuple(fresh), incident, after.lacks_fills)

    @staticmethod
    def _fresh_fills(tx: Tx, order: Order, seen: Sequence[VenueFill]) -> list[VenueFill]:
        if not seen:
            return []
        known = record_store.known_fills(tx, order, [fill.fill_id for fill in seen])
        fresh: dict[tuple[str, str], VenueFill] = {}
        for fill in seen:
            key = (fill.venue_order_id, fill.fill_id)
            if key not in known:
                fresh.setdefault(key, fill)
        return list(fresh.values())

    def _book(
        self, tx: Tx, order: Order, fresh: Sequence[VenueFill], now: datetime, notes: list[Note], booked: Decimal
    ) -> Decimal:
        intent = intent_store.load_intent(tx, order.intent_id)
        for seen in fresh:
            record_store.insert_fill(tx, _fill_row(order, seen, now))
            reached(Point.FILL_WRITTEN)
            fill = Fill(
                seen.fill_id, order.id, seen.side, seen.quantity, seen.price, seen.quote_amount, seen.fee, seen.at
            )
            change = self._book_one(tx, order, intent, fill, booked)
            notes.extend(position_note(holding, now) for holding in change.holdings)
            surprise = _surprise_of(change)
            if surprise is not None and sell_scope(order, intent).touches_lots:
                kind, quantity = surprise
                self._open_incident(tx, order, kind, None, now, notes, quantity=plain(quantity))
            booked = EXACT.add(booked, seen.quantity.value)
        store.add_booked(tx, order.id, booked)
        return booked

    def _book_one(self, tx: Tx, order: Order, intent: Intent, fill: Fill, booked: Decimal) -> Change:
        if order.side is Side.BUY:
            return self.portfolio.book_buy(tx, lot_plan(order, intent), fill)
        fixed = {} if order.lot_id is not None else parts_store.list_parts(tx, [order.id])
        parts = parts_after(fixed[order.id], Quantity(booked)) if order.id in fixed else None
        return self.portfolio.book_sell(tx, sell_scope(order, intent), fill, cause=cause_of(order), parts=parts)

    def _close_dust(self, tx: Tx, order: Order, now: datetime) -> list[Holding]:
        """A sale is over: what is left too small to sell closes its lot, with the rest kept on record."""
        instrument = self.rules(order)
        if instrument is None or order.executed_quote <= ZERO:
            return []
        price = Price(EXACT.divide(order.executed_quote, order.executed.value))
        scope = sell_scope(order, intent_store.load_intent(tx, order.intent_id))
        return self.portfolio.close_dust(tx, scope, instrument, price, now)

    def _open_incident(
        self,
        tx: Tx,
        order: Order,
        kind: Incident | str,
        outcome: Outcome | None,
        now: datetime,
        notes: list[Note],
        **detail: str,
    ) -> None:
        event = "" if outcome is None else type(outcome.event).__name__
        values = {"event": event, "state": order.state.value, "executed": str(order.executed), **detail}
        incident_id = self.ids.new()
        record_store.insert_incident(
            tx,
            {
                "id": incident_id,
                "at": now,
                "user_id": order.user_id,
                "account_id": order.account_id,
                "order_id": order.id,
                "kind": str(kind),
                "detail": values,
            },
        )
        payload = {"id": incident_id, "rev": 0, "at": now.isoformat(), "kind": str(kind), "order_id": order.id}
        notes.append(Note("incident", order.user_id, {**payload, **values}))
        _log.warning("execution.incident", kind=str(kind), order_id=order.id, account_id=order.account_id)


def _surprise_of(change: Change) -> tuple[str, Decimal] | None:
    """What a person should read of a booked sell: coins no lot had, or coins of lots its claim had not fixed."""
    if change.unallocated > ZERO:
        return "sold_more_than_held", change.unallocated
    return ("sold_other_lots", change.beyond_parts) if change.beyond_parts > ZERO else None


def is_overtaken(order: Order, outcome: Outcome) -> bool:
    """Say whether an answer of ours comes too late: a fact, or a later sending, has gone before it."""
    event = outcome.event
    if outcome.attempt is not None and outcome.attempt != order.attempt and not isinstance(event, VenueReport):
        return True
    if isinstance(event, AbsenceProven):
        # The venue spoke of it meanwhile: a fact goes before a conclusion.
        return order.state not in (OrderState.UNKNOWN, OrderState.BLIND)
    if isinstance(event, ReturnedUnsent):
        return order.state is not OrderState.SENT
    if isinstance(event, OutcomeLost):
        return order.state not in (OrderState.SENT, OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED) or (
            outcome.attempt is not None and order.state is not OrderState.SENT
        )
    return False


def _grown_by_fills(
    applied: Applied, stored: Stored, fresh: Sequence[VenueFill], booked_quote: Decimal
) -> tuple[Order, Incident | None]:
    """Fills are facts too: an order has executed at least what its fills add up to."""
    order, incident = applied.order, applied.incident
    total, quote = stored.booked, booked_quote
    for fill in fresh:
        total = EXACT.add(total, fill.quantity.value)
        quote = EXACT.add(quote, fill.quote_amount)
    if total <= order.executed.value:
        return order, incident
    if stored.order.is_ended and incident is None:
        incident = Incident.FILL_AFTER_END
    grown = replace(
        order,
        executed=type(order.executed)(total),
        executed_quote=max(order.executed_quote, quote),
        rev=max(order.rev, stored.order.rev + 1),
    )
    return grown, incident


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
