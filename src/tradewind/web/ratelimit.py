"""Token buckets in memory: `count` requests per `period_s`, saved up to `burst`.

A bucket starts full and refills evenly, so a caller who used everything gets single requests back at
once instead of waiting for an hour to turn. Memory is bounded: the bucket that was idle longest goes
first, and an idle bucket is a full one, so forgetting it gives nothing away until the bound is reached.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradewind.core.errors import TooMany
from tradewind.infra.clock import Clock


@dataclass(frozen=True, slots=True)
class Rate:
    """A named limit: `count` per `period_s` seconds, saved up to `burst` (default `count`); `what` is counted."""

    name: str
    count: int
    period_s: int
    burst: int | None = None
    what: str = "requests"

    @property
    def capacity(self) -> int:
        return self.burst if self.burst is not None else self.count

    @property
    def per_second(self) -> float:
        return self.count / self.period_s


# P5 and reliability.md 2.8.
USER_RATE = Rate("user", 1_000, 3_600)
LOGIN_ACCOUNT_RATE = Rate("login_account", 5, 60, what="attempts to sign in")
LOGIN_ADDRESS_RATE = Rate("login_address", 20, 60, what="attempts to sign in")
KEY_ADD_RATE = Rate("key_add", 5, 3_600, what="keys added")
WEBHOOK_RATE = Rate("webhook", 10, 1, burst=50)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The answer of a bucket. `reset_s`: until it is full again; `retry_after_s`: until one is free."""

    rate: Rate
    is_allowed: bool
    remaining: int
    reset_s: int
    retry_after_s: int

    def demand(self) -> None:
        """Raise TooMany where the bucket was empty."""
        if not self.is_allowed:
            raise TooMany(
                "too_many_requests",
                f"More than {self.rate.count} {self.rate.what} in {_period(self.rate.period_s)}. "
                f"Try again in {self.retry_after_s} s.",
                retry_after_s=self.retry_after_s,
            )


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Limiter:
    """All buckets of one process."""

    def __init__(self, clock: Clock, *, size_max: int = 50_000) -> None:
        self._clock = clock
        self._size_max = size_max
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def take(self, rate: Rate, key: str) -> Allowance:
        """Take one token of `key`'s bucket, if there is one."""
        now = self._clock.monotonic()
        bucket = self._bucket(rate, key, now)
        bucket.tokens = min(float(rate.capacity), bucket.tokens + max(0.0, now - bucket.at) * rate.per_second)
        bucket.at = now
        is_allowed = bucket.tokens >= 1.0
        if is_allowed:
            bucket.tokens -= 1.0
        return Allowance(
            rate,
            is_allowed,
            remaining=int(bucket.tokens),
            reset_s=math.ceil((rate.capacity - bucket.tokens) / rate.per_second),
            retry_after_s=0 if is_allowed else max(1, math.ceil((1.0 - bucket.tokens) / rate.per_second)),
        )

    def demand(self, rate: Rate, key: str) -> Allowance:
        """As `take`, raising TooMany where nothing is left."""
        allowance = self.take(rate, key)
        allowance.demand()
        return allowance

    def _bucket(self, rate: Rate, key: str, now: float) -> _Bucket:
        place = (rate.name, key)
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = _Bucket(float(rate.capacity), now)
            if len(self._buckets) > self._size_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(place)
        return bucket


class RateHeaders:
    """Writes RateLimit-Limit, -Remaining and -Reset onto answers of callers that were counted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Made here, so that the route below writes into the very same mapping.
        state = scope.setdefault("state", {})

        async def add(message: Message) -> None:
            allowance = state.get("allowance")
            if message["type"] == "http.response.start" and isinstance(allowance, Allowance):
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Limit"] = str(allowance.rate.count)
                headers["RateLimit-Remaining"] = str(allowance.remaining)
                headers["RateLimit-Reset"] = str(allowance.reset_s)
            await send(message)

        await self._app(scope, receive, add)


def address_of(connection: HTTPConnection) -> str:
    """Return the caller's address as a bucket key; an IPv6 caller owns a /64, so that is the key.

    Only the transport's own address counts: X-Forwarded-For is the server's business (uvicorn trusts it
    from named proxies alone).
    """
    client = connection.client
    if client is None:
        return "unknown"
    try:
        address = ipaddress.ip_address(client.host)
    except ValueError:
        # A Unix socket or a test's name.
        return client.host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _period(seconds: int) -> str:
    return {1: "a second", 60: "a minute", 3_600: "an hour"}.get(seconds, f"{seconds} s")
