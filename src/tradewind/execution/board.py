"""The fan-out as a picture: one cell per account of a signal, with counts that add up.

The board is built from the journal and moved by what the recorder announces; frames go out at most every
100 ms, and `rev` counts up by one per frame of a signal (dashboard.md 2.4 and 6.1). Losing a frame loses
nothing: the snapshot is always there to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Row

from tradewind.core.ids import SignalId
from tradewind.core.order import ENDED, IntentKind, Leg, OrderState
from tradewind.execution import record_store
from tradewind.execution.outcomes import Moved
from tradewind.infra.bus import Bus, Message
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.log import logger
from tradewind.signals.service import mark_done

_log = logger("execution.board")

_EVERY_S = 0.1
# Drawing a board of thousands of accounts takes a while: the pause after it is so many times as long.
_PAUSE_TIMES = 9
_SLOWEST_S = 3.0
# Boards kept in memory; an older signal's is read from the journal when asked for.
_BOARDS_MAX = 200
SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Cell:
    """One account's place in a signal's fan-out."""

    index: int
    account_id: str
    user_id: str
    plan: str | None
    state: str
    reason: str | None
    order_id: str | None
    release_at: str | None
    t_ms: int | None

    @property
    def is_over(self) -> bool:
        """Nothing more will happen in this cell: what follows an absence is recorded together with it."""
        return self.state == SKIPPED or self.state in ENDED


@dataclass(slots=True)
class Board:
    """All cells of one signal, in fan-out order."""

    signal_id: str
    cells: list[Cell]
    rev: int = 0

    def counts(self) -> dict[str, Any]:
        """Counts from the same cells: placed + skipped = accounts, states add up to placed."""
        states = Counter(cell.state for cell in self.cells if cell.state != SKIPPED)
        reasons = Counter(cell.reason for cell in self.cells if cell.state == SKIPPED)
        placed = sum(states.values())
        return {
            "accounts": len(self.cells),
            "placed": placed,
            "skipped": len(self.cells) - placed,
            "states": dict(sorted(states.items())),
            "skip_reasons": {str(key): number for key, number in sorted(reasons.items(), key=str)},
        }


@dataclass(slots=True)
class FanBoards:
    """Boards of the latest signals, and the frames that tell of them."""

    db: Db
    bus: Bus
    clock: Clock
    _boards: dict[str, Board] = field(default_factory=dict)
    _dirty: set[str] = field(default_factory=set)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """A signal's order moved: its board is drawn again soon."""
        for move in moved:
            order = move.after
            if order.signal_id is not None and order.intent_kind is IntentKind.SIGNAL:
                self._dirty.add(order.signal_id)

    async def snapshot(self, signal_id: str) -> Board:
        """Return a signal's board as the journal has it now."""
        if signal_id in self._boards and signal_id not in self._dirty:
            return self._boards[signal_id]
        boards = await self.db.read(lambda tx: read_boards(tx, [signal_id]))
        board = boards.get(signal_id, Board(signal_id, []))
        known = self._boards.get(signal_id)
        board.rev = 0 if known is None else known.rev
        return board

    async def run(self) -> None:
        """Publish changed cells until cancelled."""
        pause_s = _EVERY_S
        while True:
            await self.clock.sleep(pause_s)
            if not self._dirty:
                continue
            wanted, self._dirty = self._dirty, set()
            started = self.clock.monotonic()
            try:
                await self._publish(sorted(wanted))
            except CommitInDoubt:
                raise
            except Exception:
                _log.exception("execution.board.publish_failed", signals=len(wanted))
                self._dirty |= wanted
            took_s = self.clock.monotonic() - started
            pause_s = min(max(_EVERY_S, took_s * _PAUSE_TIMES), _SLOWEST_S)

    async def _publish(self, signal_ids: list[str]) -> None:
        fresh = await self.db.read(lambda tx: read_boards(tx, signal_ids))
        for signal_id, board in fresh.items():
            known = self._boards.get(signal_id)
            before = {} if known is None else {cell.index: cell for cell in known.cells}
            changed = [cell for cell in board.cells if _looks_different(before.get(cell.index), cell)]
            board.rev = 1 if known is None else known.rev + bool(changed)
            self._keep(board)
            if changed:
                await self.bus.publish(Message(0, "fan", None, _frame(board, changed)))
            if board.cells and all(cell.is_over for cell in board.cells):
                await self.db.write(partial(mark_done, signal_id=SignalId(signal_id), now=self.clock.now()))

    def _keep(self, board: Board) -> None:
        self._boards.pop(board.signal_id, None)
        self._boards[board.signal_id] = board
        while len(self._boards) > _BOARDS_MAX:
            del self._boards[next(iter(self._boards))]


def read_boards(tx: Tx, signal_ids: Sequence[str]) -> dict[str, Board]:
    """Read boards from decisions and the newest order of each account.

    A close in several markets of one account is one cell: it stands as the order that is least far.
    """
    boards: dict[str, Board] = {}
    cells: dict[tuple[str, int], tuple[Row[Any], Row[Any] | None]] = {}
    for row, order in record_store.signal_cells(tx, signal_ids):
        known = cells.get((row.signal_id, row.cell), (row, None))[1]
        told = order if known is None or order is None else _telling(known, order)
        cells[row.signal_id, row.cell] = (row, told)
    for row, order in cells.values():
        board = boards.setdefault(row.signal_id, Board(row.signal_id, []))
        board.cells.append(_cell(row, order))
    return boards


def _cell(row: Row[Any], order: Row[Any] | None) -> Cell:
    placed = order if row.verdict == "place" else None
    lateness = None
    if order is not None and order.acknowledged_at is not None and order.release_at is not None:
        lateness = round((order.acknowledged_at - order.release_at).total_seconds() * 1_000)
    return Cell(
        index=row.cell,
        account_id=row.account_id,
        user_id=row.user_id,
        plan=row.plan,
        state=SKIPPED if placed is None else placed.state,
        reason=row.reason if placed is None else placed.order_reason,
        order_id=None if order is None else order.order_id,
        release_at=None if order is None or order.release_at is None else order.release_at.isoformat(),
        t_ms=lateness,
    )


def _telling(one: Row[Any], other: Row[Any]) -> Row[Any]:
    """Which of two markets' orders tells how the account stands; of an entry's, decided again, the newer."""
    if other.leg == Leg.ENTRY:
        return max(one, other, key=lambda row: row.generation)
    return min(one, other, key=lambda row: (row.state in ENDED, row.state == OrderState.FILLED))


def _looks_different(before: Cell | None, after: Cell) -> bool:
    return before is None or (before.state, before.reason) != (after.state, after.reason)


def _frame(board: Board, changed: Sequence[Cell]) -> dict[str, Any]:
    return {
        "signal": board.signal_id,
        "rev": board.rev,
        "cells": [[cell.index, cell.state, cell.reason] for cell in changed],
        "counts": board.counts(),
        # One owner per cell: the stream shows every user their own cells and no others.
        "owner_ids": [cell.user_id for cell in changed],
    }
