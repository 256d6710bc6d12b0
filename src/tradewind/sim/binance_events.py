"""User-data events in the venue's one-letter JSON (user-data-stream.md, 2026-07-21).

One exchange event becomes one message. An order that fills at once reports NEW first, then one TRADE per
fill, then the balances; the exchange already emits them in that order and nothing here reorders them.
"""

from __future__ import annotations

from typing import assert_never

from tradewind.sim.binance_shapes import Json, number
from tradewind.sim.types import (
    NO_ID,
    ZERO,
    BalanceChange,
    Event,
    ExecutionType,
    ExpiryReason,
    ListUpdate,
    Order,
    OrderUpdate,
    Transfer,
)


def user_event(event: Event) -> Json:
    """Shape one event of an account."""
    match event:
        case OrderUpdate():
            return execution_report(event)
        case BalanceChange():
            return _account_position(event)
        case Transfer():
            return {
                "e": "balanceUpdate",
                "E": event.at_ms,
                "a": event.asset,
                "d": number(event.delta),
                "T": event.at_ms,
            }
        case ListUpdate():
            return _list_status(event)
        case _:
            assert_never(event)


def is_fill(event: Event) -> bool:
    """Tell whether the event reports a trade."""
    return isinstance(event, OrderUpdate) and event.execution_type is ExecutionType.TRADE


def execution_report(update: OrderUpdate) -> Json:
    """Shape an executionReport."""
    order, fill = update.order, update.fill
    report: Json = {
        "e": "executionReport",
        "E": update.at_ms,
        "s": order.symbol,
        "c": order.client_order_id,
        "S": order.side.value,
        "o": order.type.value,
        "f": order.time_in_force.value,
        "q": number(order.quantity),
        "p": number(order.price),
        "P": number(order.stop_price),
        "F": number(order.iceberg_quantity),
        "g": order.order_list_id,
        "C": _original_id(update),
        "x": update.execution_type.value,
        "X": order.status.value,
        "r": update.reject_reason,
        "i": order.order_id,
        "l": number(fill.quantity if fill else ZERO),
        "z": number(order.executed),
        "L": number(fill.price if fill else ZERO),
        "n": number(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": update.at_ms,
        "t": fill.trade_id if fill else NO_ID,
        "v": 0,
        "I": update.execution_id,
        "w": order.is_open and order.is_working,
        "m": fill.is_maker if fill else False,
        "M": fill is not None,
        "O": order.created_ms,
        "Z": number(order.quote_executed),
        "Y": number(fill.quote if fill else ZERO),
        "Q": number(order.quote_quantity),
    }
    if order.working_time_ms != NO_ID:
        report["W"] = order.working_time_ms
    report["V"] = order.stp_mode
    report.update(_conditional(order))
    return report


def subscription_ended(now_ms: int) -> Json:
    """Shape the event that closes one subscription."""
    return {"e": "eventStreamTerminated", "E": now_ms}


def server_shutdown(now_ms: int) -> Json:
    """Shape the warning that this connection is about to be closed (since 2026-05-08)."""
    return {"e": "serverShutdown", "E": now_ms}


def _original_id(update: OrderUpdate) -> str:
    renamed = {ExecutionType.CANCELED, ExecutionType.REPLACED}
    return update.order.orig_client_order_id if update.execution_type in renamed else ""


def _conditional(order: Order) -> Json:
    shape: Json = {}
    if order.trailing_delta is not None:
        shape["d"] = order.trailing_delta
        if order.trailing_time_ms != NO_ID:
            shape["D"] = order.trailing_time_ms
    if order.strategy_id is not None:
        shape["j"] = order.strategy_id
    if order.strategy_type is not None:
        shape["J"] = order.strategy_type
    if order.expiry_reason is not ExpiryReason.NONE:
        shape["eR"] = order.expiry_reason.value
    return shape


def _account_position(change: BalanceChange) -> Json:
    return {
        "e": "outboundAccountPosition",
        "E": change.at_ms,
        "u": change.at_ms,
        "B": [
            {"a": asset, "f": number(balance.free), "l": number(balance.locked)} for asset, balance in change.balances
        ],
    }


def _list_status(update: ListUpdate) -> Json:
    order_list = update.order_list
    return {
        "e": "listStatus",
        "E": update.at_ms,
        "s": order_list.symbol,
        "g": order_list.order_list_id,
        "c": order_list.contingency_type,
        "l": order_list.status_type.value,
        "L": order_list.order_status.value,
        "r": "NONE",
        "C": order_list.list_client_order_id,
        "T": update.at_ms,
        "O": [
            {"s": order_list.symbol, "i": member.order_id, "c": member.client_order_id} for member in order_list.members
        ],
    }
