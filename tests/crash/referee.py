"""The verdict over an episode: order-protocol.md section 11, by name. Pure.

Most of it is the demo's own check; here its findings get the names of the invariants, and what only kills can
break is added: edges, acknowledged signals, notes, sells beyond what was held, closes.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tests.crash.evidence import Sides, Step

from tradewind.core.money import ZERO
from tradewind.core.order import ENDED, TRANSITIONS, Leg, OrderState, Side
from tradewind.core.protection import PositionState
from tradewind.demo.case import Wrong
from tradewind.demo.check import check
from tradewind.demo.facts import JournalOrder


class Broken(StrEnum):
    """An invariant that does not hold."""

    DUPLICATE = "I-1 at most one order"
    UNCLAIMED = "I-2 claimed before received"
    ILLEGAL = "I-3 legal edges"
    GUESSED = "I-4 no guess"
    SIGNAL_LOST = "I-5 acknowledged signals stay"
    DECISION = "I-6 one decision per account"
    STOPPED = "I-7 stop means stop"
    POSITION = "I-8 position is the sum of fills, sells within it"
    FILL = "I-9 every fill once"
    EPOCH = "I-11 no claim under an old epoch"
    LOST = "lost: at the exchange, not in the journal"
    DIFFERS = "journal and exchange differ"
    UNFINISHED = "L-1 every order ends or rests"
    UNPROTECTED = "section 5 state of positions"
    CLOSE = "section 4 a close sells what its source opened"
    NOTE_LOST = "section 8 every note is published"
    STALE = "section 3 no entry claimed beyond its age"
    GIVEN_UP = "given up for a reason that nobody expects"
    ENDED = "the process ended or hung by itself"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    broken: Broken
    text: str


_NAMES: Mapping[Wrong, Broken] = {
    Wrong.DECISION: Broken.DECISION,
    Wrong.ENTRY_MISSING: Broken.DIFFERS,
    Wrong.ENTRY_TWICE: Broken.DUPLICATE,
    Wrong.ENTRY_UNCALLED: Broken.GUESSED,
    Wrong.ORDER_LOST: Broken.LOST,
    Wrong.ORDER_INVENTED: Broken.DIFFERS,
    Wrong.ORDER_DIFFERS: Broken.DIFFERS,
    Wrong.FILL_LOST: Broken.LOST,
    Wrong.FILL_INVENTED: Broken.FILL,
    Wrong.FILL_DIFFERS: Broken.FILL,
    Wrong.UNCLAIMED: Broken.UNCLAIMED,
    Wrong.ID: Broken.DUPLICATE,
    Wrong.UNFINISHED: Broken.UNFINISHED,
    Wrong.HOLDING: Broken.POSITION,
    Wrong.UNPROTECTED: Broken.UNPROTECTED,
    Wrong.NATIVE_ABSENT: Broken.UNPROTECTED,
}
# A note that the last process wrote in its last moments is published by the next one.
_PUBLISHED_WITHIN_US = 10_000_000
# The engine's own word that something happened which never may.
_ALARMS = {
    "fill_after_end": Broken.GUESSED,
    "alive_after_end": Broken.GUESSED,
    "report_on_unsent": Broken.UNCLAIMED,
    "overfilled": Broken.FILL,
    "sold_more_than_held": Broken.POSITION,
    "unknown_order_of_ours": Broken.LOST,
    "absent_after_accept": Broken.GUESSED,
}

# Why a signal may be a dead letter here: it waited too long, or its workers were killed five times in a row.
_DEAD_FOR = ("it could not be carried out within ", "the worker that held it stopped without a word, five times")
# Why an order may be denied: a stop, its age, a close that came later, a venue that was in trouble; what was bought or
# is there already; for exits and protection, that there is nothing to sell (any more), or that another sell goes first.
_ENTRY_DENIED_FOR = frozenset(
    {"stopped", "emergency_stop", "stale", "superseded", "venue_unhealthy", "at_venue", "bought_before"}
)
_EXIT_DENIED_FOR = frozenset(
    {"nothing_held", "dust", "position_changed", "exit_instead", "stop_reached", "target_reached", "time_reached"}
)


def judge(sides: Sides) -> list[Finding]:
    """Say everything that is wrong; nothing moved while the sides were read."""
    return [
        *compared(sides),
        *_edges(sides),
        *_alarms(sides),
        *_absences(sides),
        *_signals(sides),
        *_notes(sides),
        *_given_up(sides),
        *_closes(sides),
        *_claims(sides),
        *_Replay(sides).run(),
    ]


def compared(sides: Sides, kinds: Collection[Wrong] = _NAMES) -> Iterator[Finding]:
    """Say what the demo's check finds; its rule on closes is for a story in which nothing is opened again."""
    for each in check(sides.journal, sides.venue, ()).disagreements:
        if each.kind in kinds:
            yield Finding(_NAMES[each.kind], each.text)


