"""Tables of people, sessions and API tokens, and their SQL. Tokens are stored as SHA-256 only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from tradewind.core.ids import UserId
from tradewind.identity.people import ApiToken, Session, User
from tradewind.infra import bulk
from tradewind.infra.db import Tx, UtcTime, metadata
from tradewind.web.principal import Role, Scope

users = Table(
    "users",
    metadata,
    Column("id", String(36), primary_key=True),
    # Normalised: NFKC, lower case, trimmed.
    Column("email", String(254), nullable=False, unique=True),
    Column("name", String(80), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("role", String(10), nullable=False),
    Column("language", String(2), nullable=False),
    Column("status", String(10), nullable=False),
    Column("suspended_until", UtcTime, nullable=True),
    Column("suspended_reason", String(200), nullable=True),
    Column("created_at", UtcTime, nullable=False),
    Column("preferred_venue", String(24), nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("user_id", String(36), ForeignKey("users.id"), nullable=False, index=True),
    Column("created_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("address", String(64), nullable=False),
    Column("agent", String(120), nullable=False),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("user_id", String(36), ForeignKey("users.id"), nullable=False, index=True),
    Column("label", String(80), nullable=False),
    # Space-separated, in the order of web.principal.Scope.
    Column("scopes", String(40), nullable=False),
    # The last four characters, so that a person can tell tokens apart.
    Column("tail", String(4), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=True),
    Column("seen_at", UtcTime, nullable=True),
)


# As User takes them.
_USER_NAMES = (
    *("id", "email", "name", "password_hash", "role", "language", "status", "suspended_until", "suspended_reason"),
    *("created_at", "preferred_venue"),
)
_ROLES = {role.value: role for role in Role}

# --- people ---


def insert_user(tx: Tx, user: User) -> None:
    """Store a person."""
    tx.execute(insert(users).values({name: getattr(user, name) for name in User.__slots__}))


def find_user(tx: Tx, user_id: UserId) -> User | None:
    """Find a person by id."""
    row = tx.execute(select(users).where(users.c.id == user_id)).one_or_none()
    return None if row is None else _user(row)


def find_user_by_email(tx: Tx, email: str) -> User | None:
    """Find a person by normalised e-mail address."""
    row = tx.execute(select(users).where(users.c.email == email)).one_or_none()
    return None if row is None else _user(row)


def list_users(tx: Tx, *, after_id: str | None, limit: int) -> list[User]:
    """Read people in order of creation (ids are ordered by time)."""
    query = select(users).order_by(users.c.id).limit(limit)
    if after_id is not None:
        query = query.where(users.c.id > after_id)
    return [_user(row) for row in tx.execute(query)]


def users_with_ids(tx: Tx, user_ids: Sequence[UserId]) -> list[User]:
    """Read these people in one query."""
    rows = bulk.select_rows(tx, users, _USER_NAMES, "id", user_ids)
    return list(map(_person, rows))


def update_standing(tx: Tx, user_id: UserId, *, status: str, until: datetime | None, reason: str | None) -> None:
    """Change whether a person is suspended."""
    tx.execute(
        update(users).where(users.c.id == user_id).values(status=status, suspended_until=until, suspended_reason=reason)
    )


def update_password_hash(tx: Tx, user_id: UserId, password_hash: str) -> None:
    """Store a new password hash."""
    tx.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))


def update_preferred_venue(tx: Tx, user_id: UserId, venue: str | None) -> None:
    """Store where a person prefers to trade."""
    tx.execute(update(users).where(users.c.id == user_id).values(preferred_venue=venue))


# --- sessions ---


def insert_session(tx: Tx, session: Session, token_hash: bytes) -> None:
    """Store a session."""
    values = {name: getattr(session, name) for name in Session.__slots__}
    tx.execute(insert(sessions).values(token_hash=token_hash, **values))


def find_session(tx: Tx, token_hash: bytes) -> tuple[Session, User] | None:
    """Find a session by the hash of its token, with its person."""
    row = tx.execute(select(sessions).where(sessions.c.token_hash == token_hash)).one_or_none()
    if row is None:
        return None
    session = _session(row)
    user = find_user(tx, session.user_id)
    return None if user is None else (session, user)


def list_sessions(tx: Tx, user_id: UserId) -> list[Session]:
    """Read a person's sessions, newest first."""
    query = select(sessions).where(sessions.c.user_id == user_id).order_by(sessions.c.seen_at.desc())
    return [_session(row) for row in tx.execute(query)]


