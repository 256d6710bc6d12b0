"""The SQL of mandates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select, update

from tradewind.accounts.account import AccountRow, AccountStatus
from tradewind.accounts.store import account_row, accounts, credentials, mandates
from tradewind.core.ids import AccountId, MandateId, SourceId, UserId
from tradewind.core.mandate import Mandate, RiskLevel
from tradewind.core.money import Asset
from tradewind.infra import bulk
from tradewind.infra.db import Tx
from tradewind.infra.salvage import UNREADABLE, salvage

_COLUMNS = [column.name for column in mandates.columns if column.name != "created_at"]
_NAMES = ("id", "user_id", "account_id", "source_id", "is_enabled", "risk", *_COLUMNS[6:])
_RISKS = {each.value: each for each in RiskLevel}
assert sorted(_NAMES) == sorted(_COLUMNS)


def insert_mandate(tx: Tx, mandate: Mandate, now: datetime) -> None:
    """Store a mandate."""
    tx.execute(insert(mandates).values(created_at=now, **_values(mandate)))


def replace_mandate(tx: Tx, mandate: Mandate) -> None:
    """Store a changed mandate of its user."""
    mine = (mandates.c.id == mandate.id) & (mandates.c.user_id == mandate.user_id)
    tx.execute(update(mandates).where(mine).values(**_values(mandate)))


def find_mandate(tx: Tx, user_id: UserId, mandate_id: MandateId) -> Mandate | None:
    """Find a mandate of a user."""
    return _only(tx, select(mandates).where(mandates.c.id == mandate_id, mandates.c.user_id == user_id))


def find_mandate_of(tx: Tx, account_id: AccountId, source_id: SourceId) -> Mandate | None:
    """Find the mandate of an account on a source: for the engine and for hand signals."""
    return _only(tx, select(mandates).where(mandates.c.account_id == account_id, mandates.c.source_id == source_id))


def list_mandates(tx: Tx, user_id: UserId) -> list[Mandate]:
    """Read a user's mandates, oldest first."""
    return _all(tx, select(mandates).where(mandates.c.user_id == user_id).order_by(mandates.c.id))


def delete_mandate(tx: Tx, user_id: UserId, mandate_id: MandateId) -> bool:
    """Delete a mandate of a user; False if there is none such."""
    mine = (mandates.c.id == mandate_id) & (mandates.c.user_id == user_id)
    return tx.execute(delete(mandates).where(mine)).rowcount == 1


def delete_mandates_of(tx: Tx, account_id: AccountId) -> int:
    """Delete every mandate of an account; return how many."""
    return tx.execute(delete(mandates).where(mandates.c.account_id == account_id)).rowcount


def for_source(tx: Tx, source_id: SourceId) -> list[tuple[Mandate, AccountRow]]:
    """Read every mandate on a source with its account, those switched off too, in one query.

    One whose terms cannot be read is among them as damaged, if its account can be read.
    """
    labelled = [mandates.c[name].label(f"mandate_{name}") for name in _COLUMNS]
    query = (
        select(
            accounts,
            credentials.c.id.label("credential_id"),
            credentials.c.api_key_masked,
            *labelled,
        )
        .select_from(mandates)
        .join(accounts, accounts.c.id == mandates.c.account_id)
        .outerjoin(credentials, credentials.c.account_id == accounts.c.id)
        .where(mandates.c.source_id == source_id, accounts.c.status != AccountStatus.DELETED.value)
        .order_by(accounts.c.id)
    )
    read = salvage(tx, query, mandates.c.id, lambda row: (_mandate(row, "mandate_"), account_row(row)))
    if not read.broken:
        return read.found
    hurt = {each.account_id: each for each in _damaged(tx, list(read.broken))}
    columns = (accounts, credentials.c.id.label("credential_id"), credentials.c.api_key_masked)
    joined = accounts.outerjoin(credentials, credentials.c.account_id == accounts.c.id)
    whole = select(*columns).select_from(joined)
    rows = salvage(tx, whole.where(accounts.c.id.in_(list(hurt))), accounts.c.id, account_row)
    found = [*read.found, *((hurt[row.id], row) for row in rows.found)]
    return sorted(found, key=lambda each: each[1].id)


def _only(tx: Tx, query: Select[Any]) -> Mandate | None:
    return next(iter(_all(tx, query)), None)


def _all(tx: Tx, query: Select[Any]) -> list[Mandate]:
    read = salvage(tx, query, mandates.c.id, lambda row: _mandate(row, ""))
    return [*read.found, *_damaged(tx, list(read.broken))]


def _damaged(tx: Tx, ids: Sequence[str]) -> list[Mandate]:
    """Stand-ins for mandates whose terms cannot be read: whose they are is known, nothing is bought on them."""
    if not ids:
        return []
    names = (mandates.c.id, mandates.c.user_id, mandates.c.account_id, mandates.c.source_id)
    return [
        Mandate(
            id=MandateId(row.id),
            user_id=UserId(row.user_id),
            account_id=AccountId(row.account_id),
            source_id=SourceId(row.source_id),
            is_damaged=True,
        )
        for row in tx.execute(select(*names).where(mandates.c.id.in_(list(ids))).order_by(mandates.c.id))
    ]


def of_source(tx: Tx, source_id: SourceId) -> list[Mandate]:
    """Read every mandate on a source, those switched off too, ordered by account; damaged ones as such."""
    try:
        found = list(map(_by_position, bulk.select_rows(tx, mandates, _NAMES, "source_id", [source_id])))
    except UNREADABLE:
        found = _all(tx, select(mandates).where(mandates.c.source_id == source_id))
    return sorted(found, key=lambda each: each.account_id)


def _by_position(row: Sequence[Any]) -> Mandate:
    return Mandate(**dict(zip(_NAMES, row, strict=True)) | {"risk": _RISKS[row[5]]})


def _values(mandate: Mandate) -> dict[str, Any]:
    values = {name: getattr(mandate, name) for name in _COLUMNS}
    values["risk"] = mandate.risk.value
    return values


def _mandate(row: Row[Any], prefix: str) -> Mandate:
    def of(name: str) -> Any:
        return getattr(row, prefix + name)

    quote = of("quote_preference")
    budget: Decimal | None = of("budget_quote")
    return Mandate(
        id=MandateId(of("id")),
        user_id=UserId(of("user_id")),
        account_id=AccountId(of("account_id")),
        source_id=SourceId(of("source_id")),
        is_enabled=of("is_enabled"),
        risk=RiskLevel(of("risk")),
        budget_quote=budget,
        max_open_positions=of("max_open_positions"),
        stop_bps=of("stop_bps"),
        target_bps=of("target_bps"),
        min_stop_bps=of("min_stop_bps"),
        max_stop_bps=of("max_stop_bps"),
        min_target_bps=of("min_target_bps"),
        max_target_bps=of("max_target_bps"),
        trailing_bps=of("trailing_bps"),
        time_exit_s=of("time_exit_s"),
        follows_source_size=of("follows_source_size"),
        quote_preference=None if quote is None else Asset(quote),
        allows_adding=of("allows_adding"),
        is_preferred=of("is_preferred"),
        trades_beside_preferred=of("trades_beside_preferred"),
    )
