"""Which orders somebody must find out about, and when each is asked about next: a book, no venue in it.

An order enters when its fate or its fills are not known and leaves when the journal says they are. Who is due is
a heap, so that looking costs what is due and not what is known; an entry that was overtaken counts for nothing when
it comes up. A doubt is
poisoned while the venue's answer could not be stored: the journal may call such an order settled (a listener
heard of a neighbour's move), yet the fact is still missing, so only an answer that is stored ends it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from tradewind.core.ids import AccountId, OrderId
from tradewind.core.order import IN_DOUBT, Order, OrderState, Side
from tradewind.execution.outcomes import Moved
from tradewind.infra.clock import Clock

# When an order in doubt is asked about, counted from the first doubt (binance.md section 8).
_ASK_AT_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_ASK_LATER_S = 5.0
# A sell in doubt is asked about every second: a position hangs on it (order-protocol.md section 4).
_ASK_SELL_S = 1.0
# Between the two "not found" that prove an absence; both come after the fence.
ABSENT_PAUSE_S = 1.0
# An outcome that could not be stored is asked for again after this.
_POISON_RETRY_S = 2.0
_CANCEL_ANSWERS_S = 1.0


@dataclass(slots=True)
class Doubt:
    """One order somebody must find out about. Times are monotonic seconds."""

    order_id: OrderId
    since: float
    next_at: float
    account_id: AccountId | None = None
    symbol: str = ""
    asked: int = 0
    absent_after_fence: int = 0
    is_asking: bool = False
    is_alarmed: bool = False
    is_sell: bool = False
    is_poisoned: bool = False
    last_asked_at: datetime | None = None


@dataclass(slots=True)
class DoubtBook:
    """All doubts of one process, by order."""

    clock: Clock
    # A SENT order of this process without an outcome after this long is in doubt.
    overdue_s: float
    _doubts: dict[OrderId, Doubt] = field(default_factory=dict)
    _later: list[tuple[float, int, Doubt]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def __len__(self) -> int:
        return len(self._doubts)

    def find(self, order_id: OrderId) -> Doubt | None:
        """Return the doubt about an order, if there is one."""
        return self._doubts.get(order_id)

    def values(self) -> list[Doubt]:
        """Return every doubt there is now."""
        return list(self._doubts.values())

    def add(self, orders: Iterable[Order]) -> None:
        """Take orders whose fate is not known, or whose fills are missing (idempotent)."""
        now = self.clock.monotonic()
        for order in orders:
            self._enter(order, now)

    def settle(self, order_id: OrderId) -> None:
        """Everything about the order is known."""
        self._doubts.pop(order_id, None)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """Follow orders into doubt and out of it."""
        for move in moved:
            order = move.after
            if order.state in IN_DOUBT and order.state is not OrderState.SENT:
                self._restart_if_new(move)
            elif move.lacks_fills:
                self.add([order])
            elif order.state is OrderState.SENT:
                self._watch_sent(order)
            elif (doubt := self._doubts.get(order.id)) is not None and not doubt.is_poisoned:
                del self._doubts[order.id]

    def poisoned(self, order_ids: Sequence[OrderId]) -> None:
        """An outcome could not be stored: it is asked for again, with a pause, until it can be."""
        now = self.clock.monotonic()
        for order_id in order_ids:
            doubt = self._doubts.setdefault(order_id, Doubt(order_id, now, now))
            doubt.is_poisoned = True
            self._put(doubt, now + _POISON_RETRY_S)

    def about_to_store(self, order_id: OrderId) -> None:
        """The venue's answer is on its way to disk: a refusal to store it poisons the doubt again."""
        doubt = self._doubts.get(order_id)
        if doubt is not None:
            doubt.is_poisoned = False

    def take_due(self, now: float) -> list[Doubt]:
        """Return the doubts to ask about now, sells first: a position hangs on them.

        Each counts as being asked about until `asked` is called.
        """
        found: list[Doubt] = []
        while (doubt := self._first()) is not None and doubt.next_at <= now:
            heapq.heappop(self._later)
            doubt.is_asking = True
            found.append(doubt)
        return sorted(found, key=lambda each: (not each.is_sell, each.next_at))

    def next_due(self) -> float | None:
        """Return when the next doubt that nobody is asking about is due."""
        first = self._first()
        return None if first is None else first.next_at

    def asked(self, doubt: Doubt) -> None:
        """One question has ended, answered or not."""
        doubt.is_asking = False
        doubt.asked += 1
        self._put(doubt, max(doubt.next_at, self._next_time(doubt)))

    def _put(self, doubt: Doubt, at: float) -> None:
        """Have an order asked about at a time; one that is being asked about takes its place when that is done."""
        doubt.next_at = at
        if not doubt.is_asking and self._doubts.get(doubt.order_id) is doubt:
            heapq.heappush(self._later, (at, next(self._numbers), doubt))

    def _first(self) -> Doubt | None:
        """Return who is due first, dropping what was overtaken: settled, put to another time, being asked about."""
        while self._later:
            at, _, doubt = self._later[0]
            if doubt.next_at == at and not doubt.is_asking and self._doubts.get(doubt.order_id) is doubt:
                return doubt
            heapq.heappop(self._later)
        return None

    def _enter(self, order: Order, at: float) -> Doubt:
        """Take an order, asked about from a time on; one that is known keeps its own time."""
        known = self._doubts.get(order.id)
        if known is not None:
            return known
        is_sell = order.side is Side.SELL
        fresh = Doubt(order.id, self.clock.monotonic(), at, order.account_id, order.symbol, is_sell=is_sell)
        self._doubts[order.id] = fresh
        self._put(fresh, at)
        return fresh

    def _restart_if_new(self, move: Moved) -> None:
        if move.before.state is not move.after.state:
            self._doubts.pop(move.after.id, None)
        is_cancel = move.after.state is OrderState.CANCEL_SENT and move.before.state is not OrderState.CANCEL_SENT
        # The cancel itself answers first; only its silence needs asking.
        self._enter(move.after, self.clock.monotonic() + (_CANCEL_ANSWERS_S if is_cancel else 0.0))

    def _watch_sent(self, order: Order) -> None:
        """Our own sending answers first; only its silence past every deadline becomes a doubt."""
        self._enter(order, self.clock.monotonic() + self.overdue_s)

    def _next_time(self, doubt: Doubt) -> float:
        now = self.clock.monotonic()
        later = [doubt.since + offset for offset in _ASK_AT_S if doubt.since + offset > now]
        if later:
            return later[0] if not doubt.is_sell else min(later[0], now + _ASK_SELL_S)
        return now + (ABSENT_PAUSE_S if doubt.absent_after_fence or doubt.is_sell else _ASK_LATER_S)
