"""SQL of what is only ever added: journal lines, fills, incidents, decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Row, func, insert, select, update

from tradewind.core.ids import OrderId, UserId
from tradewind.core.money import EXACT, ZERO
from tradewind.core.order import IntentKind, OrderState
from tradewind.core.working import working_rows
from tradewind.execution.tables import decisions, fills, incidents, order_events, orders
from tradewind.infra import bulk
from tradewind.infra.db import Tx

# Venue, account, symbol, the venue's order id and its id of the execution.
FillKey = tuple[str, str, str, str, str]

_EVENT_NAMES = ("order_id", "user_id", "at", "kind", "from_state", "to_state", "detail")
_FILL_NAMES = (
    *("venue", "environment", "account_id", "user_id", "symbol", "venue_order_id", "fill_id", "order_id", "side"),
    *("quantity", "price", "quote_amount", "fee_amount", "fee_asset", "at", "booked_at"),
)
# All of a decision but its working.
_PLAIN_NAMES = (
    *("id", "signal_id", "source_id", "user_id", "account_id", "mandate_id", "cell", "plan", "verdict", "reason"),
    *("confidence_pct", "created_at"),
)
_encode = msgspec.json.Encoder().encode


def insert_events(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add journal lines; `detail` must be JSON-able."""
    values = [(*(row[name] for name in _EVENT_NAMES[:-1]), _json(row["detail"])) for row in rows]
    bulk.insert_rows(tx, order_events, _EVENT_NAMES, values)


def list_events(tx: Tx, user_id: UserId, order_id: str) -> list[Row[Any]]:
    """Read an order's journal, oldest first."""
    query = select(order_events).where(order_events.c.order_id == order_id, order_events.c.user_id == user_id)
    return list(tx.execute(query.order_by(order_events.c.seq)))


def cancelled_by_us(tx: Tx, order_ids: Sequence[OrderId]) -> set[str]:
    """Return which of these orders we ever sent a cancel for."""
    query = select(order_events.c.order_id).where(
        order_events.c.order_id.in_(list(order_ids)), order_events.c.to_state == OrderState.CANCEL_SENT.value
    )
    return set(tx.execute(query).scalars())


def known_fills(tx: Tx, orders_at_venue: Collection[tuple[str, str, str, str]]) -> set[FillKey]:
    """Return the booked fills of these orders, each named by venue, account, symbol and the venue's order id.

    By the table's own key: the fills of one order, never those of everybody.
    """
    names = ("venue", "account_id", "symbol", "venue_order_id", "fill_id")
    found = bulk.select_tuples(tx, fills, names, names[:4], orders_at_venue)
    return {(row[0], row[1], row[2], row[3], row[4]) for row in found}


def booked_quotes(tx: Tx, order_ids: Iterable[OrderId]) -> dict[OrderId, Decimal]:
    """Add up the quote amounts of orders' booked fills; an order without fills is missing."""
    summed: dict[OrderId, Decimal] = {}
    for order_id, amount in bulk.select_rows(tx, fills, ("order_id", "quote_amount"), "order_id", order_ids):
        summed[order_id] = EXACT.add(summed.get(order_id, ZERO), amount)
    return summed


def insert_fills(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add fills; their unique key is the last guard against booking twice."""
    bulk.insert_rows(tx, fills, _FILL_NAMES, [tuple(row[name] for name in _FILL_NAMES) for row in rows])


def insert_incident(tx: Tx, values: Mapping[str, Any]) -> None:
    """Add an incident for a person to read."""
    tx.execute(insert(incidents), [{**values, "detail": _json(values["detail"])}])


def incidents_of_kind(tx: Tx, order_ids: Sequence[str], kind: str) -> set[str]:
    """Return which of these orders have an incident of a kind."""
    query = select(incidents.c.order_id).where(incidents.c.order_id.in_(list(order_ids)), incidents.c.kind == kind)
    return set(tx.execute(query).scalars())


def insert_decisions(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add all decisions of a signal."""
    values = [(*map(row.__getitem__, _PLAIN_NAMES), _json(working_rows(row["working"]))) for row in rows]
    bulk.insert_rows(tx, decisions, (*_PLAIN_NAMES, "working"), values)


def replace_decision(tx: Tx, row: Mapping[str, Any]) -> None:
    """Put a decision made anew in the place of the account's earlier one."""
    values = {**row, "working": _json(working_rows(row["working"]))}
    tx.execute(update(decisions).where(decisions.c.id == row["id"]).values(values))


def list_decisions(tx: Tx, signal_id: str, user_id: UserId | None) -> list[Row[Any]]:
    """Read a signal's decisions in fan-out order; `user_id` None reads all (operators)."""
    query = select(decisions).where(decisions.c.signal_id == signal_id)
    if user_id is not None:
        query = query.where(decisions.c.user_id == user_id)
    return list(tx.execute(query.order_by(decisions.c.cell)))


def list_user_decisions(tx: Tx, user_id: UserId, limit: int) -> list[Row[Any]]:
    """Read a user's decisions, newest first."""
    query = select(decisions).where(decisions.c.user_id == user_id)
    return list(tx.execute(query.order_by(decisions.c.created_at.desc(), decisions.c.id.desc()).limit(limit)))


def signal_cells(tx: Tx, signal_ids: Sequence[str]) -> list[tuple[Row[Any], Row[Any] | None]]:
    """Read, per signal and cell, the decision and the newest signal order of that account, in each market of it."""
    found: dict[tuple[str, str], list[Row[Any] | None]] = {}
    for order in _newest_orders(tx, signal_ids):
        found.setdefault((order.signal_id, order.account_id), []).append(order)
    told = ("signal_id", "cell", "user_id", "account_id", "verdict", "reason", "plan")
    query = select(*(decisions.c[name] for name in told)).where(decisions.c.signal_id.in_(list(signal_ids)))
    decided = tx.execute(query.order_by(decisions.c.signal_id, decisions.c.cell))
    # Put together here: no index finds an account's orders of a signal, and a join would read those of all for each.
    return [(row, order) for row in decided for order in found.get((row.signal_id, row.account_id), [None])]


def _newest_orders(tx: Tx, signal_ids: Sequence[str]) -> list[Row[Any]]:
    newest = func.max(orders.c.generation).over(partition_by=(orders.c.signal_id, orders.c.account_id, orders.c.symbol))
    of_signal = (
        select(
            orders.c.signal_id,
            orders.c.account_id,
            orders.c.id.label("order_id"),
            orders.c.symbol,
            orders.c.rev,
            orders.c.state,
            orders.c.reason.label("order_reason"),
            orders.c.release_at,
            orders.c.acknowledged_at,
            orders.c.created_at,
            orders.c.generation,
            orders.c.leg,
            newest.label("newest"),
        )
        .where(orders.c.signal_id.in_(list(signal_ids)), orders.c.intent_kind == IntentKind.SIGNAL.value)
        .subquery()
    )
    query = select(of_signal).where(of_signal.c.generation == of_signal.c.newest)
    return list(tx.execute(query.order_by(of_signal.c.created_at, of_signal.c.order_id)))


def _json(value: Any) -> str:
    return _encode(value).decode("utf-8")
