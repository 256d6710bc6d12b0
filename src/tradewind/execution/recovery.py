"""Which accounts are in order, and what it takes to get there: looks, holds, reports (product.md E8).

An account is HELD from the start of the process, from the moment it is linked, and from any doubt about it (its
stream lost for long, its key refused, positions that differ) until a look at it has found journal and venue to
agree. Its entries wait meanwhile, INTENDED, while they are fresh; exits, stops and every other account go on.
Accounts with something at stake come first. The time it takes is computed from the venue's own limits and told.
Nothing here walks over the accounts by the clock: each look plans the next one, and what happens plans it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tradewind.core.ids import AccountId
from tradewind.core.order import Order, OrderState
from tradewind.execution import store
from tradewind.execution.account_look import ORDER_MOVED, AccountLook, Followed, Looked
from tradewind.execution.adoption import Adoption
from tradewind.execution.comparing import Comparing
from tradewind.execution.look_plan import LookPlan
from tradewind.execution.look_queue import ROUTINE, FollowedAccount, LookQueue
from tradewind.execution.outcomes import Moved
from tradewind.execution.recovery_report import Asked, Held, Outstanding, add, outstanding_at, put_report
from tradewind.execution.restore_book import RestoreBook
from tradewind.execution.stream_watch import FIRST_LOOK_GRACE_S, StreamWatch
from tradewind.infra.clock import Clock, to_ms
from tradewind.infra.db import CommitInDoubt, Db
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.infra.wake import Wake
from tradewind.venues.base import VenueClient
from tradewind.venues.errors import CredentialRefused, RateLimited, VenueError

_log = logger("execution.recovery")

# Accounts looked at side by side; the venue's budget sets the pace behind it.
_LOOKERS = 10
_TICK_S = 0.5
# A look that was not answered is tried again after these.
_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
# A venue that says "not before" is obeyed, but looked at again at least this often.
_HELD_BACK_S = 60.0
# Between the two readings that make a shortfall certain (order-protocol.md section 4).
_SHORT_AGAIN_S = 10.0


@dataclass(slots=True)
class Recovery:
    """Looks at accounts and holds those that are not in order; one per process."""

    db: Db
    ids: Ids
    clock: Clock
    accounts: AccountLook
    adoption: Adoption
    restores: RestoreBook
    on_released: Callable[[Sequence[Order]], None]
    on_credential: Callable[[AccountId, str | None], None]
    is_blind: Callable[[AccountId], bool]
    # After a restore: what stood aside for this account may go on.
    on_reconciled: Callable[[AccountId], None]
    # How often accounts are compared with their venue when nothing calls for it, as far as its limits allow.
    comparing: Comparing
    # The same for an account in doubt (no stream, key refused).
    doubtful_s: float
    # Accounts of which the journal holds orders in words of a later release: hands off, so never in order.
    unreadable: frozenset[AccountId] = frozenset()
    # In how many markets accounts had something at stake when the process started.
    at_stake: Mapping[AccountId, int] = field(default_factory=dict)
    queue: LookQueue = field(default_factory=LookQueue)
    _known: dict[AccountId, FollowedAccount] = field(default_factory=dict)
    plan: LookPlan = field(init=False)
    streams: StreamWatch = field(init=False)
    _wake: Wake = field(init=False)
    _tasks: asyncio.TaskGroup | None = None
    _looking: int = 0
    _is_started: bool = False

    def __post_init__(self) -> None:
        self._wake = Wake(self.clock)
        self.plan = LookPlan(self.clock, self.queue, self.comparing, self.is_blind, self.doubtful_s)
        self.streams = StreamWatch(self.clock, self.hold)

    # --- what calls ------------------------------------------------------------------------------

    def follow(self, followed: Followed) -> None:
        """Take an account: its entries wait until it was looked at; called again with a new key."""
        cause = "linked" if self._is_started else "start"
        held = Held(cause, self.clock.now(), self.ids.new())
        restore = self.restores.pending(followed.account_id)
        if restore is not None:
            held.cause, held.restore_id = "restore", restore.id
        # One look once the stream is live says it all; without a stream the look comes first.
        account = FollowedAccount(followed, held, cause)
        self.unfollow(followed.account_id)
        self._known[followed.account_id] = account
        self.plan.entered(account, markets=self.at_stake.get(followed.account_id, 0))
        self.streams.down(account)
        self.queue.put(account, self.clock.monotonic() + FIRST_LOOK_GRACE_S)
        self._wake.set()

    def unfollow(self, account_id: AccountId) -> None:
        """Forget an account whose key is gone."""
        account = self._known.pop(account_id, None)
        if account is not None:
            self.plan.left(account)

    def is_held(self, account_id: AccountId) -> bool:
        """Say whether the account's entries wait for its reconcile; one that nobody follows yet has had none."""
        account = self._known.get(account_id)
        return account is None or account.held is not None

    def hold(self, account_id: AccountId, cause: str) -> None:
        """Something is doubtful about an account: its entries wait from now on, and it is looked at."""
        account = self._known.get(account_id)
        if account is not None:
            # A look that is just ending knows nothing of this.
            account.holds += 1
            account.held_for = cause
            if account.held is None:
                self._hold(account, cause)
        self.look_soon(account_id, cause)

    def _hold(self, account: FollowedAccount, cause: str) -> None:
        account.held = Held(cause, self.clock.now(), self.ids.new())
        _log.info("execution.recovery.held", account_id=account.followed.account_id, cause=cause)

    def look_soon(self, account_id: AccountId, cause: str) -> None:
        """Compare an account with its venue as soon as there is room."""
        account = self._known.get(account_id)
        if account is not None:
            account.cause = cause
            self.queue.put(account, self.clock.monotonic())
            self._wake.set()

    def stream_up(self, account_id: AccountId) -> None:
        """The private stream is live; what happened before is asked for, because it is not replayed."""
        account = self._known.get(account_id)
        if account is not None:
            self.streams.up(account)
            self.look_soon(account_id, "stream_up")

    def stream_down(self, account_id: AccountId) -> None:
        """The private stream is gone."""
        account = self._known.get(account_id)
        if account is not None and account.down_since is None:
            self.streams.down(account)
            self.plan.plan_anew(account)

    def heard(self, account_id: AccountId) -> None:
        """The private stream has said something: it is not deaf."""
        account = self._known.get(account_id)
        if account is not None:
            self.streams.heard(account)

    def refused(self, account_id: AccountId) -> None:
        """The account's key is refused: it is asked for again sooner than the others."""
        account = self._known.get(account_id)
        if account is not None:
            self.plan.plan_anew(account)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """An order in doubt was found out about: an account that waited for nothing else is in order."""
        for move in moved:
            account = self._known.get(move.after.account_id)
            if account is None:
                continue
            if not account.has_business:
                self.plan.note_business(account, markets=1)
                self.queue.put_again(account)
                self.plan.plan_anew(account)
            if move.after.id in account.waiting_on and move.after.state not in (OrderState.UNKNOWN, OrderState.BLIND):
                account.waiting_on -= {move.after.id}
                if not account.waiting_on:
                    self.look_soon(move.after.account_id, account.cause)

    def compare_every(self, cross_check_s: float) -> None:
        """Change how often accounts with business are compared at best."""
        self.plan.compare_every(cross_check_s, self._known.values())
        self._wake.set()

    def outstanding(self) -> list[Outstanding]:
        """Say, per venue, what is still to be found out and in how many seconds its own limits allow it."""
        held: dict[VenueClient, list[FollowedAccount]] = {}
        for account in self._known.values():
            held.setdefault(account.followed.client, [])
            if account.held is not None:
                held[account.followed.client].append(account)
        return [self._outstanding_at(client, accounts) for client, accounts in held.items()]

    def _outstanding_at(self, client: VenueClient, accounts: Sequence[FollowedAccount]) -> Outstanding:
        doubts = self.accounts.reconciler.doubts.values()
        count = sum(1 for each in doubts if self._client_of(each.account_id) is client)
        markets = [each.markets for each in accounts]
        unheard = sum(1 for each in accounts if each.down_since is not None)
        asked = Asked(markets, unheard, count)
        return outstanding_at(client, asked, self.comparing.periods(client), self.streams.deaf_after_s)

    def _client_of(self, account_id: AccountId | None) -> VenueClient | None:
        account = None if account_id is None else self._known.get(account_id)
        return None if account is None else account.followed.client

    # --- the loop --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look until cancelled."""
        self._is_started = True
        for each in self.outstanding():
            _log.info(
                "execution.recovery.started",
                venue=each.client.capabilities.venue,
                accounts=each.accounts,
                weight=each.weight,
                within_s=each.within_s,
            )
        async with asyncio.TaskGroup() as tasks:
            while True:
                self.streams.see_to_due()
                self._start_due(tasks, self.clock.monotonic())
                self._wake.clear()
                await self._wake.wait(_TICK_S)

    def _start_due(self, tasks: asyncio.TaskGroup, now: float) -> None:
        while self._looking < _LOOKERS and (account := self.queue.take(now)) is not None:
            later = self.streams.first_look_at(account)
            if later is not None:
                self.queue.put(account, later)
                continue
            account.is_looking = True
            self._looking += 1
            tasks.create_task(self._guarded(account), name=f"look {account.followed.account_id}")

    async def _guarded(self, account: FollowedAccount) -> None:
        try:
            await self._look_or_wait(account)
        except CommitInDoubt:
            raise
        except Exception:
            _log.exception("execution.recovery.look_failed", account_id=account.followed.account_id)
            self.queue.put(account, self.clock.monotonic() + self._retry_s(account))
        finally:
            account.is_looking = False
            self.queue.put_again(account)
            self.plan.plan(account)
            self._looking -= 1
            self._wake.set()

    async def _look_or_wait(self, account: FollowedAccount) -> None:
        try:
            await self._look(account)
            account.fails = 0
        except CredentialRefused as error:
            self.on_credential(account.followed.account_id, error.code)
            self.hold(account.followed.account_id, "key_refused")
            await self._not_answered(account, error, self.doubtful_s)
        except RateLimited as error:
            pause_s = self._until(error)
            self.queue.put_off(account.followed.client, self.clock.monotonic() + pause_s)
            await self._not_answered(account, error, pause_s)
        except VenueError as error:
            await self._not_answered(account, error, self._retry_s(account))

    def _until(self, error: RateLimited) -> float:
        if error.retry_at_ms is None:
            return _RETRY_S[0]
        return min(_HELD_BACK_S, max(0.05, (error.retry_at_ms - to_ms(self.clock.now())) / 1_000))

    @staticmethod
    def _retry_s(account: FollowedAccount) -> float:
        return _RETRY_S[min(account.fails, len(_RETRY_S) - 1)]

    async def _not_answered(self, account: FollowedAccount, error: VenueError, pause_s: float) -> None:
        _log.info("execution.recovery.no_answer", account_id=account.followed.account_id, code=error.code)
        account.fails += 1
        self.queue.put(account, self.clock.monotonic() + pause_s)
        held, waits_for = account.held, f"no answer: {error.code}"
        if held is not None and held.waits_for != waits_for:
            before, held.waits_for = held.waits_for, waits_for
            try:
                await self._write(account, held, is_green=False)
            except BaseException:
                # Not on record: it is written down with the next look that gets no answer.
                held.waits_for = before
                raise

    # --- one account -----------------------------------------------------------------------------

    async def _look(self, account: FollowedAccount) -> None:
        account_id, is_routine = account.followed.account_id, account.is_routine
        holds, heard_at = account.holds, account.heard_at
        looked = await self._compare(account)
        reached(Point.RECOVERY_LOOKED)
        self.on_credential(account_id, None)
        account.looked_at = self.clock.monotonic()
        if looked.is_whole:
            account.compared_at = account.looked_at
        self.plan.note_business(account, markets=looked.markets)
        if account.held is None and (doubt := self._new_doubt(account, looked)):
            self.hold(account_id, doubt)
            holds = account.holds
        if account.held is None:
            await self._tell_differences(account, looked, is_routine=is_routine, heard_at=heard_at)
            return
        held = account.held
        held.looks += 1
        add(held.looked, looked)
        held.waits_for = self._waits_for(account, looked) or ("another look" if account.holds != holds else "")
        account.short = dict(looked.short)
        is_green = not held.waits_for
        await self._write(account, held, is_green=is_green)
        if is_green:
            account.held = None
            if account.holds != holds:
                # It came into doubt while the report was written: that is a hold of its own.
                self._hold(account, account.held_for)
            await self._release(account, held)

    async def _compare(self, account: FollowedAccount) -> Looked:
        """Look at an account; after a restore also take over what our orders did in the part that is gone."""
        followed = account.followed
        looked = await self.accounts.look(followed, is_whole=self.plan.wants_whole(account))
        restore = self.restores.pending(followed.account_id)
        if restore is None or looked.in_doubt:
            # What the journal itself has in doubt is found out first: a position it opens may be the one adopted for.
            return looked
        adopted = Looked()
        adopted.include(looked)
        await self.adoption.adopt(followed, restore, adopted)
        after = await self.accounts.look(followed)
        after.include(adopted)
        return after

    def _waits_for(self, account: FollowedAccount, looked: Looked) -> str:
        """Say what an account still waits for; empty when nothing."""
        if account.followed.account_id in self.unreadable:
            self.queue.put(account, self.clock.monotonic() + self.comparing.quiet_s)
            return "orders of a later release"
        account.waiting_on = looked.in_doubt
        if looked.in_doubt:
            return f"{len(looked.in_doubt)} orders in doubt"
        if looked.unknown_here:
            self.queue.put(account, self.clock.monotonic() + self.doubtful_s)
            return f"{looked.unknown_here} orders of our form that the journal does not know"
        if self.streams.is_coming_back(account):
            self.queue.put(account, self.clock.monotonic() + _RETRY_S[0])
            return "its stream to be subscribed anew"
        is_certain = looked.is_steady and dict(looked.short) == account.short
        if not looked.is_steady or (looked.short and not is_certain):
            self.queue.put(account, self.clock.monotonic() + (_SHORT_AGAIN_S if looked.short else _RETRY_S[0]))
            return "balances that do not cover the positions" if looked.short else "the account to hold still"
        return ""

    @staticmethod
    def _new_doubt(account: FollowedAccount, looked: Looked) -> str:
        """Say what is newly doubtful; a shortfall that was certain and told before is not."""
        if looked.unknown_here:
            return "unknown_orders"
        return "positions_differ" if looked.short and dict(looked.short) != account.short else ""

    async def _release(self, account: FollowedAccount, held: Held) -> None:
        account_id = account.followed.account_id
        if held.restore_id is not None:
            await self.restores.reconciled(account_id, self._known)
            self.on_reconciled(account_id)
        if account.held is not None:
            return
        waiting = await self.db.read(lambda tx: store.list_not_ended(tx, account_id))
        self.on_released([each.order for each in waiting if each.order.state is OrderState.INTENDED])
        took_ms = int((self.clock.now() - held.since).total_seconds() * 1_000)
        _log.info(
            "execution.recovery.green",
            account_id=account_id,
            cause=held.cause,
            orders=held.looked.orders,
            fills=held.looked.fills,
            differences=len(held.looked.differences),
            not_ours=held.looked.not_ours,
            weight=held.looked.weight,
            ms=took_ms,
        )

    async def _tell_differences(
        self, account: FollowedAccount, looked: Looked, *, is_routine: bool, heard_at: float | None
    ) -> None:
        """An account in order that was found to differ all the same: reported; its stream may be deaf."""
        if not looked.differences:
            return
        is_silent = account.heard_at == heard_at
        if is_routine and is_silent and any(each.kind == ORDER_MOVED for each in looked.differences):
            self.streams.suspect(account)
        report = Held(ROUTINE if is_routine else account.cause, self.clock.now(), self.ids.new(), "", looked, 1)
        await self._write(account, report, is_green=True)

    async def _write(self, account: FollowedAccount, held: Held, *, is_green: bool) -> None:
        now = self.clock.now()
        await self.db.write(lambda tx: put_report(tx, account.followed, held, is_green=is_green, now=now))
