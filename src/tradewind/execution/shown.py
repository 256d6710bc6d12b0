"""How the doors of execution answer: the schemas of status, orders, decisions and the fan-out.

An order reads here as it does on the stream: `order_out` is made from `words.order_view`. Amounts are
strings in the unit their name says (base, quote or quote per base), times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel, Field
from sqlalchemy import Row

from tradewind.core.order import IntentKind, Leg, Order, OrderState, OrderType, Side
from tradewind.core.skip import Lang, SkipReason, reason_text
from tradewind.execution.board import SKIPPED, Board, Cell
from tradewind.execution.words import order_view


class ReasonOut(BaseModel):
    """One reason why the gate is closed."""

    code: str
    text: str


class AccountStatus(BaseModel):
    """The gate of one account, for entries."""

    account_id: str
    venue: str
    environment: str
    label: str
    can_trade: bool
    reasons: list[ReasonOut]


class TradingStatus(BaseModel):
    """Whether any of the caller's accounts may trade now; `reasons` says why none may, and is empty otherwise."""

    trading_enabled: bool
    environment: str | None
    has_credentials: bool
    can_trade: bool
    reasons: list[ReasonOut]
    user: str
    accounts: list[AccountStatus]
    timestamp: datetime


class OrderOut(BaseModel):
    """An order. `quantity` and `executed` in base, `spend` and `executed_quote` in quote."""

    id: str
    rev: int
    account_id: str
    environment: str
    venue: str
    symbol: str
    base: str
    quote: str
    leg: Leg
    why: IntentKind
    side: Side
    type: OrderType
    state: OrderState
    reason: str | None
    quantity: str | None
    spend: str | None
    limit_price: str | None
    stop_price: str | None
    executed: str
    executed_quote: str
    client_order_id: str
    venue_order_id: str | None
    generation: int
    attempt: int
    signal_id: str | None
    source_id: str | None
    lot_id: str | None
    is_stand_in: bool
    created_at: datetime
    release_at: datetime
    sent_at: datetime | None
    acknowledged_at: datetime | None
    ended_at: datetime | None


class OrdersOut(BaseModel):
    """Orders, newest first."""

    items: list[OrderOut]


class JournalLineOut(BaseModel):
    """One step of an order."""

    at: datetime
    event: str
    from_state: OrderState | None = Field(alias="from")
    to_state: OrderState | None = Field(alias="to")
    detail: dict[str, Any]


class OrderWithJournalOut(OrderOut):
    """An order and its journal, oldest line first."""

    journal: list[JournalLineOut]


class StepOut(BaseModel):
    """One step of a decision's working; the values carry their units."""

    name: str
    values: dict[str, str]


class DecisionOut(BaseModel):
    """Why an account placed or skipped. `working` is null for support: it holds a user's amounts."""

    id: str
    signal_id: str
    source_id: str
    account_id: str
    verdict: str
    reason: str | None
    reason_text: str | None
    confidence_pct: int | None
    plan: str | None
    working: list[StepOut] | None
    at: datetime


class DecisionsOut(BaseModel):
    """Decisions."""

    items: list[DecisionOut]


class CountsOut(BaseModel):
    """Counts of a fan-out: placed + skipped = accounts, `states` add up to placed."""

    accounts: int
    placed: int
    skipped: int
    states: dict[str, int]
    skip_reasons: dict[str, int]


class CellOut(BaseModel):
    """One account's place in a fan-out; `t_ms` from release to the venue's acknowledgement."""

    i: int
    account: str
    plan: str | None
    state: str
    reason: str | None
    reason_text: str | None
    order_id: str | None
    release_at: datetime | None
    t_ms: int | None


class FanOut(BaseModel):
    """The fan-out of a signal."""

    signal: str
    rev: int
    counts: CountsOut
    cells: list[CellOut]


def order_out(order: Order) -> OrderOut:
    """Show an order."""
    return OrderOut.model_validate(order_view(order))


def order_with_journal_out(order: Order, lines: Sequence[Row[Any]]) -> OrderWithJournalOut:
    """Show an order with the lines of its journal."""
    return OrderWithJournalOut.model_validate({**order_view(order), "journal": [_line(row) for row in lines]})


def decision_out(row: Row[Any], lang: Lang, *, with_working: bool) -> DecisionOut:
    """Show a decision."""
    return DecisionOut(
        id=row.id,
        signal_id=row.signal_id,
        source_id=row.source_id,
        account_id=row.account_id,
        verdict=row.verdict,
        reason=row.reason,
        reason_text=None if row.reason is None else reason_text(SkipReason(row.reason), lang),
        confidence_pct=row.confidence_pct,
        plan=row.plan,
        working=msgspec.json.decode(row.working, type=list[Any]) if with_working else None,
        at=row.created_at,
    )


def fan_out(board: Board, lang: Lang) -> FanOut:
    """Show a fan-out."""
    counts = CountsOut.model_validate(board.counts())
    return FanOut(
        signal=board.signal_id, rev=board.rev, counts=counts, cells=[_cell(cell, lang) for cell in board.cells]
    )


def _line(row: Row[Any]) -> dict[str, Any]:
    return {
        "at": row.at,
        "event": row.kind,
        "from": row.from_state,
        "to": row.to_state,
        "detail": msgspec.json.decode(row.detail),
    }


def _cell(cell: Cell, lang: Lang) -> CellOut:
    text = None
    if cell.state == SKIPPED and cell.reason is not None:
        text = reason_text(SkipReason(cell.reason), lang)
    return CellOut.model_validate(
        {
            "i": cell.index,
            "account": cell.account_id,
            "plan": cell.plan,
            "state": cell.state,
            "reason": cell.reason,
            "reason_text": text,
            "order_id": cell.order_id,
            "release_at": cell.release_at,
            "t_ms": cell.t_ms,
        }
    )
