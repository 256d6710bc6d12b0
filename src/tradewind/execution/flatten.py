"""What a stop's policy asks for after its commit: cancel entries that rest, or sell every lot of the scope.

The order to do so stands in the stop's row, so a process that starts goes on where the last one died. A lot
is sold by an engine exit of its own, recorded once: the exit's own rules (watch armed, protection cancelled,
sellable, back-off) carry it out. A lot that a late fill opens is sold too, as long as the scope is stopped.
What cannot be sold (dust, a halted market, a refused key) is told and not tried in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tradewind.core.errors import NotFound
from tradewind.core.money import Price
from tradewind.core.order import Order, OrderState
from tradewind.core.protection import ExitCause, PositionState
from tradewind.execution import emergency_store, intent_store
from tradewind.execution.cancels import RESTING_LEGS
from tradewind.execution.desk import Desk
from tradewind.execution.emergency import Emergency
from tradewind.execution.emergency_desk import AWAY
from tradewind.execution.emergency_store import Policy, Scope, StopRow
from tradewind.execution.exits import Departure, ExitDesk, sells_lot
from tradewind.execution.intent_store import Intent
from tradewind.execution.lots import key_of
from tradewind.execution.outcomes import Moved
from tradewind.execution.rounds import Key
from tradewind.execution.scene import EXIT_KINDS
from tradewind.execution.stops import active_stops, scopes_of
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.db_errors import Unreachable, is_passing
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import open_lots

_log = logger("execution.flatten")

FLATTEN = "flatten"
# While something is left to do, and while a stop is in force and all is done.
_BUSY_S = 1.0
_QUIET_S = 10.0
# Many fills at once wake it once.
_LEAST_S = 0.1
_SHARE = 4
# A look that had to wait for the database says nothing about what the next one costs: a new stop, or a late lot, does
# not wait longer than this for it.
_REST_MAX_S = 2.0
# Lots of one transaction: few commits for many, and a short one, because stops wait behind it.
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Scene:
    """How far a stop's policy is: entries that may still execute, lots, exits under way by account and symbol."""

    entries: tuple[Order, ...]
    lots: tuple[Holding, ...]
    exits: Mapping[Key, Sequence[Intent]]

    @property
    def parted(self) -> tuple[list[Holding], list[Holding]]:
        """Lots that an exit under way sells, and the others."""
        leaving: list[Holding] = []
        staying: list[Holding] = []
        for holding in self.lots:
            (leaving if self.is_leaving(holding) else staying).append(holding)
        return leaving, staying

    def is_leaving(self, holding: Holding) -> bool:
        """Say whether an exit under way sells this lot."""
        here = self.exits.get((holding.lot.account_id, holding.lot.symbol), ())
        return any(sells_lot(intent, holding) for intent in here)


