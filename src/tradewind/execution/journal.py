"""The journal's verbs: record decisions, claim, recover. Each is one transaction of its caller.

Intent before effect: an order exists here, INTENDED, before anything is sent, and is SENT here, committed,
before a byte leaves (order-protocol.md section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from tradewind.core.decision import Candidate, Place, Skip
from tradewind.core.ids import AccountId, IntentId, OrderId, SignalId, SourceId, client_order_id
from tradewind.core.instrument import Environment, Traded, VenueName
from tradewind.core.money import NOTHING, ZERO, Asset, Quantity
from tradewind.core.order import (
    ENDED,
    Claimed,
    Denied,
    Leg,
    Order,
    OrderEvent,
    OrderState,
    OutcomeLost,
    apply,
)
from tradewind.core.position import SellPart
from tradewind.execution import intent_store, parts_store, record_store, store
from tradewind.execution.intent_store import Intent
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.owner import Owner
from tradewind.execution.scope import event_row
from tradewind.execution.sell_book import SellBook
from tradewind.execution.sellable import Allocation, Coverage, Hold, Market, allocate_exit, coverages
from tradewind.execution.stops import EPOCH_KEY, stopped_entries
from tradewind.execution.words import decision_note, order_note
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.infra.outbox import Note
from tradewind.infra.points import Point, reached
from tradewind.signals.service import is_superseded

# Says why an entry of this account may not be claimed now; None: it may.
EntryGate = Callable[[Tx, Sequence[Order]], Mapping[OrderId, str]]
# What a gate says of an entry that waits, INTENDED, until its account has been reconciled; it is not denied.
HOLD = "hold"
# The time a venue would say it is now, in ms, per venue and environment.
VenueNow = Callable[[VenueName, Environment], int]

_LATER_RELEASE = "order_of_later_release"


class LeaseLost(Exception):
    """Somebody else has taken the signal meanwhile; nothing was recorded."""


@dataclass(frozen=True, slots=True)
class DecidedAccount:
    """One account's decision, ready to be written: a row, and for a Place its intent and order.

    A close of an asset held in several markets has one more intent and order for each `further` market.
    `answer` and `candidate` are what the row was made from; they are not written again.
    """

    account_id: AccountId
    decision: Mapping[str, Any]
    intent: Intent | None
    order: Order | None
    answer: Place | Skip | None = None
    candidate: Candidate | None = None
    further: tuple[tuple[Intent, Order], ...] = ()

    @property
    def placed(self) -> tuple[tuple[Intent, Order], ...]:
        """Every intent with its order."""
        if self.intent is None or self.order is None:
            return ()
        return ((self.intent, self.order), *self.further)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim did: orders now SENT, and orders denied at the last moment."""

    sent: tuple[Order, ...]
    denied: tuple[Moved, ...]


