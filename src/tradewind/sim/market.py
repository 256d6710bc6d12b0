"""One symbol of the exchange as it stands: last price, average price, status, and who waits for which price.

An open order waits in exactly one place:
- untriggered stop and take-profit orders in `rising` or `falling`, by trigger price against the LAST price;
- trailing orders whose tracking has begun in `trailing`;
- resting limit orders in `buys` (reached when the modelled best ask comes down to them) or `sells` (best bid comes up).
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from tradewind.sim.filters import triggers_above
from tradewind.sim.instruments import SymbolRules
from tradewind.sim.matching import Ladder
from tradewind.sim.pricing import BookModel
from tradewind.sim.types import ZERO, Order, Side, SymbolStatus

_MINUTE_MS = 60_000
# Bounds the memory of the average: more prints than this in five minutes count by their newest part.
_AVERAGE_PRINTS_MAX = 20_000


class Market:
    """Mutable state of one symbol; not persisted except through the orders waiting in it."""

    def __init__(self, rules: SymbolRules, first_price: Decimal, model: BookModel) -> None:
        self.rules = rules
        self.model = model
        self.last_price = first_price
        self.status = SymbolStatus.TRADING
        self.rising = Ladder()
        self.falling = Ladder()
        self.buys = Ladder()
        self.sells = Ladder()
        self.trailing: dict[int, None] = {}
        self._prints: deque[tuple[int, Decimal, Decimal]] = deque()
        self._base = ZERO
        self._quote = ZERO

    def see(self, price: Decimal, quantity: Decimal, now_ms: int) -> None:
        """Take note of a print; the quantity may be 0 (a price without volume)."""
        self.last_price = price
        if quantity > 0:
            self._prints.append((now_ms, quantity, price * quantity))
            self._base += quantity
            self._quote += price * quantity
            if len(self._prints) > _AVERAGE_PRINTS_MAX:
                self._forget()

    def average_price(self, now_ms: int) -> Decimal:
        """Volume-weighted average of the rules' last minutes, on 8 decimals; the last price when nothing traded."""
        oldest = now_ms - self.rules.avg_price_mins * _MINUTE_MS
        while self._prints and self._prints[0][0] < oldest:
            self._forget()
        if self._base <= 0:
            return self.last_price
        return (self._quote / self._base).quantize(Decimal("0.00000001"))

    def would_trigger(self, order: Order) -> bool:
        """True when the last price has already reached the order's trigger."""
        if triggers_above(order.side, order.type):
            return self.last_price >= order.stop_price
        return self.last_price <= order.stop_price

    def reached(self) -> list[int]:
        """Orders (oldest first) that the last price and the book around it reach, all trailing ones included."""
        ids = [*self.falling.at_or_above(self.last_price), *self.rising.at_or_below(self.last_price), *self.trailing]
        if len(self.buys):
            ask = self.model.best(self.rules, Side.SELL, self.last_price)
            ids += self.buys.at_or_above(ask) if ask is not None else []
        if len(self.sells):
            bid = self.model.best(self.rules, Side.BUY, self.last_price)
            ids += self.sells.at_or_below(bid) if bid is not None else []
        return sorted(ids)

    def wait(self, order: Order) -> None:
        """Let an open order wait at its place."""
        if order.is_working:
            self._resting(order).add(order.price, order.order_id)
        elif order.trailing_anchor is not None:
            self.trailing[order.order_id] = None
        else:
            self._triggered_by(order).add(order.stop_price, order.order_id)

    def leave(self, order: Order) -> None:
        """Take an order from its place; `order` must be as it was when it began to wait there."""
        if order.is_working:
            self._resting(order).remove(order.price, order.order_id)
        elif order.trailing_anchor is not None:
            del self.trailing[order.order_id]
        else:
            self._triggered_by(order).remove(order.stop_price, order.order_id)

    def _resting(self, order: Order) -> Ladder:
        return self.buys if order.side is Side.BUY else self.sells

    def _triggered_by(self, order: Order) -> Ladder:
        return self.rising if triggers_above(order.side, order.type) else self.falling

    def _forget(self) -> None:
        _, base, quote = self._prints.popleft()
        self._base -= base
        self._quote -= quote
