"""Protection: what every lot wants, compared with what it has, until the two agree.

Whatever moves at an account and symbol (a fill, an end, a price, a clock) calls for a look. Looks are taken in
batches: one read for all, `exits.decide` and `ladder.judge` for each, one transaction for everything that is to be
written, then claims in batches and sends side by side. One task at a time works on an account and symbol, and each is
given back by itself: one slow account holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.exc import OperationalError

from tradewind.core.errors import NotFound
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import Price
from tradewind.core.order import RESTING, Leg, Order, OrderState
from tradewind.core.protection import PositionState
from tradewind.execution import intent_store
from tradewind.execution.cancels import by_list, earliest
from tradewind.execution.desk import Desk
from tradewind.execution.exit_scene import ExitScene
from tradewind.execution.exits import ExitDesk, Move, first_sales, sells_lot
from tradewind.execution.journal import Journal
from tradewind.execution.ladder import RETRY_S, Ladder, TrailingSteps
from tradewind.execution.lanes import CLAIM_MAX, Lane, Work, in_claims
from tradewind.execution.lots import OpenLots, key_of, place_of
from tradewind.execution.outbound import Outbound, Parcel
from tradewind.execution.outcomes import Moved
from tradewind.execution.outside import OutsideDesk
from tradewind.execution.rounds import Key, Rounds
from tradewind.execution.scene import EXIT_KINDS, LotScene, Scenes, see
from tradewind.execution.settle import Settled, Settlement
from tradewind.execution.triggers import STOOD_DOWN, Triggers
from tradewind.execution.verdicts import AskForCoins, Hurry, Leave, Send, TakeDown, Verdict
from tradewind.execution.watch import Level, Place
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import open_lots

_log = logger("execution.protect")

# Time alone changes some things; those are looked at this often, and everything open now and then.
_SWEEP_S = 1.0
_FULL_SWEEP_S = 30.0
# Accounts and symbols of one look: few statements for many, and still a short transaction.
_BATCH = 200


@dataclass(slots=True)
class _Seen:
    """What one read saw, what its exits do next, and how many lots had come in before it."""

    mark: int
    scenes: Scenes
    moves: dict[Key, list[Move]] = field(default_factory=dict)


@dataclass(slots=True)
class Protector:
    """Keeps every lot protected and carries exits out; one per process."""

    db: Db
    journal: Journal
    outbound: Outbound
    exits: ExitDesk
    desk: Desk
    clock: Clock
    triggers: Triggers
    outside: OutsideDesk
    steps: TrailingSteps = field(default_factory=TrailingSteps)
    ladder: Ladder = field(init=False)
    settlement: Settlement = field(init=False)
    rounds: Rounds = field(init=False)
    _lots: OpenLots = field(default_factory=OpenLots)
    _full_sweep_at: float = 0.0

    def __post_init__(self) -> None:
        self.ladder = Ladder(self.desk, self.clock, self.triggers, self.outside, self.steps)
        self.settlement = Settlement(self.journal, self.exits, self.desk)
        self.rounds = Rounds(self.clock, Wake(self.clock), lambda: not self.outbound.dispatcher.is_pressed)

    # --- what calls ------------------------------------------------------------------------------

    async def load(self) -> None:
        """At start: arm every open lot from the database, before anything else is sent."""
        for holding in await self.db.read(open_lots):
            self._lots.put(holding)
            if holding.state not in STOOD_DOWN:
                self.ladder.arm(holding)
            self.look(key_of(holding))
        for intent in await self.db.read(lambda tx: intent_store.list_open_intents(tx, EXIT_KINDS)):
            self.look((intent.account_id, intent.symbol))

    def look(self, key: Key) -> None:
        """Something moved there: look after it soon."""
        self.rounds.look(key)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """A fill or an end changes what is wanted; a new lot is watched from this moment on."""
        for move in moved:
            self._watch_new(move)
            came_back = move.after.state is OrderState.INTENDED and move.before.state is OrderState.SENT
            if move.new_fills or move.after.is_ended or move.after.state in RESTING or came_back:
                # A lot that was only bought now is watched already; nothing else there has moved.
                is_watched = bool(move.new_lots) and move.after.leg is Leg.ENTRY
                self.rounds.look((move.after.account_id, move.after.symbol), can_wait=is_watched)

    def _watch_new(self, move: Moved) -> None:
        for holding in move.new_lots:
            if self._lots.find(holding.lot.id) is None and holding.state not in STOOD_DOWN:
                self._lots.put(holding)
                self.ladder.arm(holding)

    def on_price(self, venue: VenueName, environment: Environment, symbol: str, price: Price) -> None:
        """Compare a fresh price of a venue with the levels of the lots there."""
        for crossing in self.triggers.watch.on_price((venue, environment, symbol), price):
            holding = self._lots.find(crossing.lot_id)
            if holding is None:
                continue
            if crossing.level is Level.RAISE:
                wants_look = crossing.is_reached and self.ladder.rise(holding, price)
            else:
                wants_look = self.triggers.take(crossing, holding)
            if wants_look:
                self.look(key_of(holding))

    def watched_symbols(self) -> set[tuple[VenueName, Environment, str]]:
        """Symbols whose prices must be followed."""
        return {place_of(holding) for holding in self._lots}

    async def run(self) -> None:
        """Look after everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            swept_at = self.clock.monotonic()
            while True:
                if self.clock.monotonic() - swept_at >= _SWEEP_S:
                    swept_at = self.clock.monotonic()
                    self._sweep(swept_at)
                while keys := self.rounds.take(_BATCH):
                    tasks.create_task(self._round(tasks, keys), name=f"round of {len(keys)}")
                await self.rounds.pause(_SWEEP_S)

    def _sweep(self, at: float) -> None:
        """Look at what time alone can change: prices gone silent, states that are no rest."""
        # Nothing calls for these looks but the clock: they stand back for a fan-out, once.
        pause_s = _FULL_SWEEP_S if self.rounds.has_room() else 2 * _FULL_SWEEP_S
        if at - self._full_sweep_at >= pause_s:
            self._full_sweep_at = at
            for holding in self._lots:
                self.rounds.look(key_of(holding), can_wait=True)
            return
        for key in self._lots.restless():
            self.rounds.look(key, can_wait=True)
        for place in self._lots.watched_places():
            if self.desk.fresh_price(*place) is None:
                for key in self._lots.watched_at(place):
                    self.look(key)

    # --- one round -------------------------------------------------------------------------------

    async def _round(self, tasks: asyncio.TaskGroup, keys: Sequence[Key]) -> None:
        """Look after some accounts and symbols; those with an exit go their own way."""
        held = set(keys)
        await self._guarded(tasks, held, self._look_after(tasks, held, keys))

    async def _look_after(self, tasks: asyncio.TaskGroup, held: set[Key], keys: Sequence[Key]) -> None:
        # Lots that come in while it is read are not gone by not being in it.
        seen = _Seen(mark=self._lots.mark, scenes=await self.db.read(partial(see, keys=keys)))
        for leaving in _by_place(seen.scenes.exits).values():
            held.difference_update(leaving)
            tasks.create_task(self._leave(tasks, leaving, seen), name=f"exits of {len(leaving)}")
        await self._protect(tasks, held, [key for key in keys if key not in seen.scenes.exits], seen)

    async def _leave(self, tasks: asyncio.TaskGroup, keys: Sequence[Key], seen: _Seen) -> None:
        """Carry the exits of one market a stretch further, and look after what is left."""
        held = set(keys)
        await self._guarded(tasks, held, self._carry_out(tasks, held, keys, seen))

    async def _carry_out(self, tasks: asyncio.TaskGroup, held: set[Key], keys: Sequence[Key], seen: _Seen) -> None:
        scenes = [scene for key in keys for scene in seen.scenes.exits[key]]
        await self.exits.confirm(scenes)
        for move in first_sales([self.exits.decide(scene) for scene in scenes], self.clock.now()):
            seen.moves.setdefault((move.latest.account_id, move.latest.symbol), []).append(move)
            self.outside.suspect(move.progress.lacking_coins)
        await self._protect(tasks, held, keys, seen)

    async def _guarded(self, tasks: asyncio.TaskGroup, held: set[Key], work: Awaitable[None]) -> None:
        """Do something for accounts and symbols; whatever goes wrong, each of them is looked at again."""
        try:
            await work
        except CommitInDoubt:
            raise
        except OperationalError as error:
            _log.warning("execution.protect.database_busy", places=len(held), error=str(error.orig))
            self._give_back(held, RETRY_S[0])
        except NotFound as error:
            # A market that is gone, or an order of a later release: nothing can be said of it now.
            self._alone(tasks, held, _FULL_SWEEP_S)
            _log.warning("execution.protect.no_market", code=error.code)
        except Exception:
            _log.exception("execution.protect.failed", places=sorted(held)[:5], count=len(held))
            self._alone(tasks, held, RETRY_S[0])

    def _alone(self, tasks: asyncio.TaskGroup, held: set[Key], pause_s: float) -> None:
        """One account's poison never holds up another: those of a batch are looked after one by one."""
        if len(held) == 1:
            self._give_back(held, pause_s)
        for key in held:
            tasks.create_task(self._round(tasks, [key]), name=f"round alone {key}")

    def _give_back(self, held: set[Key], pause_s: float) -> None:
        for key in held:
            self.rounds.done(key, self._in_s(pause_s))
        held.clear()

    async def _protect(self, tasks: asyncio.TaskGroup, held: set[Key], keys: Sequence[Key], seen: _Seen) -> None:
        """Judge lots, write what follows in one transaction, and have the rest done by tasks of their own."""
        verdicts = {
            key: [self._judge(scene, seen.moves.get(key, ())) for scene in seen.scenes.lots.get(key, ())]
            for key in keys
        }
        for key in keys:
            for lot_id in self._lots.gone(key, [each.holding.lot.id for each in verdicts[key]], seen.mark):
                self.ladder.forget(lot_id)
                self.settlement.forget(lot_id)
        moves = [move for key in keys for move in seen.moves.get(key, ())]
        settled = await self._settle([each for key in keys for each in verdicts[key]], moves)
        works: dict[tuple[VenueName, Environment, bool], list[Work]] = {}
        for key in keys:
            work = self._work(key, verdicts[key], seen.moves.get(key, ()), settled)
            if work.is_idle:
                self.rounds.done(key, work.again_at)
            else:
                venue, environment = _venue_of(verdicts[key], seen.moves.get(key, ()))
                works.setdefault((venue, environment, work.is_exit), []).append(work)
            held.discard(key)
        for (venue, environment, is_exit), found in works.items():
            lane = self.outbound.lane(venue, environment, is_exit=is_exit)
            tasks.create_task(self._send_all(tasks, lane, found), name=f"protect {len(found)}")

    def _judge(self, scene: LotScene, moves: Sequence[Move]) -> Verdict:
        covering = [move.seen for move in moves if not move.progress.is_done and sells_lot(move.intent, scene.holding)]
        # One that is selling goes before one that waits for its next try.
        return self.ladder.judge(scene, max(covering, key=lambda seen: seen.is_selling, default=None))

    def _work(self, key: Key, verdicts: Sequence[Verdict], moves: Sequence[Move], settled: Settled) -> Work:
        times = [move.progress.look_again_at for move in moves if move.progress.look_again_at is not None]
        lists: list[Sequence[Order]] = []
        resting: dict[str, tuple[Sequence[Order], str]] = {
            name: (legs, "exit") for move in moves for name, legs in by_list(move.resting).items()
        }
        suspect: Holding | None = None
        halted = next((each.holding for each in verdicts if each.state is PositionState.HALTED), None)
        for verdict in verdicts:
            lot = verdict.holding.lot
            times += [at for at in (verdict.again_at, lot.time_exit_at) if at is not None]
            if lot.id in settled.legs:
                lists.append(settled.legs[lot.id])
            elif isinstance(verdict.act, Send):
                lists.append(verdict.act.legs)
            elif isinstance(verdict.act, TakeDown):
                for name, legs in by_list(verdict.act.legs).items():
                    resting.setdefault(name, (legs, verdict.act.reason))
            elif isinstance(verdict.act, AskForCoins):
                suspect = verdict.holding
            elif isinstance(verdict.act, Leave | Hurry):
                # Its exit is recorded now, or another was faster: either way it is carried out at once.
                times.append(self.clock.now())
        sold = [move.sold for move in moves if move.sold is not None]
        downs = list(resting.values())[: CLAIM_MAX - len(sold)]
        room = CLAIM_MAX - len(sold) - len(downs)
        if len(lists) > room or len(downs) < len(resting):
            # The others stand recorded, or rest, and have the next turn.
            times.append(self.clock.now())
        return Work(key, lists[:room], downs, self._next_look(times), sold, suspect, halted)

    def _next_look(self, times: Sequence[datetime]) -> datetime | None:
        """The earliest time; a time exit that has come and goes unheeded (dust, the user's will) calls nobody."""
        late = self.clock.now() - timedelta(seconds=_SWEEP_S)
        return min((at for at in times if at > late), default=None)

    async def _settle(self, verdicts: Sequence[Verdict], moves: Sequence[Move]) -> Settled:
        now = self.clock.now()
        for verdict in verdicts:
            self._lots.put(verdict.holding)
        moving = [verdict for verdict in verdicts if self.settlement.has_news(verdict, now)]
        written = [move for move in moves if move.is_written]
        if not moving and not written:
            return Settled()
        settled = await self.db.write(lambda tx: self.settlement.write(tx, moving, written, now))
        _say_what_was_reached(settled, moving, written)
        for holding in settled.holdings.values():
            self._lots.put(holding)
        for lot_id in settled.acted:
            self.triggers.acted(lot_id)
        self.exits.recorder.announce(settled.moved)
        self.settlement.told(moving, now)
        return settled

    # --- sending ---------------------------------------------------------------------------------

    async def _send_all(self, tasks: asyncio.TaskGroup, lane: Lane, works: Sequence[Work]) -> None:
        """Claim in batches that leave inside send_by, and send side by side; every key is given back."""
        held = {work.key for work in works}
        await self._guarded(tasks, held, self._claim_and_send(tasks, held, lane, works))

    async def _claim_and_send(
        self, tasks: asyncio.TaskGroup, held: set[Key], lane: Lane, works: Sequence[Work]
    ) -> None:
        for batch in in_claims(works):
            for parcel in await self.outbound.claim(lane, batch):
                key = parcel.work.key
                held.discard(key)
                tasks.create_task(self._finish(tasks, lane, parcel), name=f"protect {key}")

    async def _finish(self, tasks: asyncio.TaskGroup, lane: Lane, parcel: Parcel) -> None:
        held = {parcel.work.key}
        await self._guarded(tasks, held, self._send_and_ask(held, lane, parcel))

    async def _send_and_ask(self, held: set[Key], lane: Lane, parcel: Parcel) -> None:
        work = parcel.work
        again_at = await self.outbound.send(lane, parcel)
        if work.halted is not None:
            await self.desk.confirm_status(*place_of(work.halted))
        if work.suspect is not None:
            await self.outside.ask(work.suspect)
        held.discard(work.key)
        self.rounds.done(work.key, earliest(work.again_at, again_at))

    def _in_s(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)


