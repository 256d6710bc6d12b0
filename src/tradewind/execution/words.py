"""How orders, lots and decisions read outside: the payloads of stream events and API answers.

Amounts are strings, times are ISO 8601 in UTC, PAPER, TESTNET or LIVE stands on every one (G6).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from tradewind.core.instrument import Environment
from tradewind.core.money import plain
from tradewind.core.order import Order
from tradewind.infra.outbox import Note
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import lot_view

# The orders of one batch carry the same few moments.
_iso = lru_cache(maxsize=4_096)(datetime.isoformat)
_UPPER = {each: each.value.upper() for each in Environment}


def order_view(order: Order) -> dict[str, Any]:
    """An order as its owner sees it."""
    return {
        "id": order.id,
        "rev": order.rev,
        "account_id": order.account_id,
        "environment": _UPPER[order.environment],
        "venue": order.venue,
        "symbol": order.symbol,
        "base": order.base,
        "quote": order.quote,
        "leg": order.leg._value_,
        "why": order.intent_kind._value_,
        "side": order.side._value_,
        "type": order.type._value_,
        "state": order.state._value_,
        "reason": order.reason,
        "quantity": None if order.quantity is None else str(order.quantity),
        "spend": None if order.spend is None else plain(order.spend.amount),
        "limit_price": None if order.limit_price is None else str(order.limit_price),
        "stop_price": None if order.stop_price is None else str(order.stop_price),
        "executed": str(order.executed),
        "executed_quote": plain(order.executed_quote),
        "client_order_id": order.client_order_id,
        "venue_order_id": order.venue_order_id,
        "generation": order.generation,
        "attempt": order.attempt,
        "signal_id": order.signal_id,
        "source_id": order.source_id,
        "lot_id": order.lot_id,
        "is_stand_in": order.is_stand_in,
        "created_at": _iso(order.created_at),
        "release_at": _iso(order.release_at),
        "sent_at": _time(order.sent_at),
        "acknowledged_at": _time(order.acknowledged_at),
        "ended_at": _time(order.ended_at),
    }


def order_note(order: Order) -> Note:
    """The stream event of an order that moved."""
    at = order.ended_at or order.acknowledged_at or order.sent_at or order.created_at
    return Note("order", order.user_id, {**order_view(order), "at": _iso(at)})


def position_note(holding: Holding, now: datetime) -> Note:
    """The stream event of a lot that changed."""
    return Note("position", holding.user_id, {**lot_view(holding), "at": _iso(now)})


def decision_note(row: Mapping[str, Any], now: datetime) -> Note:
    """The stream event of a decision."""
    payload = {
        "id": row["id"],
        "rev": 0,
        "at": now.isoformat(),
        "signal_id": row["signal_id"],
        "account_id": row["account_id"],
        "verdict": row["verdict"],
        "reason": row["reason"],
        "confidence_pct": row["confidence_pct"],
    }
    return Note("decision", row["user_id"], payload)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else _iso(moment)
