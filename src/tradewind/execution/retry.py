"""Try a signal again for the accounts that did not get theirs, for a reason that passes (order-protocol.md section 9).

Each of them is decided anew, with the prices, balances, gate and stops of now; its Decision stays the one row it is.
An account whose order is in doubt is blocked, a superseded signal stays superseded, and one that is too old needs an
age. Where a venue keeps an id for ever, an order that never arrived goes out again under its own id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from tradewind.core.errors import Conflict, InvalidInput
from tradewind.core.ids import AccountId, DecisionId, SignalId, client_order_id
from tradewind.core.order import Leg, Order, OrderState, Resent
from tradewind.core.retry import Standing, standing_of_order, standing_of_skip
from tradewind.core.signal import Action, Signal, is_stale
from tradewind.execution import intent_store, record_store, store
from tradewind.execution.desk import Desk
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.journal import DecidedAccount, Journal
from tradewind.execution.outcomes import Moved
from tradewind.execution.outlook import OutlookDesk
from tradewind.execution.protect import Protector
from tradewind.execution.recorder import Recorder
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger
from tradewind.signals import service as signals
from tradewind.signals.inbox_facts import Entry, SignalState

_log = logger("execution.retry")

# Ends after which another order would follow.
_FOLLOWED = (Standing.AGAIN, Standing.RESEND_SAME)
_WORDS = {
    Standing.HAS_IT: "has it: its order was filled",
    Standing.UNDER_WAY: "its order is on its way",
    Standing.BLOCKED: "blocked: nobody knows yet what became of its order",
    Standing.NOT_RESENT_HERE: "not sent again: this venue cannot tell two orders of one id apart",
}


def _nearness(standing: Standing) -> int:
    """Order the markets of one close: what is in doubt or under way is waited for before another is tried again."""
    ranks = (Standing.BLOCKED, Standing.UNDER_WAY, Standing.AGAIN, Standing.RESEND_SAME, Standing.NOT_RESENT_HERE)
    return ranks.index(standing) if standing in ranks else len(ranks) + (standing is Standing.HAS_IT)


@dataclass(frozen=True, slots=True)
class Retried:
    """What was done for one account, or why nothing was."""

    account_id: AccountId
    is_done: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Case:
    account_id: AccountId
    decision_id: DecisionId
    cell: int
    standing: Standing
    text: str
    newest: Order | None
    # Of the orders that may follow.
    generation: int = 0


def _unreadable(row: Row[Any]) -> _Case:
    """One of its orders cannot be read, so nobody knows how the account stands; the others are not held up."""
    text = "blocked: one of its orders cannot be read by this release"
    return _Case(AccountId(row.account_id), DecisionId(row.id), row.cell, Standing.BLOCKED, text, None)


@dataclass(slots=True)
class RetryDesk:
    """Carries out retries; one per process."""

    db: Db
    clock: Clock
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    protector: Protector
    outlooks: OutlookDesk
    desk: Desk

    async def retry(
        self, signal_id: SignalId, *, max_age_s: int | None = None, only: Collection[AccountId] = ()
    ) -> list[Retried]:
        """Try a signal again; say for every account what was done and why not.

        Raises NotFound, Conflict for one that is superseded or not decided yet, InvalidInput for one that is too old.
        """
        entry = await self.db.read(lambda tx: signals.load_entry(tx, signal_id))
        age_s = max_age_s or self.outlooks.decider.max_age_s
        if entry.state is SignalState.DEAD:
            await self.db.write(lambda tx: signals.reopen(tx, signal_id, self.clock.now()))
            _log.info("execution.retry.reopened", signal_id=signal_id)
            return []
        self._demand_retryable(entry, await self._is_superseded(entry), age_s)
        cases = await self.db.read(lambda tx: self._cases(tx, signal_id, only))
        again = [each.account_id for each in cases if each.standing is Standing.AGAIN]
        source = await self.db.read(lambda tx: signals.load_source(tx, entry.signal.source_id))
        outlook = await self.outlooks.again(
            entry.signal, again, is_source_bound=source.is_exchange_bound, max_age_s=age_s
        )
        fresh_until = entry.signal.dated_at + timedelta(seconds=age_s)
        written = await self.db.write(lambda tx: self._write(tx, entry.signal, only, outlook.decided, fresh_until))
        done, orders, moved = written
        self._hand_on(entry.signal, orders, moved)
        _log.info("execution.retry.done", signal_id=signal_id, orders=len(orders), accounts=len(done))
        return done

    async def _is_superseded(self, entry: Entry) -> bool:
        return await self.db.read(lambda tx: signals.is_superseded(tx, entry.signal.id))

    def _demand_retryable(self, entry: Entry, is_superseded: bool, age_s: int) -> None:
        if entry.state in (SignalState.NEW, SignalState.CLAIMED):
            raise Conflict("not_decided", "This signal is still being decided; there is nothing to try again yet.")
        if is_superseded:
            raise Conflict(
                "superseded", "A later close of the same source came after this signal: it stays superseded."
            )
        if entry.signal.action is Action.OPEN and is_stale(entry.signal, self.clock.now(), age_s):
            old_s = int((self.clock.now() - entry.signal.dated_at).total_seconds())
            raise InvalidInput(
                "too_old",
                f"The signal is {old_s} s old and entries older than {age_s} s are not traded, because the price has "
                f"moved on. To trade it all the same, say up to which age: --max-age {old_s + 60}.",
            )

    # --- who may be tried again ------------------------------------------------------------------

    def _cases(self, tx: Tx, signal_id: SignalId, only: Collection[AccountId]) -> list[_Case]:
        of_market: dict[tuple[str, str], Order] = {}
        following: dict[str, int] = {}
        blocked: set[str] = set()
        bought: set[str] = set()
        own, unreadable = store.list_of_signal(tx, signal_id)
        for order in own:
            if order.leg is Leg.ENTRY and order.executed.is_positive:
                bought.add(order.account_id)
            if standing_of_order(order.state, order.reason, "never") is Standing.BLOCKED:
                blocked.add(order.account_id)
            market = (order.account_id, order.symbol)
            if market not in of_market or order.generation > of_market[market].generation:
                of_market[market] = order
            following[order.account_id] = max(following.get(order.account_id, 0), order.generation + 1)
        newest = self._telling(of_market)
        return [
            replace(
                self._case(
                    row, newest.get(row.account_id), row.account_id in blocked, has_bought=row.account_id in bought
                )
                if row.account_id not in unreadable
                else _unreadable(row),
                generation=following.get(row.account_id, 0),
            )
            for row in record_store.list_decisions(tx, signal_id, None)
            if not only or row.account_id in only
        ]

    def _telling(self, of_market: Mapping[tuple[str, str], Order]) -> dict[str, Order]:
        """Which order says how an account stands: an entry's newest; of a close, the market that is least far."""
        newest: dict[str, Order] = {}
        for (account_id, _), order in of_market.items():
            known = newest.get(account_id)
            if known is None or (
                order.generation > known.generation
                if order.leg is Leg.ENTRY
                else _nearness(self._standing(order)) < _nearness(self._standing(known))
            ):
                newest[account_id] = order
        return newest

    def _standing(self, order: Order) -> Standing:
        resend = self.desk.client(order.venue, order.environment).capabilities.resend
        return standing_of_order(order.state, order.reason, resend.value)

    def _case(self, row: Row[Any], newest: Order | None, is_blocked: bool, *, has_bought: bool) -> _Case:
        if newest is None:
            standing, reason = standing_of_skip(row.reason), row.reason
        else:
            standing, reason = self._standing(newest), newest.reason
            # Every generation is asked about before a conclusion (section 1).
            standing = Standing.BLOCKED if is_blocked else standing
            # A generation whose row has ended may have been executed after all: the account has what it was to get.
            standing = Standing.HAS_IT if has_bought and standing in _FOLLOWED else standing
        text = _WORDS.get(standing, f"stays as it is: {reason or 'ended'}")
        if standing is Standing.BLOCKED and newest is not None:
            text = f"{text} ({newest.state})"
        return _Case(AccountId(row.account_id), DecisionId(row.id), row.cell, standing, text, newest)

    # --- writing ---------------------------------------------------------------------------------

    def _write(
        self,
        tx: Tx,
        signal: Signal,
        only: Collection[AccountId],
        decided: Sequence[DecidedAccount],
        fresh_until: datetime,
    ) -> tuple[list[Retried], list[Order], list[Moved]]:
        """Write what was decided for the accounts that still stand as they did; the others are told apart."""
        now = self.clock.now()
        fresh: Mapping[AccountId, DecidedAccount] = {each.account_id: each for each in decided}
        done: list[Retried] = []
        orders: list[Order] = []
        moved: list[Moved] = []
        for case in self._cases(tx, signal.id, only):
            if case.standing is Standing.AGAIN and case.account_id in fresh:
                again = self._decide_again(tx, case, fresh[case.account_id], now)
                reason = fresh[case.account_id].decision["reason"]
                orders += again
                text = "decided again: placed" if again else f"decided again: skipped, {reason}"
                done.append(Retried(case.account_id, bool(again), text))
            elif case.standing is Standing.RESEND_SAME and case.newest is not None:
                moved += self._send_again(tx, case.newest, fresh_until, now)
                done.append(Retried(case.account_id, True, "sent again under its own id"))
            else:
                done.append(Retried(case.account_id, False, case.text))
        return done, orders, moved

    def _decide_again(self, tx: Tx, case: _Case, fresh: DecidedAccount, now: datetime) -> list[Order]:
        """Put the new decision in the old one's place; a new order is the next generation at this account."""
        row = {**fresh.decision, "id": case.decision_id, "cell": case.cell}
        record_store.replace_decision(tx, row)
        intents = [replace(intent, decision_id=case.decision_id) for intent, _ in fresh.placed]
        orders = [
            replace(
                order,
                generation=case.generation,
                client_order_id=client_order_id(order.intent_id, case.account_id, order.leg, case.generation),
            )
            for _, order in fresh.placed
        ]
        if orders:
            self.journal.intend_all(tx, intents, orders, now)
        return orders

    def _send_again(self, tx: Tx, order: Order, fresh_until: datetime, now: datetime) -> list[Moved]:
        detail = intent_store.load_intent(tx, order.intent_id).detail
        intent_store.put_detail(tx, order.intent_id, {**detail, "fresh_until": fresh_until.isoformat()})
        return self.journal.step_all(tx, [(order.id, Resent(now, now))], [OrderState.NEVER_ARRIVED], now)

    def _hand_on(self, signal: Signal, orders: Sequence[Order], moved: Sequence[Moved]) -> None:
        self.recorder.announce(moved)
        self.recorder.announce([Moved(order, order) for order in orders])
        self.dispatcher.enqueue([*orders, *(move.after for move in moved)])
        if signal.action is Action.CLOSE:
            for order in orders:
                self.protector.look((order.account_id, order.symbol))
