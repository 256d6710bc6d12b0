"""The rooms about people and keys, built over a fresh database, as the app builds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI
from tests.support.clock import ManualClock
from tests.support.db import fresh_db
from tests.support.ids import CountedIds

from tradewind.audit.service import Audit
from tradewind.billing.service import Billing
from tradewind.core.ids import UserId
from tradewind.identity.login import DbAuthenticator, Login
from tradewind.identity.passwords import Passwords
from tradewind.identity.people import User
from tradewind.identity.service import Identity, NewUser
from tradewind.infra.db import Db
from tradewind.vault.cipher import LocalKek
from tradewind.vault.secret import Secret
from tradewind.vault.service import Vault
from tradewind.web.install import install_web
from tradewind.web.principal import SCOPES_OF_ROLE, Role, Scope
from tradewind.web.ratelimit import Limiter

ROOMS = ("web", "vault", "audit", "identity", "billing", "accounts")
KEK = Secret(bytes(range(32)))
# Hashing costs time and most tests do not sign in.
NO_PASSWORD = "!"


@dataclass
class People:
    """One installation's people."""

    db: Db
    clock: ManualClock
    ids: CountedIds
    vault: Vault
    audit: Audit
    identity: Identity
    billing: Billing
    limiter: Limiter
    passwords: Passwords = field(default_factory=Passwords)

    @property
    def login(self) -> Login:
        return Login(self.db, self.identity, self.passwords, self.limiter)

    def add_user(self, name: str, *, role: Role = Role.USER, password_hash: str = NO_PASSWORD) -> User:
        """Create a person, named <name>@example.com."""
        new = NewUser(f"{name}@example.com", name, password_hash, role)
        return self.db.write_now(lambda tx: self.identity.create_user(tx, new, actor="test"))

    def add_token(self, user: User, *, scopes: frozenset[Scope] | None = None) -> str:
        """Issue an API token with all scopes of the person's role, or these."""
        wanted = SCOPES_OF_ROLE[user.role] if scopes is None else scopes
        issued = self.db.write_now(
            lambda tx: self.identity.issue_token(tx, UserId(user.id), label="test", scopes=wanted, actor="test")
        )
        return issued.token.reveal_text()

    def app(self, *routers: APIRouter) -> FastAPI:
        """Build an app with these routers under /api/v1."""
        app = FastAPI()
        install_web(app, authenticator=DbAuthenticator(self.db, self.identity), limiter=self.limiter)
        for router in routers:
            app.include_router(router, prefix="/api/v1")
        return app


@contextmanager
def people(folder: Path) -> Iterator[People]:
    """Build the rooms over a fresh database."""
    clock, ids = ManualClock(), CountedIds()
    with fresh_db(folder, ROOMS) as db:
        vault = Vault(LocalKek([KEK]), clock)
        audit = Audit(vault, clock)
        yield People(
            db,
            clock,
            ids,
            vault,
            audit,
            Identity(clock, ids, audit),
            Billing(clock, ids, audit),
            Limiter(clock),
        )


def browser(app: FastAPI, token: str | None = None) -> httpx.AsyncClient:
    """Call an app in this process, as a program with this API token or as a stranger."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, client=("192.0.2.1", 40_000)),
        base_url="https://tradewind.test",
        headers=headers,
    )
