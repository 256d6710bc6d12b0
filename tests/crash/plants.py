"""Bugs planted on purpose, one function of the real code exchanged each: the harness must find every one.

They are put into the process that is killed and nowhere else. A plant whose place has moved raises at once, and
so ends its node: then it counts as not found, which fails the run.
"""

from __future__ import annotations

import inspect
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

from tradewind.core.ids import OrderId
from tradewind.core.order import Leg, Order, OrderState
from tradewind.execution import emergency_store, exit_scene, exits, journal, reconcile, sellable, store
from tradewind.execution.apply_batch import Batch
from tradewind.execution.doubts import Doubt
from tradewind.execution.journal import Journal, next_generation
from tradewind.execution.owner import Owner
from tradewind.execution.reconcile import Reconciler, signing_time_ms
from tradewind.execution.sellable import Allocation
from tradewind.infra import outbox
from tradewind.infra.clock import to_ms
from tradewind.infra.db import Tx
from tradewind.infra.points import Point, reached
from tradewind.venues.base import VenueClient

# The words in which a claim says that a stop keeps an entry back: its own look, and the gate's.
_STOPPED = ("stopped", "emergency_stop")
_BELIEVED_S = 60.0


def apply(name: str) -> None:
    """Plant a bug by name. Raises where the code it belongs to has moved."""
    PLANTS[name]()


def _swap(owner: type | ModuleType, name: str, planted: Any) -> Any:
    """Exchange a function for one with the same parameters; give the original back."""
    original = inspect.getattr_static(owner, name)
    function = original.__func__ if isinstance(original, staticmethod) else original
    before, after = (list(inspect.signature(each).parameters) for each in (function, planted))
    if before != after:
        raise AttributeError(f"{owner.__name__}.{name} takes {before} now, the plant {after}")
    setattr(owner, name, staticmethod(planted) if isinstance(original, staticmethod) else planted)
    return function


# --- doubt -----------------------------------------------------------------------------------------


def _blind_resend() -> None:
    """What was not answered counts as not arrived, and is sent again without asking."""

    async def ask(self: Reconciler, doubt: Doubt) -> None:
        order = await _find(self, doubt)
        if order is not None and order.state is OrderState.UNKNOWN and order.leg is Leg.ENTRY:
            await self._conclude_absent(self.desk.client(order.venue, order.environment), order)
            return
        await original(self, doubt)

    original = _swap(Reconciler, "ask", ask)


def _no_fence() -> None:
    """A "not found" counts whenever it was asked."""

    async def _is_past_fence(self: Reconciler, client: VenueClient, order: Order) -> bool:
        return True

    _swap(Reconciler, "_is_past_fence", _is_past_fence)


def _fence_on_own_clock() -> None:
    """The fence passes by our own wall clock instead of the venue's word."""

    async def _is_past_fence(self: Reconciler, client: VenueClient, order: Order) -> bool:
        return to_ms(self.clock.now()) > signing_time_ms(order) + client.capabilities.fence_ms

    _swap(Reconciler, "_is_past_fence", _is_past_fence)


def _not_found_believed_too_early() -> None:
    """One "not found" is enough, and the lists are not looked at."""

    async def _absent(self: Reconciler, client: VenueClient, doubt: Doubt, order: Order) -> None:
        await self._conclude_absent(client, order)

    _swap(Reconciler, "_absent", _absent)


def _new_id_while_unknown() -> None:
    """An order in doubt gets a second generation beside it."""

    async def ask(self: Reconciler, doubt: Doubt) -> None:
        order = await _find(self, doubt)
        if order is not None and order.state is OrderState.UNKNOWN and order.leg is Leg.ENTRY and not order.generation:
            again = next_generation(order, self.journal.ids, self.clock.now())
            if await self.db.write(partial(_intend_once, order=order, again=again, owner=self)):
                self.on_resend([again])
        await original(self, doubt)

    original = _swap(Reconciler, "ask", ask)


def _intend_once(tx: Tx, order: Order, again: Order, owner: Reconciler) -> bool:
    if len(store.list_of_intent(tx, order.intent_id)) > 1:
        return False
    owner.journal.intend(tx, None, [again], owner.clock.now())
    return True


async def _find(reconciler: Reconciler, doubt: Doubt) -> Order | None:
    found = await reconciler.db.read(lambda tx: store.find_orders(tx, [doubt.order_id]))
    stored = found.get(doubt.order_id)
    return None if stored is None else stored.order


# --- claims ----------------------------------------------------------------------------------------


def _stop_read_without_lock() -> None:
    """The claim believes what the stops were a while ago instead of reading them under the lock."""
    seen: list[tuple[float, bool]] = []

    def _entry_reasons(self: Journal, tx: Tx, due: Sequence[Order], gate: Any, now: Any) -> dict[OrderId, str]:
        if not seen or time.monotonic() - seen[0][0] > _BELIEVED_S:
            seen[:] = [(time.monotonic(), bool(emergency_store.list_stops(tx, None, only_stopped=True)))]
        reasons: dict[OrderId, str] = original(self, tx, due, gate, now)
        if seen[0][1]:
            return reasons
        return {order_id: reason for order_id, reason in reasons.items() if reason not in _STOPPED}

    original = _swap(Journal, "_entry_reasons", _entry_reasons)


