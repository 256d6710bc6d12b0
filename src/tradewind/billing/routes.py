"""HTTP of plans and subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict

from tradewind.billing.service import Billing, Standing
from tradewind.core.ids import UserId
from tradewind.core.plan import Plan, PlanName
from tradewind.identity.service import Identity
from tradewind.infra.db import Db, Tx
from tradewind.web.principal import Operator, Reader


@dataclass(frozen=True, slots=True)
class BillingDeps:
    """What the routes need."""

    db: Db
    billing: Billing
    identity: Identity


class PlanOut(BaseModel):
    """A plan. `weekly_entries` null: without limit."""

    name: PlanName
    release_delay_ms: int
    weekly_entries: int | None
    commission_bps: int


class PlansOut(BaseModel):
    """All plans."""

    items: list[PlanOut]


class SubscriptionOut(BaseModel):
    """What a user is on; `plan` null: nothing runs, so no automatic entries are made."""

    plan: PlanOut | None
    starts_at: datetime | None
    ends_at: datetime | None


class SubscriptionBody(BaseModel):
    """The plan to put a user on; `ends_at` null: open-ended."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanName
    ends_at: AwareDatetime | None = None


def build_router(deps: BillingDeps) -> APIRouter:
    """Build the routes of this room."""
    router = APIRouter(tags=["billing"])

    @router.get("/plans")
    async def plans(_caller: Reader) -> PlansOut:
        """List the plans."""
        rows = await deps.db.read(deps.billing.list_plans)
        return PlansOut(items=[_plan_out(row) for row in rows])

    @router.get("/subscription")
    async def mine(caller: Reader) -> SubscriptionOut:
        """Say what the caller is on."""
        return _out(await deps.db.read(lambda tx: deps.billing.standing(tx, caller.user_id)))

    @router.put("/users/{user_id}/subscription")
    async def put_on(user_id: str, body: SubscriptionBody, caller: Operator) -> SubscriptionOut:
        """Put a user on a plan from now on (operators)."""
        person = UserId(user_id)

        def change(tx: Tx) -> Standing:
            deps.identity.load_user(tx, person)
            deps.billing.set_subscription(tx, person, body.plan, actor=caller.actor, ends_at=body.ends_at)
            return deps.billing.standing(tx, person)

        return _out(await deps.db.write(change))

    return router


def _plan_out(plan: Plan) -> PlanOut:
    return PlanOut(
        name=plan.name,
        release_delay_ms=plan.release_delay_ms,
        weekly_entries=plan.weekly_entries,
        commission_bps=plan.commission_bps,
    )


def _out(standing: Standing) -> SubscriptionOut:
    runs = standing.plan is not None and standing.latest is not None
    return SubscriptionOut(
        plan=None if standing.plan is None else _plan_out(standing.plan),
        starts_at=standing.latest.starts_at if runs and standing.latest is not None else None,
        ends_at=standing.latest.ends_at if runs and standing.latest is not None else None,
    )