def _edges(sides: Sides) -> Iterator[Finding]:
    for order in sides.journal.orders:
        state = OrderState.INTENDED
        for step in sides.extra.steps.get(order.id, ()):
            before, after = OrderState(step.before), OrderState(step.after)
            if before is not state:
                yield Finding(Broken.ILLEGAL, f"order {order.id}: a step begins at {before}, the last ended at {state}")
            if after is not before and after not in TRANSITIONS[before]:
                yield Finding(Broken.ILLEGAL, f"order {order.id}: {before} -> {after} by {step.kind}")
            state = after
        if state is not OrderState(order.state):
            yield Finding(Broken.ILLEGAL, f"order {order.id}: the row says {order.state}, its journal {state}")


def _alarms(sides: Sides) -> Iterator[Finding]:
    for kind, account_id, order_id in sides.extra.incidents:
        if kind in _ALARMS:
            yield Finding(_ALARMS[kind], f"incident {kind} at account {account_id}, order {order_id}")


def _absences(sides: Sides) -> Iterator[Finding]:
    """What was concluded never to have arrived is not at the exchange, nor what was denied."""
    accounts = {uid: account for account, uid in sides.journal.accounts.items()}
    there = {(accounts.get(order.uid, ""), order.client_order_id) for order in sides.venue.orders}
    for order in sides.journal.orders:
        is_denied = order.state in (OrderState.NEVER_ARRIVED, OrderState.DENIED)
        if is_denied and (order.account_id, order.client_order_id) in there:
            yield Finding(Broken.GUESSED, f"order {order.id} is {order.state} and stands at the exchange")


def _signals(sides: Sides) -> Iterator[Finding]:
    for signal_id in sorted(sides.told.signals - set(sides.extra.inbox)):
        yield Finding(Broken.SIGNAL_LOST, f"signal {signal_id} was answered and is not in the inbox")
    yield from undone_signals(sides)


def undone_signals(sides: Sides) -> Iterator[Finding]:
    """Find signals that nobody has decided."""
    for signal_id, state in sides.extra.inbox.items():
        if state in ("new", "claimed"):
            yield Finding(Broken.UNFINISHED, f"signal {signal_id} is still {state}")


def _given_up(sides: Sides) -> Iterator[Finding]:
    """What was not carried out was not for a reason that a kill or a fault explains."""
    for signal_id, reason in sides.extra.dead_letters.items():
        if not reason.startswith(_DEAD_FOR):
            yield Finding(Broken.GIVEN_UP, f"signal {signal_id} is a dead letter: {reason}")
    for order in sides.journal.orders:
        reason = sides.extra.reasons.get(order.id, "")
        expected = _ENTRY_DENIED_FOR if order.leg == Leg.ENTRY else _EXIT_DENIED_FOR
        if order.state == OrderState.DENIED and reason not in expected:
            yield Finding(Broken.GIVEN_UP, f"{order.leg} order {order.id} was denied: {reason}")


def _notes(sides: Sides) -> Iterator[Finding]:
    """What is marked was published; what is not marked will be, unless it has waited for long already."""
    for seq, note in sides.extra.outbox.items():
        reached = sides.published.get(seq, 0)
        if note.is_marked and reached < note.notes:
            said = f"{reached} of {note.notes} notes reached the bus"
            yield Finding(Broken.NOTE_LOST, f"row {seq} of the outbox is marked published, and {said}")
        elif not note.is_marked and sides.told.ended_us - note.written_us > _PUBLISHED_WITHIN_US:
            yield Finding(Broken.NOTE_LOST, f"note {seq} waited in vain to be published")


