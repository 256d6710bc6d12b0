"""When an account is looked at next where nothing calls for it, and what its venue's limits allow for that.

Each look that has ended plans the next one, and what happens to an account plans it anew: nobody walks over all
accounts by the clock. How often is comparing.py's to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tradewind.core.ids import AccountId
from tradewind.execution.account_look import weight_of
from tradewind.execution.comparing import Comparing
from tradewind.execution.look_queue import PATIENCE_S, ROUTINE, FollowedAccount, LookQueue
from tradewind.infra.clock import Clock

_NO_WAIT_S = 0.0


@dataclass(slots=True)
class LookPlan:
    """Puts accounts into the queue by the clock; one per process."""

    clock: Clock
    queue: LookQueue
    comparing: Comparing
    is_blind: Callable[[AccountId], bool]
    # How often an account in doubt (no stream, key refused) is compared.
    doubtful_s: float

    def __post_init__(self) -> None:
        self.queue.pace_s = self.pace_s

    def entered(self, account: FollowedAccount, *, markets: int) -> None:
        """An account with business in so many markets is followed from now on."""
        account.markets = markets
        self.comparing.entered(account.followed.client, markets=markets)

    def left(self, account: FollowedAccount) -> None:
        """An account is followed no more."""
        account.is_followed = False
        self.comparing.left(account.followed.client, markets=account.markets)

    def note_business(self, account: FollowedAccount, *, markets: int) -> None:
        """Something of an account's is at stake in so many markets."""
        if account.markets != markets and account.is_followed:
            self.comparing.left(account.followed.client, markets=account.markets)
            self.comparing.entered(account.followed.client, markets=markets)
        account.markets = markets

    def plan(self, account: FollowedAccount) -> None:
        """Plan the next look at an account that nothing calls for."""
        if account.due_at is None and account.looked_at is not None and account.is_followed:
            pause_s = self._pause_s(account)
            account.cause, account.patience_s = ROUTINE, max(PATIENCE_S, pause_s)
            self.queue.put(account, account.looked_at + pause_s)

    def plan_anew(self, account: FollowedAccount) -> None:
        """Something has changed: the next look may be due sooner than it was planned."""
        if account.due_at is None or account.looked_at is None or not account.is_routine:
            return
        due_at = account.looked_at + self._pause_s(account)
        if due_at < account.due_at:
            self.queue.put(account, due_at)

    def compare_every(self, cross_check_s: float, accounts: Iterable[FollowedAccount]) -> None:
        """Change how often accounts with business are compared at best, for those that wait for it too."""
        self.comparing.cross_check_s = cross_check_s
        for account in accounts:
            self.plan_anew(account)

    def wants_whole(self, account: FollowedAccount) -> bool:
        """Say whether a look compares balances too: always, but in a routine look between two such."""
        if not account.is_routine or self._is_doubtful(account) or account.compared_at is None:
            return True
        whole_s = self.comparing.periods(account.followed.client).whole_s
        return not account.has_business or self.clock.monotonic() - account.compared_at >= whole_s

    def pace_s(self, account: FollowedAccount) -> float:
        """Return for how long a routine look uses up what the venue allows for them; one in doubt is not counted."""
        if self._is_doubtful(account):
            return _NO_WAIT_S
        costs = account.followed.client.capabilities.costs
        weight = weight_of(costs, account.markets) - (0 if self.wants_whole(account) else costs.account)
        return self.comparing.pace_s(account.followed.client, weight)

    def _is_doubtful(self, account: FollowedAccount) -> bool:
        return account.down_since is not None or self.is_blind(account.followed.account_id)

    def _pause_s(self, account: FollowedAccount) -> float:
        periods = self.comparing.periods(account.followed.client)
        if not account.has_business and account.held is None:
            return periods.whole_s
        if self._is_doubtful(account):
            return self.doubtful_s
        return min(periods.whole_s, periods.orders_s)