def _epoch_not_checked() -> None:
    """Whoever took the journal over, the process before it goes on writing."""

    def _compare(self: Owner, current: int) -> None:
        return

    _swap(Owner, "_compare", _compare)


def _age_not_read_again_at_claim() -> None:
    """An entry's age was looked at when it was decided; that has to do."""

    def _entry_reasons(self: Journal, tx: Tx, due: Sequence[Order], gate: Any, now: Any) -> dict[OrderId, str]:
        reasons: dict[OrderId, str] = original(self, tx, due, gate, now)
        return {order_id: reason for order_id, reason in reasons.items() if reason != "stale"}

    original = _swap(Journal, "_entry_reasons", _entry_reasons)


# --- fills and notes -------------------------------------------------------------------------------


def _fills_not_deduplicated() -> None:
    """Every telling of a fill is a fill."""

    def fresh_fills(self: Batch, order: Order, seen: Sequence[Any]) -> list[Any]:
        return [replace(fill, fill_id=f"{fill.fill_id}.{uuid.uuid4().hex[:6]}") for fill in seen]

    _swap(Batch, "fresh_fills", fresh_fills)


def _outbox_marked_before_publish() -> None:
    """A note is marked done first and published after."""

    async def drain_once(self: outbox.Outbox) -> int:
        rows = await self._db.read(outbox._unpublished)
        if not rows:
            return 0
        seqs = [row[0] for row in rows]
        await self._db.write(lambda tx: self._mark(tx, seqs))
        reached(Point.OUTBOX_MARK_COMMITTED)
        for row in rows:
            for message in outbox._notes_of(*row):
                await self._bus.publish(message)
        reached(Point.OUTBOX_PUBLISHED)
        return len(rows)

    _swap(outbox.Outbox, "drain_once", drain_once)


# --- exits and protection --------------------------------------------------------------------------


def _exit_repeated_instead_of_decided_anew() -> None:
    """An exit that ended with a remainder is sent again as it was."""

    def again(order: Order, ids: Any, at: Any, **changes: Any) -> Order:
        repeated: Order = original(order, ids, at, **{**changes, "quantity": order.quantity})
        return repeated

    def allocate_exit(book: Any, order: Order, market: Any) -> Any:
        return Allocation(order.quantity) if order.quantity is not None else allocate(book, order, market)

    original = _swap(exits, "next_generation", again)
    allocate = _swap(journal, "allocate_exit", allocate_exit)


def _second_sell_beside_one_in_doubt() -> None:
    """Sells whose fate is not known hold nothing back."""

    def _is_live_protection(stored: Any, lot_ids: Any) -> bool:
        return bool(live(stored, lot_ids)) and stored.order.state is not OrderState.UNKNOWN

    def _other_sells(book: Any, order: Order, mine: Any) -> list[Any]:
        return [each for each in others(book, order, mine) if each.order.state is not OrderState.UNKNOWN]

    def _is_unbooked_sell(book: Any, stored: Any, lot_ids: Any) -> bool:
        return False

    live = _swap(exit_scene, "_is_live_protection", _is_live_protection)
    others = _swap(sellable, "_other_sells", _other_sells)
    _swap(exit_scene, "_is_unbooked_sell", _is_unbooked_sell)


def _dead_stop_adopted() -> None:
    """A stop that the venue calls cancelled is taken for the one we want."""

    def fact(report: Any, now: Any, signed_at_ms: int | None = None) -> Any:
        if report.state is OrderState.CANCELED:
            report = replace(report, state=OrderState.ACCEPTED)
        return original(report, now, signed_at_ms)

    original = _swap(reconcile, "fact", fact)


PLANTS: Mapping[str, Callable[[], None]] = {
    "blind_resend": _blind_resend,
    "no_fence": _no_fence,
    "fence_on_own_clock": _fence_on_own_clock,
    "not_found_believed_too_early": _not_found_believed_too_early,
    "new_id_while_unknown": _new_id_while_unknown,
    "stop_read_without_lock": _stop_read_without_lock,
    "fills_not_deduplicated": _fills_not_deduplicated,
    "outbox_marked_before_publish": _outbox_marked_before_publish,
    "epoch_not_checked": _epoch_not_checked,
    "exit_repeated_instead_of_decided_anew": _exit_repeated_instead_of_decided_anew,
    "second_sell_beside_one_in_doubt": _second_sell_beside_one_in_doubt,
    "dead_stop_adopted": _dead_stop_adopted,
    "age_not_read_again_at_claim": _age_not_read_again_at_claim,
}
