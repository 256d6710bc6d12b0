"""What protection and exits have decided, on its way out: claimed in shared transactions, sent side by side.

One transaction claims for many accounts: cancels are recorded, exits get their quantity and lots, protective lists
are looked at once more, exits first. Nothing of it leaves before that commit. Each account's requests are then sent by
a task of their own, one after the other, so that a slow account holds up nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradewind.core.ids import AccountId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.order import Order
from tradewind.execution.cancels import CancelDesk, earliest
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.journal import Claim, Journal
from tradewind.execution.lanes import Lane, Work
from tradewind.execution.outcomes import Moved
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.points import Point, reached

_NOTHING = Claim((), ())


@dataclass(slots=True)
class Parcel:
    """What of one account's work was claimed and is to be sent now; `again_at`: when the rest may be tried."""

    work: Work
    sold: list[Order] = field(default_factory=list)
    lists: list[list[Order]] = field(default_factory=list)
    cancels: list[Sequence[Moved]] = field(default_factory=list)
    again_at: datetime | None = None

    @property
    def size(self) -> int:
        return len(self.sold) + len(self.lists) + len(self.cancels)


@dataclass(frozen=True, slots=True)
class _Written:
    """What a transaction claimed for many."""

    cancels: list[list[Moved]]
    sold: Claim
    lists: Claim


@dataclass(slots=True)
class Outbound:
    """Claims and sends; one per process."""

    db: Db
    journal: Journal
    dispatcher: Dispatcher
    cancels: CancelDesk
    clock: Clock
    _lanes: dict[tuple[VenueName, Environment, bool], Lane] = field(default_factory=dict)

    def lane(self, venue: VenueName, environment: Environment, *, is_exit: bool) -> Lane:
        """Return the lane of a venue: exits have one of their own, so that no protective list is before them."""
        return self._lanes.setdefault((venue, environment, is_exit), Lane())

    async def claim(self, lane: Lane, works: Sequence[Work]) -> list[Parcel]:
        """Claim what these works want in one transaction, each request with a slot to be sent in."""
        parcels = [Parcel(work) for work in works]
        lists = [due for parcel in parcels for due in self._due_cancels(parcel)]
        slots = len(lists) + sum(len(work.lists) + len(work.sold) for work in works)
        await lane.enter(slots)
        try:
            if slots:
                written = await self.db.write(lambda tx: self._write(tx, works, lists))
                self._announce(written)
                _hand_out(parcels, written)
        finally:
            lane.leave(slots - sum(parcel.size for parcel in parcels))
        return parcels

    async def send(self, lane: Lane, parcel: Parcel) -> datetime | None:
        """Send what was claimed, what has a time to leave by first; return when to look again, if that is known."""
        left = parcel.size
        again_at = parcel.again_at
        try:
            for order in parcel.sold:
                await self.dispatcher.send_claimed([order])
                lane.leave()
                left -= 1
            for legs in parcel.lists:
                await self.dispatcher.send_claimed(legs)
                lane.leave()
                left -= 1
            for moved in parcel.cancels:
                retry_at = await self.cancels.send(moved)
                again_at = earliest(again_at, retry_at or self.clock.now())
                lane.leave()
                left -= 1
        finally:
            lane.leave(left)
        return again_at

    def _due_cancels(self, parcel: Parcel) -> list[tuple[Sequence[Order], str]]:
        found: list[tuple[Sequence[Order], str]] = []
        for legs, reason in parcel.work.resting:
            due, again_at = self.cancels.due(legs)
            found += [(each, reason) for each in due]
            parcel.again_at = earliest(parcel.again_at, again_at)
        return found

    def _write(self, tx: Tx, works: Sequence[Work], cancels: Sequence[tuple[Sequence[Order], str]]) -> _Written:
        """Exits before protective lists: those see what the exits have taken."""
        now, venue_now = self.clock.now(), self.dispatcher.venue_now
        noted = self.cancels.note(tx, cancels) if cancels else []
        markets = {order.id: market for work in works for order, market in work.sold}
        sold = self.journal.claim_exits(tx, markets, venue_now, now) if markets else _NOTHING
        groups = [[order.id for order in legs] for work in works for legs in work.lists]
        lists = self.journal.claim_protective(tx, groups, venue_now, now) if groups else _NOTHING
        return _Written(noted, sold, lists)

    def _announce(self, written: _Written) -> None:
        """Say what was claimed before it is sent: whoever watches for a missing outcome starts now."""
        if written.sold is not _NOTHING:
            reached(Point.EXIT_CLAIM_COMMITTED)
        if written.lists is not _NOTHING:
            reached(Point.PROTECTION_CLAIM_COMMITTED)
        self.cancels.noted(written.cancels)
        claims = (written.sold, written.lists)
        recorder = self.dispatcher.recorder
        recorder.announce([move for claim in claims for move in claim.denied])
        recorder.announce([Moved(order, order) for claim in claims for order in claim.sent])


def _hand_out(parcels: Sequence[Parcel], written: _Written) -> None:
    """Give each parcel what was claimed for its work."""
    sold = {order.id: order for order in written.sold.sent}
    legs: dict[str | None, list[Order]] = {}
    for order in written.lists.sent:
        legs.setdefault(order.lot_id, []).append(order)
    cancels: dict[tuple[AccountId, str], list[Sequence[Moved]]] = {}
    for moved in written.cancels:
        order = moved[0].after
        cancels.setdefault((order.account_id, order.symbol), []).append(moved)
    for parcel in parcels:
        work = parcel.work
        parcel.sold = [sold[order.id] for order, _ in work.sold if order.id in sold]
        parcel.lists = [legs[each[0].lot_id] for each in work.lists if each[0].lot_id in legs]
        parcel.cancels = cancels.pop(work.key, [])
