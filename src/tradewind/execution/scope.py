"""What an order means for the lots, and its line in the journal: pure, from the order and its intent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from tradewind.core.ids import AccountId, LotId
from tradewind.core.money import Price, plain
from tradewind.core.order import IntentKind, Leg, Order
from tradewind.execution.intent_store import Intent
from tradewind.execution.outcomes import Outcome
from tradewind.portfolio.service import LotPlan, SellScope


def lot_plan(order: Order, intent: Intent) -> LotPlan:
    """What an entry's lot is to be, from its intent."""
    detail = intent.detail
    return LotPlan(
        user_id=order.user_id,
        account_id=order.account_id,
        venue=order.venue,
        environment=order.environment,
        symbol=order.symbol,
        base=order.base,
        quote=order.quote,
        entry_order_id=order.id,
        source_id=order.source_id,
        signal_id=order.signal_id,
        signal_seq=intent.signal_seq,
        stop=_price(detail, "stop"),
        target=_price(detail, "target"),
        trailing_bps=detail.get("trailing_bps"),
        time_exit_at=_time(detail, "time_exit_at"),
    )


def sell_scope(order: Order, intent: Intent) -> SellScope:
    """Which lots a sell takes from (order-protocol.md section 4)."""
    lot_id = None if order.lot_id is None else LotId(order.lot_id)
    is_hand = order.intent_kind in (IntentKind.HAND, IntentKind.TEST)
    return SellScope(
        account_id=AccountId(order.account_id),
        symbol=order.symbol,
        lot_id=lot_id,
        source_id=None if is_hand else order.source_id,
        until_seq=intent.signal_seq if order.intent_kind is IntentKind.SIGNAL else None,
        touches_lots=not is_hand or bool(intent.detail.get("include_protected")),
    )


def cause_of(order: Order) -> str:
    """Why a lot was sold, in one word users read."""
    if order.leg in (Leg.STOP, Leg.TARGET):
        return order.leg.value
    if order.intent_kind is IntentKind.SIGNAL:
        return "signal"
    if order.intent_kind is IntentKind.HAND:
        return "hand"
    return "engine"


def _price(detail: Mapping[str, Any], key: str) -> Price | None:
    text = detail.get(key)
    return None if text is None else _price_of(text)


# The entries of one signal in one market want the same stop and target.
@lru_cache(maxsize=256)
def _price_of(text: str) -> Price:
    return Price(Decimal(text))


def _time(detail: Mapping[str, Any], key: str) -> datetime | None:
    text = detail.get(key)
    return None if text is None else datetime.fromisoformat(text)


def event_row(before: Order, after: Order, outcome: Outcome, now: datetime) -> dict[str, Any]:
    """One line of the order's journal."""
    detail: dict[str, Any] = {"reason": after.reason, "attempt": after.attempt}
    if after.executed != before.executed:
        detail["executed"] = str(after.executed)
        detail["executed_quote"] = plain(after.executed_quote)
    if after.signed_at_ms is not None:
        detail["signed_at_ms"] = after.signed_at_ms
    if outcome.fills:
        detail["fills"] = [fill.fill_id for fill in outcome.fills]
    if after.venue_order_id != before.venue_order_id:
        detail["venue_order_id"] = after.venue_order_id
    return {
        "order_id": after.id,
        "user_id": after.user_id,
        "at": now,
        "kind": type(outcome.event).__name__,
        "from_state": before.state._value_,
        "to_state": after.state._value_,
        "detail": detail,
    }