def _by_place(exits: Mapping[Key, Sequence[ExitScene]]) -> dict[Place, list[Key]]:
    """Sort accounts with exits by where they sell: what a market is asked about holds up no other."""
    found: dict[Place, list[Key]] = {}
    for key, scenes in exits.items():
        order = scenes[0].latest
        found.setdefault((order.venue, order.environment, order.symbol), []).append(key)
    return found


def _venue_of(verdicts: Sequence[Verdict], moves: Sequence[Move]) -> tuple[VenueName, Environment]:
    if moves:
        return moves[0].latest.venue, moves[0].latest.environment
    return verdicts[0].holding.venue, verdicts[0].holding.environment


def _say_what_was_reached(settled: Settled, moving: Sequence[Verdict], written: Sequence[Move]) -> None:
    if settled.legs:
        reached(Point.PROTECTION_INTENT_COMMITTED)
    if any(isinstance(verdict.act, Leave) for verdict in moving):
        reached(Point.EXIT_INTENT_COMMITTED)
    if any(move.again is not None for move in written):
        reached(Point.EXIT_AGAIN_COMMITTED)
    if any(verdict.raised is not None for verdict in moving):
        reached(Point.TRAILING_COMMITTED)
    reached(Point.POSITION_STATE_COMMITTED)
