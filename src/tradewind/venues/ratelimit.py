"""What may be sent now: request weight of our IP, order counts of each account, bans (V7).

Rules of this file: windows are fixed and aligned in VENUE time; what is on its way counts as used until its
answer says what it cost; exits may use everything, entries and reads leave a reserve for those before them;
a ban means nothing at all is sent until it ends, and nobody queues past it (order-protocol.md section 3.4).
Whoever waits, waits for a bounded time in a bounded queue.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from tradewind.core.ids import AccountId
from tradewind.infra.clock import Clock
from tradewind.venues.errors import RateLimited


class Lane(IntEnum):
    """Who goes first; lower is earlier."""

    EXIT = 0
    ENTRY = 1
    QUERY = 2  # reads that clear a doubt about an order
    READ = 3


# Share of a window a lane may fill: what is left of it is for the lanes before; exits may use all of it.
_SHARE_PERCENT = {Lane.EXIT: 100, Lane.ENTRY: 95, Lane.QUERY: 90, Lane.READ: 80}
_MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class WindowLimit:
    """One limit as the venue publishes it. `counts_calls`: every call counts 1, whatever its weight."""

    span_ms: int
    capacity: int
    counts_calls: bool = False


class FixedWindow:
    """A counter over aligned spans of venue time."""

    __slots__ = ("_index", "_settled", "capacity", "counts_calls", "in_flight", "span_ms")

    def __init__(self, limit: WindowLimit) -> None:
        self.span_ms = limit.span_ms
        self.capacity = limit.capacity
        self.counts_calls = limit.counts_calls
        self.in_flight = 0
        self._index = -1
        self._settled = 0

    def used(self, now_ms: int) -> int:
        """What counts against this window: settled and on its way."""
        self._roll(now_ms)
        return self._settled + self.in_flight

    def has_room(self, now_ms: int, cost: int, lane: Lane) -> bool:
        """Whether `cost` more fits below the lane's share; an empty window always takes one call."""
        used = self.used(now_ms)
        return used + cost <= self.capacity * _SHARE_PERCENT[lane] // 100 or used == 0

    def take(self, cost: int) -> None:
        """Count a call as on its way."""
        self.in_flight += cost

    def settle(self, now_ms: int, cost: int, *, sent_in: int, is_free: bool, stated: int | None) -> None:
        """A call has ended. `stated`: what the venue says is used; it counts only within the same window."""
        self._roll(now_ms)
        self.in_flight = max(self.in_flight - cost, 0)
        if stated is not None and sent_in == self._index:
            self._settled = max(self._settled, stated)
        elif not is_free:
            self._settled += cost

    def restate(self, now_ms: int, stated: int) -> None:
        """Take the venue's figure as it is, lower ones too (its counters may go down)."""
        self._roll(now_ms)
        self._settled = stated

    def index(self, now_ms: int) -> int:
        """The number of the window a moment lies in."""
        return now_ms // self.span_ms

    def ends_at_ms(self, now_ms: int) -> int:
        """When the window of a moment ends."""
        return (now_ms // self.span_ms + 1) * self.span_ms

    def _roll(self, now_ms: int) -> None:
        index = now_ms // self.span_ms
        if index > self._index:
            self._index = index
            self._settled = 0


@dataclass(frozen=True, slots=True)
class _Take:
    """What one call took of one window."""

    window: FixedWindow
    cost: int
    index: int


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one call; give it back by `settle` exactly once, whatever came of it."""

    takes: tuple[_Take, ...]
    lane: Lane
    weight: int

    def fits(self, lane: Lane, weight: int) -> bool:
        """Say whether it was taken for such a call."""
        return self.lane is lane and self.weight == weight


class IpBudget:
    """Request weight of one IP address at one venue, shared by all accounts."""

    def __init__(
        self, clock: Clock, venue_now_ms: Callable[[], int], limits: Sequence[WindowLimit], *, waiters_max: int = 2_000
    ) -> None:
        self._clock = clock
        self._now_ms = venue_now_ms
        self._waiters_max = waiters_max
        self._waiters: list[tuple[int, int, int, asyncio.Future[Permit]]] = []
        self._sequence = 0
        self._blocked_until_ms = 0
        self._windows: tuple[FixedWindow, ...] = ()
        self.set_limits(limits)

    # --- limits and bans ---------------------------------------------------------------------------

    def set_limits(self, limits: Sequence[WindowLimit]) -> None:
        """Take the venue's limits; what is already counted in windows of the same span is kept."""
        known = {(window.span_ms, window.counts_calls): window for window in self._windows}
        windows = []
        for limit in limits:
            window = known.get((limit.span_ms, limit.counts_calls)) or FixedWindow(limit)
            window.capacity = limit.capacity
            windows.append(window)
        self._windows = tuple(windows)

    @property
    def blocked_until_ms(self) -> int | None:
        """Venue time until which nothing may be sent, or None."""
        if not self._blocked_until_ms or self._blocked_until_ms <= self._now_ms():
            return None
        return self._blocked_until_ms

    def block(self, until_ms: int) -> None:
        """The venue banned us or told us to wait: nothing leaves before `until_ms`, all who wait are told."""
        self._blocked_until_ms = max(self._blocked_until_ms, until_ms)
        waiting, self._waiters = self._waiters, []
        for _, _, _, waiter in waiting:
            if not waiter.done():
                waiter.set_exception(_banned(self._blocked_until_ms))

    def now_ms(self) -> int:
        """Venue time, in which all of this is counted."""
        return self._now_ms()

    def used_weight(self) -> int:
        """Weight used in the current window of the first limit."""
        return self._windows[0].used(self._now_ms()) if self._windows else 0

    def weight_a_minute(self, lane: Lane) -> int | None:
        """What a lane may use within a minute, by the tightest weight limit; None without one."""
        rates = [
            window.capacity * _SHARE_PERCENT[lane] * 600 // window.span_ms
            for window in self._windows
            if not window.counts_calls
        ]
        return min(rates, default=None)

    # --- permits -----------------------------------------------------------------------------------

    async def reserve(self, lane: Lane, weight: int, *, wait_s: float) -> Permit:
        """Return a permit, at once or when there is room.

        Raises RateLimited (with `retry_at_ms`): banned, no room within `wait_s`, too many waiting.
        """
        blocked_until = self.blocked_until_ms
        if blocked_until is not None:
            raise _banned(blocked_until)
        now = self._now_ms()
        if not self._has_waiter_before(lane) and self._has_room(now, lane, weight):
            return self._take(now, lane, weight)
        return await self._wait(lane, weight, wait_s)

    def reserve_now(self, lane: Lane, weight: int, count: int) -> list[Permit]:
        """Return permits for as many of `count` equal calls as there is room for now; none while others wait."""
        if self.blocked_until_ms is not None or self._has_waiter_before(lane):
            return []
        now = self._now_ms()
        permits: list[Permit] = []
        while len(permits) < count and self._has_room(now, lane, weight):
            if permits:
                # Equal in everything, so one object says it for all.
                for take in permits[0].takes:
                    take.window.take(take.cost)
                permits.append(permits[0])
            else:
                permits.append(self._take(now, lane, weight))
        return permits

    def settle(self, permit: Permit, *, is_free: bool = False, stated: int | None = None) -> None:
        """A call has ended: `is_free` if it cost nothing, `stated` = used weight by the venue's header."""
        now = self._now_ms()
        for take in permit.takes:
            if take.window.counts_calls:
                take.window.settle(now, take.cost, sent_in=take.index, is_free=False, stated=None)
            else:
                take.window.settle(now, take.cost, sent_in=take.index, is_free=is_free, stated=stated)
        self._serve()

    def give_back(self, permit: Permit) -> None:
        """The call was never sent."""
        now = self._now_ms()
        for take in permit.takes:
            take.window.settle(now, take.cost, sent_in=take.index, is_free=True, stated=None)
        self._serve()

    def _has_waiter_before(self, lane: Lane) -> bool:
        return bool(self._waiters) and self._waiters[0][0] <= lane

    def _has_room(self, now: int, lane: Lane, weight: int) -> bool:
        return all(window.has_room(now, 1 if window.counts_calls else weight, lane) for window in self._windows)

    def _take(self, now: int, lane: Lane, weight: int) -> Permit:
        takes = []
        for window in self._windows:
            cost = 1 if window.counts_calls else weight
            window.take(cost)
            takes.append(_Take(window, cost, window.index(now)))
        return Permit(tuple(takes), lane, weight)

    async def _wait(self, lane: Lane, weight: int, wait_s: float) -> Permit:
        retry_at = self._room_at_ms(lane, weight)
        if wait_s <= 0 or len(self._waiters) >= self._waiters_max:
            raise RateLimited("budget", "The venue's request budget is used up.", retry_at_ms=retry_at)
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        entry = (int(lane), self._sequence, weight, waiter)
        heapq.heappush(self._waiters, entry)
        give_up = self._clock.monotonic() + wait_s
        try:
            while not waiter.done():
                left_s = give_up - self._clock.monotonic()
                if left_s <= 0:
                    raise RateLimited("budget", "The venue's request budget is used up.", retry_at_ms=retry_at)
                await self._sleep_or_done(waiter, min(left_s, self._until_room_s(lane, weight)))
                self._serve()
            return waiter.result()
        except BaseException:
            self._forget(entry)
            raise

    async def _sleep_or_done(self, waiter: asyncio.Future[Permit], seconds: float) -> None:
        sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
        both: list[asyncio.Future[Any]] = [waiter, sleeper]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()

    def _forget(self, entry: tuple[int, int, int, asyncio.Future[Permit]]) -> None:
        waiter = entry[3]
        if entry in self._waiters:
            self._waiters.remove(entry)
            heapq.heapify(self._waiters)
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.give_back(waiter.result())
        else:
            waiter.cancel()

    def _serve(self) -> None:
        while self._waiters:
            lane, _, weight, waiter = self._waiters[0]
            if waiter.done():
                heapq.heappop(self._waiters)
                continue
            now = self._now_ms()
            if self.blocked_until_ms is not None or not self._has_room(now, Lane(lane), weight):
                return
            heapq.heappop(self._waiters)
            waiter.set_result(self._take(now, Lane(lane), weight))

    def _room_at_ms(self, lane: Lane, weight: int) -> int:
        now = self._now_ms()
        ends = [
            window.ends_at_ms(now)
            for window in self._windows
            if not window.has_room(now, 1 if window.counts_calls else weight, lane)
        ]
        return max(ends, default=now)

    def _until_room_s(self, lane: Lane, weight: int) -> float:
        # Room may exist while somebody ahead needs more of it: look again, but do not spin.
        return max((self._room_at_ms(lane, weight) - self._now_ms()) / 1_000, 0.05)


def _banned(until_ms: int) -> RateLimited:
    return RateLimited("banned", "The venue told us to send nothing for now.", retry_at_ms=until_ms)


class OrderCounts:
    """Unfilled-order counts of each account, over aligned windows of venue time."""

    def __init__(self, venue_now_ms: Callable[[], int], limits: Sequence[WindowLimit]) -> None:
        self._now_ms = venue_now_ms
        self._limits: tuple[WindowLimit, ...] = ()
        # The answer headers that state the counts, one per limit (Binance's spelling, lower case).
        self.header_names: tuple[str, ...] = ()
        self._accounts: dict[AccountId, tuple[FixedWindow, ...]] = {}
        self._blocked: dict[AccountId, int] = {}
        self.set_limits(limits)

    def set_limits(self, limits: Sequence[WindowLimit]) -> None:
        """Take the venue's limits; counts begin anew where the spans changed."""
        if [limit.span_ms for limit in limits] != [limit.span_ms for limit in self._limits]:
            self._accounts.clear()
        self._limits = tuple(limits)
        self.header_names = tuple(f"x-mbx-order-count-{_span_name(limit.span_ms)}" for limit in limits)
        for windows in self._accounts.values():
            for window, limit in zip(windows, self._limits, strict=True):
                window.capacity = limit.capacity

    def take(self, account_id: AccountId, count: int) -> None:
        """Count orders as on their way. Raises RateLimited where the account's limit is reached."""
        now = self._now_ms()
        blocked_until = self._blocked.get(account_id, 0)
        if blocked_until > now:
            raise RateLimited("order_count", "The venue told this account to wait.", retry_at_ms=blocked_until)
        windows = self._accounts.get(account_id)
        if windows is None:
            windows = tuple(FixedWindow(limit) for limit in self._limits)
            self._accounts[account_id] = windows
        full = [window for window in windows if window.used(now) + count > window.capacity]
        if full:
            retry_at = max(window.ends_at_ms(now) for window in full)
            raise RateLimited("order_count", "The account's order count is used up.", retry_at_ms=retry_at)
        for window in windows:
            window.take(count)

    def settle(self, account_id: AccountId, count: int, *, was_sent: bool, stated: Sequence[int | None] = ()) -> None:
        """The call has ended; `stated` are the venue's own counts, one per limit, where it gave any."""
        now = self._now_ms()
        windows = self._accounts.get(account_id, ())
        for position, window in enumerate(windows):
            window.settle(now, count, sent_in=-1, is_free=not was_sent, stated=None)
            figure = stated[position] if position < len(stated) else None
            if figure is not None:
                window.restate(now, figure)

    def block(self, account_id: AccountId, until_ms: int) -> None:
        """The venue told this account to wait."""
        self._blocked[account_id] = max(self._blocked.get(account_id, 0), until_ms)

    def forget_idle(self) -> None:
        """Drop accounts with nothing counted, so that memory follows the accounts in use."""
        now = self._now_ms()
        for account_id in [a for a, windows in self._accounts.items() if not any(w.used(now) for w in windows)]:
            del self._accounts[account_id]
        for account_id in [a for a, until in self._blocked.items() if until <= now]:
            del self._blocked[account_id]


def _span_name(span_ms: int) -> str:
    for unit_ms, letter in ((_MS_PER_DAY, "d"), (3_600_000, "h"), (60_000, "m")):
        if span_ms % unit_ms == 0:
            return f"{span_ms // unit_ms}{letter}"
    return f"{span_ms // 1_000}s"


def window_ms(interval: str, count: int) -> int | None:
    """Milliseconds of a venue's limit interval; None for one we do not know."""
    unit = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": _MS_PER_DAY}.get(interval)
    return unit * count if unit is not None and count > 0 else None
