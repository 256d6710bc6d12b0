"""Which followed account is looked at next: what waits for its time, and what is due, the most urgent first.

Heaps, so that taking one account costs the same whether five are followed or fifty thousand. An entry that was
overtaken (looked at, due at another time, forgotten) stays in its heap and counts for nothing when it comes up.
A look that only the clock calls for never holds back entries: it waits for them, it keeps to the pace that its
venue's limits allow, and one that has waited a whole period goes alone.
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
from tradewind.venues.base import VenueClient

# The cause of a look that nothing calls for but the clock.
ROUTINE = "routine"
# A routine look stands back for entries at least this long; then it is looked at, alone.
PATIENCE_S = 5.0
# A venue's pace that nobody used is kept for so long: the loop that takes accounts ticks, it does not flow.
_CREDIT_S = 1.0


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
    # When orders, fills AND balances were last compared; a look between two such may be at open orders alone.
    compared_at: float | None = None
    # When its stream last said anything, and since when it is under suspicion of saying nothing.
    heard_at: float | None = None
    suspected_at: float | None = None
    # How often it came into doubt, and why last: a look that began before says nothing of that.
    holds: int = 0
    held_for: str = ""
    patience_s: float = PATIENCE_S
    down_since: float | None = None
    is_down_told: bool = False
    # In how many markets something of it is at stake.
    markets: int = 0
    waiting_on: frozenset[OrderId] = frozenset()
    short: dict[Asset, Decimal] = field(default_factory=dict)

    @property
    def has_business(self) -> bool:
        """Whether anything of it is at stake."""
        return self.markets > 0

    @property
    def is_routine(self) -> bool:
        """Whether nothing but the clock calls for the look it waits for."""
        return self.cause == ROUTINE and self.held is None

    @property
    def urgency(self) -> tuple[bool, bool]:
        """Something at stake goes first, then whoever waits, then the quiet ones."""
        return (not self.has_business, self.held is None)


_EQUAL = (False, False)
_Due = tuple[tuple[bool, bool], float, int, FollowedAccount]


def _always() -> bool:
    return True


_AT_ONCE_S = 0.0


def _at_once(_account: FollowedAccount) -> float:
    return _AT_ONCE_S


@dataclass(slots=True)
class LookQueue:
    """Accounts by the time they are due, and those that are due by urgency."""

    # Says whether a look that only the clock calls for may start now.
    has_room: Callable[[], bool] = _always
    # Returns for how many seconds such a look uses up what its venue allows for them.
    pace_s: Callable[[FollowedAccount], float] = _at_once
    _later: list[tuple[float, int, FollowedAccount]] = field(default_factory=list)
    _called: list[_Due] = field(default_factory=list)
    _routine: dict[VenueClient, list[_Due]] = field(default_factory=dict)
    _free_at: dict[VenueClient, float] = field(default_factory=dict)
    # The routine look that was started last although entries are on their way.
    _alone: FollowedAccount | None = None
    _numbers: count[int] = field(default_factory=count)

    def put(self, account: FollowedAccount, due_at: float) -> None:
        """Have an account looked at from this monotonic time on; an earlier wish counts no more."""
        account.due_at = due_at
        heapq.heappush(self._later, (due_at, next(self._numbers), account))

    def put_again(self, account: FollowedAccount) -> None:
        """Its look has ended, or its urgency changed: if it is due it takes the place that belongs to it now."""
        if account.due_at is not None:
            self.put(account, account.due_at)

    def put_off(self, client: VenueClient, until: float) -> None:
        """A venue's budget is used up until a time: what is left of it then is for looks that are called for."""
        self._free_at[client] = max(self._free_at.get(client, until), until)

    def take(self, now: float) -> FollowedAccount | None:
        """Return the most urgent account that is due and not being looked at, which is due no more; or None."""
        while self._later and self._later[0][0] <= now:
            due_at, number, account = heapq.heappop(self._later)
            if account.due_at != due_at:
                continue
            if account.is_routine:
                # By time alone, so that the quiet ones have their turn.
                of_venue = self._routine.setdefault(account.followed.client, [])
                heapq.heappush(of_venue, (_EQUAL, due_at, number, account))
            else:
                heapq.heappush(self._called, (account.urgency, due_at, number, account))
        return _taken(self._called) or self._take_routine(now)

    def _take_routine(self, now: float) -> FollowedAccount | None:
        has_room = self.has_room()
        for client, waiting in self._routine.items():
            account = _first(waiting)
            if account is None or self._free_at.get(client, 0.0) > now:
                continue
            if not has_room:
                if not self._may_go_alone(account, now):
                    continue
                self._alone = account
            self._free_at[client] = max(self._free_at.get(client, 0.0), now - _CREDIT_S) + self.pace_s(account)
            return _taken(waiting)
        return None

    def _may_go_alone(self, account: FollowedAccount, now: float) -> bool:
        assert account.due_at is not None
        is_overdue = account.due_at + account.patience_s <= now
        return is_overdue and (self._alone is None or not self._alone.is_looking)


def _first(due: list[_Due]) -> FollowedAccount | None:
    """Return who is first, dropping what was overtaken; one that is being looked at is put again when that is done."""
    while due:
        _, due_at, _, account = due[0]
        if account.due_at == due_at and account.is_followed and not account.is_looking:
            return account
        heapq.heappop(due)
    return None


def _taken(due: list[_Due]) -> FollowedAccount | None:
    account = _first(due)
    if account is not None:
        heapq.heappop(due)
        account.due_at = None
    return account
