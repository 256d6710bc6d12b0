"""The open lots of this process as last seen, by their id and by where they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from tradewind.execution.rounds import Key
from tradewind.portfolio.holding import Holding


@dataclass(slots=True)
class LotsHeld:
    """What is held; a lookup by account and symbol costs the same however many lots there are."""

    _lots: dict[str, Holding] = field(default_factory=dict)
    _at: dict[Key, set[str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Holding]:
        return iter(self._lots.values())

    def __contains__(self, lot_id: str) -> bool:
        return lot_id in self._lots

    def find(self, lot_id: str) -> Holding | None:
        """Return a lot as last seen."""
        return self._lots.get(lot_id)

    def put(self, holding: Holding) -> None:
        """Keep a lot, in place of what was seen of it before."""
        self._lots[holding.lot.id] = holding
        self._at.setdefault((holding.lot.account_id, holding.lot.symbol), set()).add(holding.lot.id)

    def keep_only(self, key: Key, open_ids: Collection[str]) -> set[str]:
        """Forget the lots of an account and symbol that are no longer open; returns which."""
        known = self._at.get(key, set())
        gone = known - set(open_ids)
        for lot_id in gone:
            del self._lots[lot_id]
        if len(gone) == len(known):
            self._at.pop(key, None)
        else:
            known -= gone
        return gone
