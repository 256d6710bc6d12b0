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

from tradewind.core.errors import IllegalTransition
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
from tradewind.execution import record_store
from tradewind.execution.apply_batch import Batch
from tradewind.execution.intent_store import Intent
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.owner import Owner
from tradewind.execution.scope import cause_of, lot_plan, sell_scope
from tradewind.execution.store import Stored
from tradewind.execution.words import order_note, position_note
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
        """Apply outcomes in order; an illegal step of ours is logged and leaves its order alone.

        What all of them look at is read at once and what they change is written at once: a fan-out's outcomes
        come by the thousand.
        """
        self.owner.demand(tx)
        batch = Batch.read(tx, outcomes, now, self.portfolio)
        moved = []
        for outcome in outcomes:
            move = self._apply_one(batch, outcome)
            if move is not None:
                moved.append(move)
        batch.write()
        reached(Point.OUTCOME_WRITTEN)
        return moved

    def _apply_one(self, batch: Batch, outcome: Outcome) -> Moved | None:
        stored = batch.orders.get(outcome.order_id)
        if stored is None:
            _log.error("execution.apply.order_missing", order_id=outcome.order_id)
            return None
        before = stored.order
        if is_overtaken(before, outcome):
            return None
        try:
            applied = apply(before, outcome.event)
        except IllegalTransition as error:
            _log.error("execution.apply.illegal", order_id=before.id, state=before.state, error=error.message)
            return None
        fresh = batch.fresh_fills(before, outcome.fills)
        if not applied.is_changed and not fresh and applied.incident is None:
            return None
        order, incident = _grown_by_fills(applied, stored, fresh, batch.quotes.get(before.id, ZERO))
        new_lots = self._book(batch, order, fresh) if fresh else ()
        if incident is not None:
            self._open_incident(batch, order, incident, outcome)
        batch.notes.append(order_note(order))
        after = batch.keep(before, order, fresh, outcome)
        if order.side is Side.SELL and order.is_ended and not after.lacks_fills and order.executed.is_positive:
            batch.notes.extend(position_note(each, batch.now) for each in self._close_dust(batch, order))
        return Moved(before, order, tuple(fresh), incident, after.lacks_fills, new_lots)

    def _book(self, batch: Batch, order: Order, fresh: Sequence[VenueFill]) -> tuple[Holding, ...]:
        """Book fills into lots; returns what a buy's lots are now."""
        intent = batch.intents[order.intent_id]
        booked = batch.orders[order.id].booked
        bought: dict[str, Holding] = {}
        for seen in fresh:
            fill = Fill(
                seen.fill_id, order.id, seen.side, seen.quantity, seen.price, seen.quote_amount, seen.fee, seen.at
            )
            if order.side is Side.BUY:
                holding = batch.purchases.book(lot_plan(order, intent), fill)
                batch.sales.follow([holding])
                bought[holding.lot.id] = holding
            else:
                self._book_sell(batch, order, intent, fill, booked)
            booked = EXACT.add(booked, seen.quantity.value)
        batch.notes.extend(position_note(holding, batch.now) for holding in bought.values())
        return tuple(bought.values())

    def _book_sell(self, batch: Batch, order: Order, intent: Intent, fill: Fill, booked: Decimal) -> None:
        scope = sell_scope(order, intent)
        parts = parts_after(batch.parts[order.id], Quantity(booked)) if order.id in batch.parts else None
        change = batch.sales.book(scope, fill, cause=cause_of(order), parts=parts)
        batch.purchases.follow(change.holdings)
        batch.notes.extend(position_note(holding, batch.now) for holding in change.holdings)
        surprise = _surprise_of(change)
        if surprise is not None and scope.touches_lots:
            kind, quantity = surprise
            self._open_incident(batch, order, kind, None, quantity=plain(quantity))

    def _close_dust(self, batch: Batch, order: Order) -> list[Holding]:
        """A sale is over: what is left too small to sell closes its lot, with the rest kept on record."""
        instrument = self.rules(order)
        if instrument is None or order.executed_quote <= ZERO:
            return []
        price = Price(EXACT.divide(order.executed_quote, order.executed.value))
        closed = batch.sales.close_dust(sell_scope(order, batch.intents[order.intent_id]), instrument, price, batch.now)
        batch.purchases.follow(closed)
        return closed

    def _open_incident(
        self, batch: Batch, order: Order, kind: Incident | str, outcome: Outcome | None, **detail: str
    ) -> None:
        event = "" if outcome is None else type(outcome.event).__name__
        values = {"event": event, "state": order.state.value, "executed": str(order.executed), **detail}
        incident_id = self.ids.new()
        record_store.insert_incident(
            batch.tx,
            {
                "id": incident_id,
                "at": batch.now,
                "user_id": order.user_id,
                "account_id": order.account_id,
                "order_id": order.id,
                "kind": str(kind),
                "detail": values,
            },
        )
        at = batch.now.isoformat()
        payload = {"id": incident_id, "rev": 0, "at": at, "kind": str(kind), "order_id": order.id}
        batch.notes.append(Note("incident", order.user_id, {**payload, **values}))
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
