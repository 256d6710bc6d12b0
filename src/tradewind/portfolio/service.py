"""The verbs of the portfolio: book fills into lots, keep balances, tell positions with their P&L.

A fill is booked once; the journal's unique key on fills sees to that before anything here runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradewind.core.ids import AccountId, FillId, LotId, OrderId, SignalId, SourceId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import ZERO, Asset, Price, Quantity, plain
from tradewind.core.position import Fill, Lot, Sale, apply_fill, split_sell, taken_outside
from tradewind.core.protection import PositionState
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.portfolio import store
from tradewind.portfolio.holding import Held, Holding, OpenLot
from tradewind.venues.base import AssetBalance

# Shown average prices are cut to the finest tick any venue has; the exact figure stays in the database.
_PRICE_SHOWN = Decimal("1e-8")
_LOTS_MAX = 1_000
# The state of a lot that is over; an open one has a PositionState.
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LotPlan:
    """What an entry wants its lot to be: set when it was decided, used at its first fill."""

    user_id: UserId
    account_id: AccountId
    venue: VenueName
    environment: Environment
    symbol: str
    base: Asset
    quote: Asset
    entry_order_id: OrderId
    source_id: SourceId | None
    signal_id: SignalId | None
    signal_seq: int | None
    stop: Price | None
    target: Price | None
    trailing_bps: int | None
    time_exit_at: datetime | None


@dataclass(frozen=True, slots=True)
class SellScope:
    """Which lots a sell takes from, oldest first: one lot, those of a source, all, or none (other coins)."""

    account_id: AccountId
    symbol: str
    lot_id: LotId | None = None
    source_id: SourceId | None = None
    # Only lots of signals up to this place in the inbox.
    until_seq: int | None = None
    touches_lots: bool = True

    def includes(self, lot: Lot) -> bool:
        """Say whether a lot of a wide scope is old enough for it."""
        return self.until_seq is None or lot.signal_seq is None or lot.signal_seq <= self.until_seq


@dataclass(frozen=True, slots=True)
class Change:
    """What a fill did to the lots; `beyond_parts` is what the sell's claim had not foreseen."""

    holdings: tuple[Holding, ...]
    sales: tuple[Sale, ...] = ()
    unallocated: Decimal = Decimal(0)
    beyond_parts: Decimal = Decimal(0)


@dataclass(slots=True)
class Purchases:
    """Fills of entries on their way into lots: booked in memory one by one, written at once."""

    opened_by: Callable[[LotPlan, datetime], Holding]
    _lots: dict[OrderId, Holding]
    _new: set[OrderId] = field(default_factory=set)
    _changed: set[OrderId] = field(default_factory=set)

    def book(self, plan: LotPlan, fill: Fill) -> Holding:
        """Book an entry's fill into its lot, opening the lot at the first one; `write` makes it last."""
        holding = self._lots.get(plan.entry_order_id)
        if holding is None:
            holding = self.opened_by(plan, fill.at)
            self._new.add(plan.entry_order_id)
            rev = holding.rev
        else:
            self._changed.add(plan.entry_order_id)
            rev = holding.rev + 1
        after = replace(holding, lot=apply_fill(holding.lot, fill).lot, closed_at=None, rev=rev)
        self._lots[plan.entry_order_id] = after
        return after

    def follow(self, moved: Iterable[Holding]) -> None:
        """Take lots that were sold from, and are written, as they are now: a later fill adds to what is left."""
        for holding in moved:
            if holding.lot.entry_order_id in self._lots:
                self._lots[holding.lot.entry_order_id] = holding

    def write(self, tx: Tx) -> None:
        """Write what was booked since the last time; whoever reads lots in this transaction calls it first."""
        changed = self._changed - self._new
        store.write_holdings(tx, [self._lots[each] for each in self._new], [self._lots[each] for each in changed])
        self._new.clear()
        self._changed.clear()


