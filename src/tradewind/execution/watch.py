"""Watched triggers: prices of a venue against the stops and targets of lots there.

Prices of other venues never trigger. A symbol's best thresholds are kept beside its lots, so a tick that
hits nothing costs two comparisons however many positions are held.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import Price
from tradewind.core.protection import ExitCause

Place = tuple[VenueName, Environment, str]


@dataclass(frozen=True, slots=True)
class Armed:
    """One lot's levels."""

    lot_id: str
    stop: Price | None
    target: Price | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A level was reached."""

    lot_id: str
    cause: ExitCause
    price: Price


@dataclass(slots=True)
class _Symbol:
    armed: dict[str, Armed] = field(default_factory=dict)
    highest_stop: Price | None = None
    lowest_target: Price | None = None

    def refresh(self) -> None:
        stops = [each.stop for each in self.armed.values() if each.stop is not None]
        targets = [each.target for each in self.armed.values() if each.target is not None]
        self.highest_stop = max(stops, default=None)
        self.lowest_target = min(targets, default=None)


class Watch:
    """All armed lots of this process."""

    def __init__(self) -> None:
        self._symbols: dict[Place, _Symbol] = {}
        self._places: dict[str, Place] = {}

    def arm(self, place: Place, armed: Armed) -> None:
        """Watch a lot's levels from now on; arming again replaces them."""
        if self._places.get(armed.lot_id, place) != place:
            self.disarm(armed.lot_id)
        self._places[armed.lot_id] = place
        symbol = self._symbols.setdefault(place, _Symbol())
        symbol.armed[armed.lot_id] = armed
        symbol.refresh()

    def disarm(self, lot_id: str) -> None:
        """Stop watching a lot (idempotent)."""
        place = self._places.pop(lot_id, None)
        if place is None:
            return
        symbol = self._symbols[place]
        symbol.armed.pop(lot_id, None)
        symbol.refresh()
        if not symbol.armed:
            del self._symbols[place]

    def is_armed(self, lot_id: str) -> bool:
        """Say whether a lot is watched."""
        return lot_id in self._places

    def on_price(self, place: Place, price: Price) -> list[Hit]:
        """Return the levels this price reaches; the caller acts on them, again if told again."""
        symbol = self._symbols.get(place)
        if symbol is None:
            return []
        is_low = symbol.highest_stop is not None and price <= symbol.highest_stop
        is_high = symbol.lowest_target is not None and price >= symbol.lowest_target
        if not is_low and not is_high:
            return []
        hits = []
        for armed in symbol.armed.values():
            if armed.stop is not None and price <= armed.stop:
                hits.append(Hit(armed.lot_id, ExitCause.STOP, price))
            elif armed.target is not None and price >= armed.target:
                hits.append(Hit(armed.lot_id, ExitCause.TARGET, price))
        return hits
