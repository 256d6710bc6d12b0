"""Venue time, from the venue's own words.

Rules of this file: venue time runs on our monotonic clock plus an offset, so a step of our wall clock cannot
change the timestamp of an order (V6); the offset comes from the quickest of the last answers, because half the
round trip is the bound of its error; a suspended machine stops the monotonic clock, so the two clocks are
compared and a disagreement asks for a new measurement. `confirmed_ms` is no estimate: only the venue's
statements move it, and only it lets a fence pass (order-protocol.md section 3).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tradewind.infra.clock import Clock, to_ms

_SAMPLES = 8
# NTP slews stay below this between two looks; steps, suspends and hand-set clocks are above.
_STEP_MS = 250
# A statement further ahead than this of what we believe is not evidence, it is a fault somewhere.
_AHEAD_MS_MAX = 5_000
# 2017-07-14 (Binance opened) and 2100: a time outside is not a venue's time.
_PLAUSIBLE_MS = (1_500_000_000_000, 4_102_444_800_000)


@dataclass(frozen=True, slots=True)
class _Sample:
    offset_ms: float
    round_trip_ms: float


class VenueClock:
    """One venue's time as seen from here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._offset_ms: float | None = None
        self._confirmed_ms = 0
        self._wall_minus_monotonic_ms = self._difference_ms()
        self._is_doubted = False

    @property
    def is_measured(self) -> bool:
        return self._offset_ms is not None

    @property
    def offset_ms(self) -> int | None:
        """Venue clock minus our wall clock, or None before the first measurement."""
        if self._offset_ms is None:
            return None
        return self.now_ms() - to_ms(self._clock.now())

    @property
    def confirmed_ms(self) -> int:
        """The latest time the venue has stated; 0 before the first."""
        return self._confirmed_ms

    def now_ms(self) -> int:
        """Estimate the venue's time now; our wall clock before the first measurement."""
        if self._offset_ms is None:
            return to_ms(self._clock.now())
        return int(self._clock.monotonic() * 1_000 + self._offset_ms)

    def observe(self, asked_at: float, answered_at: float, stated_ms: int) -> bool:
        """Take an answer to "what time is it"; both moments are monotonic seconds. False: not believed."""
        if not _PLAUSIBLE_MS[0] <= stated_ms <= _PLAUSIBLE_MS[1] or answered_at < asked_at:
            return False
        # The venue cuts its time down to whole milliseconds: half of one is the mean of what is lost.
        sample = _Sample(stated_ms + 0.5 - (asked_at + answered_at) * 500, (answered_at - asked_at) * 1_000)
        if self.needs_measurement():
            self._start_anew()
        elif self._offset_ms is not None and abs(sample.offset_ms - self._offset_ms) > _AHEAD_MS_MAX:
            # One answer alone does not move time by seconds (a cached answer, a broken machine): ask again.
            self._is_doubted = True
            return False
        self._samples.append(sample)
        self._offset_ms = min(self._samples, key=lambda sample: sample.round_trip_ms).offset_ms
        self.confirm(stated_ms)
        return True

    def confirm(self, stated_ms: int) -> None:
        """Take a time the venue stated in passing (of a transaction, of an event)."""
        if stated_ms <= self._confirmed_ms or stated_ms < _PLAUSIBLE_MS[0]:
            return
        if self._offset_ms is not None and stated_ms <= self.now_ms() + _AHEAD_MS_MAX:
            self._confirmed_ms = stated_ms

    def doubt(self) -> None:
        """The venue disagrees with our timestamp: measure anew."""
        self._is_doubted = True

    def needs_measurement(self) -> bool:
        """Whether the estimate cannot be trusted: never measured, doubted, or our clocks disagree."""
        has_stepped = abs(self._difference_ms() - self._wall_minus_monotonic_ms) > _STEP_MS
        return self._offset_ms is None or self._is_doubted or has_stepped

    def _start_anew(self) -> None:
        self._samples.clear()
        self._is_doubted = False
        self._wall_minus_monotonic_ms = self._difference_ms()

    def _difference_ms(self) -> float:
        return to_ms(self._clock.now()) - self._clock.monotonic() * 1_000
