"""Tables of accounts, credentials and mandates, and the SQL of the first two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Select,
    String,
    Table,
    delete,
    false,
    insert,
    select,
    text,
    update,
)

from tradewind.accounts.account import AccountRow, AccountStatus, CredentialRow, Rights
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import Asset
from tradewind.infra import bulk
from tradewind.infra.db import Exact, Tx, UtcTime, metadata
from tradewind.infra.salvage import UNREADABLE, salvage
from tradewind.signer.service import StoredCredential
from tradewind.venues.base import PermissionSource

# One account per (venue, environment, venue's own user id) in the installation, operator stand-ins excepted
# (order-protocol.md section 7); what was deleted is history and stands in nobody's way.
_COUNTS = text("NOT is_stand_in AND status <> 'deleted'")

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False, index=True),
    Column("venue", String(20), nullable=False),
    Column("environment", String(10), nullable=False),
    Column("label", String(80), nullable=False),
    Column("venue_user_id", String(80), nullable=False),
    Column("status", String(10), nullable=False),
    Column("status_reason", String(40), nullable=True),
    Column("permission_source", String(12), nullable=False),
    Column("can_read", Boolean, nullable=False),
    Column("can_trade", Boolean, nullable=False),
    Column("can_withdraw", Boolean, nullable=False),
    Column("last_ok_at", UtcTime, nullable=True),
    Column("credential_errors", Integer, nullable=False),
    # Grows with every key, so that no two keys of an account are ever sealed for the same place.
    Column("credential_version", Integer, nullable=False),
    Column("is_stand_in", Boolean, nullable=False),
    Column("quote_asset", String(20), nullable=True),
    Column("max_order_quote", Exact, nullable=True),
    Column("max_day_quote", Exact, nullable=True),
    Column("dry_run", Boolean, nullable=False),
    Column("live_confirmed_at", UtcTime, nullable=True),
    Column("created_at", UtcTime, nullable=False),
    Column("rev", Integer, nullable=False),
    Index(
        "uq_accounts_venue_user",
        "venue",
        "environment",
        "venue_user_id",
        unique=True,
        sqlite_where=_COUNTS,
        postgresql_where=_COUNTS,
    ),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", String(36), primary_key=True),
    # One key per account: a replaced one is deleted, not kept.
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False, unique=True),
    Column("user_id", String(36), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("api_key_masked", String(20), nullable=False),
    Column("fingerprint", String(16), nullable=False, unique=True),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

mandates = Table(
    "mandates",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("user_id", String(36), nullable=False, index=True),
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False),
    Column("source_id", String(36), nullable=False, index=True),
    Column("is_enabled", Boolean, nullable=False),
    Column("risk", String(10), nullable=False),
    Column("budget_quote", Exact, nullable=True),
    Column("max_open_positions", Integer, nullable=False),
    Column("stop_bps", Integer, nullable=False),
    Column("target_bps", Integer, nullable=False),
    Column("min_stop_bps", Integer, nullable=False),
    Column("max_stop_bps", Integer, nullable=False),
    Column("min_target_bps", Integer, nullable=False),
    Column("max_target_bps", Integer, nullable=False),
    Column("trailing_bps", Integer, nullable=True),
    Column("time_exit_s", Integer, nullable=True),
    Column("follows_source_size", Boolean, nullable=False),
    Column("quote_preference", String(20), nullable=True),
    Column("allows_adding", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("is_preferred", Boolean, nullable=False, server_default=false()),
    Column("trades_beside_preferred", Boolean, nullable=False, server_default=false()),
    Index("uq_mandates_account_id_source_id", "account_id", "source_id", unique=True),
)


def account_columns() -> Select[Any]:
    """Select an account with what may be shown of its credential; deleted accounts are left out."""
    return (
        select(accounts, credentials.c.id.label("credential_id"), credentials.c.api_key_masked)
        .outerjoin(credentials, credentials.c.account_id == accounts.c.id)
        .where(accounts.c.status != AccountStatus.DELETED.value)
    )


# --- accounts ---


def insert_account(tx: Tx, row: AccountRow) -> None:
    """Store an account."""
    plain = (
        "id user_id venue environment label venue_user_id status status_reason last_ok_at credential_errors "
        "credential_version is_stand_in quote_asset max_order_quote max_day_quote dry_run live_confirmed_at "
        "created_at rev"
    )
    values = {name: getattr(row, name) for name in plain.split()}
    tx.execute(insert(accounts).values(**values, **_rights_values(row.rights)))


def find_account(tx: Tx, user_id: UserId, account_id: AccountId) -> AccountRow | None:
    """Find an account of a user."""
    query = account_columns().where(accounts.c.id == account_id, accounts.c.user_id == user_id)
    row = tx.execute(query).one_or_none()
    return None if row is None else account_row(row)


def list_accounts(tx: Tx, user_id: UserId) -> list[AccountRow]:
    """Read a user's accounts, oldest first."""
    query = account_columns().where(accounts.c.user_id == user_id).order_by(accounts.c.id)
    return [account_row(row) for row in tx.execute(query)]


