"""SQL of the order journal: rows in, core values out. Verbs and transactions are journal.py's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, insert, or_, select, update

from tradewind.core.errors import NotFound
from tradewind.core.ids import (
    AccountId,
    ClientOrderId,
    IntentId,
    OrderId,
    SignalId,
    SourceId,
    UserId,
    VenueOrderId,
)
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import ZERO, Asset, Money, Price, Quantity
from tradewind.core.order import ENDED, IntentKind, Leg, Order, OrderState, OrderType, Side
from tradewind.execution.tables import (
    account_states,
    orders,
)
from tradewind.infra.db import Tx

# The column's width; a venue's words may be longer.
_REASON_CHARS = 200
_ENDED_WORDS = tuple(sorted(state.value for state in ENDED))
# Columns whose words this release must know to judge an order at all.
_WORDS: Mapping[str, frozenset[str]] = {
    "state": frozenset(OrderState),
    "leg": frozenset(Leg),
    "side": frozenset(Side),
    "type": frozenset(OrderType),
    "intent_kind": frozenset(IntentKind),
}


class LaterRelease(NotFound):
    """An order was written by a later release in words this one does not know: hands off it and its market."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An order with what has been booked of it; `booked` is the sum of its fills in base."""

    order: Order
    booked: Decimal

    @property
    def lacks_fills(self) -> bool:
        """The venue stated more than the fills we hold add up to."""
        return self.order.executed.value > self.booked


# --- orders ----------------------------------------------------------------------------------------


def to_row(order: Order) -> dict[str, Any]:
    """Write an order as a row (without `booked`)."""
    return {
        "id": order.id,
        "intent_id": order.intent_id,
        "intent_kind": order.intent_kind.value,
        "user_id": order.user_id,
        "account_id": order.account_id,
        "venue": order.venue,
        "environment": order.environment.value,
        "symbol": order.symbol,
        "base": order.base,
        "quote": order.quote,
        "leg": order.leg.value,
        "side": order.side.value,
        "type": order.type.value,
        "client_order_id": order.client_order_id,
        "list_client_id": order.list_client_id,
        "generation": order.generation,
        "attempt": order.attempt,
        "signal_id": order.signal_id,
        "source_id": order.source_id,
        "lot_id": order.lot_id,
        "quantity": None if order.quantity is None else order.quantity.value,
        "spend": None if order.spend is None else order.spend.amount,
        "limit_price": None if order.limit_price is None else order.limit_price.value,
        "stop_price": None if order.stop_price is None else order.stop_price.value,
        "state": order.state.value,
        "venue_order_id": order.venue_order_id,
        "executed": order.executed.value,
        "executed_quote": order.executed_quote,
        "owner_epoch": order.owner_epoch,
        "send_by_ms": order.send_by_ms,
        "signed_at_ms": order.signed_at_ms,
        "reason": None if order.reason is None else order.reason[:_REASON_CHARS],
        "is_stand_in": order.is_stand_in,
        "created_at": order.created_at,
        "release_at": order.release_at,
        "sent_at": order.sent_at,
        "acknowledged_at": order.acknowledged_at,
        "ended_at": order.ended_at,
        "rev": order.rev,
    }


def from_row(row: Row[Any]) -> Stored:
    """Read an order row."""
    quote = Asset(row.quote)
    order = Order(
        id=OrderId(row.id),
        intent_id=IntentId(row.intent_id),
        intent_kind=IntentKind(row.intent_kind),
        user_id=UserId(row.user_id),
        account_id=AccountId(row.account_id),
        venue=VenueName(row.venue),
        environment=Environment(row.environment),
        symbol=row.symbol,
        base=Asset(row.base),
        quote=quote,
        leg=Leg(row.leg),
        side=Side(row.side),
        type=OrderType(row.type),
        client_order_id=ClientOrderId(row.client_order_id),
        list_client_id=row.list_client_id,
        generation=row.generation,
        attempt=row.attempt,
        signal_id=None if row.signal_id is None else SignalId(row.signal_id),
        source_id=None if row.source_id is None else SourceId(row.source_id),
        lot_id=row.lot_id,
        quantity=None if row.quantity is None else Quantity(row.quantity),
        spend=None if row.spend is None else Money(row.spend, quote),
        limit_price=None if row.limit_price is None else Price(row.limit_price),
        stop_price=None if row.stop_price is None else Price(row.stop_price),
        state=OrderState(row.state),
        venue_order_id=None if row.venue_order_id is None else VenueOrderId(row.venue_order_id),
        executed=Quantity(row.executed),
        executed_quote=row.executed_quote,
        owner_epoch=row.owner_epoch,
        send_by_ms=row.send_by_ms,
        signed_at_ms=row.signed_at_ms,
        reason=row.reason,
        is_stand_in=row.is_stand_in,
        created_at=row.created_at,
        release_at=row.release_at,
        sent_at=row.sent_at,
        acknowledged_at=row.acknowledged_at,
        ended_at=row.ended_at,
        rev=row.rev,
    )
    return Stored(order, row.booked)


