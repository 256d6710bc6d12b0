"""Cells of running fan-outs by owner, so that a user's counts are those of their own accounts.

Counts add up only if every frame was seen from the first on: a fan-out that was running before this process,
or of which a frame was lost, is counted by nobody here (None), and the reader fetches the snapshot.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

# Cells are [index, state, reason] (dashboard.md 2.4).
Cell = Sequence[Any]
# The state of a cell that stands for no order.
SKIPPED = "SKIPPED"


class FanCells:
    """What is known of one fan-out."""

    def __init__(self) -> None:
        self._rev = 0
        self._is_whole = True
        self._cells: dict[str, dict[int, tuple[str, str | None]]] = {}

    def update(self, rev: int, cells: Sequence[Cell], owner_ids: Sequence[str]) -> dict[str, list[Cell]]:
        """Take a frame's cells; return them by owner."""
        if rev == 1:
            # The first frame holds every cell; seen again, the fan-out is told anew.
            self._cells.clear()
            self._is_whole = True
        elif rev != self._rev + 1:
            self._is_whole = False
        self._rev = rev
        by_owner: dict[str, list[Cell]] = {}
        for cell, owner in zip(cells, owner_ids, strict=True):
            by_owner.setdefault(owner, []).append(cell)
            reason = None if cell[2] is None else str(cell[2])
            self._cells.setdefault(owner, {})[int(cell[0])] = (str(cell[1]), reason)
        return by_owner

    def concerns(self, owner_id: str) -> bool:
        """Say whether the owner has a cell in this fan-out."""
        return owner_id in self._cells

    def counts_of(self, owner_id: str) -> dict[str, Any] | None:
        """Count the owner's cells: placed + skipped = accounts, states add up to placed.

        The same names as the counts over all accounts. None where a frame is missing.
        """
        if not self._is_whole:
            return None
        cells = self._cells.get(owner_id, {}).values()
        states = Counter(state for state, _ in cells if state != SKIPPED)
        reasons = Counter(str(reason) for state, reason in cells if state == SKIPPED)
        return {
            "accounts": len(cells),
            "placed": states.total(),
            "skipped": reasons.total(),
            "states": dict(sorted(states.items())),
            "skip_reasons": dict(sorted(reasons.items())),
        }


class FanBook:
    """The newest fan-outs; the one untouched longest is forgotten first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._fans: OrderedDict[str, FanCells] = OrderedDict()

    def of(self, signal: str) -> FanCells:
        """Return the fan-out of a signal, new if unknown."""
        fan = self._fans.get(signal)
        if fan is None:
            fan = self._fans[signal] = FanCells()
            if len(self._fans) > self._size:
                self._fans.popitem(last=False)
        self._fans.move_to_end(signal)
        return fan

    def clear(self) -> None:
        """Forget everything: frames were lost."""
        self._fans.clear()
