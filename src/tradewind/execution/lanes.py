"""What protection has to do at a venue, cut into claims, and how much of it may be on the wire at once.

A claim takes a slot for every request before it is made. So one claim never asks for more slots than there are: it
would wait for itself, and every account of the venue behind it, for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradewind.core.order import Order
from tradewind.execution.rounds import Key
from tradewind.execution.sellable import Market
from tradewind.portfolio.holding import Holding

# Requests claimed at once, and on the wire at once per venue: what leaves well inside send_by.
CLAIM_MAX = 100
IN_FLIGHT_MAX = 200


@dataclass(frozen=True, slots=True)
class Work:
    """What the network is needed for at one account and symbol; no more requests than one claim takes."""

    key: Key
    # Protective lists to be claimed and placed, exits to be claimed and sold, lists to be cancelled and why.
    lists: Sequence[Sequence[Order]]
    resting: Sequence[tuple[Sequence[Order], str]]
    again_at: datetime | None
    sold: Sequence[tuple[Order, Market]] = ()
    # A lot whose coins are to be asked for; whether its market trades is.
    suspect: Holding | None = None
    halted: Holding | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done."""
        return not self.size and self.suspect is None and self.halted is None

    @property
    def size(self) -> int:
        """How many requests it may put on the wire."""
        return len(self.lists) + len(self.resting) + len(self.sold)

    @property
    def is_exit(self) -> bool:
        """Whether something is sold, or taken down so that it can be: that waits behind no protective list."""
        return bool(self.sold or self.resting)


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
    """Cut work into claims of `CLAIM_MAX` requests at most; an account's work stays together."""
    claim: list[Work] = []
    size = 0
    for work in works:
        if claim and size + work.size > CLAIM_MAX:
            yield claim
            claim, size = [], 0
        claim.append(work)
        size += work.size
    if claim:
        yield claim
