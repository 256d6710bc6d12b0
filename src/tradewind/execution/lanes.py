"""What protection has to do at a venue, cut into claims, and how much of it may be on the wire at once.

A claim takes a slot for every list before it is made. So one claim never asks for more slots than there are: it
would wait for itself, and every account of the venue behind it, for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradewind.core.order import Order
from tradewind.execution.rounds import Key
from tradewind.portfolio.holding import Holding

# Lists claimed at once, and on the wire at once per venue: what leaves well inside send_by.
CLAIM_MAX = 100
IN_FLIGHT_MAX = 200


@dataclass(frozen=True, slots=True)
class Work:
    """What the network is needed for at one account and symbol; no more lists than one claim takes."""

    key: Key
    lists: Sequence[Sequence[Order]]
    resting: Sequence[tuple[Sequence[Order], str]]
    again_at: datetime | None
    # A lot whose coins are to be asked for; whether its market trades is.
    suspect: Holding | None = None
    halted: Holding | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done."""
        return not self.lists and not self.resting and self.suspect is None and self.halted is None


@dataclass(slots=True)
class Lane:
    """What one venue may have on the wire; slots are taken by one claim at a time, so two never wait for each other."""

    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT_MAX))

    async def enter(self, lists: int) -> None:
        """Wait for a slot for each of these lists."""
        async with self._turn:
            for _ in range(lists):
                await self._slots.acquire()

    def leave(self, lists: int = 1) -> None:
        """Give slots back."""
        for _ in range(lists):
            self._slots.release()


def in_claims(works: Iterable[Work]) -> Iterator[list[Work]]:
    """Cut work into claims of `CLAIM_MAX` lists at most; an account's work stays together."""
    claim: list[Work] = []
    size = 0
    for work in works:
        if claim and size + len(work.lists) > CLAIM_MAX:
            yield claim
            claim, size = [], 0
        claim.append(work)
        size += len(work.lists)
    if claim:
        yield claim
