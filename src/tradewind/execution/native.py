"""Native protection: the OCO list of a lot as two orders, and what past lists tell.

All generations belong to one intent of the lot. The next one is minted only when every leg of the last has
ended while quantity remains (order-protocol.md section 1).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from tradewind.core.ids import AccountId, IntentId, client_order_id
from tradewind.core.instrument import Instrument
from tradewind.core.money import Price
from tradewind.core.order import IntentKind, Leg, Order, OrderState, OrderType, Side
from tradewind.core.protection import OcoWanted
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal, new_order, next_generation
from tradewind.infra.db import Tx
from tradewind.infra.points import Point, reached
from tradewind.portfolio.holding import Holding

LEGS = (Leg.STOP, Leg.TARGET)


def intend_oco(
    tx: Tx,
    journal: Journal,
    holding: Holding,
    instrument: Instrument,
    oco: OcoWanted,
    past: Sequence[Order],
    now: datetime,
) -> list[Order]:
    """Record the next list of a lot, INTENDED; `past` are its earlier protective legs."""
    if past:
        legs = _again(journal, oco, past, now)
        journal.intend(tx, None, legs, now)
        return legs
    intent = _intent(journal, holding, now)
    legs = [_first(journal, intent, holding, instrument, oco, leg, now) for leg in LEGS]
    journal.intend(tx, intent, legs, now)
    reached(Point.PROTECTION_INTENT_WRITTEN)
    return legs


def user_cancels(past: Sequence[Order], cancelled_by_us: Collection[str]) -> int:
    """Count lists that ended by a cancel we never sent and the venue gave no other cause for.

    `cancelled_by_us` are the ids of orders for which the journal holds a cancel of ours.
    """
    lists = {order.list_client_id for order in past if order.state is OrderState.CANCELED and not order.reason}
    ours = {order.list_client_id for order in past if order.id in cancelled_by_us}
    return len(lists - ours)


def last_refusal(past: Sequence[Order]) -> str | None:
    """Return why the newest list was refused; None if it was not."""
    latest = max((order.generation for order in past), default=-1)
    reasons = [each.reason for each in past if each.generation == latest and each.state is OrderState.REJECTED]
    return next((reason for reason in reasons if reason), None)


def _intent(journal: Journal, holding: Holding, now: datetime) -> Intent:
    lot = holding.lot
    return Intent(
        id=IntentId(journal.ids.new()),
        kind=IntentKind.PROTECTION,
        user_id=holding.user_id,
        account_id=lot.account_id,
        symbol=lot.symbol,
        created_at=now,
        signal_id=lot.signal_id,
        signal_seq=lot.signal_seq,
        source_id=lot.source_id,
        lot_id=lot.id,
        is_done=True,
    )


def _first(
    journal: Journal,
    intent: Intent,
    holding: Holding,
    instrument: Instrument,
    oco: OcoWanted,
    leg: Leg,
    now: datetime,
) -> Order:
    return new_order(
        journal.ids,
        intent,
        instrument,
        holding.environment,
        now,
        leg=leg,
        side=Side.SELL,
        type=OrderType.STOP_LOSS if leg is Leg.STOP else OrderType.TAKE_PROFIT_LIMIT_MAKER,
        quantity=oco.quantity,
        stop_price=_stop(oco, leg),
        limit_price=_target(oco, leg),
        lot_id=holding.lot.id,
        list_client_id=_list_id(intent.id, intent.account_id, 0),
    )


def _again(journal: Journal, oco: OcoWanted, past: Sequence[Order], now: datetime) -> list[Order]:
    legs = []
    for leg in LEGS:
        newest = max((order for order in past if order.leg is leg), key=lambda order: order.generation)
        legs.append(
            next_generation(
                newest,
                journal.ids,
                now,
                quantity=oco.quantity,
                list_client_id=_list_id(newest.intent_id, newest.account_id, newest.generation + 1),
                stop_price=_stop(oco, leg),
                limit_price=_target(oco, leg),
            )
        )
    return legs


def _list_id(intent_id: IntentId, account_id: AccountId, generation: int) -> str:
    return client_order_id(intent_id, account_id, "list", generation)


def _stop(oco: OcoWanted, leg: Leg) -> Price | None:
    return oco.stop if leg is Leg.STOP else None


def _target(oco: OcoWanted, leg: Leg) -> Price | None:
    return oco.target if leg is Leg.TARGET else None
