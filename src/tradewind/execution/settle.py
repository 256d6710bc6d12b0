"""What was judged of many lots, written as one fact: states, raised stops, new protective orders, exits, notices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tradewind.core.order import Order
from tradewind.core.protection import PositionState
from tradewind.execution.desk import Desk
from tradewind.execution.exits import Departure, ExitDesk, Move
from tradewind.execution.incidents import tell_of_lot
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal
from tradewind.execution.native import draw_up
from tradewind.execution.outcomes import Moved
from tradewind.execution.verdicts import Hurry, Leave, Put, Verdict
from tradewind.execution.words import position_note
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.points import Point, reached
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import raise_stops, set_states

# A position that stays without protection for this long is told of, once.
_TELL_UNPROTECTED = timedelta(seconds=5)


@dataclass(slots=True)
class Settled:
    """What a transaction wrote: lots as they are now, and orders to be claimed, by lot.

    `acted` are lots whose reached level has led to something: an exit recorded, or one that waited let go.
    """

    holdings: dict[str, Holding] = field(default_factory=dict)
    legs: dict[str, Sequence[Order]] = field(default_factory=dict)
    acted: list[str] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)


@dataclass(slots=True)
class Settlement:
    """Writes verdicts inside a caller's transaction."""

    journal: Journal
    exits: ExitDesk
    desk: Desk
    # Lots whose standing unprotected has been told.
    _told: set[str] = field(default_factory=set)

    def has_news(self, verdict: Verdict, now: datetime) -> bool:
        """Say whether a verdict changes anything on disk."""
        holding = verdict.holding
        if verdict.state is not PositionState.UNPROTECTED:
            self._told.discard(holding.lot.id)
        has_moved = (holding.state, holding.state_reason) != (verdict.state.value, verdict.reason)
        is_written = isinstance(verdict.act, Put | Leave | Hurry) or verdict.raised is not None
        return has_moved or is_written or self._is_to_be_told(verdict, now)

    def write(self, tx: Tx, verdicts: Sequence[Verdict], moves: Sequence[Move], now: datetime) -> Settled:
        """Write how exits go on; states, raised stops, new protective orders, new exits and what is told."""
        denied = self.exits.write(tx, moves, now)
        changed = set_states(tx, {each.holding.lot.id: (each.state, each.reason) for each in verdicts}, now)
        raised = {each.holding.lot.id: each.raised for each in verdicts if each.raised is not None}
        if raised:
            changed.update(raise_stops(tx, raised))
            reached(Point.TRAILING_WRITTEN)
        settled = Settled({str(lot_id): each for lot_id, each in changed.items()}, self._draw_up(tx, verdicts, now))
        settled.moved += denied
        self._leave(tx, verdicts, settled, now)
        for verdict in verdicts:
            self._tell(tx, verdict, now)
        outbox.append(tx, [position_note(holding, now) for holding in changed.values()], now)
        return settled

    def _leave(self, tx: Tx, verdicts: Sequence[Verdict], settled: Settled, now: datetime) -> None:
        """Record the exits that are wanted, and let those go that a level reached meanwhile wants at once."""
        wanted = [
            Departure(each.holding, each.act.cause, each.act.detail) for each in verdicts if isinstance(each.act, Leave)
        ]
        settled.acted += self.exits.record_all(tx, wanted, now) if wanted else []
        for verdict in verdicts:
            if isinstance(verdict.act, Hurry):
                settled.moved += self.exits.hurry(tx, verdict.act.waiting, verdict.act.cause, now)
                settled.acted.append(verdict.holding.lot.id)

    def told(self, verdicts: Iterable[Verdict], now: datetime) -> None:
        """What was written is committed: it need not be told again."""
        self._told |= {verdict.holding.lot.id for verdict in verdicts if self._is_to_be_told(verdict, now)}

    def forget(self, lot_id: str) -> None:
        """The lot is closed."""
        self._told.discard(lot_id)

    def _tell(self, tx: Tx, verdict: Verdict, now: datetime) -> None:
        if verdict.notice is not None:
            tell_of_lot(tx, self.journal.ids, verdict.holding, verdict.notice, {}, now)
        if self._is_to_be_told(verdict, now):
            detail = {"reason": verdict.reason or "", "since": verdict.holding.state_since.isoformat()}
            tell_of_lot(tx, self.journal.ids, verdict.holding, "unprotected", detail, now)

    def _is_to_be_told(self, verdict: Verdict, now: datetime) -> bool:
        holding = verdict.holding
        if verdict.state is not PositionState.UNPROTECTED or holding.state != verdict.state.value:
            return False
        return now - holding.state_since >= _TELL_UNPROTECTED and holding.lot.id not in self._told

    def _draw_up(self, tx: Tx, verdicts: Sequence[Verdict], now: datetime) -> dict[str, Sequence[Order]]:
        intents: list[Intent] = []
        legs: dict[str, Sequence[Order]] = {}
        for verdict in verdicts:
            if not isinstance(verdict.act, Put):
                continue
            holding = verdict.holding
            instrument = self.desk.instrument(holding.venue, holding.environment, holding.lot.symbol)
            intent, orders = draw_up(self.journal, holding, instrument, verdict.act.wanted, verdict.act.past, now)
            intents += [] if intent is None else [intent]
            legs[holding.lot.id] = orders
        if legs:
            self.journal.intend_all(tx, intents, [order for group in legs.values() for order in group], now)
            reached(Point.PROTECTION_INTENT_WRITTEN)
        return legs
