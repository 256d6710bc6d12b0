"""The open lots of this process in memory: what prices and clocks are compared with, without a read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tradewind.core.protection import PositionState
from tradewind.execution.rounds import Key
from tradewind.execution.watch import Place
from tradewind.portfolio.holding import Holding

# States that time alone may end: they are looked at again and again.
_RESTLESS = frozenset(
    {
        PositionState.UNPROTECTED.value,
        PositionState.HALTED.value,
        PositionState.BLIND.value,
        PositionState.BLOCKED_BY_YOUR_ORDER.value,
    }
)


def key_of(holding: Holding) -> Key:
    """The account and symbol under which a lot is looked after."""
    return (holding.lot.account_id, holding.lot.symbol)


def place_of(holding: Holding) -> Place:
    """Where the lot's price is made."""
    return (holding.venue, holding.environment, holding.lot.symbol)


@dataclass(slots=True)
class OpenLots:
    """Every open lot, by id, by account and symbol, and by what it waits for."""

    _by_id: dict[str, Holding] = field(default_factory=dict)
    # When each lot came in, counted in lots: a read begun before it cannot know it.
    _numbers: dict[str, int] = field(default_factory=dict)
    _count: int = 0
    _by_key: dict[Key, set[str]] = field(default_factory=dict)
    _restless: set[str] = field(default_factory=set)
    # Lots that the watch alone protects, by where their price is made.
    _watched: dict[Place, set[str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Holding]:
        return iter(self._by_id.values())

    def find(self, lot_id: str) -> Holding | None:
        """Return a lot as it was last seen."""
        return self._by_id.get(lot_id)

    def put(self, holding: Holding) -> None:
        """Take a lot as it is now."""
        lot_id = holding.lot.id
        if lot_id not in self._by_id:
            self._count += 1
            self._numbers[lot_id] = self._count
        self._by_id[lot_id] = holding
        self._by_key.setdefault(key_of(holding), set()).add(lot_id)
        (self._restless.add if holding.state in _RESTLESS else self._restless.discard)(lot_id)
        if holding.state == PositionState.PROTECTED_WATCHED.value:
            self._watched.setdefault(place_of(holding), set()).add(lot_id)
        else:
            self._unwatch(holding)

    @property
    def mark(self) -> int:
        """Where the count of lots stands; taken before a read whose answer goes to `gone`."""
        return self._count

    def gone(self, key: Key, still_open: Iterable[str], mark: int) -> list[str]:
        """Forget the lots of an account and symbol that a read did not find open any more; return their ids.

        Lots that came in after `mark` stay: their fills were committed while that read was under way.
        """
        known = {lot_id for lot_id in self._by_key.get(key, ()) if self._numbers[lot_id] <= mark}
        closed = known - set(still_open)
        for lot_id in closed:
            self._unwatch(self._by_id.pop(lot_id))
            self._restless.discard(lot_id)
            del self._numbers[lot_id]
        if closed:
            self._by_key[key] -= closed
            if not self._by_key[key]:
                del self._by_key[key]
        return sorted(closed)

    def restless(self) -> list[Key]:
        """Accounts and symbols with a lot in a state that is no rest."""
        return [key_of(self._by_id[lot_id]) for lot_id in self._restless]

    def watched_places(self) -> list[Place]:
        """Where lots hang on the watch alone."""
        return list(self._watched)

    def watched_at(self, place: Place) -> list[Key]:
        """Accounts and symbols whose lots hang on the watch at one place."""
        return [key_of(self._by_id[lot_id]) for lot_id in self._watched.get(place, ())]

    def _unwatch(self, holding: Holding) -> None:
        place = place_of(holding)
        lots = self._watched.get(place)
        if lots is not None:
            lots.discard(holding.lot.id)
            if not lots:
                del self._watched[place]