def _closes(sides: Sides) -> Iterator[Finding]:
    """After a close nothing is left of what its source had opened before, but for dust."""
    place = {signal.id: number for number, signal in enumerate(sides.journal.signals)}
    for signal in sides.journal.signals:
        if signal.action != "close" or signal.state == "dead":
            continue
        for lot in sides.journal.lots:
            is_meant = lot.source_id == signal.source_id and lot.base == signal.base
            is_earlier = place.get(lot.signal_id or "", -1) < place[signal.id]
            if is_meant and is_earlier and lot.is_open and lot.state != PositionState.DUST:
                yield Finding(Broken.CLOSE, f"account {lot.account_id}: the close left {lot.quantity} {lot.base}")


def _claims(sides: Sides) -> Iterator[Finding]:
    """No entry is claimed after a stop, nor beyond its age, nor anything under an epoch that was taken over."""
    orders = {order.id: order for order in sides.journal.orders}
    for order_id, steps in sides.extra.steps.items():
        claims = [step for step in steps if _is_claim(step)]
        if claims:
            yield from _owner_of(sides, order_id, claims[-1])
        for step in claims if orders[order_id].leg == Leg.ENTRY else ():
            if any(since < step.at_us < (until or step.at_us + 1) for since, until in sides.told.stops_us):
                yield Finding(Broken.STOPPED, f"entry {order_id} was claimed after the platform was stopped")
            if step.at_us > sides.extra.fresh_until_us.get(order_id, step.at_us):
                yield Finding(Broken.STALE, f"entry {order_id} was claimed when its alert was too old")


def _owner_of(sides: Sides, order_id: str, claim: Step) -> Iterator[Finding]:
    epoch = sides.extra.owner_epochs[order_id]
    for newer, taken_us in sides.told.takeovers:
        if epoch < newer and claim.at_us > taken_us:
            yield Finding(Broken.EPOCH, f"order {order_id} was claimed under epoch {epoch} after {newer} took over")


# --- sells against what was held -------------------------------------------------------------------

Key = tuple[str, str]


class _Replay:
    """The journal once more, step by step: what was held, and which sells might still take some of it."""

    def __init__(self, sides: Sides) -> None:
        self._orders = {order.id: order for order in sides.journal.orders}
        self._quantities = sides.extra.quantities
        self._steps = sorted((step for each in sides.extra.steps.values() for step in each), key=lambda step: step.seq)
        self._fills = deque(sorted(sides.extra.booked, key=lambda fill: fill.booked_us))
        self._last_claims = {step.order_id: step.seq for step in self._steps if _is_claim(step)}
        self._held: dict[Key, Decimal] = defaultdict(lambda: ZERO)
        self._left: dict[Key, dict[str, Decimal]] = defaultdict(dict)

    def run(self) -> Iterator[Finding]:
        """Find every claim of a sell at which the sells on their way added up to more than was held."""
        for step in self._steps:
            self._book_until(step.at_us)
            order = self._orders[step.order_id]
            if order.side == Side.SELL and order.intent_kind != "hand":
                yield from self._take(step, order)

    def _book_until(self, at_us: int) -> None:
        while self._fills and self._fills[0].booked_us <= at_us:
            fill = self._fills.popleft()
            key = (fill.account_id, fill.symbol)
            self._held[key] += fill.quantity if fill.side == Side.BUY else -fill.quantity
            if fill.order_id in self._left[key]:
                self._left[key][fill.order_id] -= fill.quantity

    def _take(self, step: Step, order: JournalOrder) -> Iterator[Finding]:
        key = (order.account_id, order.symbol)
        after = OrderState(step.after)
        if after in ENDED or after is OrderState.INTENDED:
            self._left[key].pop(order.id, None)
        if not _is_claim(step):
            return
        self._left[key][order.id] = self._quantities.get(order.id, ZERO)
        bound = self._bound(key)
        # A claim that was returned unsent may have been made again for more: only the last one's size is known.
        if bound > self._held[key] and self._last_claims[order.id] == step.seq:
            yield Finding(
                Broken.POSITION,
                f"account {order.account_id}: sells of {bound} {order.symbol} on their way, {self._held[key]} held, "
                f"when {order.leg} {order.id} was claimed",
            )

    def _bound(self, key: Key) -> Decimal:
        """What the sells on their way may take; both legs of a list share the same coins."""
        by_list: dict[str, Decimal] = {}
        for order_id, left in self._left[key].items():
            name = self._orders[order_id].list_client_id or order_id
            by_list[name] = max(by_list.get(name, ZERO), left)
        return sum(by_list.values(), ZERO)


def _is_claim(step: Step) -> bool:
    return step.after == OrderState.SENT and step.before != OrderState.SENT
