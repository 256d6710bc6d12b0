"""Native protection: the OCO list of a lot as two orders (or its stop alone), and what past lists tell.

All generations belong to one intent of the lot. The next one is minted only when every leg of the last has
ended while quantity remains (order-protocol.md section 1).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from tradewind.core.ids import AccountId, IntentId, client_order_id
from tradewind.core.instrument import Instrument
from tradewind.core.order import IntentKind, Leg, Order, OrderState, OrderType, Side
from tradewind.core.protection import OcoWanted, StopOnly
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal, new_order, next_generation
from tradewind.execution.scene import LEGS
from tradewind.portfolio.holding import Holding


def draw_up(
    journal: Journal,
    holding: Holding,
    instrument: Instrument,
    wanted: OcoWanted | StopOnly,
    past: Sequence[Order],
    now: datetime,
) -> tuple[Intent | None, list[Order]]:
    """Write down the next native protection of a lot, INTENDED; `past` are its earlier protective orders.

    The intent is None where the lot has one already.
    """
    legs = LEGS if isinstance(wanted, OcoWanted) else (Leg.STOP,)
    if _belong_together(past, legs):
        return None, [_again(journal, wanted, past, leg, now) for leg in legs]
    intent = _intent(journal, holding, now)
    return intent, [_first(journal, intent, holding, instrument, wanted, leg, now) for leg in legs]


def _belong_together(past: Sequence[Order], legs: Sequence[Leg]) -> bool:
    """Say whether the newest of these legs were drawn up as one; those adopted after a restore were not."""
    newest = {order.leg: order for order in sorted(past, key=lambda order: order.generation)}
    drawn = {(newest[leg].intent_id, newest[leg].generation) if leg in newest else None for leg in legs}
    return len(drawn) == 1 and None not in drawn


def user_cancels(past: Sequence[Order], cancelled_by_us: Collection[str]) -> int:
    """Count lists that ended by a cancel we never sent and the venue gave no other cause for.

    `cancelled_by_us` are the ids of orders for which the journal holds a cancel of ours.
    """
    lists = {_list_of(order) for order in past if order.state is OrderState.CANCELED and not order.reason}
    ours = {_list_of(order) for order in past if order.id in cancelled_by_us}
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
    wanted: OcoWanted | StopOnly,
    leg: Leg,
    now: datetime,
) -> Order:
    is_list = isinstance(wanted, OcoWanted)
    return new_order(
        journal.ids,
        intent,
        instrument,
        holding.environment,
        now,
        leg=leg,
        side=Side.SELL,
        type=OrderType.STOP_LOSS if leg is Leg.STOP else OrderType.TAKE_PROFIT_LIMIT_MAKER,
        quantity=wanted.quantity,
        stop_price=wanted.stop if leg is Leg.STOP else None,
        limit_price=wanted.target if leg is Leg.TARGET else None,
        lot_id=holding.lot.id,
        list_client_id=_list_id(intent.id, intent.account_id, 0) if is_list else None,
    )


def _again(journal: Journal, wanted: OcoWanted | StopOnly, past: Sequence[Order], leg: Leg, now: datetime) -> Order:
    newest = max((order for order in past if order.leg is leg), key=lambda order: order.generation)
    list_id = None
    if isinstance(wanted, OcoWanted):
        list_id = _list_id(newest.intent_id, newest.account_id, newest.generation + 1)
    return next_generation(
        newest,
        journal.ids,
        now,
        quantity=wanted.quantity,
        list_client_id=list_id,
        stop_price=wanted.stop if leg is Leg.STOP else None,
        limit_price=wanted.target if leg is Leg.TARGET else None,
    )


def _list_id(intent_id: IntentId, account_id: AccountId, generation: int) -> str:
    return client_order_id(intent_id, account_id, "list", generation)


def _list_of(order: Order) -> str:
    return order.list_client_id or order.id
