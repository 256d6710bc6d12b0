"""The user's own dealings: coins of ours that their order locks, or that are not there any more (section 4).

Asked only after a sell of ours was refused for want of coins. External is what is short in free + locked twice,
some time apart, with none of our orders of that asset open or in doubt: only the shortfall is closed, without
result, and told. Coins that are there but locked by an order that is not ours: BLOCKED BY YOUR ORDER.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tradewind.core.ids import AccountId
from tradewind.core.money import EXACT, ZERO, Asset, Quantity
from tradewind.core.order import RESTING, OrderState
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
from tradewind.venues.base import AssetBalance
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
            snapshot = await client.account(self.desk.signer(lot.account_id))
        except VenueError as error:
            _log.info("execution.outside.no_answer", account_id=lot.account_id, code=error.code)
            return
        if await self.db.read(lambda tx: _held(tx, pool)) != before:
            # Something of ours moved while we asked: the answer belongs to neither moment.
            return
        found = next((each for each in snapshot.balances if each.asset == lot.base), AssetBalance(lot.base, ZERO, ZERO))
        await self._judge(pool, before, found)

    def _may_ask(self, pool: Pool) -> bool:
        now = self.clock.monotonic()
        times, not_before = self._asked.get(pool, (0, now))
        if now < not_before:
            return False
        self._asked[pool] = (times + 1, now + _ASK_AGAIN_S[min(times, len(_ASK_AGAIN_S) - 1)])
        return True

    async def _judge(self, pool: Pool, held: _Held, found: AssetBalance) -> None:
        there = Quantity(EXACT.add(found.free, found.locked))
        if there >= held.quantity:
            self._short.pop(pool, None)
            self._settle_blocked(pool, held, found)
            return
        missing = held.quantity - there
        for each in held.lots:
            self._known[each.lot.id] = Coins.MISSING
        if any(_is_ours_at_work(stored) for stored in held.orders):
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
        changed = close_outside(tx, [each.lot.id for each in held.lots], missing, self.journal.ids, now)
        for holding, gone in changed:
            _log.warning("execution.outside.closed", lot_id=holding.lot.id, quantity=str(gone))
            tell_of_lot(tx, self.journal.ids, holding, "coins_taken_outside", {"taken": str(gone)}, now)
        outbox.append(tx, [position_note(holding, now) for holding, _ in changed], now)
        store.bump_exposure(tx, [pool[0]])
        return [holding for holding, _ in changed]


def _held(tx: Tx, pool: Pool) -> _Held:
    account_id, base = pool
    lots = open_lots(tx, account_ids=[account_id], base=base)
    orders = [each for each in store.list_unsettled_of(tx, account_id) if each.order.base == base]
    return _Held(tuple(lots), tuple(orders))


def _is_ours_at_work(stored: Stored) -> bool:
    """An order of ours that is open or in doubt; one that stands INTENDED has not left and moves nothing."""
    return stored.lacks_fills or not (stored.order.is_ended or stored.order.state is OrderState.INTENDED)
