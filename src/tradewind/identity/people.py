"""Who people are, and what signs them in, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tradewind.core.ids import UserId
from tradewind.web.principal import Role, Scope


@dataclass(frozen=True, slots=True)
class User:
    """A person = a tenant. `password_hash` is an Argon2id text and never shown."""

    id: UserId
    email: str
    name: str
    password_hash: str = field(repr=False)
    role: Role
    language: str
    status: str
    suspended_until: datetime | None
    suspended_reason: str | None
    created_at: datetime
    # Of several accounts that follow a source, those at this venue trade its entries; None: all do.
    preferred_venue: str | None = None

    def is_suspended(self, now: datetime) -> bool:
        """Say whether entries are stopped for this user now; a suspension with an end ends by itself."""
        if self.status != "suspended":
            return False
        return self.suspended_until is None or now < self.suspended_until


@dataclass(frozen=True, slots=True)
class Session:
    """A browser signed in."""

    id: str
    user_id: UserId
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A program's key to this platform, without the key."""

    id: str
    user_id: UserId
    label: str
    scopes: frozenset[Scope]
    tail: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
