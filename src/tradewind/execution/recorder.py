"""Outcomes on their way to disk: committed in batches, listeners told after.

While one batch is being committed the next one gathers, so the disk sets the size of a batch. A COMMIT in
doubt closes the latch: nothing more is sent, the process ends and recovers from disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tradewind.core.ids import OrderId
from tradewind.execution.apply import Applier
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db
from tradewind.infra.db_errors import PASSING_KINDS, is_passing, why
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached

_log = logger("execution.recorder")

MovedListener = Callable[[Sequence[Moved]], None]
# Outcomes, and who waits for what they moved; None: nobody does.
_Waiting = tuple[Sequence[Outcome], asyncio.Future[list[Moved]] | None]

# Waiting outcomes at most; a venue that tells more than this between two commits is told to wait.
_QUEUE_MAX = 20_000
_BATCH_MAX = 1_000
# So few outcomes share a commit with other small writes.
_SMALL = 20
# A write that a busy or full database refuses is tried again after this.
_RETRY_S = 0.5


@dataclass(slots=True)
class Recorder:
    """The only door through which outcomes reach the journal."""

    db: Db
    applier: Applier
    clock: Clock
    latch: Latch
    listeners: list[MovedListener] = field(default_factory=list)
    # Told of orders whose outcome could not be stored, with the kind of error.
    on_poison: Callable[[Sequence[OrderId], str], None] | None = None
    _queue: asyncio.Queue[_Waiting] = field(default_factory=lambda: asyncio.Queue(_QUEUE_MAX))

    async def record(self, outcomes: Sequence[Outcome]) -> list[Moved]:
        """Commit these outcomes and return what they moved."""
        if not outcomes:
            return []
        done: asyncio.Future[list[Moved]] = asyncio.get_running_loop().create_future()
        await self._queue.put((outcomes, done))
        return await done

    async def hand_in(self, outcomes: Sequence[Outcome]) -> None:
        """Have these outcomes committed; waits only where too many are waiting already."""
        if outcomes:
            await self._queue.put((outcomes, None))

    def announce(self, moved: Sequence[Moved]) -> None:
        """Tell the listeners of orders that another transaction moved (claims, denials)."""
        if moved:
            for listener in self.listeners:
                listener(moved)

    async def run(self) -> None:
        """Commit batches until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH_MAX and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._commit(batch)

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit a batch as one transaction; what cannot be stored is put aside, the rest goes on."""
        try:
            moved = await self._write([outcome for group, _ in batch for outcome in group])
        except CommitInDoubt as error:
            self._give_up(batch, error)
            raise
        except Exception:
            _log.exception("execution.recorder.batch_failed", groups=len(batch))
            for waiting in batch:
                await self._commit_alone(waiting)
            return
        self.announce(moved)
        by_order = _by_order(moved)
        for group, done in batch:
            _settle(done, group, by_order)

    async def _commit_alone(self, waiting: _Waiting) -> None:
        """One account's poison never holds up another: it is told, and the venue is asked again."""
        group, done = waiting
        try:
            moved = await self._write(group)
        except CommitInDoubt as error:
            self._give_up([waiting], error)
            raise
        except Exception as error:
            _log.exception("execution.recorder.outcome_not_stored", orders=[each.order_id for each in group])
            if self.on_poison is not None:
                self.on_poison([each.order_id for each in group], type(error).__name__)
            _settle(done, group, {})
            return
        self.announce(moved)
        _settle(done, group, _by_order(moved))

    async def _write(self, outcomes: Sequence[Outcome]) -> list[Moved]:
        """Write outcomes; a database that is busy or full is waited for, because facts must not be lost."""
        while True:
            try:
                moved = await self.db.write(
                    lambda tx: self.applier.apply_all(tx, outcomes, self.clock.now()), is_large=len(outcomes) > _SMALL
                )
                reached(Point.OUTCOME_COMMITTED)
                return moved
            except PASSING_KINDS as error:
                if not is_passing(error):
                    raise
                _log.warning("execution.recorder.database_busy", outcomes=len(outcomes), error=why(error))
                await self.clock.sleep(_RETRY_S)

    def _give_up(self, batch: Sequence[_Waiting], error: CommitInDoubt) -> None:
        self.latch.close("commit_in_doubt")
        for _, done in batch:
            if done is not None and not done.done():
                done.set_exception(error)


def _by_order(moved: Iterable[Moved]) -> dict[OrderId, list[Moved]]:
    found: dict[OrderId, list[Moved]] = {}
    for move in moved:
        found.setdefault(move.after.id, []).append(move)
    return found


def _settle(
    done: asyncio.Future[list[Moved]] | None, group: Sequence[Outcome], moved: Mapping[OrderId, Sequence[Moved]]
) -> None:
    if done is not None and not done.done():
        ids = dict.fromkeys(outcome.order_id for outcome in group)
        done.set_result([move for order_id in ids for move in moved.get(order_id, ())])