class Portfolio:
    """Books fills and balances; stateless but for where ids come from."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def purchases(self, tx: Tx, entry_order_ids: Iterable[OrderId]) -> Purchases:
        """Start to book the fills of these entries: their lots are read at once."""
        return Purchases(self._open, store.find_by_entries(tx, entry_order_ids))

    @staticmethod
    def lots_in(tx: Tx, scope: SellScope, *, lock: bool = False) -> list[Holding]:
        """Read the open lots a sell may take from; `lock` holds them for this transaction (PostgreSQL)."""
        if not scope.touches_lots:
            return []
        if scope.lot_id is not None:
            holding = store.find_lots(tx, [scope.lot_id], lock=lock).get(scope.lot_id)
            return [] if holding is None or holding.closed_at is not None else [holding]
        found = store.list_open(
            tx, account_ids=[scope.account_id], symbols=[scope.symbol], source_id=scope.source_id, lock=lock
        )
        return [holding for holding in found if scope.includes(holding.lot)]

    def _open(self, plan: LotPlan, at: datetime) -> Holding:
        lot = Lot(
            id=LotId(self._ids.new()),
            account_id=plan.account_id,
            symbol=plan.symbol,
            base=plan.base,
            quote=plan.quote,
            entry_order_id=plan.entry_order_id,
            opened_at=at,
            source_id=plan.source_id,
            signal_id=plan.signal_id,
            signal_seq=plan.signal_seq,
            stop=plan.stop,
            target=plan.target,
            trailing_bps=plan.trailing_bps,
            time_exit_at=plan.time_exit_at,
        )
        wants = plan.stop is not None or plan.target is not None
        state = PositionState.UNPROTECTED if wants else PositionState.UNPROTECTED_BY_YOU
        reason = "just_filled" if wants else "opened_without_stop"
        return Holding(lot, plan.user_id, plan.venue, plan.environment, state.value, reason, None, 0, at)


def record_balances(
    tx: Tx, user_id: UserId, account_id: AccountId, found: Sequence[AssetBalance], at: datetime
) -> None:
    """Keep what the venue says an account holds; older news never overwrites newer."""
    store.put_balances(tx, user_id, [Held(account_id, each.asset, each.free, each.locked, at) for each in found])


def balances_of(tx: Tx, account_ids: Sequence[AccountId]) -> Mapping[AccountId, Mapping[Asset, Held]]:
    """Read all balances of these accounts."""
    found: dict[AccountId, dict[Asset, Held]] = {account_id: {} for account_id in account_ids}
    for held in store.list_balances(tx, account_ids):
        found[held.account_id][held.asset] = held
    return found


def quote_balances(
    tx: Tx, account_ids: Sequence[AccountId], assets: Iterable[Asset]
) -> Mapping[AccountId, Mapping[Asset, Held]]:
    """Read what accounts have in a few assets; one that was read and has nothing of an asset has 0 of it."""
    wanted = sorted(set(assets))
    found: dict[AccountId, dict[Asset, Held]] = {}
    for held in store.balances_in(tx, account_ids, wanted):
        found.setdefault(held.account_id, {})[held.asset] = held
    lacking = [each for each in account_ids if len(found.get(each, ())) < len(wanted)]
    for account_id, at in store.balances_read_at(tx, lacking).items():
        known = found.setdefault(account_id, {})
        for asset in wanted:
            known.setdefault(asset, Held(account_id, asset, ZERO, ZERO, at))
    return found


def lots_of_source(
    tx: Tx, source_id: SourceId, account_ids: Sequence[AccountId]
) -> Mapping[AccountId, Sequence[OpenLot]]:
    """Read what a source's open lots hold, by account, oldest first."""
    found: dict[AccountId, list[OpenLot]] = {}
    for lot in store.lots_of_source(tx, source_id, account_ids):
        found.setdefault(lot.account_id, []).append(lot)
    return found


def open_lots(
    tx: Tx,
    *,
    account_ids: Iterable[AccountId] | None = None,
    symbol: str | None = None,
    symbols: Collection[str] | None = None,
    source_id: SourceId | None = None,
    base: Asset | None = None,
    lock: bool = False,
) -> list[Holding]:
    """Read open lots, oldest first, across users: for the engine. `lock` holds the rows (PostgreSQL)."""
    wanted = symbols if symbol is None else [symbol]
    return store.list_open(tx, account_ids=account_ids, symbols=wanted, source_id=source_id, base=base, lock=lock)


def find_lot(tx: Tx, lot_id: LotId) -> Holding | None:
    """Read one lot."""
    return store.find_lot(tx, lot_id)


def set_states(tx: Tx, wanted: Mapping[LotId, tuple[PositionState, str | None]], now: datetime) -> dict[LotId, Holding]:
    """Write how open lots are protected; return those that changed."""
    found = store.find_lots(tx, wanted, lock=True)
    changed = {}
    for lot_id, (state, reason) in wanted.items():
        holding = found.get(lot_id)
        if holding is None or holding.closed_at is not None:
            continue
        if (holding.state, holding.state_reason) != (state.value, reason):
            changed[lot_id] = holding.moved_to(state.value, reason, now)
    store.update_states(tx, list(changed.values()))
    return changed


