"""Rate limits: request weight and bans per IP, unfilled orders per account.

Windows are fixed and aligned: minutes for weight, 10-second marks and UTC days for orders, so a client that
waits for the next mark is let in again at once. Numbers live in `LimitSettings` because the venue changes
them and clients must read them from exchangeInfo (live values of 2026-08-04 are the defaults).
Orders: +1 per accepted order, the first fill gives back 1 as taker and 5 as maker, never below zero; while
the day limit is exceeded the 10-second counter stands still (faqs/order_count_decrement, CHANGELOG
2025-04-07).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradewind.sim.binance_errors import TOO_MANY_ORDERS, TOO_MANY_REQUESTS, VenueError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
DAY_MS = 86_400_000
FIVE_MINUTES_MS = 300_000
# The maker sample of the venue's order-count page.
_MAKER_GIVES_BACK = 5
_BAN_MAX_S = 3 * 86_400


@dataclass(slots=True)
class LimitSettings:
    """Limits in force; the control API may change them while the venue runs."""

    weight_per_minute: int = 6000
    orders_per_10s: int = 100
    orders_per_day: int = 200_000
    raw_per_5_minutes: int = 300_000
    connections_per_5_minutes: int = 300
    # The venue does not say how many further calls turn 429 into 418; a handful is its reputation.
    calls_before_ban: int = 10
    ban_s: int = 120

    def as_exchange_info(self) -> list[dict[str, object]]:
        """Give the `rateLimits` array of exchangeInfo."""
        return [
            _rule("REQUEST_WEIGHT", "MINUTE", 1, self.weight_per_minute),
            _rule("ORDERS", "SECOND", 10, self.orders_per_10s),
            _rule("ORDERS", "DAY", 1, self.orders_per_day),
            _rule("RAW_REQUESTS", "MINUTE", 5, self.raw_per_5_minutes),
        ]


def _rule(kind: str, interval: str, number: int, limit: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


@dataclass(slots=True)
class _Window:
    length_ms: int
    start_ms: int = -1
    count: int = 0

    def at(self, now_ms: int) -> _Window:
        """Start over when an aligned mark has been passed."""
        start = now_ms - now_ms % self.length_ms
        if start != self.start_ms:
            self.start_ms = start
            self.count = 0
        return self

    def wait_s(self, now_ms: int) -> int:
        """Seconds to the next mark, rounded up, at least 1."""
        return max(1, -(-(self.start_ms + self.length_ms - now_ms) // 1000))


@dataclass(slots=True)
class _Caller:
    weight: _Window = field(default_factory=lambda: _Window(MINUTE_MS))
    raw: _Window = field(default_factory=lambda: _Window(FIVE_MINUTES_MS))
    connections: _Window = field(default_factory=lambda: _Window(FIVE_MINUTES_MS))
    refused: int = 0
    banned_until_ms: int = 0
    bans: int = 0


class RetryLater(VenueError):
    """A 429 or 418; `retry_at_ms` is venue time."""

    def __init__(self, code: int, msg: str, *, status: int, now_ms: int, retry_at_ms: int) -> None:
        super().__init__(code, msg, status=status)
        self.server_ms = now_ms
        self.retry_at_ms = retry_at_ms

    def retry_after_s(self) -> int:
        """Seconds for the Retry-After header, rounded up, at least 1."""
        return max(1, -(-(self.retry_at_ms - self.server_ms) // 1000))


class WeightLimiter:
    """Weight per caller's address, with bans for callers who do not stop."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._callers: dict[str, _Caller] = {}

    def charge(self, address: str, weight: int, now_ms: int) -> None:
        """Take `weight` from the caller's minute. Raises RetryLater (429, or 418 for a banned one)."""
        caller = self._callers.setdefault(address, _Caller())
        if now_ms < caller.banned_until_ms:
            raise _banned(now_ms, caller.banned_until_ms)
        self._count_raw(caller, now_ms)
        window = caller.weight.at(now_ms)
        if window.count == 0:
            caller.refused = 0
        if window.count + weight > self._settings.weight_per_minute:
            self._refuse(caller, now_ms)
        window.count += weight

    def refund(self, address: str, weight: int, now_ms: int) -> None:
        """Give weight back after a call that turned out to be free."""
        window = self._callers[address].weight.at(now_ms)
        window.count = max(0, window.count - weight)

    def used(self, address: str, now_ms: int) -> int:
        """Weight used in the running minute."""
        caller = self._callers.get(address)
        return caller.weight.at(now_ms).count if caller is not None else 0

    def set_used(self, address: str, weight: int, now_ms: int) -> None:
        """Set the used weight (tests and rehearsals of a nearly full minute)."""
        self._callers.setdefault(address, _Caller()).weight.at(now_ms).count = weight

    def ban(self, address: str, seconds: int, now_ms: int) -> int:
        """Ban a caller; gives the end in venue milliseconds."""
        caller = self._callers.setdefault(address, _Caller())
        caller.banned_until_ms = now_ms + seconds * 1000
        return caller.banned_until_ms

    def lift_bans(self) -> None:
        """Forget bans and refusals of every caller."""
        for caller in self._callers.values():
            caller.banned_until_ms = 0
            caller.refused = 0
            caller.bans = 0

    def connect(self, address: str, now_ms: int) -> bool:
        """Count one WebSocket connection attempt; False when there were too many."""
        caller = self._callers.setdefault(address, _Caller())
        window = caller.connections.at(now_ms)
        window.count += 1
        return window.count <= self._settings.connections_per_5_minutes and now_ms >= caller.banned_until_ms

    def _count_raw(self, caller: _Caller, now_ms: int) -> None:
        window = caller.raw.at(now_ms)
        window.count += 1
        if window.count > self._settings.raw_per_5_minutes:
            raise RetryLater(
                TOO_MANY_REQUESTS,
                f"Too many requests; current limit is {self._settings.raw_per_5_minutes} requests "
                "per 5 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
                status=429,
                now_ms=now_ms,
                retry_at_ms=now_ms + window.wait_s(now_ms) * 1000,
            )

    def _refuse(self, caller: _Caller, now_ms: int) -> None:
        caller.refused += 1
        if caller.refused > self._settings.calls_before_ban:
            # Repeat offenders wait longer: 2 minutes doubling to 3 days.
            seconds = min(self._settings.ban_s * 2**caller.bans, _BAN_MAX_S)
            caller.bans += 1
            caller.refused = 0
            caller.banned_until_ms = now_ms + seconds * 1000
            raise _banned(now_ms, caller.banned_until_ms)
        raise RetryLater(
            TOO_MANY_REQUESTS,
            "Too much request weight used; current limit is "
            f"{self._settings.weight_per_minute} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            status=429,
            now_ms=now_ms,
            retry_at_ms=now_ms + caller.weight.wait_s(now_ms) * 1000,
        )


