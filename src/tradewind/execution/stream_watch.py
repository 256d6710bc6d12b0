"""Private streams in doubt: away for long, or up and deaf. Who is to be seen to again is a heap; no stream in it.

A stream is deaf where it is up and has not said, within a grace, what a comparison with the venue found: an event
that is on its way (at the venue, in the socket, in the queue) is no deafness.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from tradewind.core.ids import AccountId
from tradewind.execution.look_queue import FollowedAccount
from tradewind.infra.clock import Clock
from tradewind.infra.log import logger
from tradewind.venues.base import VenueClient

_log = logger("execution.recovery")

# A stream may be away this long before its account is in doubt: reconnecting takes a moment.
STREAM_LOST_S = 10.0
# The cause of a hold: its stream was up and did not say what a comparison found.
STREAM_DEAF = "stream_deaf"
_DEAF_AFTER_S = 5.0
# A first look waits this long for a stream, and for the next one of its venue, but never longer than this in all.
FIRST_LOOK_GRACE_S = 1.0
_FIRST_LOOK_WITHIN_S = 30.0
# An account that was never looked at waits for that first.
_AGAIN_S = 0.5


@dataclass(slots=True)
class StreamWatch:
    """Sees to streams when their time has come; one per process."""

    clock: Clock
    # Told of an account whose entries are to wait, with the cause.
    hold: Callable[[AccountId, str], None]
    # Told of an account whose stream is to be subscribed anew.
    on_deaf: Callable[[AccountId], None] = lambda _account_id: None
    deaf_after_s: float = _DEAF_AFTER_S
    # When a stream of each venue came up last.
    _up_at: dict[VenueClient, float] = field(default_factory=dict)
    _later: list[tuple[float, int, FollowedAccount]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def down(self, account: FollowedAccount) -> None:
        """A stream is not there, from now on."""
        account.down_since, account.is_down_told = self.clock.monotonic(), False
        self._see_to(account, STREAM_LOST_S)

    def up(self, account: FollowedAccount) -> None:
        """A stream is live."""
        account.down_since, account.is_down_told = None, False
        self._up_at[account.followed.client] = self.clock.monotonic()

    def first_look_at(self, account: FollowedAccount) -> float | None:
        """Return until when a first look waits for the account's stream; None where it waits no longer.

        While others of its venue come up one after the other its own is about to: one look then says it all.
        """
        if account.looked_at is not None or account.down_since is None:
            return None
        now, until_s = self.clock.monotonic(), self._up_at.get(account.followed.client, 0.0) + FIRST_LOOK_GRACE_S
        return until_s if now < until_s and now - account.down_since < _FIRST_LOOK_WITHIN_S else None

    def heard(self, account: FollowedAccount) -> None:
        """A stream has said something."""
        account.heard_at, account.suspected_at = self.clock.monotonic(), None

    def suspect(self, account: FollowedAccount) -> None:
        """A comparison found what the stream has not said; it may be about to."""
        if account.down_since is None and account.suspected_at is None:
            account.suspected_at = self.clock.monotonic()
            self._see_to(account, self.deaf_after_s)

    def is_coming_back(self, account: FollowedAccount) -> bool:
        """Say whether a deaf stream is just being subscribed anew; one that does not come is lost, not waited for."""
        if account.held is None or account.held.cause != STREAM_DEAF or account.down_since is None:
            return False
        return self.clock.monotonic() - account.down_since < STREAM_LOST_S

    def see_to_due(self) -> None:
        """Look at the streams whose time has come."""
        now = self.clock.monotonic()
        while self._later and self._later[0][0] <= now:
            account = heapq.heappop(self._later)[2]
            if account.is_followed:
                self._look_at(account, now)

    def _see_to(self, account: FollowedAccount, in_s: float) -> None:
        heapq.heappush(self._later, (self.clock.monotonic() + in_s, next(self._numbers), account))

    def _look_at(self, account: FollowedAccount, now: float) -> None:
        if account.suspected_at is not None and now - account.suspected_at >= self.deaf_after_s:
            self._call_deaf(account)
        is_lost = account.down_since is not None and now - account.down_since >= STREAM_LOST_S
        if not is_lost or account.is_down_told:
            return
        if account.looked_at is None:
            self._see_to(account, _AGAIN_S)
            return
        account.is_down_told = True
        self.hold(account.followed.account_id, "stream_lost")

    def _call_deaf(self, account: FollowedAccount) -> None:
        account.suspected_at = None
        if account.down_since is not None:
            return
        account_id = account.followed.account_id
        _log.warning("execution.recovery.stream_deaf", account_id=account_id)
        # Held first: the subscription that follows is what its entries wait for.
        self.hold(account_id, STREAM_DEAF)
        self.on_deaf(account_id)
