"""Cancels of our own resting orders: recorded before they are sent, certain or asked about after.

All legs of a list are one cancel. A cancel that provably changed nothing puts them back where they were; one
without a clear answer leaves them CANCEL_SENT, and the reconciler asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tradewind.core.ids import OrderId
from tradewind.core.order import CancelSent, Order, OrderState, VenueReport
from tradewind.execution.desk import fact
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.submit import CancelAnswer, Submitter
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db
from tradewind.infra.points import Point, reached

# Waiting times remembered before those that are over are swept out.
_BOOK_MAX = 1_000
RESTING_LEGS = (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)


@dataclass(slots=True)
class CancelDesk:
    """Cancels legs of lists."""

    db: Db
    journal: Journal
    recorder: Recorder
    submitter: Submitter
    clock: Clock
    # Lists whose last cancel provably changed nothing: not tried again before this monotonic time, whatever
    # wakes their position. What is past is swept out when the book has grown.
    _not_before: dict[str, float] = field(default_factory=dict)

    async def cancel(self, legs: Sequence[Order], reason: str) -> datetime | None:
        """Cancel resting legs, list by list; return when to try again where nothing was changed."""
        groups: dict[str, list[Order]] = {}
        for leg in legs:
            groups.setdefault(leg.list_client_id or leg.id, []).append(leg)
        again: list[datetime] = []
        for group in groups.values():
            retry_at = await self._cancel_one(group, reason)
            if retry_at is not None:
                again.append(retry_at)
        return min(again, default=None)

    async def _cancel_one(self, legs: Sequence[Order], reason: str) -> datetime | None:
        now = self.clock.now()
        key = legs[0].list_client_id or legs[0].id
        left_s = self._not_before.pop(key, 0.0) - self.clock.monotonic()
        if left_s > 0:
            self._wait(key, left_s)
            return now + timedelta(seconds=left_s)
        steps = [(leg.id, CancelSent(now, reason)) for leg in legs]
        moved = await self.db.write(lambda tx: self.journal.step_all(tx, steps, RESTING_LEGS, now))
        if not moved:
            return None
        reached(Point.CANCEL_COMMITTED)
        # Announced before the call: whatever happens to this task, somebody asks about them.
        self.recorder.announce(moved)
        answer = await self.submitter.cancel(moved[0].after)
        reached(Point.CANCEL_ANSWERED)
        if answer.retry_at is not None:
            self._wait(key, (answer.retry_at - self.clock.now()).total_seconds())
        before = {move.after.id: move.before for move in moved}
        await self.recorder.record(self._outcomes([move.after for move in moved], before, answer))
        return answer.retry_at

    def _wait(self, key: str, seconds: float) -> None:
        at = self.clock.monotonic()
        if len(self._not_before) >= _BOOK_MAX:
            self._not_before = {key: until for key, until in self._not_before.items() if until > at}
        self._not_before[key] = at + seconds

    def _outcomes(self, legs: Sequence[Order], before: Mapping[OrderId, Order], answer: CancelAnswer) -> list[Outcome]:
        now = self.clock.now()
        if answer.retry_at is not None:
            return [Outcome(leg.id, _unchanged(before[leg.id], now)) for leg in legs]
        return [
            Outcome(leg.id, fact(report, now))
            for report in answer.reports
            for leg in legs
            if report.venue_order_id == leg.venue_order_id or report.client_order_id == leg.client_order_id
        ]


def _unchanged(before: Order, now: datetime) -> VenueReport:
    """The order stands where it stood: proven, so the cancel's fence need not pass."""
    return VenueReport(
        now, before.state, before.executed, before.executed_quote, reason="cancel_not_executed", is_cancel_refused=True
    )
