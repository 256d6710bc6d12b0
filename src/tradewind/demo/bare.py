"""How long positions stood without a stop at the exchange, from the exchange's own log (reliability.md L-2). Pure.

A position is what an account bought less what it sold in a market; it is bare while it is worth selling and no stop
of the account rests there. The time under our own watch counts as bare too: this is what the exchange alone knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tradewind.core.money import ZERO
from tradewind.demo.facts import Venue, VenueOrder

# What an exchange sells as a rule; less is dust, which no stop can sell either.
_WORTH = Decimal(10)
_BUY = "BUY"

Place = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Change:
    """What a moment changes: coins held at a price, and stops that rest."""

    at_ms: int
    coins: Decimal = ZERO
    price: Decimal = ZERO
    stops: int = 0


@dataclass(slots=True)
class _Position:
    held: Decimal = ZERO
    price: Decimal = ZERO
    stops: int = 0
    bare_since: int | None = None
    spans: list[int] = field(default_factory=list)

    def pass_moment(self, at_ms: int, changes: Iterable[_Change]) -> None:
        for each in changes:
            self.held += each.coins
            self.price = each.price or self.price
            self.stops += each.stops
        is_bare = self.stops <= 0 and self.held * self.price >= _WORTH
        if is_bare and self.bare_since is None:
            self.bare_since = at_ms
        elif not is_bare and self.bare_since is not None:
            self.spans.append(at_ms - self.bare_since)
            self.bare_since = None


def bare_spans(venue: Venue) -> list[int]:
    """Return every time a position stood without a stop at the exchange, in ms; one that still does is left out."""
    sides = {(order.uid, order.order_id): order.side for order in venue.orders}
    changes: dict[Place, dict[int, list[_Change]]] = defaultdict(lambda: defaultdict(list))
    for fill in venue.fills:
        sign = 1 if sides.get((fill.uid, fill.order_id)) == _BUY else -1
        change = _Change(fill.at_ms, sign * fill.quantity, fill.price)
        changes[fill.uid, fill.symbol][fill.at_ms].append(change)
    for order in venue.orders:
        for change in _resting(order):
            changes[order.uid, order.symbol][change.at_ms].append(change)
    spans: list[int] = []
    for moments in changes.values():
        position = _Position()
        for at_ms in sorted(moments):
            position.pass_moment(at_ms, moments[at_ms])
        spans += position.spans
    return spans


def _resting(order: VenueOrder) -> Sequence[_Change]:
    if order.side == _BUY or not order.type.startswith("STOP"):
        return ()
    placed = _Change(order.placed_ms, stops=1)
    return (placed,) if order.is_open else (placed, _Change(order.updated_ms, stops=-1))
