"""One look at one account: its orders, fills and positions in the journal against what the venue says.

Everything is asked by lists, and only what no list answers by itself; what is found is recorded at once. Orders
that are not ours are counted and left alone. A position that the venue's balances do not cover is told, not acted
on: whose coins went where is the protect room's question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId, OrderId, UserId, is_ours
from tradewind.core.instrument import Instrument
from tradewind.core.money import EXACT, ZERO, Asset, plain
from tradewind.core.order import RESTING, Order, OrderState
from tradewind.execution import store
from tradewind.execution.desk import Desk
from tradewind.execution.ended_watch import EndedWatch
from tradewind.execution.outcomes import Moved
from tradewind.execution.reconcile import Reconciler
from tradewind.execution.store import LaterRelease, Stored
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import open_lots, record_balances
from tradewind.venues.base import AccountSnapshot, CallCosts, OrderReport, Signer, VenueClient

# A day's surprises of one account that are worth reading; the counts go on.
_TOLD_MAX = 50
_ELSEWHERE_MAX = 10_000
# An order was further at the venue than in the journal.
ORDER_MOVED = "order_moved"


@dataclass(frozen=True, slots=True)
class Followed:
    """An account that is followed: whose it is and where it trades."""

    account_id: AccountId
    user_id: UserId
    client: VenueClient


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which journal and venue did not agree, and what was done about it."""

    kind: str
    symbol: str
    ours: str
    venue: str
    done: str
    order_id: str | None = None


@dataclass(slots=True)
class Looked:
    """What one look found."""

    orders: int = 0
    fills: int = 0
    positions: int = 0
    not_ours: int = 0
    weight: int = 0
    differences: list[Difference] = field(default_factory=list)
    # Orders of which nobody knows the fate yet, and assets the venue holds less of than our lots.
    in_doubt: frozenset[OrderId] = frozenset()
    short: Mapping[Asset, Decimal] = field(default_factory=dict)
    # False where the account moved while it was compared, so that positions say nothing yet.
    is_steady: bool = True
    # In how many markets something of ours may stand.
    markets: int = 0
    # Orders of our form that stand at the venue and that no row of the journal knows.
    unknown_here: int = 0
    # False where open orders alone were compared.
    is_whole: bool = True

    def tell(self, kind: str, symbol: str, **words: Any) -> None:
        """Note a difference."""
        if len(self.differences) < _TOLD_MAX:
            self.differences.append(Difference(kind, symbol, **words))

    def include(self, before: Looked) -> None:
        """Take in what was found and done before this look."""
        self.fills += before.fills
        self.weight += before.weight
        self.differences[:0] = before.differences

    def rows(self) -> list[dict[str, Any]]:
        """Return the differences as they are stored."""
        return [asdict(each) for each in self.differences]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The journal's side of an account, from one read."""

    undone: tuple[Stored, ...]
    lots: tuple[Holding, ...]
    version: int

    @property
    def resting(self) -> list[Stored]:
        return [each for each in self.undone if each.order.state in RESTING]

    @property
    def symbols(self) -> list[str]:
        """Markets in which something of ours may stand at the venue."""
        left = {each.order.symbol for each in self.undone if each.order.state is not OrderState.INTENDED}
        return sorted(left | {each.lot.symbol for each in self.lots})


