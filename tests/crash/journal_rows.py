"""The platform's side out of any of its databases, as the values that the demo's referee judges.

As there, neither the platform's code nor its API is asked: plain SELECTs, one moment, texts and times decoded here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from tradewind.demo.facts import (
    Journal,
    JournalDecision,
    JournalFill,
    JournalLot,
    JournalOrder,
    JournalSale,
    JournalSignal,
)

_DOUBT = frozenset({"UNKNOWN", "BLIND"})
_ORDER = (
    "id intent_id intent_kind account_id symbol leg side generation client_order_id state signal_id lot_id "
    "list_client_id venue_order_id"
)
_LOT = "id account_id symbol base source_id signal_id entry_order_id state state_reason naked_ms watched_ms"
_FILL = "account_id symbol venue_order_id fill_id order_id"


def rows(tx: Connection, query: str) -> Sequence[Any]:
    """Run a SELECT."""
    return tx.execute(text(query)).all()


def us(at: Any) -> int:
    """A time as microseconds: SQLite keeps the number, PostgreSQL a time."""
    return int(at.timestamp()) * 1_000_000 + at.microsecond if isinstance(at, datetime) else int(at)


def read_journal(tx: Connection) -> Journal:
    """Read everything the check looks at."""
    steps: dict[str, list[Any]] = defaultdict(list)
    for row in rows(tx, "SELECT order_id, from_state, to_state, at FROM order_events ORDER BY seq"):
        steps[row.order_id].append(row)
    return Journal(
        accounts={row.id: int(row.venue_user_id) for row in rows(tx, "SELECT id, venue_user_id FROM accounts")},
        mandates=[(row.source_id, row.account_id) for row in rows(tx, "SELECT source_id, account_id FROM mandates")],
        signals=[
            JournalSignal(**row._asdict())
            for row in rows(tx, "SELECT id, source_id, action, base, state FROM inbox ORDER BY seq")
        ],
        decisions=[
            JournalDecision(**row._asdict())
            for row in rows(tx, "SELECT signal_id, account_id, verdict, reason, plan FROM decisions")
        ],
        orders=[_order(row, steps[row.id]) for row in rows(tx, "SELECT * FROM orders")],
        fills=[
            JournalFill(**_of(row, _FILL), quantity=Decimal(row.quantity), price=Decimal(row.price))
            for row in rows(tx, "SELECT * FROM fills")
        ],
        lots=[
            JournalLot(**_of(row, _LOT), quantity=Decimal(row.quantity), is_open=bool(row.is_open))
            for row in rows(tx, "SELECT * FROM lots")
        ],
        sales=[
            JournalSale(
                **_of(row, "lot_id account_id order_id cause"),
                gain_quote=Decimal(row.proceeds_quote) - Decimal(row.cost_quote),
            )
            for row in rows(tx, "SELECT * FROM sales ORDER BY seq")
        ],
    )


def _order(row: Any, steps: Sequence[Any]) -> JournalOrder:
    return JournalOrder(
        **_of(row, _ORDER),
        executed=Decimal(row.executed),
        executed_quote=Decimal(row.executed_quote),
        claimed_ms=tuple(
            us(step.at) // 1_000 for step in steps if step.to_state == "SENT" and step.from_state != "SENT"
        ),
        release_ms=us(row.release_at) // 1_000,
        acknowledged_ms=None if row.acknowledged_at is None else us(row.acknowledged_at) // 1_000,
        was_in_doubt=any(step.to_state in _DOUBT for step in steps),
    )


def _of(row: Any, names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names.split()}
