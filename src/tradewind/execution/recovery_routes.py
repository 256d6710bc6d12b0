"""The doors of recovery: what each reconcile of an account found, and which accounts still wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Row

from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId
from tradewind.execution import recovery_store
from tradewind.execution.deps import ExecutionDeps
from tradewind.infra.db import Tx
from tradewind.web.principal import Operator, Reader, Role

_REPORTS_MAX = 200


class DifferenceOut(BaseModel):
    """One thing in which our records and the venue did not agree, and what was done about it."""

    kind: str
    symbol: str
    ours: str
    venue: str
    done: str
    order_id: str | None


class RecoveryReportOut(BaseModel):
    """One reconcile of one account. `green_at` null: its entries wait, for what `waits_for` says."""

    id: str
    account_id: str
    venue: str
    environment: str
    cause: str
    started_at: datetime
    green_at: datetime | None
    waits_for: str | None
    looks: int
    orders: int
    fills_booked: int
    positions: int
    differences: int
    not_ours: int
    weight: int
    details: list[DifferenceOut]


class RecoveryReportsOut(BaseModel):
    """Reports, newest first."""

    items: list[RecoveryReportOut]


class OutstandingOut(BaseModel):
    """Accounts of one venue whose entries wait, and the time the venue's own limits allow for comparing them.

    `compared_every_s`: how often every account is compared when nothing calls for it. `deaf_found_within_s`: after
    this a private stream that is up and says nothing of an order is found out; its report says when it was cleared.
    """

    venue: str
    environment: str
    accounts: int
    weight: int
    within_s: int | None
    orders_in_doubt: int
    doubts_within_s: int | None
    compared_every_s: int
    deaf_found_within_s: int


class RecoveryOverviewOut(BaseModel):
    """Where recovery stands, for operators."""

    outstanding: list[OutstandingOut]
    items: list[RecoveryReportOut]


def add_recovery(router: APIRouter, deps: ExecutionDeps) -> None:
    """Add the routes of recovery."""

    @router.get("/accounts/{account_id}/recovery")
    async def account_recovery(
        account_id: str, caller: Reader, limit: Annotated[int, Query(ge=1, le=_REPORTS_MAX)] = 20
    ) -> RecoveryReportsOut:
        """What comparing an account with its exchange has found, newest first; operators may read any."""

        def read(tx: Tx) -> Sequence[Row[Any]]:
            sees_all = caller.is_operator or caller.role is Role.SUPPORT
            if not sees_all and account_id not in deps.own_accounts(tx, caller.user_id):
                raise NotFound("account_not_found", "There is no such account.")
            return recovery_store.list_reports(tx, account_ids=[AccountId(account_id)], limit=limit)

        return RecoveryReportsOut(items=[report_out(row) for row in await deps.db.read(read)])

    @router.get("/recovery")
    async def recovery(
        _caller: Operator, limit: Annotated[int, Query(ge=1, le=_REPORTS_MAX)] = 50
    ) -> RecoveryOverviewOut:
        """Which accounts still wait, in how many seconds the venues' limits let them be done, and the last reports."""
        rows = await deps.db.read(lambda tx: recovery_store.list_reports(tx, account_ids=None, limit=limit))
        outstanding = [
            OutstandingOut(
                venue=each.client.capabilities.venue,
                environment=each.client.environment.value.upper(),
                accounts=each.accounts,
                weight=each.weight,
                within_s=each.within_s,
                orders_in_doubt=each.doubts,
                doubts_within_s=each.doubts_within_s,
                compared_every_s=each.compared_every_s,
                deaf_found_within_s=each.deaf_found_within_s,
            )
            for each in deps.recovery.outstanding()
        ]
        return RecoveryOverviewOut(outstanding=outstanding, items=[report_out(row) for row in rows])


def report_out(row: Row[Any]) -> RecoveryReportOut:
    """Show a report."""
    return RecoveryReportOut(
        id=row.id,
        account_id=row.account_id,
        venue=row.venue,
        environment=row.environment.upper(),
        cause=row.cause,
        started_at=row.started_at,
        green_at=row.green_at,
        waits_for=row.waits_for,
        looks=row.looks,
        orders=row.orders,
        fills_booked=row.fills,
        positions=row.positions,
        differences=row.differences,
        not_ours=row.not_ours,
        weight=row.weight,
        details=[DifferenceOut(**each) for each in recovery_store.detail_of(row)["differences"]],
    )
