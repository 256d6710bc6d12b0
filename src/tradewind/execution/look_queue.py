"""Which followed account is looked at next: what waits for its time, and what is due, the most urgent first.

Heaps, so that taking one account costs the same whether five are followed or fifty thousand. An entry that was
overtaken (looked at, due at another time, forgotten) stays in its heap and counts for nothing when it comes up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

from tradewind.core.ids import OrderId
from tradewind.core.money import Asset
from tradewind.execution.account_look import Followed
from tradewind.execution.recovery_report import Held

# The cause of a look that nothing calls for but the clock.
ROUTINE = "routine"
# A routine look stands back for a fan-out, but no longer than this.
PATIENCE_S = 5.0


@dataclass(slots=True, eq=False)
class FollowedAccount:
    """What is known of an account that is followed."""

    followed: Followed
    held: Held | None
    cause: str
    due_at: float | None = None
    # False from the moment its key is gone; a look on its way may still end.
    is_followed: bool = True
    is_looking: bool = False
    fails: int = 0
    looked_at: float | None = None
    down_since: float | None = None
    is_down_told: bool = False
    has_business: bool = False
    waiting_on: frozenset[OrderId] = frozenset()
    short: dict[Asset, Decimal] = field(default_factory=dict)

    @property
    def urgency(self) -> tuple[bool, bool]:
        """Something at stake goes first, then whoever waits, then the quiet ones."""
        return (not self.has_business, self.held is None)


_Due = tuple[tuple[bool, bool], float, int, FollowedAccount]


def _always() -> bool:
    return True


@dataclass(slots=True)
class LookQueue:
    """Accounts by the time they are due, and those that are due by urgency."""

    # Says whether a look that only the clock calls for may start now.
    has_room: Callable[[], bool] = _always
    _later: list[tuple[float, int, FollowedAccount]] = field(default_factory=list)
    _called: list[_Due] = field(default_factory=list)
    _routine: list[_Due] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def put(self, account: FollowedAccount, due_at: float) -> None:
        """Have an account looked at from this monotonic time on; an earlier wish counts no more."""
        account.due_at = due_at
        heapq.heappush(self._later, (due_at, next(self._numbers), account))

    def put_again(self, account: FollowedAccount) -> None:
        """Its look has ended, or its urgency changed: if it is due it takes the place that belongs to it now."""
        if account.due_at is not None:
            self.put(account, account.due_at)

    def take(self, now: float) -> FollowedAccount | None:
        """Return the most urgent account that is due and not being looked at, which is due no more; or None."""
        while self._later and self._later[0][0] <= now:
            due_at, number, account = heapq.heappop(self._later)
            if account.due_at == due_at:
                due = self._routine if account.cause == ROUTINE and account.held is None else self._called
                heapq.heappush(due, (account.urgency, due_at, number, account))
        return self._first(self._called) or self._first_routine(now)

    def _first_routine(self, now: float) -> FollowedAccount | None:
        if not self._routine or not (self._routine[0][1] + PATIENCE_S <= now or self.has_room()):
            return None
        return self._first(self._routine)

    @staticmethod
    def _first(due: list[_Due]) -> FollowedAccount | None:
        while due:
            _, due_at, _, account = heapq.heappop(due)
            # One that is being looked at is put again when that is done.
            if account.due_at == due_at and account.is_followed and not account.is_looking:
                account.due_at = None
                return account
        return None
