"""Tables of plans and subscriptions, and their SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, and_, insert, select, update

from tradewind.billing.subscription import Subscription
from tradewind.core.ids import UserId
from tradewind.core.plan import Plan, PlanName
from tradewind.infra import bulk
from tradewind.infra.db import Tx, UtcTime, metadata

plans = Table(
    "plans",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("release_delay_ms", Integer, nullable=False),
    # NULL: without limit.
    Column("weekly_entries", Integer, nullable=True),
    Column("commission_bps", Integer, nullable=False),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False),
    Column("plan", String(20), ForeignKey("plans.name"), nullable=False),
    Column("status", String(10), nullable=False),
    Column("starts_at", UtcTime, nullable=False),
    # NULL: until something ends it.
    Column("ends_at", UtcTime, nullable=True),
    Column("created_at", UtcTime, nullable=False),
    Index("ix_subscriptions_user_id_status", "user_id", "status"),
)


def list_plans(tx: Tx) -> list[Plan]:
    """Read all plans."""
    query = select(plans).order_by(plans.c.release_delay_ms.desc(), plans.c.name)
    return [Plan(PlanName(r.name), r.release_delay_ms, r.weekly_entries, r.commission_bps) for r in tx.execute(query)]


def insert_plan(tx: Tx, plan: Plan) -> None:
    """Store a plan."""
    tx.execute(
        insert(plans).values(
            name=plan.name.value,
            release_delay_ms=plan.release_delay_ms,
            weekly_entries=plan.weekly_entries,
            commission_bps=plan.commission_bps,
        )
    )


def running_plans(tx: Tx, user_ids: Sequence[UserId], now: datetime) -> list[tuple[UserId, Plan]]:
    """Read user and plan of every running subscription of these users, earliest start first."""
    rows = bulk.select_among(
        tx,
        subscriptions,
        ("user_id", "plan"),
        "user_id",
        user_ids,
        where="status = 'active' AND starts_at <= :starts_at AND (ends_at IS NULL OR ends_at > :ends_at)",
        values={"starts_at": now, "ends_at": now},
        order_by="starts_at, id",
    )
    # A handful, and the same for everybody.
    found = {plan.name.value: plan for plan in list_plans(tx)} if rows else {}
    return [(UserId(user_id), found[name]) for user_id, name in rows]


def insert_subscription(tx: Tx, row: Subscription) -> None:
    """Store a subscription."""
    tx.execute(
        insert(subscriptions).values(
            id=row.id,
            user_id=row.user_id,
            plan=row.plan.value,
            status=row.status,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            created_at=row.created_at,
        )
    )


def end_subscriptions(tx: Tx, user_id: UserId, now: datetime) -> int:
    """End whatever runs or is to run for a user; return how many."""
    mine = and_(subscriptions.c.user_id == user_id, subscriptions.c.status == "active")
    return tx.execute(update(subscriptions).where(mine).values(status="ended", ends_at=now)).rowcount


def list_subscriptions(tx: Tx, user_id: UserId) -> list[Subscription]:
    """Read a user's subscriptions, newest first."""
    query = (
        select(subscriptions)
        .where(subscriptions.c.user_id == user_id)
        .order_by(subscriptions.c.created_at.desc(), subscriptions.c.id.desc())
    )
    return [
        Subscription(r.id, UserId(r.user_id), PlanName(r.plan), r.status, r.starts_at, r.ends_at, r.created_at)
        for r in tx.execute(query)
    ]
