"""The fan-out as a picture: one cell per account of a signal, with counts that add up.

The board is built from the journal, moved by what the recorder announces, and compared with the journal when all
is over. Frames go out at most every 100 ms, and `rev` counts up by one per frame of a signal (dashboard.md 2.4 and
6.1). Losing a frame loses nothing: the snapshot is always there to be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial, reduce
from typing import Any

from sqlalchemy import Row

from tradewind.core.ids import SignalId
from tradewind.core.order import ENDED, IntentKind, Leg, Order, OrderState
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
class Standing:
    """Where one order of a cell stands: what the picture shows of it."""

    order_id: str
    generation: int
    leg: str
    state: str
    reason: str | None
    release_at: datetime | None
    acknowledged_at: datetime | None
    rev: int


@dataclass(slots=True)
class _Place:
    """One account's cell, and its newest order in each market, oldest market first."""

    cell: int
    is_placed: bool
    standings: dict[str, Standing] = field(default_factory=dict)


@dataclass(slots=True)
class Fan:
    """A board in memory, with what it takes to move it by what the recorder announces."""

    board: Board
    _places: dict[str, _Place] = field(default_factory=dict)

    def take(self, moved: Iterable[Order]) -> list[Cell] | None:
        """Take orders as they are now; return the cells that look different.

        None: the journal must be asked, it knows of decisions or orders that were not seen here.
        """
        known = [(order, self._place_of(order)) for order in moved]
        if any(place is None for _, place in known):
            return None
        cells = self.board.cells
        changed: dict[int, Cell] = {}
        for order, place in known:
            if place is None or not _is_news(order, place.standings[order.symbol]):
                continue
            place.standings[order.symbol] = _standing_of(order)
            before = cells[place.cell]
            cells[place.cell] = after = _moved_cell(before, place)
            if _looks_different(before, after):
                changed[place.cell] = after
        return list(changed.values())

    def _place_of(self, order: Order) -> _Place | None:
        place = self._places.get(order.account_id)
        standing = None if place is None or not place.is_placed else place.standings.get(order.symbol)
        return None if standing is None or order.generation > standing.generation else place

    def settle(self) -> None:
        """Nothing more will move here: keep the picture alone."""
        self._places.clear()


@dataclass(slots=True)
class FanBoards:
    """Boards of the latest signals, and the frames that tell of them."""

    db: Db
    bus: Bus
    clock: Clock
    _fans: dict[str, Fan] = field(default_factory=dict)
    # By signal: orders that moved since its board was drawn, each as it was announced last.
    _moved: dict[str, dict[str, Order]] = field(default_factory=dict)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """A signal's order moved: its board is drawn again soon."""
        for move in moved:
            order = move.after
            if order.signal_id is not None and order.intent_kind is IntentKind.SIGNAL:
                latest = self._moved.setdefault(order.signal_id, {})
                # Two transactions may be announced in the other order.
                if order.id not in latest or latest[order.id].rev <= order.rev:
                    latest[order.id] = order

    async def snapshot(self, signal_id: str) -> Board:
        """Return a signal's board as the journal has it now."""
        known = self._fans.get(signal_id)
        if known is not None and signal_id not in self._moved:
            return known.board
        fans = await self.db.read(lambda tx: read_fans(tx, [signal_id]))
        board = fans[signal_id].board if signal_id in fans else Board(signal_id, [])
        board.rev = 0 if known is None else known.board.rev
        return board

    async def run(self) -> None:
        """Publish changed cells until cancelled."""
        pause_s = _EVERY_S
        while True:
            await self.clock.sleep(pause_s)
            started = self.clock.monotonic()
            await self.draw()
            took_s = self.clock.monotonic() - started
            pause_s = min(max(_EVERY_S, took_s * _PAUSE_TIMES), _SLOWEST_S)

    async def draw(self) -> None:
        """Publish the cells that changed since the last time."""
        taken, self._moved = self._moved, {}
        try:
            await self._publish(taken)
        except CommitInDoubt:
            raise
        except Exception:
            _log.exception("execution.board.publish_failed", signals=len(taken))
            for signal_id, orders in taken.items():
                self._moved[signal_id] = {**orders, **self._moved.get(signal_id, {})}

    async def _publish(self, taken: Mapping[str, Mapping[str, Order]]) -> None:
        """Move the boards by what was announced; the journal is asked at the beginning, in doubt and at the end."""
        asked: list[str] = []
        for signal_id, orders in sorted(taken.items()):
            fan = self._fans.get(signal_id)
            changed = None if fan is None else fan.take(orders.values())
            if fan is None or changed is None:
                asked.append(signal_id)
                continue
            await self._tell(fan.board, changed)
            if changed and all(cell.is_over for cell in fan.board.cells):
                asked.append(signal_id)
        if asked:
            await self._redraw(asked)

    async def _redraw(self, signal_ids: Sequence[str]) -> None:
        fresh = await self.db.read(lambda tx: read_fans(tx, signal_ids))
        for signal_id, fan in fresh.items():
            known = self._fans.get(signal_id)
            before = {} if known is None else {cell.index: cell for cell in known.board.cells}
            fan.board.rev = 0 if known is None else known.board.rev
            self._keep(fan)
            changed = [cell for cell in fan.board.cells if _looks_different(before.get(cell.index), cell)]
            await self._tell(fan.board, changed)
            if fan.board.cells and all(cell.is_over for cell in fan.board.cells):
                fan.settle()
                await self.db.write(partial(mark_done, signal_id=SignalId(signal_id), now=self.clock.now()))

    async def _tell(self, board: Board, changed: Sequence[Cell]) -> None:
        if changed:
            board.rev += 1
            await self.bus.publish(Message(0, "fan", None, _frame(board, changed)))

    def _keep(self, fan: Fan) -> None:
        signal_id = fan.board.signal_id
        self._fans.pop(signal_id, None)
        self._fans[signal_id] = fan
        while len(self._fans) > _BOARDS_MAX:
            del self._fans[next(iter(self._fans))]


