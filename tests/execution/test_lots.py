"""The open lots in memory: one that comes in while a read is under way is not taken for closed by that read."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.support.core_builders import empty_lot, price

from tradewind.core.ids import LotId, UserId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import Quantity
from tradewind.execution.lots import OpenLots, key_of
from tradewind.portfolio.holding import Holding


def _holding(lot_id: str) -> Holding:
    lot = replace(empty_lot(), id=LotId(lot_id), quantity=Quantity(Decimal(1)), stop=price(90))
    return Holding(lot, UserId("u1"), BINANCE, Environment.PAPER, "protected_watched", None, None, 0, lot.opened_at)


def test_gone_when_a_lot_came_in_after_the_read_began_then_it_stays() -> None:
    """order-protocol.md section 5: a position is protected from its first fill."""
    lots = OpenLots()
    old, new = _holding("old"), _holding("new")
    lots.put(old)
    mark = lots.mark
    lots.put(new)
    assert lots.gone(key_of(old), [], mark) == ["old"]
    assert lots.find(new.lot.id) == new
    assert lots.watched_at((new.venue, new.environment, new.lot.symbol)) == [key_of(new)]
    assert lots.gone(key_of(old), [], lots.mark) == ["new"]
    assert list(lots) == []


def test_gone_when_a_lot_is_put_again_after_the_mark_then_it_is_still_the_one_that_was_known() -> None:
    lots = OpenLots()
    old = _holding("old")
    lots.put(old)
    mark = lots.mark
    lots.put(replace(old, rev=1))
    assert lots.gone(key_of(old), [], mark) == ["old"]
