"""The clock port: the only place where time comes from outside core.

`now` is wall time (UTC-aware) for records and rules; `monotonic` is for time-outs and deadlines, which a
step of the wall clock must not move; `sleep` waits in the clock's own time, so tests can turn it by hand.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the wall time, UTC-aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait this many seconds of this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall time, UTC-aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never step."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait this many real seconds."""
        await asyncio.sleep(seconds)


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of a UTC-aware time, rounded down."""
    if moment.tzinfo is None:
        raise ValueError("a time without zone is not a time")
    # Whole-number arithmetic: `timestamp()` is a float and loses a millisecond now and then.
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """UTC time of Unix milliseconds, exact."""
    return datetime.fromtimestamp(ms // 1_000, UTC).replace(microsecond=ms % 1_000 * 1_000)
