"""The schema of an order: exactly what the view holds, on the stream and in answers alike."""

from __future__ import annotations

from tests.support.core_builders import after, order, price

from tradewind.core.order import OrderState
from tradewind.execution.shown import OrderOut, order_out
from tradewind.execution.words import order_view


def test_order_schema_when_compared_with_the_view_then_same_fields_and_values() -> None:
    moved = order(state=OrderState.FILLED, sent_at=after(1), ended_at=after(2), stop_price=price("60000"))
    view = order_view(moved)
    assert set(OrderOut.model_fields) == set(view)
    shown = order_out(moved).model_dump(mode="json")
    # The stream spells UTC as +00:00, answers as Z; all else is the same.
    assert shown == {
        key: value.replace("+00:00", "Z") if key.endswith("_at") and value else value for key, value in view.items()
    }