@dataclass(slots=True)
class Journal:
    """Writes what is intended and claimed. `owner` is this process's right to write."""

    ids: Ids
    send_by_ms: int
    owner: Owner = field(default_factory=Owner)

    # --- recording -------------------------------------------------------------------------------

    def moved_accounts(self, tx: Tx, versions: Mapping[AccountId, int]) -> set[AccountId]:
        """Return the accounts whose exposure is no longer the one decided on."""
        current = store.exposure_versions(tx, list(versions), lock=True)
        return {account_id for account_id, version in versions.items() if current[account_id] != version}

    def record(self, tx: Tx, decided: Sequence[DecidedAccount], now: datetime) -> list[Order]:
        """Write all decisions of a signal with their intents and INTENDED orders."""
        self.owner.demand(tx)
        placed = [pair for each in decided for pair in each.placed]
        intents, orders = [intent for intent, _ in placed], [order for _, order in placed]
        record_store.insert_decisions(tx, [each.decision for each in decided])
        intent_store.insert_intents(tx, intents)
        store.insert_orders(tx, orders)
        notes = [decision_note(each.decision, now) for each in decided]
        outbox.append(tx, [*notes, *map(order_note, orders)], now)
        store.bump_exposure(tx, [order.account_id for order in orders])
        return orders

    def intend(self, tx: Tx, intent: Intent | None, orders: Sequence[Order], now: datetime) -> None:
        """Write orders of an engine's or a person's intent (None: a further generation of a known one)."""
        self.intend_all(tx, [] if intent is None else [intent], orders, now)

    def intend_all(self, tx: Tx, intents: Sequence[Intent], orders: Sequence[Order], now: datetime) -> None:
        """Write many intents and INTENDED orders at once."""
        self.owner.demand(tx)
        intent_store.insert_intents(tx, intents)
        store.insert_orders(tx, orders)
        outbox.append(tx, list(map(order_note, orders)), now)
        store.bump_exposure(tx, {order.account_id for order in orders})

    def supersede(self, tx: Tx, source_id: SourceId, base: Asset, now: datetime) -> list[Moved]:
        """Deny the entries of a source in an asset that have not left: a close goes before them."""
        waiting = [
            stored.order
            for stored in store.list_entries_undone(tx, source_id, base)
            if stored.order.state is OrderState.INTENDED
        ]
        return self._move_all(tx, [(order, Denied(now, "superseded")) for order in waiting], now)

    # --- claiming --------------------------------------------------------------------------------

    def claim_entries(
        self, tx: Tx, ids: Sequence[OrderId], gate: EntryGate, venue_now: VenueNow, now: datetime
    ) -> Claim:
        """INTENDED -> SENT for entries that are due: age, gate and stops are read again here, under lock."""
        self.owner.demand_for_entries(tx)
        found = store.find_orders(tx, ids, lock=True)
        known = [found[order_id].order for order_id in ids if order_id in found]
        due = [order for order in known if order.state is OrderState.INTENDED and order.release_at <= now]
        reasons = self._entry_reasons(tx, due, gate, now)
        steps: list[tuple[Order, OrderEvent]] = []
        for order in due:
            reason = reasons.get(order.id)
            if reason == HOLD:
                continue
            steps.append((order, Denied(now, reason) if reason else self._claimed(order, venue_now, now)))
        moved = self._move_all(tx, steps, now)
        reached(Point.ENTRY_CLAIM_WRITTEN)
        return _claim_of(moved)

    def claim_protective(
        self, tx: Tx, groups: Sequence[Collection[OrderId]], venue_now: VenueNow, now: datetime
    ) -> Claim:
        """Claim protective orders, each list whole or not at all.

        A list for more than its lot still holds is denied; one that a due exit goes before stays INTENDED.
        """
        self.owner.demand(tx)
        found = store.find_orders(tx, [order_id for group in groups for order_id in group], lock=True)
        lists = [[found[order_id].order for order_id in group if order_id in found] for group in groups]
        ready = [
            legs
            for legs, group in zip(lists, groups, strict=True)
            if len(legs) == len(group) and all(order.state is OrderState.INTENDED for order in legs)
        ]
        # Two claims of one account wait for each other here: neither sees less than the other has taken.
        store.exposure_versions(tx, sorted({legs[0].account_id for legs in ready}), lock=True)
        steps: list[tuple[Order, OrderEvent]] = []
        for legs, coverage in zip(ready, coverages(tx, ready, now), strict=True):
            if coverage is Coverage.WHOLE:
                steps += [(order, self._claimed(order, venue_now, now)) for order in legs]
            elif coverage is Coverage.SHORT:
                steps += [(order, Denied(now, "position_changed")) for order in legs]
        moved = self._move_all(tx, steps, now)
        reached(Point.PROTECTION_CLAIM_WRITTEN)
        return _claim_of(moved)

    def claim_exits(self, tx: Tx, wanted: Mapping[OrderId, Market], venue_now: VenueNow, now: datetime) -> Claim:
        """Fix the quantity and lots of exits from what may be sold now, and claim them.

        Nothing held, or dust, is DENIED. Where another sell of ours is under way, or goes out of the same account in
        this claim, the exit stays INTENDED.
        """
        self.owner.demand(tx)
        found = store.find_orders(tx, wanted, lock=True)
        first: dict[AccountId, Order] = {}
        for order in (found[each].order for each in wanted if each in found):
            if order.state is OrderState.INTENDED and order.release_at <= now:
                first.setdefault(order.account_id, order)
        store.exposure_versions(tx, sorted(first), lock=True)
        book = SellBook.read(tx, {(order.account_id, order.symbol) for order in first.values()}, lock=True)
        parts: dict[OrderId, tuple[SellPart, ...]] = {}
        steps: list[tuple[Order, OrderEvent]] = []
        for order in first.values():
            sale = allocate_exit(book, order, wanted[order.id])
            if isinstance(sale, Allocation):
                steps.append((order, self._claimed(order, venue_now, now, sale.quantity)))
                parts |= {order.id: sale.parts} if order.lot_id is None else {}
            elif sale is not Hold.OTHER_SELL:
                steps.append((order, Denied(now, sale.value)))
        parts_store.replace_all(tx, parts)
        moved = self._move_all(tx, steps, now)
        reached(Point.EXIT_CLAIM_WRITTEN)
        return _claim_of(moved)

    def claim_all(self, tx: Tx, found: Sequence[Order], venue_now: VenueNow, now: datetime) -> list[Order]:
        """INTENDED -> SENT for orders that may have left in a part of the journal that is gone; nothing is sent."""
        self.owner.demand(tx)
        moved = self._move_all(tx, [(order, self._claimed(order, venue_now, now)) for order in found], now)
        return [move.after for move in moved]

    def deny(self, tx: Tx, order: Order, reason: str, now: datetime) -> list[Moved]:
        """Deny an order that has not been claimed."""
        return self._move_all(tx, [(order, Denied(now, reason))], now)

    def step_all(
        self, tx: Tx, steps: Sequence[tuple[OrderId, OrderEvent]], expected: Collection[OrderState], now: datetime
    ) -> list[Moved]:
        """As `step` for several orders at once; those in another state are left alone."""
        found = store.find_orders(tx, [order_id for order_id, _ in steps], lock=True)
        fitting = [
            (found[order_id].order, event)
            for order_id, event in steps
            if order_id in found and found[order_id].order.state in expected
        ]
        moved = self._move_all(tx, fitting, now)
        reached(Point.CANCEL_WRITTEN)
        return moved

    def open_incident(self, tx: Tx, order: Order, kind: str, detail: Mapping[str, str], now: datetime) -> None:
        """Record something a person should read, and tell the order's owner."""
        values = {"state": order.state.value, "executed": str(order.executed), **detail}
        self.tell_incident(tx, (order.user_id, order.account_id, order.id), kind, values, now)

    def tell_incident(
        self, tx: Tx, owner: tuple[str, str, str | None], kind: str, detail: Mapping[str, str], now: datetime
    ) -> None:
        """Record an incident of an account; `owner` names the user, the account and the order, if there is one."""
        incident_id = self.ids.new()
        user_id, account_id, order_id = owner
        values = {"id": incident_id, "at": now, "user_id": user_id, "account_id": account_id, "order_id": order_id}
        record_store.insert_incident(tx, {**values, "kind": kind, "detail": detail})
        payload = {"id": incident_id, "rev": 0, "at": now.isoformat(), "kind": kind, "order_id": order_id, **detail}
        outbox.append(tx, [Note("incident", user_id, payload)], now)

    # --- recovering ------------------------------------------------------------------------------

    def recover(self, tx: Tx, now: datetime) -> list[Order]:
        """At start: every SENT is UNKNOWN. Return all orders that have not ended."""
        self.owner.demand(tx)
        sent = [stored.order for stored in store.list_in_states(tx, [OrderState.SENT])]
        self._move_all(tx, [(order, OutcomeLost(now, "process_restarted")) for order in sent], now)
        reached(Point.RECOVERY_WRITTEN)
        undone = [state for state in OrderState if state not in ENDED]
        return [stored.order for stored in store.list_in_states(tx, undone)]

    def report_unreadable(self, tx: Tx, now: datetime) -> dict[OrderId, AccountId]:
        """Tell once of every order a later release wrote in words this one does not know; return whose they are.

        Nothing else is done to them (order-protocol.md section 9).
        """
        rows = store.list_unreadable(tx)
        told = record_store.incidents_of_kind(tx, [row.id for row in rows], _LATER_RELEASE)
        for row in rows:
            if row.id in told:
                continue
            owner = (row.user_id, row.account_id, row.id)
            self.tell_incident(tx, owner, _LATER_RELEASE, {"state": row.state, "symbol": row.symbol}, now)
        return {OrderId(row.id): AccountId(row.account_id) for row in rows}

    @staticmethod
    def lacking_fills(tx: Tx) -> list[Order]:
        """Return orders of which the venue stated more than the fills we hold add up to."""
        return [stored.order for stored in store.list_lacking_fills(tx)]

    @staticmethod
    def overdue(tx: Tx, before: datetime, legs: Iterable[Leg] = Leg) -> list[Order]:
        """Return orders of these legs that should have left before a time and stand INTENDED still."""
        return store.list_overdue(tx, before, legs)

    # --- inside ----------------------------------------------------------------------------------

    def _claimed(self, order: Order, venue_now: VenueNow, now: datetime, quantity: Quantity | None = None) -> Claimed:
        send_by = venue_now(order.venue, order.environment) + self.send_by_ms
        return Claimed(now, send_by, self.owner.epoch, quantity)

    def _entry_reasons(self, tx: Tx, due: Sequence[Order], gate: EntryGate, now: datetime) -> dict[OrderId, str]:
        reasons = dict(gate(tx, due))
        details = intent_store.load_details(tx, {order.intent_id for order in due})
        overtaken: dict[SignalId, bool] = {}
        decided_under: dict[OrderId, int] = {}
        for order in due:
            if order.is_known_to_venue:
                reasons[order.id] = "at_venue"
            elif order.generation > 0 and store.has_bought_before(tx, order):
                # What was taken for never arrived has been executed after all (I-1).
                reasons[order.id] = "bought_before"
            if order.signal_id is not None:
                if order.signal_id not in overtaken:
                    overtaken[order.signal_id] = is_superseded(tx, order.signal_id)
                if overtaken[order.signal_id]:
                    reasons[order.id] = "superseded"
            detail = details[order.intent_id]
            fresh_until = detail.get("fresh_until")
            decided_under[order.id] = detail.get(EPOCH_KEY, 0)
            if fresh_until is not None and now > _moment(fresh_until):
                reasons[order.id] = "stale"
        return reasons | stopped_entries(tx, due, decided_under)

    def _move_all(self, tx: Tx, steps: Sequence[tuple[Order, OrderEvent]], now: datetime) -> list[Moved]:
        moved, rows = [], []
        for before, event in steps:
            after = apply(before, event).order
            moved.append(Moved(before, after))
            rows.append(event_row(before, after, Outcome(before.id, event), now))
        if not store.update_orders(tx, [(move.after, move.before.rev) for move in moved]):
            raise RuntimeError(f"one of the orders {[move.after.id for move in moved][:5]} moved under its own lock")
        record_store.insert_events(tx, rows)
        outbox.append(tx, [order_note(move.after) for move in moved], now)
        store.bump_exposure(tx, {move.after.account_id for move in moved})
        return moved


