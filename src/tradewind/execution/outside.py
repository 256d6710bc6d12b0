"""The user's own dealings: coins of ours that their order locks, or that are not there any more (section 4).

Asked only after a sell of ours was refused for want of coins. External is what is short in free + locked twice,
some time apart, with none of our orders of that asset open or in doubt: only the shortfall is closed, without
result, and told. An order of ours that rests does not hide it: one that the venue lists as open and untouched AFTER
it said what is there had taken nothing by then (docs/adr/0022-shortfall-beside-a-resting-stop.md). Coins that are
there but locked by an order that is not ours: BLOCKED BY YOUR ORDER.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tradewind.core.ids import AccountId, LotId
from tradewind.core.money import EXACT, ZERO, Asset, Quantity
from tradewind.core.order import RESTING, Leg, OrderState
from tradewind.execution import store
from tradewind.execution.desk import Desk
from tradewind.execution.incidents import tell_of_lot
from tradewind.execution.journal import Journal
from tradewind.execution.sellable import sells_open, total
from tradewind.execution.store import Stored
from tradewind.execution.words import position_note
from tradewind.infra import outbox
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import close_outside, open_lots
from tradewind.venues.base import AssetBalance, Signer, VenueClient
from tradewind.venues.errors import VenueError

_log = logger("execution.outside")

# An account costs a venue's budget as much as 20 orders: while nothing changes it is asked less and less often.
_ASK_AGAIN_S = (1.0, 2.0, 4.0, 5.0, 10.0, 30.0)

Pool = tuple[AccountId, Asset]


class Coins(StrEnum):
    """What is known of the coins of a lot."""

    ASKED_FOR = "asked_for"
    THERE = "there"
    BLOCKED = "blocked"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class _Held:
    """What we hold of an asset on an account, and what of our orders still moves it."""

    lots: tuple[Holding, ...]
    orders: tuple[Stored, ...]

    @property
    def quantity(self) -> Quantity:
        return total(each.lot.quantity for each in self.lots)

    def parts_of(self, missing: Quantity) -> list[tuple[LotId, Quantity]]:
        """Split a shortfall over the lots, those first for which nothing of ours rests: what rests holds its coins."""
        resting = {each.lot.id: self._resting(each) for each in self.lots}
        found, left = [], missing
        for lot in sorted((each.lot for each in self.lots), key=lambda lot: resting[lot.id].is_positive):
            bare = Quantity(max(ZERO, EXACT.subtract(lot.quantity.value, resting[lot.id].value)))
            part = min(bare, left)
            if part.is_positive:
                found.append((lot.id, part))
                left = left - part
        return found

    def _resting(self, holding: Holding) -> Quantity:
        mine = [each for each in self.orders if each.order.lot_id == holding.lot.id and each.order.state in RESTING]
        return total(sells_open(mine))


@dataclass(slots=True)
class OutsideDesk:
    """Finds out about coins; one per process, called by whoever looks after an account and symbol."""

    db: Db
    journal: Journal
    desk: Desk
    clock: Clock
    confirm_s: float
    _known: dict[str, Coins] = field(default_factory=dict)
    # When an asset of an account was first seen short, and by how much.
    _short: dict[Pool, tuple[float, Quantity]] = field(default_factory=dict)
    # How often an asset of an account was asked for in a row, and before when it is not asked for again.
    _asked: dict[Pool, tuple[int, float]] = field(default_factory=dict)

    def suspect(self, lot_ids: Sequence[str]) -> None:
        """A sell of these lots was refused for want of coins: ask before the next one."""
        for lot_id in lot_ids:
            self._known.setdefault(lot_id, Coins.ASKED_FOR)

    def known(self, lot_id: str) -> Coins | None:
        """Return what is known of a lot's coins; None if nobody had reason to ask."""
        return self._known.get(lot_id)

    def forget(self, lot_id: str) -> None:
        """The lot is closed, or is tried again: the next refusal asks anew."""
        self._known.pop(lot_id, None)

    async def ask(self, holding: Holding) -> None:
        """Ask the venue what is there, unless it was asked just now; a failure says nothing."""
        lot = holding.lot
        pool = (lot.account_id, lot.base)
        if not self._may_ask(pool):
            return
        before = await self.db.read(lambda tx: _held(tx, pool))
        try:
            client = self.desk.client(holding.venue, holding.environment)
            signer = self.desk.signer(lot.account_id)
            snapshot = await client.account(signer)
            found = _balance(snapshot.balances, lot.base)
            # Asked after the balance: what is untouched now had taken nothing then.
            has_moved = _missing(before, found).is_positive and not await self._stand_still(client, signer, before)
        except VenueError as error:
            _log.info("execution.outside.no_answer", account_id=lot.account_id, code=error.code)
            return
        if await self.db.read(lambda tx: _held(tx, pool)) != before:
            # Something of ours moved while we asked: the answer belongs to neither moment.
            return
        await self._judge(pool, before, found, has_moved=has_moved)

    def _may_ask(self, pool: Pool) -> bool:
        now = self.clock.monotonic()
        times, not_before = self._asked.get(pool, (0, now))
        if now < not_before:
            return False
        self._asked[pool] = (times + 1, now + _ASK_AGAIN_S[min(times, len(_ASK_AGAIN_S) - 1)])
        return True

    async def _stand_still(self, client: VenueClient, signer: Signer, held: _Held) -> bool:
        """Say whether none of our orders moves coins now: each rests, and the venue says so with what it executed."""
        working = [stored for stored in held.orders if _is_ours_at_work(stored)]
        if not all(_rests(stored) for stored in working):
            return False
        still: dict[str, Quantity] = {}
        for place in sorted({(each.order.venue, each.order.environment, each.order.symbol) for each in working}):
            for report in await client.open_orders(signer, self.desk.instrument(*place)):
                still[report.client_order_id] = report.executed
        return all(still.get(each.order.client_order_id) == each.order.executed for each in working)

    async def _judge(self, pool: Pool, held: _Held, found: AssetBalance, *, has_moved: bool) -> None:
        missing = _missing(held, found)
        if not missing.is_positive:
            self._short.pop(pool, None)
            self._settle_blocked(pool, held, found)
            return
        for each in held.lots:
            self._known[each.lot.id] = Coins.MISSING
        if has_moved:
            self._short.pop(pool, None)
            return
        now = self.clock.monotonic()
        since, first = self._short.setdefault(pool, (now, missing))
        if now - since < self.confirm_s:
            return
        del self._short[pool]
        closed = await self.db.write(lambda tx: self._close(tx, pool, held, min(first, missing), self.clock.now()))
        for each in closed:
            self._known[each.lot.id] = Coins.THERE
        self._asked.pop(pool, None)

    def _settle_blocked(self, pool: Pool, held: _Held, found: AssetBalance) -> None:
        """The coins are there; those that an order of the user locks cannot be sold."""
        ours = total(sells_open([each for each in held.orders if each.order.state in RESTING]))
        is_blocked = found.locked > ours.value and EXACT.add(found.free, ours.value) < held.quantity.value
        for each in held.lots:
            if each.lot.id in self._known:
                self._known[each.lot.id] = Coins.BLOCKED if is_blocked else Coins.THERE
        if not is_blocked:
            self._asked.pop(pool, None)

    def _close(self, tx: Tx, pool: Pool, held: _Held, missing: Quantity, now: datetime) -> list[Holding]:
        """Close the shortfall, unless something of ours has moved since it was read."""
        if _held(tx, pool) != held:
            return []
        changed = [
            pair
            for lot_id, part in held.parts_of(missing)
            for pair in close_outside(tx, [lot_id], part, self.journal.ids, now)
        ]
        for holding, gone in changed:
            _log.warning("execution.outside.closed", lot_id=holding.lot.id, quantity=str(gone))
            tell_of_lot(tx, self.journal.ids, holding, "coins_taken_outside", {"taken": str(gone)}, now)
        outbox.append(tx, [position_note(holding, now) for holding, _ in changed], now)
        store.bump_exposure(tx, [pool[0]])
        return [holding for holding, _ in changed]


def _balance(balances: Sequence[AssetBalance], asset: Asset) -> AssetBalance:
    return next((each for each in balances if each.asset == asset), AssetBalance(asset, ZERO, ZERO))


def _missing(held: _Held, found: AssetBalance) -> Quantity:
    """How much of what we hold is not there, free or locked."""
    there = EXACT.add(found.free, found.locked)
    return Quantity(max(ZERO, EXACT.subtract(held.quantity.value, there)))


def _held(tx: Tx, pool: Pool) -> _Held:
    account_id, base = pool
    lots = open_lots(tx, account_ids=[account_id], base=base)
    orders = [each for each in store.list_unsettled_of(tx, account_id) if each.order.base == base]
    return _Held(tuple(lots), tuple(orders))


def _rests(stored: Stored) -> bool:
    """A stop or target that waits at the venue, with every fill of it booked."""
    return stored.order.leg in (Leg.STOP, Leg.TARGET) and stored.order.state in RESTING and not stored.lacks_fills


def _is_ours_at_work(stored: Stored) -> bool:
    """An order of ours that is open or in doubt; one that stands INTENDED has not left and moves nothing."""
    return stored.lacks_fills or not (stored.order.is_ended or stored.order.state is OrderState.INTENDED)
