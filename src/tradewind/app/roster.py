"""Whom a signal concerns, over accounts, people, plans and venue health: execution's Roster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from tradewind.accounts.account import AccountRow, AccountStatus
from tradewind.accounts.mandates import Mandates
from tradewind.accounts.service import Accounts
from tradewind.billing.service import Billing
from tradewind.core.gate import Closed, CredentialState, GateInputs, gate
from tradewind.core.gate_text import GateCode
from tradewind.core.ids import AccountId, OrderId, SourceId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.mandate import Mandate
from tradewind.core.money import Asset
from tradewind.core.order import GateKind, Order
from tradewind.core.plan import DEFAULT_PLANS, Plan, PlanName
from tradewind.core.risk import Caps
from tradewind.execution.journal import HOLD
from tradewind.execution.roster import AccountFacts
from tradewind.execution.service import StopInForce, accounts_stopped, stop_epoch
from tradewind.identity.people import User
from tradewind.identity.service import Identity
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.venues.base import PermissionSource, VenueHealth

# A venue counts as healthy while it was seen healthy within this (product.md G2).
_HEALTH_AGE_S = 30.0
_LABELS = {"binance": "Binance"}
# What an account without a subscription would wait; it is skipped before that matters.
_NO_PLAN = DEFAULT_PLANS[PlanName.TRIAL]


@dataclass(frozen=True, slots=True)
class PlatformSwitches:
    """The platform's part of the gate."""

    trading_enabled: bool
    dry_run: bool
    allow_live: bool
    live_confirm: str | None
    min_order_quote: Decimal


class _GateKey(NamedTuple):
    """All that the gates of two accounts may differ by."""

    venue: VenueName
    environment: Environment
    quote: Asset | None
    is_dry_run: bool
    has_confirmed_live: bool
    credential: CredentialState
    status: AccountStatus
    is_held: bool
    plan: Plan | None
    standing: str
    suspended_until: datetime | None
    suspended_reason: str | None
    stop: StopInForce | None


class _Known(NamedTuple):
    """An account as its facts and its gate see it."""

    row: AccountRow
    person: User
    plan: Plan | None
    gate: GateInputs
    stop_epoch: int


