"""Random ids: UUIDv7, ordered by creation time for the database's sake, never guessable or re-minted."""

import os
import threading
from typing import Protocol

from tradewind.infra.clock import Clock, to_ms

_TAIL_BITS = 74
_TAIL = (1 << _TAIL_BITS) - 1
_STEP = (1 << 40) - 1


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
        self._lock = threading.Lock()

    def new(self) -> str:
        """Return a fresh id as UUID text."""
        ms = to_ms(self._clock.now()) & ((1 << 48) - 1)
        noise = int.from_bytes(os.urandom(10), "big") & _TAIL
        with self._lock:
            fresh = (ms << _TAIL_BITS) | noise
            self._last = fresh if fresh > self._last else self._last + 1 + (noise & _STEP)
            counted = self._last
        head, middle, low = counted >> _TAIL_BITS, (counted >> 62) & 0xFFF, counted & ((1 << 62) - 1)
        value = (head << 80) | (0x7 << 76) | (middle << 64) | (0x2 << 62) | low
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