def touch_session(tx: Tx, session_id: str, now: datetime) -> None:
    """Remember that a session was used."""
    tx.execute(update(sessions).where(sessions.c.id == session_id).values(seen_at=now))


def delete_session(tx: Tx, user_id: UserId, session_id: str) -> bool:
    """End one session of a person; False if there is none such."""
    query = delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id == session_id)
    return tx.execute(query).rowcount == 1


def delete_sessions(tx: Tx, user_id: UserId) -> int:
    """End all sessions of a person; return how many."""
    return tx.execute(delete(sessions).where(sessions.c.user_id == user_id)).rowcount


def delete_sessions_before(tx: Tx, *, seen: datetime, created: datetime) -> int:
    """Forget sessions that are over; return how many."""
    over = (sessions.c.seen_at < seen) | (sessions.c.created_at < created)
    return tx.execute(delete(sessions).where(over)).rowcount


# --- API tokens ---


def insert_token(tx: Tx, token: ApiToken, token_hash: bytes) -> None:
    """Store an API token."""
    tx.execute(
        insert(api_tokens).values(
            id=token.id,
            token_hash=token_hash,
            user_id=token.user_id,
            label=token.label,
            scopes=" ".join(scope.value for scope in Scope if scope in token.scopes),
            tail=token.tail,
            created_at=token.created_at,
            expires_at=token.expires_at,
            seen_at=None,
        )
    )


def find_token(tx: Tx, token_hash: bytes) -> tuple[ApiToken, User] | None:
    """Find an API token by its hash, with its person."""
    row = tx.execute(select(api_tokens).where(api_tokens.c.token_hash == token_hash)).one_or_none()
    if row is None:
        return None
    token = _token(row)
    user = find_user(tx, token.user_id)
    return None if user is None else (token, user)


def list_tokens(tx: Tx, user_id: UserId) -> list[ApiToken]:
    """Read a person's API tokens, oldest first."""
    query = select(api_tokens).where(api_tokens.c.user_id == user_id).order_by(api_tokens.c.id)
    return [_token(row) for row in tx.execute(query)]


def touch_token(tx: Tx, token_id: str, now: datetime) -> None:
    """Remember that a token was used."""
    tx.execute(update(api_tokens).where(api_tokens.c.id == token_id).values(seen_at=now))


def delete_token(tx: Tx, user_id: UserId, token_id: str) -> bool:
    """Revoke one token of a person; False if there is none such."""
    query = delete(api_tokens).where(api_tokens.c.user_id == user_id, api_tokens.c.id == token_id)
    return tx.execute(query).rowcount == 1


def _user(row: Row[Any]) -> User:
    return User(
        row.id,
        row.email,
        row.name,
        row.password_hash,
        Role(row.role),
        row.language,
        row.status,
        row.suspended_until,
        row.suspended_reason,
        row.created_at,
        row.preferred_venue,
    )


def _person(row: Sequence[Any]) -> User:
    """Build the value from `_USER_NAMES`."""
    return User(
        row[0],
        row[1],
        row[2],
        row[3],
        _ROLES.get(row[4]) or Role(row[4]),
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        preferred_venue=row[10],
    )


def _session(row: Row[Any]) -> Session:
    return Session(row.id, UserId(row.user_id), row.created_at, row.seen_at, row.address, row.agent)


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        row.id,
        UserId(row.user_id),
        row.label,
        frozenset(Scope(name) for name in row.scopes.split()),
        row.tail,
        row.created_at,
        row.expires_at,
        row.seen_at,
    )