@dataclass(slots=True)
class PlatformRoster:
    """Reads accounts with everything the gate and the decision look at, in a few queries by position."""

    accounts: Accounts
    mandates_room: Mandates
    identity: Identity
    billing: Billing
    switches: PlatformSwitches
    clock: Clock
    health_of: Callable[[AccountRow], VenueHealth | None]
    is_blind: Callable[[AccountId], bool]
    # Whether the account's entries wait for its reconcile; wired by app once the engine is there.
    is_held: Callable[[AccountId], bool] = lambda _account_id: False

    def mandates(self, tx: Tx, source_id: SourceId) -> Sequence[Mandate]:
        """Return all mandates on a source."""
        return self.mandates_room.list_for_source(tx, source_id)

    def mandates_of(self, tx: Tx, user_id: UserId, account_id: AccountId) -> Sequence[Mandate]:
        """Return an account's mandates, oldest first, those that are on before those that are off."""
        own = [each for each in self.mandates_room.list_of(tx, user_id) if each.account_id == account_id]
        return sorted(own, key=lambda each: not each.is_enabled)

    def facts(self, tx: Tx, account_ids: Sequence[AccountId], now: datetime) -> Mapping[AccountId, AccountFacts]:
        """Return the facts of these accounts; those that are gone are missing."""
        return {
            known.row.id: AccountFacts(
                account_id=known.row.id,
                user_id=known.row.user_id,
                label=known.row.label,
                venue=known.row.venue,
                environment=known.row.environment,
                plan=known.plan or _NO_PLAN,
                gate=known.gate,
                caps=_caps(self.switches.min_order_quote, known.row.max_order_quote, known.row.max_day_quote),
                quote=known.row.quote_asset,
                is_stand_in=known.row.is_stand_in,
                preferred_venue=_venue(known.person.preferred_venue),
                stop_epoch=known.stop_epoch,
            )
            for known in self._known(tx, account_ids, now)
        }

    def entry_gate(self, tx: Tx, orders: Sequence[Order]) -> Mapping[OrderId, str]:
        """Say which of these entries may not be claimed now, and why: the gate, read again at the claim."""
        answers: dict[GateInputs, str | None] = {}
        reasons: dict[AccountId, str | None] = {}
        for known in self._known(tx, [order.account_id for order in orders], self.clock.now()):
            if known.gate not in answers:
                answers[known.gate] = _refusal(known.gate)
            reasons[known.row.id] = answers[known.gate]
        found = ((order.id, reasons.get(order.account_id, "account_gone")) for order in orders)
        return {order_id: reason for order_id, reason in found if reason is not None}

    def _known(self, tx: Tx, account_ids: Sequence[AccountId], now: datetime) -> Iterator[_Known]:
        """Read these accounts with what their gates look at; those that look the same share their inputs."""
        # Before the stops themselves: an entry decided on these facts carries the older number, if any.
        epoch = stop_epoch(tx)
        rows = self.accounts.load_many(tx, account_ids)
        stops = accounts_stopped(tx, [(row.venue, row.user_id, row.id) for row in rows.values()])
        user_ids = {row.user_id for row in rows.values()}
        people = self.identity.load_users(tx, user_ids)
        plans = self.billing.entitlement(tx, user_ids, now)
        healths: dict[tuple[VenueName, Environment], VenueHealth | None] = {}
        shared: dict[_GateKey, GateInputs] = {}
        for row in rows.values():
            person = people.get(row.user_id)
            if person is None:
                continue
            place = row.venue, row.environment
            if place not in healths:
                # One look at each venue, not one for each of its accounts.
                healths[place] = self.health_of(row)
            key = self._gate_key(row, person, plans.get(row.user_id), stops.get(row.id))
            if key not in shared:
                shared[key] = self._gate(key, person, now, healths[place])
            yield _Known(row, person, key.plan, shared[key], epoch)

    def _gate_key(self, row: AccountRow, person: User, plan: Plan | None, stop: StopInForce | None) -> _GateKey:
        return _GateKey(
            row.venue,
            row.environment,
            row.quote_asset,
            row.dry_run,
            row.live_confirmed_at is not None,
            self._credential(row),
            row.status,
            self.is_held(row.id),
            plan,
            person.status,
            person.suspended_until,
            person.suspended_reason,
            stop,
        )

    def _gate(self, key: _GateKey, person: User, now: datetime, health: VenueHealth | None) -> GateInputs:
        silent_s = None
        if health is not None and health.checked_at is not None:
            silent_s = max(0, int((now - health.checked_at).total_seconds()))
        is_healthy = health is not None and health.is_healthy and silent_s is not None and silent_s <= _HEALTH_AGE_S
        until = person.suspended_until
        inputs = GateInputs(
            environment=key.environment,
            venue_label=_LABELS.get(key.venue, key.venue),
            allow_live=self.switches.allow_live,
            trading_enabled=self.switches.trading_enabled,
            is_dry_run=self.switches.dry_run or key.is_dry_run,
            # Where the operator wants a token there is no way to present it yet: live stays closed.
            has_live_token=self.switches.live_confirm is None,
            has_confirmed_live=key.has_confirmed_live,
            credential=key.credential,
            is_account_disabled=key.status is AccountStatus.DISABLED,
            is_venue_healthy=is_healthy,
            venue_silent_s=silent_s,
            has_subscription=key.plan is not None,
            is_suspended=person.is_suspended(now),
            suspended_until=None if until is None else until.date().isoformat(),
            suspension_reason=person.suspended_reason,
            # The second factor is not built yet, so nobody has one and no live entry is ever placed.
            has_second_factor=key.environment is not Environment.LIVE,
            is_reconciling=key.is_held,
            is_paused=key.status is AccountStatus.PAUSED,
            quote=key.quote,
        )
        return _with_stop(inputs, key.stop)

    def _credential(self, row: AccountRow) -> CredentialState:
        if not row.has_credential:
            return CredentialState.MISSING
        if self.is_blind(row.id):
            return CredentialState.REFUSED
        if not row.rights.can_trade or row.rights.can_withdraw:
            return CredentialState.NO_TRADE_RIGHT
        # Rights the venue does not name were confirmed by the user in words before the key was stored (K3).
        assert row.rights.source in (PermissionSource.VERIFIED, PermissionSource.UNVERIFIED)
        return CredentialState.VERIFIED


def _with_stop(inputs: GateInputs, stop: StopInForce | None) -> GateInputs:
    if stop is None:
        return inputs
    since = stop.since.strftime("%Y-%m-%d %H:%M UTC")
    return replace(inputs, is_stopped=True, stopped_since=since, stopped_by=stop.by)


# Most accounts have the same ones, and those of equal accounts are told apart by nothing.
_caps = lru_cache(maxsize=1_024)(Caps)


def _refusal(inputs: GateInputs) -> str | None:
    answer = gate(GateKind.ENTRY, inputs)
    return _first_of([reason.code for reason in answer.reasons]) if isinstance(answer, Closed) else None


def _venue(name: str | None) -> VenueName | None:
    return None if name is None else VenueName(name)


def _first_of(codes: Collection[GateCode]) -> str:
    """Choose the reason an entry is denied for; one whose account is only being reconciled waits."""
    if GateCode.DRY_RUN in codes:
        return GateCode.DRY_RUN.value
    final = [code for code in codes if code is not GateCode.RECONCILING]
    return final[0].value if final else HOLD
