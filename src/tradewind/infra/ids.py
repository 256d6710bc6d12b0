"""Random ids: UUIDv7, ordered by creation time for the database's sake, never guessable or re-minted."""

import os
import threading
from typing import Protocol

from tradewind.infra.clock import Clock, to_ms

_TAIL_BITS = 74
_TAIL = (1 << _TAIL_BITS) - 1
_STEP = (1 << 40) - 1
_NOISE_BYTES = 10
# Asked of the operating system at once: each question lets go of the interpreter, and a busy event loop that has
# let go waits milliseconds to get it back.
_NOISE_IDS = 512


class Ids(Protocol):
    """Where new ids come from."""

    def new(self) -> str:
        """Return a fresh id as UUID text."""
        ...


class RandomIds:
    """UUIDv7: 48 bits of milliseconds, 74 random bits from the operating system; each above the one before.

    Within a millisecond, or after the clock went back, an id is the last one plus a random step (RFC 9562,
    section 6.2, method 2): a close must sort after the open it answers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._noise = b""
        self._noise_at = 0
        self._lock = threading.Lock()

    def new(self) -> str:
        """Return a fresh id as UUID text."""
        ms = to_ms(self._clock.now()) & ((1 << 48) - 1)
        with self._lock:
            noise = self._next_noise()
            fresh = (ms << _TAIL_BITS) | noise
            self._last = fresh if fresh > self._last else self._last + 1 + (noise & _STEP)
            counted = self._last
        head, middle, low = counted >> _TAIL_BITS, (counted >> 62) & 0xFFF, counted & ((1 << 62) - 1)
        value = (head << 80) | (0x7 << 76) | (middle << 64) | (0x2 << 62) | low
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _next_noise(self) -> int:
        if self._noise_at == len(self._noise):
            self._noise, self._noise_at = os.urandom(_NOISE_BYTES * _NOISE_IDS), 0
        start, self._noise_at = self._noise_at, self._noise_at + _NOISE_BYTES
        return int.from_bytes(self._noise[start : self._noise_at], "big") & _TAIL