@dataclass(slots=True)
class Flattener:
    """Carries out what stops in force ask for; one per process."""

    db: Db
    clock: Clock
    emergency: Emergency
    exits: ExitDesk
    desk: Desk
    # Has an account and symbol looked after soon.
    look: Callable[[Key], None]
    _wake: Wake = field(init=False)
    _has_stops: bool = False

    def __post_init__(self) -> None:
        self._wake = Wake(self.clock)

    def wake(self) -> None:
        """A stop came or went: look at once."""
        self._wake.set()

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """A fill or an end while something is stopped: there may be more to sell, or all may be done."""
        if self._has_stops and any(move.new_fills or move.after.is_ended for move in moved):
            self._wake.set()

    async def run(self) -> None:
        """Carry out until cancelled."""
        while True:
            self._wake.clear()
            pause_s, began = _QUIET_S, self.clock.monotonic()
            try:
                if not await self._round():
                    pause_s = _BUSY_S
            except CommitInDoubt:
                raise
            except AWAY as error:
                _log.warning("execution.flatten.database_away", error=type(error).__name__)
                pause_s = _BUSY_S
            except Exception:
                _log.exception("execution.flatten.round_failed")
                pause_s = _BUSY_S
            # Each look reads every lot of the scope: it takes a small share of the time that the exits themselves need.
            rest_s = _SHARE * (self.clock.monotonic() - began)
            await self.clock.sleep(min(max(_LEAST_S, rest_s), _REST_MAX_S))
            await self._wake.wait(pause_s)

    async def _round(self) -> bool:
        """Look after every stop in force; True if nothing is left to do."""
        rows = [row for row in (await self.db.read(active_stops)).values() if row.policy is not Policy.LEAVE]
        self._has_stops = bool(rows)
        return all([await self._carried_out(row) for row in rows])

    async def _carried_out(self, row: StopRow) -> bool:
        """One stop's trouble holds up no other's: it is logged and comes again in the next round."""
        try:
            return await self._carry_out(row)
        except Exception as error:
            if isinstance(error, CommitInDoubt) or is_away(error):
                raise
            _log.exception("execution.flatten.stop_failed", scope=str(row.scope))
            return False

    async def _carry_out(self, row: StopRow) -> bool:
        scene = await self.db.read(partial(read_scene, scope=row.scope))
        resting = [order for order in scene.entries if order.state in RESTING_LEGS]
        if resting:
            await self.exits.cancels.cancel(resting, "emergency_stop")
        waiting: list[Holding] = []
        if row.policy is Policy.FLATTEN:
            leaving, staying = scene.parted
            wanted = [holding for holding in staying if not self._is_dust(holding)]
            waiting = [*leaving, *wanted]
            await self._sell(wanted)
        if scene.entries or waiting:
            return False
        if row.is_settled:
            return True
        dust = len(scene.lots) if row.policy is Policy.FLATTEN else 0
        is_settled = await self.db.write(partial(self._settle, row=row, dust=dust))
        reached(Point.FLATTEN_SETTLED)
        return is_settled

    def _settle(self, tx: Tx, row: StopRow, dust: int) -> bool:
        if emergency_store.has_unbooked_entries(tx, row.scope):
            return False
        if self.emergency.settle(tx, row, facts={"dust": dust}):
            _log.info("execution.flatten.settled", scope=str(row.scope), policy=row.policy.value, dust=dust)
        return True

    async def _sell(self, holdings: Sequence[Holding]) -> None:
        """Record an exit of each lot, a batch in a transaction; what they lead to is carried out side by side."""
        for start in range(0, len(holdings), _BATCH):
            batch = holdings[start : start + _BATCH]
            begun = await self._recorded(batch)
            reached(Point.FLATTEN_COMMITTED)
            if begun:
                _log.warning("execution.flatten.exits", lots=len(begun), accounts=len({each[0] for each in begun}))
            for key in begun:
                self.look(key)

    async def _recorded(self, batch: Sequence[Holding]) -> list[Key]:
        """Record a batch; where that fails, one by one: a lot that cannot be sold keeps no other from it."""
        try:
            return await self.db.write(partial(self._record, holdings=batch))
        except Exception as error:
            if isinstance(error, CommitInDoubt) or is_away(error):
                raise
            _log.exception("execution.flatten.batch_failed", lots=len(batch))
            if len(batch) == 1:
                return []
        middle = len(batch) // 2
        return [*await self._recorded(batch[:middle]), *await self._recorded(batch[middle:])]

    def _record(self, tx: Tx, holdings: Sequence[Holding]) -> list[Key]:
        wanted = [Departure(holding, ExitCause.EMERGENCY, FLATTEN) for holding in holdings]
        begun = set(self.exits.record_all(tx, wanted, self.clock.now()))
        reached(Point.FLATTEN_WRITTEN)
        return [key_of(holding) for holding in holdings if holding.lot.id in begun]

    def _is_dust(self, holding: Holding) -> bool:
        """Too little to sell: as protection sees it, else at the price now."""
        if holding.state == PositionState.DUST.value:
            return True
        lot = holding.lot
        try:
            instrument = self.desk.instrument(holding.venue, holding.environment, lot.symbol)
        except NotFound:
            return False
        price: Price | None = self.desk.fresh_price(holding.venue, holding.environment, lot.symbol) or lot.entry_price
        return price is not None and not instrument.is_sellable(lot.quantity, price)


def read_scene(tx: Tx, scope: Scope) -> Scene:
    """Read how far a scope is."""
    lots = [each for each in open_lots(tx) if scope in scopes_of(each.venue, each.user_id, each.lot.account_id)]
    exits: dict[Key, list[Intent]] = {}
    for intent in intent_store.list_open_intents(tx, EXIT_KINDS) if lots else ():
        exits.setdefault((intent.account_id, intent.symbol), []).append(intent)
    return Scene(tuple(emergency_store.entries_on_the_way(tx, scope)), tuple(lots), exits)


def is_away(error: Exception) -> bool:
    """Say whether the database cannot be had now, as against a row or a statement that is wrong."""
    return isinstance(error, Unreachable | TimeoutError) or is_passing(error)


def in_doubt(entries: Sequence[Order]) -> int:
    """Count entries of which nobody has said what became of them."""
    return sum(order.state in (OrderState.SENT, OrderState.UNKNOWN, OrderState.BLIND) for order in entries)
