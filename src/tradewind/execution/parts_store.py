"""SQL of what the claim of a sell fixed: which lots it takes from, and how much of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, insert, select

from tradewind.core.ids import LotId, OrderId
from tradewind.core.money import Quantity
from tradewind.core.position import SellPart
from tradewind.execution.tables import sell_parts
from tradewind.infra import bulk
from tradewind.infra.db import Tx


def replace_parts(tx: Tx, order_id: OrderId, parts: Sequence[SellPart]) -> None:
    """Write a sell's parts in order, instead of those of an earlier claim that came back unsent."""
    tx.execute(delete(sell_parts).where(sell_parts.c.order_id == order_id))
    if parts:
        rows = [
            {"order_id": order_id, "place": place, "lot_id": part.lot_id, "quantity": part.quantity.value}
            for place, part in enumerate(parts)
        ]
        tx.execute(insert(sell_parts), rows)


def replace_all(tx: Tx, wanted: Mapping[OrderId, Sequence[SellPart]]) -> None:
    """As `replace_parts`, for many sells at once."""
    if not wanted:
        return
    tx.execute(delete(sell_parts).where(sell_parts.c.order_id.in_(list(wanted))))
    rows = [
        (order_id, place, part.lot_id, part.quantity.value)
        for order_id, parts in wanted.items()
        for place, part in enumerate(parts)
    ]
    bulk.insert_rows(tx, sell_parts, ("order_id", "place", "lot_id", "quantity"), rows)


def list_parts(tx: Tx, order_ids: Iterable[OrderId]) -> dict[OrderId, tuple[SellPart, ...]]:
    """Read the parts of these sells, each in order; a sell without parts is missing."""
    query = select(sell_parts).where(sell_parts.c.order_id.in_(list(order_ids)))
    found: dict[OrderId, tuple[SellPart, ...]] = {}
    for row in tx.execute(query.order_by(sell_parts.c.order_id, sell_parts.c.place)):
        part = SellPart(LotId(row.lot_id), Quantity(row.quantity))
        key = OrderId(row.order_id)
        found[key] = (*found.get(key, ()), part)
    return found