@dataclass(frozen=True, slots=True)
class Exposure:
    """How long lots stood unprotected, and under the watch alone, in ms: over all of them, and the longest."""

    lots: int
    naked_ms: int
    naked_ms_max: int
    watched_ms: int


def total_exposure(tx: Tx, now: datetime) -> Exposure:
    """Add up the time without protection of every lot there ever was (reliability.md L-2)."""
    times = [holding.exposed(now) for holding in store.list_all(tx)]
    naked = [each[0] for each in times]
    return Exposure(len(times), sum(naked), max(naked, default=0), sum(each[1] for each in times))


def close_outside(
    tx: Tx, lot_ids: Sequence[LotId], missing: Quantity, ids: Ids, now: datetime
) -> list[tuple[Holding, Quantity]]:
    """Take coins that left by other hands out of lots, oldest first; return what changed, with how much went."""
    held = {each.lot.id: each for each in store.find_lots(tx, lot_ids, lock=True).values() if each.closed_at is None}
    changed = []
    for part in split_sell([each.lot for each in held.values()], missing).parts:
        holding = held[part.lot_id]
        booked = taken_outside(holding.lot, part.quantity, FillId(ids.new()), now)
        after = replace(holding, lot=booked.lot, rev=holding.rev + 1)
        if not booked.lot.is_open:
            after = replace(holding.moved_to(CLOSED, "taken_outside", now), lot=booked.lot, closed_at=now)
        store.update_holding(tx, after)
        price = holding.lot.entry_price
        if booked.sale is not None and price is not None:
            store.insert_sales(tx, [store.SaleRow(holding, booked.sale, holding.lot.entry_order_id, price, "external")])
        changed.append((after, part.quantity))
    return changed


def raise_stops(tx: Tx, wanted: Mapping[LotId, Lot]) -> dict[LotId, Holding]:
    """Write trailing stops and peaks that went up; one that would go down stays. Return what changed."""
    found = store.find_lots(tx, wanted, lock=True)
    raised = {}
    for lot_id, lot in wanted.items():
        holding = found.get(lot_id)
        if holding is None or holding.closed_at is not None or lot.stop is None or lot.peak is None:
            continue
        known = holding.lot
        stop = lot.stop if known.stop is None else max(known.stop, lot.stop)
        peak = lot.peak if known.peak is None else max(known.peak, lot.peak)
        if (stop, peak) != (known.stop, known.peak):
            raised[lot_id] = replace(holding, lot=replace(known, stop=stop, peak=peak), rev=holding.rev + 1)
    store.update_stops(tx, list(raised.values()))
    return raised


def open_lots_of(tx: Tx, user_id: UserId) -> list[Holding]:
    """Read a user's open lots, newest first."""
    return store.list_of_user(tx, user_id, is_open=True, limit=_LOTS_MAX)


def balances_of_user(tx: Tx, user_id: UserId, asset: Asset | None) -> list[Held]:
    """Read a user's balances."""
    return store.list_user_balances(tx, user_id, asset)


def lot_view(holding: Holding) -> dict[str, Any]:
    """A lot as its owner sees it (without prices, which move by themselves)."""
    lot = holding.lot
    entry = lot.entry_price
    return {
        "id": lot.id,
        "rev": holding.rev,
        "account_id": lot.account_id,
        "environment": holding.environment.value.upper(),
        "venue": holding.venue,
        "symbol": lot.symbol,
        "base": lot.base,
        "quote": lot.quote,
        "source_id": lot.source_id,
        "signal_id": lot.signal_id,
        "entry_order_id": lot.entry_order_id,
        "opened_at": lot.opened_at.isoformat(),
        "closed_at": None if holding.closed_at is None else holding.closed_at.isoformat(),
        "quantity": str(lot.quantity),
        "cost": plain(lot.cost_quote),
        "entry_price": None if entry is None else plain(entry.value.quantize(_PRICE_SHOWN)),
        "stop": None if lot.stop is None else str(lot.stop),
        "target": None if lot.target is None else str(lot.target),
        "trailing_bps": lot.trailing_bps,
        "time_exit_at": None if lot.time_exit_at is None else lot.time_exit_at.isoformat(),
        "protection": holding.state,
        "protection_reason": holding.state_reason,
        "protection_since": holding.state_since.isoformat(),
        "naked_ms": holding.naked_ms,
        "watched_ms": holding.watched_ms,
    }
