"""SQL of recovery: reports of reconciled accounts, restores, and the ids that are watched after their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Row, and_, delete, exists, func, insert, or_, select, update

from tradewind.core.ids import AccountId, UserId
from tradewind.core.order import Order, OrderState
from tradewind.execution.recovery_tables import recovery_reports, restores
from tradewind.execution.store import from_row, is_readable
from tradewind.execution.tables import orders
from tradewind.infra.db import Tx

# Reports are for people who ask what happened; an account's older ones go with its next.
_KEEP = timedelta(days=30)


def put_report(tx: Tx, values: Mapping[str, Any]) -> None:
    """Write a report, or bring a known one up to date."""
    row = {**values, "detail": msgspec.json.encode(values["detail"]).decode("utf-8")}
    changed = tx.execute(update(recovery_reports).where(recovery_reports.c.id == row["id"]).values(row))
    if changed.rowcount == 0:
        tx.execute(insert(recovery_reports), [row])
        # Those of a restore say who has been reconciled after it: they stay.
        is_old = recovery_reports.c.started_at < row["started_at"] - _KEEP
        old = and_(is_old, recovery_reports.c.restore_id.is_(None))
        tx.execute(delete(recovery_reports).where(recovery_reports.c.account_id == row["account_id"], old))


def list_reports(
    tx: Tx, *, account_ids: Sequence[AccountId] | None, limit: int, before: datetime | None = None
) -> list[Row[Any]]:
    """Read reports, newest first; `account_ids` None reads all accounts (operators)."""
    query = select(recovery_reports)
    if account_ids is not None:
        query = query.where(recovery_reports.c.account_id.in_(list(account_ids)))
    if before is not None:
        query = query.where(recovery_reports.c.started_at < before)
    query = query.order_by(recovery_reports.c.started_at.desc(), recovery_reports.c.id.desc()).limit(limit)
    return list(tx.execute(query))


def list_waiting(tx: Tx) -> list[str]:
    """Read for what each account waits whose latest report is not green."""
    newer = recovery_reports.alias("newer")
    is_newest = ~exists().where(
        newer.c.account_id == recovery_reports.c.account_id, newer.c.started_at > recovery_reports.c.started_at
    )
    query = select(recovery_reports.c.waits_for).where(recovery_reports.c.green_at.is_(None), is_newest)
    return [waits_for or "a look" for waits_for in tx.execute(query.order_by(recovery_reports.c.started_at)).scalars()]


def count_in_doubt(tx: Tx) -> int:
    """Count the orders of which nobody knows what became."""
    words = [OrderState.UNKNOWN.value, OrderState.BLIND.value]
    return tx.execute(select(func.count()).select_from(orders).where(orders.c.state.in_(words))).scalar_one()


def count_restores_undone(tx: Tx) -> int:
    """Count the restores after which some account was not reconciled yet."""
    return tx.execute(select(func.count()).select_from(restores).where(restores.c.is_done.is_(False))).scalar_one()


def detail_of(row: Row[Any]) -> dict[str, Any]:
    """Read a report's differences."""
    found: dict[str, Any] = msgspec.json.decode(row.detail)
    return found


def owner_of_account(tx: Tx, account_id: AccountId) -> UserId | None:
    """Return whose account the latest report is of; None without one."""
    query = select(recovery_reports.c.user_id).where(recovery_reports.c.account_id == account_id).limit(1)
    found = tx.execute(query).scalar_one_or_none()
    return None if found is None else UserId(found)


def list_ended_to_watch(tx: Tx, since: datetime) -> list[Order]:
    """Read orders that ended since a time without the venue having said so: a late copy may still execute.

    Never arrived, accepted once and then absent, or denied after an attempt to send them.
    """
    is_recent = orders.c.ended_at >= since
    query = select(orders).where(
        or_(
            and_(orders.c.state == OrderState.NEVER_ARRIVED.value, is_recent),
            and_(orders.c.state == OrderState.CANCELED.value, is_recent, orders.c.reason == "absent"),
            and_(orders.c.state == OrderState.DENIED.value, is_recent, orders.c.attempt > 0),
        ),
    )
    rows = tx.execute(query.order_by(orders.c.ended_at, orders.c.id))
    return [from_row(row).order for row in rows if is_readable(row)]
