"""The SQL of mandates."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from tradewind.accounts.account import AccountRow, AccountStatus
from tradewind.accounts.store import account_row, accounts, credentials, mandates
from tradewind.core.ids import AccountId, MandateId, SourceId, UserId
from tradewind.core.mandate import Mandate, RiskLevel
from tradewind.core.money import Asset
from tradewind.infra.db import Tx

_COLUMNS = [column.name for column in mandates.columns if column.name != "created_at"]


def insert_mandate(tx: Tx, mandate: Mandate, now: datetime) -> None:
    """Store a mandate."""
    tx.execute(insert(mandates).values(created_at=now, **_values(mandate)))


def replace_mandate(tx: Tx, mandate: Mandate) -> None:
    """Store a changed mandate of its user."""
    mine = (mandates.c.id == mandate.id) & (mandates.c.user_id == mandate.user_id)
    tx.execute(update(mandates).where(mine).values(**_values(mandate)))


def find_mandate(tx: Tx, user_id: UserId, mandate_id: MandateId) -> Mandate | None:
    """Find a mandate of a user."""
    query = select(mandates).where(mandates.c.id == mandate_id, mandates.c.user_id == user_id)
    row = tx.execute(query).one_or_none()
    return None if row is None else _mandate(row, "")


def find_mandate_of(tx: Tx, account_id: AccountId, source_id: SourceId) -> Mandate | None:
    """Find the mandate of an account on a source: for the engine and for hand signals."""
    query = select(mandates).where(mandates.c.account_id == account_id, mandates.c.source_id == source_id)
    row = tx.execute(query).one_or_none()
    return None if row is None else _mandate(row, "")


def list_mandates(tx: Tx, user_id: UserId) -> list[Mandate]:
    """Read a user's mandates, oldest first."""
    query = select(mandates).where(mandates.c.user_id == user_id).order_by(mandates.c.id)
    return [_mandate(row, "") for row in tx.execute(query)]


def delete_mandate(tx: Tx, user_id: UserId, mandate_id: MandateId) -> bool:
    """Delete a mandate of a user; False if there is none such."""
    mine = (mandates.c.id == mandate_id) & (mandates.c.user_id == user_id)
    return tx.execute(delete(mandates).where(mine)).rowcount == 1


def delete_mandates_of(tx: Tx, account_id: AccountId) -> int:
    """Delete every mandate of an account; return how many."""
    return tx.execute(delete(mandates).where(mandates.c.account_id == account_id)).rowcount


def for_source(tx: Tx, source_id: SourceId) -> list[tuple[Mandate, AccountRow]]:
    """Read every mandate on a source with its account, those switched off too, in one query."""
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
    return [(_mandate(row, "mandate_"), account_row(row)) for row in tx.execute(query)]


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
