"""Cancels of our own resting orders: recorded before they are sent, certain or asked about after.

All legs of a list are one cancel. A cancel that provably changed nothing puts them back where they were; one
without a clear answer leaves them CANCEL_SENT, and the reconciler asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from tradewind.core.ids import OrderId
from tradewind.core.order import CancelSent, Order, OrderEvent, OrderState, VenueReport
from tradewind.execution.desk import fact
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.submit import CancelAnswer, Submitter
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
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
        lists, again = self.due(legs)
        for each in lists:
            noted = await self.db.write(partial(self.note, lists=[(each, reason)]))
            if not noted:
                continue
            self.noted(noted)
            again = earliest(again, await self.send(noted[0]))
        return again

    def due(self, legs: Sequence[Order]) -> tuple[list[Sequence[Order]], datetime | None]:
        """Sort legs into lists; return those to be cancelled now, and when those that must wait are due."""
        found: list[Sequence[Order]] = []
        again: datetime | None = None
        for key, group in by_list(legs).items():
            left_s = self._not_before.pop(key, 0.0) - self.clock.monotonic()
            if left_s > 0:
                self._wait(key, left_s)
                again = earliest(again, self.clock.now() + timedelta(seconds=left_s))
            else:
                found.append(group)
        return found, again

    def note(self, tx: Tx, lists: Sequence[tuple[Sequence[Order], str]]) -> list[list[Moved]]:
        """Record cancels, each list with its reason, before they are sent; what rests no more is left out."""
        now = self.clock.now()
        steps: list[tuple[OrderId, OrderEvent]] = [
            (leg.id, CancelSent(now, reason)) for legs, reason in lists for leg in legs
        ]
        moved = {move.after.id: move for move in self.journal.step_all(tx, steps, RESTING_LEGS, now)}
        noted = [[moved[leg.id] for leg in legs if leg.id in moved] for legs, _ in lists]
        return [found for found in noted if found]

    def noted(self, lists: Sequence[Sequence[Moved]]) -> None:
        """The record of cancels is committed: whatever happens to who sends them, somebody asks about them."""
        if lists:
            reached(Point.CANCEL_COMMITTED)
            self.recorder.announce([move for found in lists for move in found])

    async def send(self, moved: Sequence[Moved]) -> datetime | None:
        """Send one list's cancel that was recorded; return when to try again where it provably changed nothing."""
        legs = [move.after for move in moved]
        answer = await self.submitter.cancel(legs[0])
        reached(Point.CANCEL_ANSWERED)
        if answer.retry_at is not None:
            self._wait(legs[0].list_client_id or legs[0].id, (answer.retry_at - self.clock.now()).total_seconds())
        before = {move.after.id: move.before for move in moved}
        await self.recorder.record(self._outcomes(legs, before, answer))
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


def by_list(legs: Iterable[Order]) -> dict[str, list[Order]]:
    """Sort legs into their lists; an order alone is one."""
    groups: dict[str, list[Order]] = {}
    for leg in legs:
        groups.setdefault(leg.list_client_id or leg.id, []).append(leg)
    return groups


def earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two times; None counts as never."""
    return min((at for at in (one, other) if at is not None), default=None)


def _unchanged(before: Order, now: datetime) -> VenueReport:
    """The order stands where it stood: proven, so the cancel's fence need not pass."""
    return VenueReport(
        now, before.state, before.executed, before.executed_quote, reason="cancel_not_executed", is_cancel_refused=True
    )