def is_readable(row: Row[Any]) -> bool:
    """Say whether this release knows every word of an order row (order-protocol.md section 9)."""
    return all(getattr(row, column) in words for column, words in _WORDS.items())


def _readable(rows: Iterable[Row[Any]]) -> list[Stored]:
    """Read rows over many accounts; one of a later release is left out, and never stops the others."""
    return [from_row(row) for row in rows if is_readable(row)]


def _all_of(rows: Iterable[Row[Any]]) -> list[Stored]:
    """Read the rows that one market's sells are counted from. Raises LaterRelease: a sum without one would be wrong."""
    found = list(rows)
    for row in found:
        if not is_readable(row):
            raise LaterRelease(
                "order_of_later_release",
                f"Order {row.id} was written by a later release ({row.state}); its market is left alone.",
            )
    return [from_row(row) for row in found]


def list_unreadable(tx: Tx) -> list[Row[Any]]:
    """Read the orders that a later release wrote in words this one does not know, oldest first."""
    unknown = [orders.c[column].not_in(sorted(words)) for column, words in _WORDS.items()]
    return list(tx.execute(select(orders).where(or_(*unknown)).order_by(orders.c.created_at, orders.c.id)))


def insert_orders(tx: Tx, new: Sequence[Order]) -> None:
    """Add INTENDED orders."""
    if new:
        tx.execute(insert(orders), [{**to_row(order), "booked": ZERO} for order in new])


def update_order(tx: Tx, order: Order, *, expected_rev: int) -> bool:
    """Replace an order's row if nobody moved it meanwhile; False if somebody did."""
    values = to_row(order)
    del values["id"]
    changed = tx.execute(update(orders).where(orders.c.id == order.id, orders.c.rev == expected_rev).values(values))
    return changed.rowcount == 1


def add_booked(tx: Tx, order_id: OrderId, booked: Decimal) -> None:
    """Write the sum of an order's fills."""
    tx.execute(update(orders).where(orders.c.id == order_id).values(booked=booked))


def find_orders(tx: Tx, ids: Iterable[OrderId], *, lock: bool = False) -> dict[OrderId, Stored]:
    """Read orders by id; `lock` holds the rows for this transaction (PostgreSQL)."""
    query = select(orders).where(orders.c.id.in_(list(ids)))
    if lock:
        query = query.order_by(orders.c.id).with_for_update()
    return {stored.order.id: stored for stored in _readable(tx.execute(query))}


def find_by_client_id(tx: Tx, account_id: AccountId, client_order_id: str) -> Stored | None:
    """Read the order an account knows under a client id. Raises LaterRelease."""
    query = select(orders).where(orders.c.account_id == account_id, orders.c.client_order_id == client_order_id)
    return next(iter(_all_of(tx.execute(query))), None)


def list_in_states(tx: Tx, states: Iterable[OrderState]) -> list[Stored]:
    """Read all orders in these states, oldest first; for the engine, across users."""
    words = [state.value for state in states]
    query = select(orders).where(orders.c.state.in_(words)).order_by(orders.c.created_at, orders.c.id)
    return _readable(tx.execute(query))


def list_not_ended(tx: Tx, account_id: AccountId, symbol: str | None = None) -> list[Stored]:
    """Read an account's orders that have not ended."""
    query = select(orders).where(orders.c.account_id == account_id, orders.c.state.not_in(_ENDED_WORDS))
    if symbol is not None:
        query = query.where(orders.c.symbol == symbol)
    return _readable(tx.execute(query.order_by(orders.c.created_at, orders.c.id)))


def list_unsettled(tx: Tx, account_id: AccountId, symbol: str) -> list[Stored]:
    """Read an account's orders that have not ended, or of which not every fill is booked. Raises LaterRelease."""
    query = select(orders).where(
        orders.c.account_id == account_id,
        orders.c.symbol == symbol,
        or_(orders.c.state.not_in(_ENDED_WORDS), orders.c.executed != orders.c.booked),
    )
    found = _all_of(tx.execute(query.order_by(orders.c.created_at, orders.c.id)))
    return [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]


def list_sells_after(tx: Tx, account_id: AccountId, symbol: str, since: datetime) -> list[Stored]:
    """Read an account's sells that have not ended, or ended at or after a time. Raises LaterRelease."""
    query = select(orders).where(
        orders.c.account_id == account_id,
        orders.c.symbol == symbol,
        orders.c.side == Side.SELL.value,
        or_(orders.c.state.not_in(_ENDED_WORDS), orders.c.ended_at >= since),
    )
    return _all_of(tx.execute(query))


def list_overdue(tx: Tx, before: datetime) -> list[Order]:
    """Read orders that stand INTENDED although their release time passed before a time."""
    query = select(orders).where(orders.c.state == OrderState.INTENDED.value, orders.c.release_at < before)
    return [each.order for each in _readable(tx.execute(query.order_by(orders.c.release_at, orders.c.id).limit(5_000)))]


