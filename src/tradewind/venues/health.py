"""How a venue looks from here (V12): latencies of late, last error, last good answer."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from tradewind.infra.clock import Clock

# Enough for a stable p99, small enough to sort whenever somebody looks.
_LATENCIES = 512
# Three measurements of the clock in a row went wrong.
_SILENT_S_MAX = 45.0


class HealthRecord:
    """Figures of one venue client; cheap to write, computed when read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latencies_ms: deque[float] = deque(maxlen=_LATENCIES)
        self._answered_at: float | None = None
        self.checked_at: datetime | None = None
        self.last_error: str | None = None

    def answered(self, elapsed_s: float, *, is_usable: bool) -> None:
        """The venue answered; `is_usable` is False for an answer that only says it is in trouble."""
        self._latencies_ms.append(elapsed_s * 1_000)
        if is_usable:
            self._answered_at = self._clock.monotonic()
        self.checked_at = self._clock.now()

    def failed(self, code: str) -> None:
        """A call got no usable answer; `code` is ours and holds no secret."""
        self.checked_at = self._clock.now()
        self.last_error = code

    @property
    def is_fresh(self) -> bool:
        """Whether the venue answered lately."""
        return self._answered_at is not None and self._clock.monotonic() - self._answered_at < _SILENT_S_MAX

    def percentile_ms(self, percent: int) -> float | None:
        """Latency that `percent` of the late answers did not exceed, in ms."""
        if not self._latencies_ms:
            return None
        ordered = sorted(self._latencies_ms)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]