def _claim_of(moved: Sequence[Moved]) -> Claim:
    sent = tuple(move.after for move in moved if move.after.state is OrderState.SENT)
    return Claim(sent, tuple(move for move in moved if move.after.state is OrderState.DENIED))


# The entries of one signal carry the same time.
_moment = lru_cache(maxsize=256)(datetime.fromisoformat)


def next_generation(order: Order, ids: Ids, at: datetime, **changes: Any) -> Order:
    """The same intent and leg once more, under a new id, INTENDED from the start."""
    generation = order.generation + 1
    fresh = replace(
        order,
        id=OrderId(ids.new()),
        generation=generation,
        client_order_id=client_order_id(order.intent_id, order.account_id, order.leg, generation),
        attempt=0,
        state=OrderState.INTENDED,
        venue_order_id=None,
        executed=NOTHING,
        executed_quote=ZERO,
        send_by_ms=None,
        signed_at_ms=None,
        sent_at=None,
        acknowledged_at=None,
        ended_at=None,
        reason=None,
        created_at=at,
        release_at=at,
        rev=0,
    )
    return replace(fresh, **changes)


def new_order(
    ids: Ids, intent: Intent, instrument: Traded, environment: Environment, at: datetime, **fields: Any
) -> Order:
    """Build generation 0 of a leg of an intent."""
    leg = fields["leg"]
    return Order(
        id=OrderId(ids.new()),
        intent_id=IntentId(intent.id),
        intent_kind=intent.kind,
        user_id=intent.user_id,
        account_id=intent.account_id,
        venue=instrument.venue,
        environment=environment,
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        client_order_id=client_order_id(intent.id, intent.account_id, leg, 0),
        created_at=at,
        release_at=fields.pop("release_at", at),
        signal_id=intent.signal_id,
        source_id=intent.source_id,
        **fields,
    )
