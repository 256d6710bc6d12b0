"""The verbs of plans and subscriptions.

A user has at most one running subscription; setting one ends the one before and keeps it as history. A
subscription that has lapsed closes entries only (order-protocol.md section 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tradewind.audit.service import Audit
from tradewind.billing import store
from tradewind.billing.subscription import Subscription
from tradewind.core.errors import InvalidInput
from tradewind.core.ids import UserId
from tradewind.core.plan import DEFAULT_PLANS, Plan, PlanName
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user is on now: the plan (None: nothing runs) and the latest subscription, if any."""

    plan: Plan | None
    latest: Subscription | None


class Billing:
    """Plans and subscriptions."""

    def __init__(self, clock: Clock, ids: Ids, audit: Audit) -> None:
        self._clock = clock
        self._ids = ids
        self._audit = audit

    def seed_plans(self, tx: Tx) -> int:
        """Store the default plans that are missing (idempotent); return how many. An edited plan stays."""
        known = {plan.name for plan in store.list_plans(tx)}
        missing = [plan for name, plan in DEFAULT_PLANS.items() if name not in known]
        for plan in missing:
            store.insert_plan(tx, plan)
        return len(missing)

    def list_plans(self, tx: Tx) -> list[Plan]:
        """List all plans, slowest release first."""
        return store.list_plans(tx)

    def entitlement(self, tx: Tx, user_ids: Iterable[UserId], now: datetime) -> Mapping[UserId, Plan | None]:
        """Say which plan each of these users is on now, in one query; None where nothing runs."""
        wanted = sorted(set(user_ids))
        entitled: dict[UserId, Plan | None] = dict.fromkeys(wanted)
        # Ordered by start: the latest one wins.
        entitled.update(store.running_plans(tx, wanted, now))
        return entitled

    def standing(self, tx: Tx, user_id: UserId) -> Standing:
        """Say what a user is on now."""
        past = store.list_subscriptions(tx, user_id)
        return Standing(self.entitlement(tx, [user_id], self._clock.now())[user_id], past[0] if past else None)

    def set_subscription(
        self, tx: Tx, user_id: UserId, plan: PlanName, *, actor: str, ends_at: datetime | None = None
    ) -> Subscription:
        """Put a user on a plan from now on (operator's act); what ran before ends. Raises InvalidInput."""
        now = self._clock.now()
        if ends_at is not None and ends_at <= now:
            raise InvalidInput("ends_in_past", "The end of a subscription must lie in the future.")
        store.end_subscriptions(tx, user_id, now)
        row = Subscription(self._ids.new(), user_id, plan, "active", now, ends_at, now)
        store.insert_subscription(tx, row)
        details = {"plan": plan.value, "ends_at": None if ends_at is None else ends_at.isoformat()}
        self._audit.append(tx, actor, "subscription.set", f"user:{user_id}", details=details, user_id=user_id)
        return row

    def end_subscription(self, tx: Tx, user_id: UserId, *, actor: str) -> None:
        """End a user's subscription now (idempotent)."""
        if store.end_subscriptions(tx, user_id, self._clock.now()):
            self._audit.append(tx, actor, "subscription.ended", f"user:{user_id}", user_id=user_id)