def read_fans(tx: Tx, signal_ids: Sequence[str]) -> dict[str, Fan]:
    """Read boards from decisions and the newest order of each account in each market."""
    fans: dict[str, Fan] = {}
    for row, order in record_store.signal_cells(tx, signal_ids):
        fan = fans.setdefault(row.signal_id, Fan(Board(row.signal_id, [])))
        place = fan._places.get(row.account_id)
        if place is None:
            place = fan._places[row.account_id] = _Place(len(fan.board.cells), row.verdict == "place")
            fan.board.cells.append(_decided_cell(row))
        if order is not None:
            place.standings[order.symbol] = _standing_of_row(order)
    for fan in fans.values():
        for place in fan._places.values():
            fan.board.cells[place.cell] = _moved_cell(fan.board.cells[place.cell], place)
    return fans


def _decided_cell(row: Row[Any]) -> Cell:
    """A cell by its decision alone."""
    return Cell(row.cell, row.account_id, row.user_id, row.plan, SKIPPED, row.reason, None, None, None)


def _moved_cell(cell: Cell, place: _Place) -> Cell:
    """The cell as the orders of its account have it.

    A close in several markets of one account is one cell: it stands as the order that is least far.
    """
    if not place.standings:
        return cell
    told = reduce(_telling, place.standings.values())
    lateness = None
    if told.acknowledged_at is not None and told.release_at is not None:
        lateness = round((told.acknowledged_at - told.release_at).total_seconds() * 1_000)
    return Cell(
        index=cell.index,
        account_id=cell.account_id,
        user_id=cell.user_id,
        plan=cell.plan,
        state=told.state if place.is_placed else SKIPPED,
        reason=told.reason if place.is_placed else cell.reason,
        order_id=told.order_id,
        release_at=None if told.release_at is None else told.release_at.isoformat(),
        t_ms=lateness,
    )


def _standing_of(order: Order) -> Standing:
    return Standing(
        order.id,
        order.generation,
        order.leg.value,
        order.state.value,
        order.reason,
        order.release_at,
        order.acknowledged_at,
        order.rev,
    )


def _standing_of_row(row: Row[Any]) -> Standing:
    return Standing(
        row.order_id,
        row.generation,
        row.leg,
        row.state,
        row.order_reason,
        row.release_at,
        row.acknowledged_at,
        row.rev,
    )


def _telling(one: Standing, other: Standing) -> Standing:
    """Which of two markets' orders tells how the account stands; of an entry's, decided again, the newer."""
    if other.leg == Leg.ENTRY:
        return max(one, other, key=lambda each: each.generation)
    return min(one, other, key=lambda each: (each.state in ENDED, each.state == OrderState.FILLED))


def _is_news(order: Order, known: Standing) -> bool:
    return order.generation == known.generation and order.rev >= known.rev


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
