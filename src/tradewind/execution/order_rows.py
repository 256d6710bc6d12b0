"""An order as a row of the journal, and back: in one place, for the statements of store.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from tradewind.core.instrument import Environment
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import IntentKind, Leg, Order, OrderState, OrderType, Side, of_values

# The column's width; a venue's words may be longer.
_REASON_CHARS = 200
# Columns whose words this release must know to judge an order at all.
WORDS: Mapping[str, frozenset[str]] = {
    "state": frozenset(OrderState),
    "leg": frozenset(Leg),
    "side": frozenset(Side),
    "type": frozenset(OrderType),
    "intent_kind": frozenset(IntentKind),
}
# All columns, as `to_values` writes them and `from_values` reads them.
NAMES = (
    *("id", "intent_id", "intent_kind", "user_id", "account_id", "venue", "environment", "symbol", "base", "quote"),
    *("leg", "side", "type", "client_order_id", "list_client_id", "generation", "attempt", "signal_id", "source_id"),
    *("lot_id", "quantity", "spend", "limit_price", "stop_price", "state", "venue_order_id", "executed"),
    *("executed_quote", "owner_epoch", "send_by_ms", "signed_at_ms", "reason", "is_stand_in", "created_at"),
    *("release_at", "sent_at", "acknowledged_at", "ended_at", "rev", "booked"),
)
# What an order's steps and facts change; whose it is and what it is for never do.
MOVING = (
    *("attempt", "quantity", "state", "venue_order_id", "executed", "executed_quote", "owner_epoch", "send_by_ms"),
    *("signed_at_ms", "reason", "release_at", "sent_at", "acknowledged_at", "ended_at", "rev"),
)
_STATES = {each.value: each for each in OrderState}
_KINDS = {each.value: each for each in IntentKind}
_ENVIRONMENTS = {each.value: each for each in Environment}
_LEGS = {each.value: each for each in Leg}
_SIDES = {each.value: each for each in Side}
_TYPES = {each.value: each for each in OrderType}


@dataclass(frozen=True, slots=True)
class Stored:
    """An order with what has been booked of it; `booked` is the sum of its fills in base."""

    order: Order
    booked: Decimal

    @property
    def lacks_fills(self) -> bool:
        """The venue stated more than the fills we hold add up to."""
        return self.order.executed.value > self.booked


def to_values(order: Order, booked: Decimal) -> tuple[Any, ...]:
    """Write an order as `NAMES` names its columns."""
    return (
        order.id,
        order.intent_id,
        order.intent_kind._value_,
        order.user_id,
        order.account_id,
        order.venue,
        order.environment._value_,
        order.symbol,
        order.base,
        order.quote,
        order.leg._value_,
        order.side._value_,
        order.type._value_,
        order.client_order_id,
        order.list_client_id,
        order.generation,
        order.attempt,
        order.signal_id,
        order.source_id,
        order.lot_id,
        None if order.quantity is None else order.quantity.value,
        None if order.spend is None else order.spend.amount,
        None if order.limit_price is None else order.limit_price.value,
        None if order.stop_price is None else order.stop_price.value,
        order.state._value_,
        order.venue_order_id,
        order.executed.value,
        order.executed_quote,
        order.owner_epoch,
        order.send_by_ms,
        order.signed_at_ms,
        _cut(order.reason),
        order.is_stand_in,
        order.created_at,
        order.release_at,
        order.sent_at,
        order.acknowledged_at,
        order.ended_at,
        order.rev,
        booked,
    )


def moving_values(order: Order) -> tuple[Any, ...]:
    """Write what of an order moves, as `MOVING` names its columns."""
    return (
        order.attempt,
        None if order.quantity is None else order.quantity.value,
        order.state._value_,
        order.venue_order_id,
        order.executed.value,
        order.executed_quote,
        order.owner_epoch,
        order.send_by_ms,
        order.signed_at_ms,
        _cut(order.reason),
        order.release_at,
        order.sent_at,
        order.acknowledged_at,
        order.ended_at,
        order.rev,
    )


def _cut(reason: str | None) -> str | None:
    return None if reason is None else reason[:_REASON_CHARS]


def from_values(row: Sequence[Any]) -> Stored:
    """Read an order from `NAMES`. Raises KeyError for words of a later release."""
    quote = Asset(row[9])
    # In the order of the fields.
    order = of_values(
        (
            row[0],
            row[1],
            _KINDS[row[2]],
            row[3],
            row[4],
            row[5],
            _ENVIRONMENTS[row[6]],
            row[7],
            row[8],
            quote,
            _LEGS[row[10]],
            _SIDES[row[11]],
            _TYPES[row[12]],
            row[13],
            row[33],
            row[34],
            row[15],
            row[16],
            row[14],
            row[17],
            row[18],
            row[19],
            None if row[20] is None else Quantity(row[20]),
            None if row[21] is None else Money(row[21], quote),
            None if row[22] is None else Price(row[22]),
            None if row[23] is None else Price(row[23]),
            _STATES[row[24]],
            row[25],
            Quantity(row[26]),
            row[27],
            row[28],
            row[29],
            row[30],
            row[35],
            row[36],
            row[37],
            row[31],
            row[32],
            row[38],
        )
    )
    return Stored(order, row[39])


def from_row(row: Row[Any]) -> Stored:
    """Read an order row."""
    return from_values([getattr(row, name) for name in NAMES])


def is_readable(row: Row[Any]) -> bool:
    """Say whether this release knows every word of an order row (order-protocol.md section 9)."""
    return all(getattr(row, column) in words for column, words in WORDS.items())


def from_values_if_readable(row: Sequence[Any]) -> Stored | None:
    """Read an order from `NAMES`; None for one of a later release."""
    try:
        return from_values(row)
    except KeyError:
        # A word that is in none of the tables above.
        return None