def _banned(now_ms: int, until_ms: int) -> RetryLater:
    return RetryLater(
        TOO_MANY_REQUESTS,
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        status=418,
        now_ms=now_ms,
        retry_at_ms=until_ms,
    )


@dataclass(slots=True)
class _Account:
    ten_seconds: _Window = field(default_factory=lambda: _Window(TEN_SECONDS_MS))
    day: _Window = field(default_factory=lambda: _Window(DAY_MS))


class OrderCounter:
    """Unfilled orders per account, over all its keys, addresses and APIs."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._accounts: dict[int, _Account] = {}

    def check(self, uid: int, orders: int, now_ms: int) -> None:
        """Refuse with -1015 when `orders` more would pass a limit."""
        account = self._at(uid, now_ms)
        if account.day.count + orders > self._settings.orders_per_day:
            # The retry time of a day's limit is the next UTC midnight.
            raise self._too_many(self._settings.orders_per_day, "1 DAY", account.day, now_ms)
        if account.ten_seconds.count + orders > self._settings.orders_per_10s:
            raise self._too_many(self._settings.orders_per_10s, "10 SECOND", account.ten_seconds, now_ms)

    def add(self, uid: int, orders: int, now_ms: int) -> None:
        """Count accepted orders."""
        account = self._at(uid, now_ms)
        if account.day.count <= self._settings.orders_per_day:
            account.ten_seconds.count += orders
        account.day.count += orders

    def first_fill(self, uid: int, *, is_maker: bool, now_ms: int) -> None:
        """Give back what a first fill earns."""
        given = _MAKER_GIVES_BACK if is_maker else 1
        account = self._at(uid, now_ms)
        account.ten_seconds.count = max(0, account.ten_seconds.count - given)
        account.day.count = max(0, account.day.count - given)

    def counts(self, uid: int, now_ms: int) -> tuple[int, int]:
        """Give (10 seconds, day)."""
        account = self._at(uid, now_ms)
        return account.ten_seconds.count, account.day.count

    def as_rate_limits(self, uid: int, now_ms: int) -> list[dict[str, object]]:
        """Give the answer of `rateLimit/order`."""
        ten_seconds, day = self.counts(uid, now_ms)
        return [
            {**_rule("ORDERS", "SECOND", 10, self._settings.orders_per_10s), "count": ten_seconds},
            {**_rule("ORDERS", "DAY", 1, self._settings.orders_per_day), "count": day},
        ]

    def _at(self, uid: int, now_ms: int) -> _Account:
        account = self._accounts.setdefault(uid, _Account())
        account.ten_seconds.at(now_ms)
        account.day.at(now_ms)
        return account

    def _too_many(self, limit: int, per: str, window: _Window, now_ms: int) -> RetryLater:
        return RetryLater(
            TOO_MANY_ORDERS,
            f"Too many new orders; current limit is {limit} orders per {per}.",
            status=429,
            now_ms=now_ms,
            retry_at_ms=now_ms + window.wait_s(now_ms) * 1000,
        )


def weight_headers(used: int) -> Mapping[str, str]:
    """Give the weight headers every REST answer carries."""
    text = str(used)
    return {"x-mbx-used-weight": text, "x-mbx-used-weight-1m": text}