def list_lacking_fills(tx: Tx) -> list[Stored]:
    """Read orders of which the venue stated more than we hold fills for."""
    # Text columns are compared for inequality only; the size is judged in Decimal.
    query = select(orders).where(orders.c.executed != orders.c.booked)
    return [stored for stored in _readable(tx.execute(query)) if stored.lacks_fills]


def list_of_intent(tx: Tx, intent_id: IntentId) -> list[Stored]:
    """Read all legs and generations of an intent. Raises LaterRelease."""
    query = select(orders).where(orders.c.intent_id == intent_id).order_by(orders.c.leg, orders.c.generation)
    return _all_of(tx.execute(query))


def list_of_lot(tx: Tx, lot_id: str) -> list[Stored]:
    """Read all protective and exit orders that name a lot. Raises LaterRelease."""
    query = select(orders).where(orders.c.lot_id == lot_id).order_by(orders.c.created_at, orders.c.id)
    return _all_of(tx.execute(query))


def list_entries_undone(tx: Tx, source_id: SourceId, base: Asset) -> list[Stored]:
    """Read entries of a source in an asset that have not ended, or whose fills are not all booked."""
    query = select(orders).where(
        orders.c.source_id == source_id,
        orders.c.base == base,
        orders.c.leg == Leg.ENTRY.value,
        or_(orders.c.state.not_in(_ENDED_WORDS), orders.c.executed != orders.c.booked),
    )
    found = _readable(tx.execute(query))
    return [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]


def list_of_user(
    tx: Tx, user_id: UserId, *, is_open: bool | None, limit: int, before: datetime | None = None
) -> list[Stored]:
    """Read a user's orders, newest first."""
    query = select(orders).where(orders.c.user_id == user_id)
    if is_open is not None:
        words = orders.c.state.not_in(_ENDED_WORDS) if is_open else orders.c.state.in_(_ENDED_WORDS)
        query = query.where(words)
    if before is not None:
        query = query.where(orders.c.created_at < before)
    query = query.order_by(orders.c.created_at.desc(), orders.c.id.desc()).limit(limit)
    return _readable(tx.execute(query))


def find_of_user(tx: Tx, user_id: UserId, order_id: str) -> Stored | None:
    """Read one order of a user; another user's id finds nothing."""
    query = select(orders).where(orders.c.id == order_id, orders.c.user_id == user_id)
    return next(iter(_readable(tx.execute(query))), None)


def committed_spend(tx: Tx, account_ids: Sequence[AccountId]) -> list[Stored]:
    """Read entries not ended or not fully booked, BLIND included, of these accounts: they bind money."""
    query = select(orders).where(
        orders.c.account_id.in_(list(account_ids)),
        orders.c.leg == Leg.ENTRY.value,
        or_(orders.c.state.not_in(_ENDED_WORDS), orders.c.executed != orders.c.booked),
    )
    found = _readable(tx.execute(query))
    return [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]


def entries_since(tx: Tx, account_ids: Sequence[AccountId], since: datetime) -> list[Stored]:
    """Read entries created since a time that were not denied or refused (weekly and daily limits)."""
    query = select(orders).where(
        orders.c.account_id.in_(list(account_ids)),
        orders.c.leg == Leg.ENTRY.value,
        orders.c.created_at >= since,
        orders.c.state.not_in([OrderState.DENIED.value, OrderState.REJECTED.value, OrderState.NEVER_ARRIVED.value]),
    )
    return _readable(tx.execute(query))


# --- account versions ------------------------------------------------------------------------------


def exposure_versions(tx: Tx, account_ids: Sequence[AccountId], *, lock: bool = False) -> dict[AccountId, int]:
    """Read how often each account's exposure moved; 0 for an account never seen."""
    query = select(account_states).where(account_states.c.account_id.in_(list(account_ids)))
    if lock:
        query = query.order_by(account_states.c.account_id).with_for_update()
    found = {AccountId(row.account_id): row.exposure_version for row in tx.execute(query)}
    return {account_id: found.get(account_id, 0) for account_id in account_ids}


def bump_exposure(tx: Tx, account_ids: Iterable[AccountId]) -> None:
    """Say that what these accounts are exposed to has changed."""
    wanted = sorted(set(account_ids))
    if not wanted:
        return
    present = set(
        tx.execute(select(account_states.c.account_id).where(account_states.c.account_id.in_(wanted))).scalars()
    )
    missing = [account_id for account_id in wanted if account_id not in present]
    if missing:
        tx.execute(
            insert(account_states),
            [{"account_id": account_id, "exposure_version": 0, "owner_epoch": 0} for account_id in missing],
        )
    tx.execute(
        update(account_states)
        .where(account_states.c.account_id.in_(wanted))
        .values(exposure_version=account_states.c.exposure_version + 1)
    )
