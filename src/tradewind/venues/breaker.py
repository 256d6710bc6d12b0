"""One circuit breaker per venue, and retries for reads (V8).

Rules of this file: only reads open the breaker and only reads are retried; an order asks whether it is open
and is NotSent if so, but it is never sent again from here. Failures are VenueDown; an answer that will not
change by asking again (ReadRefused) is neither counted nor retried. After the pause one read may probe.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tradewind.infra.clock import Clock
from tradewind.venues.errors import VenueDown

T = TypeVar("T")


class ReadRefused(VenueDown):
    """The venue answered a read and would answer the same again."""


class BreakerState(StrEnum):
    """Whether reads may pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When the breaker opens and for how long; the pause doubles with each failed probe."""

    failures_max: int = 5
    pause_s: float = 2.0
    pause_s_max: float = 60.0
    attempts: int = 3
    backoff_s: float = 0.2
    backoff_s_max: float = 2.0


class Breaker:
    """Counts failed reads of one venue."""

    def __init__(
        self, clock: Clock, rules: BreakerRules = BreakerRules(), *, chance: random.Random | None = None
    ) -> None:
        self._clock = clock
        self._rules = rules
        # Spreads retries; nothing secret depends on it.
        self._chance = chance or random.Random()  # noqa: S311
        self._failures = 0
        self._pause_s = rules.pause_s
        self._open_until: float | None = None
        self._is_probing = False

    @property
    def state(self) -> BreakerState:
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock.monotonic() < self._open_until else BreakerState.HALF_OPEN

    def opens_in_s(self) -> float:
        """Seconds until the next probe is allowed; 0 when reads may pass."""
        if self._open_until is None:
            return 0.0
        return max(self._open_until - self._clock.monotonic(), 0.0)

    async def read(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call, again after a pause where the venue did not answer. Raises VenueDown("breaker_open") while open."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._once(call)
            except ReadRefused:
                raise
            except VenueDown:
                if attempt >= self._rules.attempts or self.state is BreakerState.OPEN:
                    raise
            await self._clock.sleep(self._backoff_s(attempt))

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        is_probe = self._enter()
        try:
            result = await call()
        except ReadRefused:
            self._succeed()
            raise
        except VenueDown:
            self._fail()
            raise
        finally:
            if is_probe:
                self._is_probing = False
        self._succeed()
        return result

    def _enter(self) -> bool:
        state = self.state
        if state is BreakerState.CLOSED:
            return False
        if state is BreakerState.OPEN or self._is_probing:
            raise VenueDown("breaker_open", "The venue did not answer lately; asking again shortly.")
        self._is_probing = True
        return True

    def _succeed(self) -> None:
        self._failures = 0
        self._pause_s = self._rules.pause_s
        self._open_until = None

    def _fail(self) -> None:
        self._failures += 1
        was_open = self._open_until is not None
        if not was_open and self._failures < self._rules.failures_max:
            return
        self._open_until = self._clock.monotonic() + self._pause_s * self._chance.uniform(0.8, 1.2)
        self._pause_s = min(self._pause_s * 2, self._rules.pause_s_max)

    def _backoff_s(self, attempt: int) -> float:
        longest = min(self._rules.backoff_s * 2**attempt, self._rules.backoff_s_max)
        return self._chance.uniform(longest / 4, longest)