@dataclass(slots=True)
class AccountLook:
    """Looks at accounts; holds nothing between two looks."""

    db: Db
    reconciler: Reconciler
    ended: EndedWatch
    desk: Desk
    clock: Clock
    # Client ids seen here that the journal knows under another account: they are looked for once.
    _elsewhere: set[str] = field(default_factory=set)

    async def look(self, followed: Followed, *, is_whole: bool = True) -> Looked:
        """Compare one account with its venue and record what was found; not `is_whole`: its open orders alone.

        Raises VenueError where the venue did not answer: then nothing is known.
        """
        looked = Looked(is_whole=is_whole)
        ledger = await self.db.read(lambda tx: read_ledger(tx, followed.account_id))
        # An order that has not left yet is business too, though nothing of it can stand there.
        looked.markets = max(len(ledger.symbols), 1 if ledger.undone else 0)
        signer = self.desk.signer(followed.account_id)
        await self._compare_orders(followed, signer, ledger, looked)
        if is_whole:
            await self._compare_positions(followed, signer, looked)
        after = await self.db.read(lambda tx: read_ledger(tx, followed.account_id))
        unknown = (OrderState.UNKNOWN, OrderState.BLIND)
        looked.in_doubt = frozenset(each.order.id for each in after.undone if each.order.state in unknown)
        return looked

    # --- orders ----------------------------------------------------------------------------------

    async def _compare_orders(self, followed: Followed, signer: Signer, ledger: Ledger, looked: Looked) -> None:
        if not ledger.symbols:
            return
        listed = await self._open_orders(followed, signer, ledger.symbols, looked)
        named = {report.client_order_id: report for report in listed}
        numbered: dict[tuple[str, str | None], OrderReport] = {
            (report.symbol, report.venue_order_id): report for report in listed
        }
        taken: set[str] = set()
        for stored in ledger.undone:
            order = stored.order
            report = numbered.get((order.symbol, order.venue_order_id)) or named.get(order.client_order_id)
            if report is not None:
                taken.add(report.venue_order_id)
            await self._compare_one(followed, stored, report, looked)
        for report in listed:
            if report.venue_order_id not in taken:
                await self._unexpected(followed, report, looked)

    async def _open_orders(
        self, followed: Followed, signer: Signer, symbols: Sequence[str], looked: Looked
    ) -> list[OrderReport]:
        client, costs = followed.client, followed.client.capabilities.costs
        instruments = [self._listed(client, symbol) for symbol in symbols]
        # A market that is listed no more cannot be asked about by name.
        if None in instruments or len(symbols) * costs.open_orders >= costs.open_orders_all:
            looked.weight += costs.open_orders_all
            return list(await client.open_orders(signer, None))
        found: list[OrderReport] = []
        for instrument in instruments:
            looked.weight += costs.open_orders
            found += await client.open_orders(signer, instrument)
        return found

    def _listed(self, client: VenueClient, symbol: str) -> Instrument | None:
        try:
            return self.desk.instrument(client.capabilities.venue, client.environment, symbol)
        except NotFound:
            return None

    async def _compare_one(
        self, followed: Followed, stored: Stored, report: OrderReport | None, looked: Looked
    ) -> None:
        order, costs = stored.order, followed.client.capabilities.costs
        if order.state is OrderState.INTENDED and report is None:
            return
        looked.orders += 1
        if report is not None:
            if _says_nothing_new(stored, report):
                return
            looked.weight += costs.fills_of_order
            moved = await self.reconciler.found(order.id, report)
        elif self._listed(followed.client, order.symbol) is None:
            looked.tell("market_gone", order.symbol, ours=order.state.value, venue="-", done="told", order_id=order.id)
            return
        elif order.state in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED):
            # It should rest and does not: filled, cancelled or expired while nobody listened.
            looked.weight += costs.find_order + costs.fills_of_order
            moved = await self.reconciler.ask_resting(order)
        else:
            return
        _note_moves(order, moved, looked)

    async def _unexpected(self, followed: Followed, report: OrderReport, looked: Looked) -> None:
        """The venue holds an order that the journal does not call open: not ours, unknown here, or ended here."""
        if not is_ours(report.client_order_id):
            looked.not_ours += 1
            return
        try:
            stored = await self.db.read(
                lambda tx: store.find_by_client_id(tx, followed.account_id, report.client_order_id)
            )
        except LaterRelease:
            return
        if stored is None:
            await self._unknown(report, looked)
        elif stored.order.is_ended:
            looked.tell(
                "alive_after_end",
                report.symbol,
                ours=stored.order.state.value,
                venue=_words(report),
                done="booked and cancelled",
                order_id=stored.order.id,
            )
            await self.ended.heard(stored.order.id, report)

    async def _unknown(self, report: OrderReport, looked: Looked) -> None:
        """An order of our form that this account does not know: of an account of before, or of a lost journal."""
        client_id = report.client_order_id
        if len(self._elsewhere) > _ELSEWHERE_MAX:
            self._elsewhere.clear()
        if client_id in self._elsewhere or await self.db.read(lambda tx: store.is_client_id_anywhere(tx, client_id)):
            self._elsewhere.add(client_id)
            looked.not_ours += 1
            return
        looked.unknown_here += 1
        looked.tell("unknown_here", report.symbol, ours="-", venue=_words(report), done="left alone; entries wait")

    # --- positions -------------------------------------------------------------------------------

    async def _compare_positions(self, followed: Followed, signer: Signer, looked: Looked) -> None:
        before = await self.db.read(lambda tx: read_ledger(tx, followed.account_id))
        looked.weight += followed.client.capabilities.costs.account
        asked_at = self.clock.now()
        snapshot = await followed.client.account(signer)

        def keep(tx: Tx) -> Ledger:
            record_balances(tx, followed.user_id, followed.account_id, snapshot.balances, asked_at)
            return read_ledger(tx, followed.account_id)

        after = await self.db.write(keep)
        looked.positions = len(after.lots)
        looked.is_steady = before.version == after.version and not any(map(may_move_coins, after.undone))
        looked.short = shortfall(after.lots, snapshot) if looked.is_steady else {}
        for asset, missing in looked.short.items():
            held = sum((each.lot.quantity.value for each in after.lots if each.lot.base == asset), ZERO)
            have = EXACT.subtract(held, missing)
            looked.tell("shortfall", asset, ours=plain(held), venue=plain(have), done="told; protection decides")


