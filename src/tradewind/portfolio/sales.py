"""Fills of sells on their way out of lots: lots of many accounts are read at once, booked in memory, written at once.

Whoever opens or changes lots beside it in the same transaction says so (`follow`), and is told what was sold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tradewind.core.ids import AccountId, LotId
from tradewind.core.instrument import Instrument
from tradewind.core.money import Price
from tradewind.core.order import Side
from tradewind.core.position import Fill, Lot, SellPart, book_sell
from tradewind.infra.db import Tx
from tradewind.portfolio import store
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import CLOSED, Change, SellScope
from tradewind.portfolio.store import SaleRow


@dataclass(slots=True)
class Sales:
    """The lots of some accounts as this transaction makes them."""

    _lots: dict[LotId, Holding] = field(default_factory=dict)
    # In the order in which they were opened, which is the order in which they are sold.
    _of_account: dict[AccountId, list[LotId]] = field(default_factory=dict)
    _changed: set[LotId] = field(default_factory=set)
    _rows: list[SaleRow] = field(default_factory=list)

    @classmethod
    def read(cls, tx: Tx, account_ids: Collection[AccountId], also: Iterable[str] = ()) -> Sales:
        """Read the open lots of these accounts, under lock, and others by id: closed ones that a sell had fixed."""
        sales = cls()
        accounts = sorted(account_ids)
        for holding in store.list_open(tx, account_ids=accounts, lock=True) if accounts else ():
            sales._take(holding)
        missing = sorted(set(also) - sales._lots.keys())
        for holding in store.find_lots(tx, missing, lock=True).values() if missing else ():
            sales._take(holding)
        return sales

    def follow(self, moved: Iterable[Holding]) -> None:
        """Take lots as others made them in this transaction; they write them."""
        for holding in moved:
            self._take(holding)

    def lots_in(self, scope: SellScope) -> list[Holding]:
        """The open lots that a sell may take from, oldest first."""
        if not scope.touches_lots:
            return []
        here = [self._lots[lot_id] for lot_id in self._of_account.get(scope.account_id, ())]
        is_open = [each for each in here if each.closed_at is None]
        if scope.lot_id is not None:
            return [each for each in is_open if each.lot.id == scope.lot_id]
        of_source = [each for each in is_open if scope.source_id in (None, each.lot.source_id)]
        return [each for each in of_source if each.lot.symbol == scope.symbol and scope.includes(each.lot)]

    def book(self, scope: SellScope, fill: Fill, *, cause: str, parts: Sequence[SellPart] | None = None) -> Change:
        """Book a fill: over the lots its claim fixed (`parts`), then over the rest of its scope.

        What no lot covers is returned, never lost.
        """
        assert fill.side is Side.SELL
        held = {holding.lot.id: holding for holding in self.lots_in(scope)}
        # A lot closed as dust meanwhile, or out of scope by now, was sold from all the same.
        others = [part.lot_id for part in parts or () if part.lot_id not in held]
        held.update({lot_id: self._lots[lot_id] for lot_id in others if lot_id in self._lots})
        booked = book_sell([holding.lot for holding in held.values()], fill, parts)
        changed = tuple(self._keep(_after_sale(held[lot.id], lot, fill.at)) for lot in booked.lots)
        self._rows += [SaleRow(held[sale.lot_id], sale, fill.order_id, fill.price, cause) for sale in booked.sales]
        return Change(changed, booked.sales, booked.unallocated.value, booked.beyond_parts.value)

    def close_dust(self, scope: SellScope, instrument: Instrument, price: Price, now: datetime) -> list[Holding]:
        """Close lots of which something was sold and too little is left to sell; the rest stays on record."""
        left = [
            holding
            for holding in self.lots_in(scope)
            if holding.lot.quantity != holding.lot.bought_quantity
            and not instrument.is_sellable(holding.lot.quantity, price)
        ]
        return [self._keep(replace(each.moved_to(CLOSED, "dust_left", now), closed_at=now)) for each in left]

    def write(self, tx: Tx) -> None:
        """Write what was sold. Lots opened in this transaction must have been written before."""
        store.write_holdings(tx, [], [self._lots[lot_id] for lot_id in sorted(self._changed)])
        store.insert_sales(tx, self._rows)
        self._changed.clear()
        self._rows.clear()

    def _keep(self, holding: Holding) -> Holding:
        self._changed.add(holding.lot.id)
        self._take(holding)
        return holding

    def _take(self, holding: Holding) -> None:
        lot = holding.lot
        if lot.id not in self._lots:
            # One opened in this transaction is the newest: those that were read stand in their order.
            self._of_account.setdefault(lot.account_id, []).append(lot.id)
        self._lots[lot.id] = holding


def _after_sale(holding: Holding, lot: Lot, at: datetime) -> Holding:
    if lot.is_open:
        return replace(holding, lot=lot, rev=holding.rev + 1)
    return replace(holding.moved_to(CLOSED, None, at), lot=lot, closed_at=at)