def accounts_with_ids(tx: Tx, account_ids: Sequence[AccountId]) -> list[AccountRow]:
    """Read these accounts of whomever: for the engine, never for a request of a user."""
    try:
        keys = {row[0]: row[1:] for row in bulk.select_rows(tx, credentials, _KEY_NAMES, "account_id", account_ids)}
        rows = bulk.select_rows(tx, accounts, _ACCOUNT_NAMES, "id", account_ids)
        return [_account(row, *keys.get(row[0], _NO_KEY)) for row in rows if row[6] != AccountStatus.DELETED.value]
    except UNREADABLE:
        return salvage(tx, account_columns().where(accounts.c.id.in_(account_ids)), accounts.c.id, account_row).found


def all_accounts(tx: Tx) -> list[AccountRow]:
    """Read every account of the installation: for the engine, never for a request of a user."""
    return salvage(tx, account_columns().order_by(accounts.c.id), accounts.c.id, account_row).found


def find_by_venue_user(tx: Tx, venue: VenueName, environment: Environment, venue_user_id: str) -> AccountRow | None:
    """Find whose account the venue's own user id is; stand-ins do not count."""
    query = account_columns().where(
        accounts.c.venue == venue,
        accounts.c.environment == environment.value,
        accounts.c.venue_user_id == venue_user_id,
        ~accounts.c.is_stand_in,
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else account_row(row)


def update_account(tx: Tx, account_id: AccountId, values: Mapping[str, Any]) -> None:
    """Change columns of an account and grow its `rev`."""
    tx.execute(update(accounts).where(accounts.c.id == account_id).values(rev=accounts.c.rev + 1, **values))


def update_rights(tx: Tx, account_id: AccountId, rights: Rights) -> None:
    """Change what the account's key is known to be allowed to do."""
    update_account(tx, account_id, _rights_values(rights))


def touch_account(tx: Tx, account_id: AccountId, now: datetime) -> None:
    """Remember a successful call with the account's key; nothing a reader has to refetch."""
    tx.execute(update(accounts).where(accounts.c.id == account_id).values(last_ok_at=now, credential_errors=0))


def add_credential_error(tx: Tx, account_id: AccountId) -> int:
    """Count one more credential error; return the count."""
    tx.execute(
        update(accounts).where(accounts.c.id == account_id).values(credential_errors=accounts.c.credential_errors + 1)
    )
    query = select(accounts.c.credential_errors).where(accounts.c.id == account_id)
    return int(tx.execute(query).scalar_one())


# --- credentials ---


def insert_credential(tx: Tx, row: CredentialRow) -> None:
    """Store an account's sealed key."""
    tx.execute(insert(credentials).values({name: getattr(row, name) for name in CredentialRow.__slots__}))


def find_account_of_credential(tx: Tx, user_id: UserId, credential_id: str) -> AccountRow | None:
    """Find the account of a user's credential."""
    query = account_columns().where(credentials.c.id == credential_id, accounts.c.user_id == user_id)
    row = tx.execute(query).one_or_none()
    return None if row is None else account_row(row)


def owner_of_fingerprint(tx: Tx, fingerprint: str) -> UserId | None:
    """Say who has added this very key before, if anybody."""
    query = select(credentials.c.user_id).where(credentials.c.fingerprint == fingerprint)
    return tx.execute(query).scalar_one_or_none()


def credential_created_at(tx: Tx, user_id: UserId) -> Mapping[AccountId, datetime]:
    """Read when each of a user's keys was added."""
    query = select(credentials.c.account_id, credentials.c.created_at).where(credentials.c.user_id == user_id)
    return {AccountId(row.account_id): row.created_at for row in tx.execute(query)}


def delete_credential(tx: Tx, account_id: AccountId) -> bool:
    """Delete an account's sealed key; False if it has none."""
    return tx.execute(delete(credentials).where(credentials.c.account_id == account_id)).rowcount == 1


def stored_credentials(tx: Tx, account_ids: Sequence[AccountId]) -> Mapping[AccountId, StoredCredential]:
    """Read the sealed keys of these accounts in one query: for the signer alone."""
    query = (
        select(
            credentials.c.account_id,
            credentials.c.user_id,
            credentials.c.version,
            credentials.c.sealed_key,
            credentials.c.sealed_secret,
            accounts.c.venue,
            accounts.c.environment,
        )
        .join(accounts, accounts.c.id == credentials.c.account_id)
        .where(credentials.c.account_id.in_(account_ids))
    )
    return {
        AccountId(row.account_id): StoredCredential(
            AccountId(row.account_id),
            UserId(row.user_id),
            VenueName(row.venue),
            Environment(row.environment),
            row.version,
            row.sealed_key,
            row.sealed_secret,
        )
        for row in tx.execute(query)
    }


# As AccountRow takes them, with the rights in a row of their own.
_ACCOUNT_NAMES = (
    *("id", "user_id", "venue", "environment", "label", "venue_user_id", "status", "status_reason"),
    *("permission_source", "can_read", "can_trade", "can_withdraw"),
    *("last_ok_at", "credential_errors", "credential_version", "is_stand_in", "quote_asset", "max_order_quote"),
    *("max_day_quote", "dry_run", "live_confirmed_at", "created_at", "rev"),
)
_KEY_NAMES = ("account_id", "id", "api_key_masked")
_NO_KEY = (None, None)
_ENVIRONMENTS = {each.value: each for each in Environment}
_STATUSES = {each.value: each for each in AccountStatus}


@lru_cache(maxsize=64)
def _rights(source: str, can_read: bool, can_trade: bool, can_withdraw: bool) -> Rights:
    return Rights(PermissionSource(source), can_read, can_trade, can_withdraw)


def _account(row: Sequence[Any], credential_id: str | None, api_key_masked: str | None) -> AccountRow:
    return AccountRow(
        id=row[0],
        user_id=row[1],
        venue=row[2],
        environment=_ENVIRONMENTS[row[3]],
        label=row[4],
        venue_user_id=row[5],
        status=_STATUSES[row[6]],
        status_reason=row[7],
        rights=_rights(*row[8:12]),
        last_ok_at=row[12],
        credential_errors=row[13],
        credential_version=row[14],
        is_stand_in=row[15],
        quote_asset=row[16],
        max_order_quote=row[17],
        max_day_quote=row[18],
        dry_run=row[19],
        live_confirmed_at=row[20],
        created_at=row[21],
        rev=row[22],
        credential_id=credential_id,
        api_key_masked=api_key_masked,
    )


def account_row(row: Row[Any]) -> AccountRow:
    """Build the value from a row of `account_columns`."""
    return AccountRow(
        id=AccountId(row.id),
        user_id=UserId(row.user_id),
        venue=VenueName(row.venue),
        environment=Environment(row.environment),
        label=row.label,
        venue_user_id=row.venue_user_id,
        status=AccountStatus(row.status),
        status_reason=row.status_reason,
        rights=Rights(PermissionSource(row.permission_source), row.can_read, row.can_trade, row.can_withdraw),
        last_ok_at=row.last_ok_at,
        credential_errors=row.credential_errors,
        credential_version=row.credential_version,
        is_stand_in=row.is_stand_in,
        quote_asset=None if row.quote_asset is None else Asset(row.quote_asset),
        max_order_quote=row.max_order_quote,
        max_day_quote=row.max_day_quote,
        dry_run=row.dry_run,
        live_confirmed_at=row.live_confirmed_at,
        created_at=row.created_at,
        rev=row.rev,
        credential_id=row.credential_id,
        api_key_masked=row.api_key_masked,
    )


def _rights_values(rights: Rights) -> dict[str, Any]:
    return {
        "permission_source": rights.source.value,
        "can_read": rights.can_read,
        "can_trade": rights.can_trade,
        "can_withdraw": rights.can_withdraw,
    }
