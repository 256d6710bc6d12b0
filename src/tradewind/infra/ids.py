"""Random ids: UUIDv7, ordered by creation time for the database's sake, never guessable or re-minted."""

import os
from typing import Protocol

from tradewind.infra.clock import Clock, to_ms


class Ids(Protocol):
    """Where new ids come from."""

    def new(self) -> str:
        """Return a fresh id as UUID text."""
        ...


class RandomIds:
    """UUIDv7: 48 bits of milliseconds, 74 random bits from the operating system."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self) -> str:
        """Return a fresh id as UUID text."""
        ms = to_ms(self._clock.now()) & ((1 << 48) - 1)
        tail = int.from_bytes(os.urandom(10), "big")
        value = (ms << 80) | tail
        value = (value & ~(0xF << 76)) | (0x7 << 76)
        value = (value & ~(0x3 << 62)) | (0x2 << 62)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