def read_ledger(tx: Tx, account_id: AccountId) -> Ledger:
    """Read the journal's side of an account."""
    return Ledger(
        undone=tuple(store.list_not_ended(tx, account_id)),
        lots=tuple(open_lots(tx, account_ids=[account_id])),
        version=store.exposure_versions(tx, [account_id])[account_id],
    )


def shortfall(lots: Sequence[Holding], snapshot: AccountSnapshot) -> dict[Asset, Decimal]:
    """Return by how much free + locked falls short of our lots, per asset; both legs of a list lock coins once."""
    have = {each.asset: EXACT.add(each.free, each.locked) for each in snapshot.balances}
    held: dict[Asset, Decimal] = {}
    for holding in lots:
        base = holding.lot.base
        held[base] = EXACT.add(held.get(base, ZERO), holding.lot.quantity.value)
    missing = {asset: EXACT.subtract(quantity, have.get(asset, ZERO)) for asset, quantity in held.items()}
    return {asset: each for asset, each in missing.items() if each > ZERO}


def weight_of(costs: CallCosts, symbols: int) -> int:
    """What a look at an account with business in so many markets costs, where nothing has changed."""
    return costs.account + min(symbols * costs.open_orders, costs.open_orders_all)


def _says_nothing_new(stored: Stored, report: OrderReport) -> bool:
    order = stored.order
    is_same = order.state is report.state and order.venue_order_id is not None
    return is_same and order.executed == report.executed and not stored.lacks_fills


def may_move_coins(stored: Stored) -> bool:
    """Say whether fills of an order may be in the balances and not in the lots, or the other way round.

    Of an order on its way, in doubt or not booked. One that rests has told what it executed, partly filled or not.
    """
    rests = (OrderState.INTENDED, OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
    return stored.lacks_fills or stored.order.state not in rests


def _note_moves(order: Order, moved: Sequence[Moved], looked: Looked) -> None:
    for move in moved:
        looked.fills += len(move.new_fills)
        if move.after.state is not order.state or move.after.executed != order.executed:
            looked.tell(
                ORDER_MOVED,
                order.symbol,
                ours=f"{order.state} {order.executed}",
                venue=f"{move.after.state} {move.after.executed}",
                done=f"recorded, {len(move.new_fills)} fills booked",
                order_id=order.id,
            )


def _words(report: OrderReport) -> str:
    return f"{report.client_order_id} {report.side} {report.state} {report.executed}"
