"""What follows when an order never arrived: an entry goes out once more, under a new id, while it is fresh.

Only where the venue frees an id again (`resend = new`), and only because the fence has passed
(order-protocol.md section 1). A close of the same source that came meanwhile goes before it.
"""

from __future__ import annotations

from datetime import datetime

from tradewind.core.order import Order
from tradewind.execution import intent_store, store
from tradewind.execution.journal import Journal, next_generation
from tradewind.infra.db import Tx
from tradewind.infra.points import Point, reached
from tradewind.signals.service import is_superseded


def send_again(tx: Tx, journal: Journal, order: Order, now: datetime) -> Order | None:
    """Record the next generation of an entry that never arrived; None where it may not go out again."""
    fresh_until = intent_store.load_intent(tx, order.intent_id).detail.get("fresh_until")
    is_late = fresh_until is not None and now > datetime.fromisoformat(fresh_until)
    is_overtaken = order.signal_id is not None and is_superseded(tx, order.signal_id)
    generations = [each.order.generation for each in store.list_of_intent(tx, order.intent_id)]
    if is_late or is_overtaken or max(generations) > order.generation:
        return None
    again = next_generation(order, journal.ids, now)
    journal.intend(tx, None, [again], now)
    reached(Point.RESEND_WRITTEN)
    return again
