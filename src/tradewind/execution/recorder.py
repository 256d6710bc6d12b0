"""Outcomes on their way to disk: committed in batches, listeners told after.

While one batch is being committed the next one gathers, so the disk sets the size of a batch. A COMMIT in
doubt closes the latch: nothing more is sent, the process ends and recovers from disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tradewind.execution.apply import Applier
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db
from tradewind.infra.log import logger

_log = logger("execution.recorder")

MovedListener = Callable[[Sequence[Moved]], None]

# Waiting outcomes at most; a venue that tells more than this between two commits is told to wait.
_QUEUE_MAX = 20_000
_BATCH_MAX = 1_000
# A write that fails without doubt (locked, disk full) is tried again: facts must not be lost.
_RETRY_S = 0.5


@dataclass(slots=True)
class Recorder:
    """The only door through which outcomes reach the journal."""

    db: Db
    applier: Applier
    clock: Clock
    latch: Latch
    listeners: list[MovedListener] = field(default_factory=list)
    _queue: asyncio.Queue[tuple[Sequence[Outcome], asyncio.Future[list[Moved]]]] = field(
        default_factory=lambda: asyncio.Queue(_QUEUE_MAX)
    )

    async def record(self, outcomes: Sequence[Outcome]) -> list[Moved]:
        """Commit these outcomes and return what they moved."""
        if not outcomes:
            return []
        done: asyncio.Future[list[Moved]] = asyncio.get_running_loop().create_future()
        await self._queue.put((outcomes, done))
        return await done

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

    async def _commit(self, batch: list[tuple[Sequence[Outcome], asyncio.Future[list[Moved]]]]) -> None:
        outcomes = [outcome for group, _ in batch for outcome in group]
        while True:
            try:
                moved = await self.db.write(lambda tx: self.applier.apply_all(tx, outcomes, self.clock.now()))
                break
            except CommitInDoubt as error:
                self.latch.close("commit_in_doubt")
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                raise
            except Exception:
                _log.exception("execution.recorder.commit_failed", outcomes=len(outcomes))
                await self.clock.sleep(_RETRY_S)
        self.announce(moved)
        by_order: dict[str, list[Moved]] = {}
        for move in moved:
            by_order.setdefault(move.after.id, []).append(move)
        for group, done in batch:
            if not done.done():
                done.set_result([move for outcome in group for move in by_order.get(outcome.order_id, [])])
