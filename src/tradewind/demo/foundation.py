"""What an operator does before the platform is opened: database, key, people on their plans, tokens, sources.

The same calls that `tradewind users` and `tradewind sources` make, in one process, before `serve` starts.
Everything after that goes through the HTTP API as each person.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tradewind.audit.service import Audit
from tradewind.billing.service import Billing
from tradewind.core.plan import PlanName
from tradewind.demo.cast import Person
from tradewind.identity.passwords import Passwords
from tradewind.identity.people import User
from tradewind.identity.service import Identity, NewUser
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import RandomIds
from tradewind.infra.migrate import upgrade_schema
from tradewind.signals.sources import Sources, SourceWithToken
from tradewind.vault.opening import KekPlace, create_missing_kek, open_vault
from tradewind.vault.secret import Secret
from tradewind.web.principal import Role, Scope

_ACTOR = "demo"
# The demo lasts minutes; with --serve somebody may come back to it the next day.
_TOKEN_LIFE = timedelta(days=2)
MAIN_SOURCE = "TradingView desk"
EARLIER_SOURCE = "Morning scalps"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the demo's files are; the key stays out of the data folder."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def database(self) -> Path:
        return self.data / "tradewind.db"

    @property
    def kek(self) -> Path:
        return self.root / "key" / "kek"

    @property
    def exchange(self) -> Path:
        return self.root / "exchange.db"

    @property
    def config(self) -> Path:
        return self.root / "tradewind.toml"

    def environment(self) -> dict[str, str]:
        """Settings of a child process that works on these files."""
        return {
            # An empty file, so that no tradewind.toml of the current folder is read.
            "TRADEWIND_CONFIG": str(self.config),
            "TRADEWIND_DATA_DIR": str(self.data),
            "TRADEWIND_KEK_FILE": str(self.kek),
            "TRADEWIND_LOG__LEVEL": "INFO",
            "TRADEWIND_LOG__JSON": "true",
        }


@dataclass(frozen=True, slots=True)
class Login:
    """A person of the platform, with the token they call it with."""

    user_id: str
    email: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hook:
    """A source and the secret path alerts are posted to."""

    source_id: str
    name: str
    path: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What was made."""

    operator: Login
    users: Mapping[int, Login]
    main: Hook
    earlier: Hook


def lay_foundation(places: Places, cast: Sequence[Person], address: str, *, language: str = "en") -> Foundation:
    """Make database, key, operator, users and sources; blocks for about a second."""
    places.data.mkdir(mode=0o700, parents=True)
    clock = SystemClock()
    ids = RandomIds(clock)
    db = Db.open(address)
    try:
        upgrade_schema(db)
        place = KekPlace(places.kek, places.data)
        db.write_now(lambda tx: create_missing_kek(tx, place))
        vault = db.write_now(lambda tx: open_vault(tx, place, clock, os.environ))
        audit = Audit(vault, clock)
        desk = _Desk(Identity(clock, ids, audit), Billing(clock, ids, audit), Sources(ids, audit), clock, language)
        # Nobody signs in by password here, so one that nobody is told serves all; each has a token.
        password_hash = asyncio.run(Passwords().hash(Secret(secrets.token_urlsafe(24))))
        return db.write_now(lambda tx: desk.open(tx, cast, password_hash))
    finally:
        db.close()


@dataclass(frozen=True, slots=True)
class _Desk:
    identity: Identity
    billing: Billing
    sources: Sources
    clock: SystemClock
    language: str

    def open(self, tx: Tx, cast: Sequence[Person], password_hash: str) -> Foundation:
        self.billing.seed_plans(tx)
        new = NewUser("operator@demo.example", "Operator", password_hash, Role.OPERATOR, self.language)
        operator = self._login(tx, new, PlanName.ENTERPRISE, frozenset(Scope))
        users = {
            person.number: self._login(
                tx,
                NewUser(person.email, person.name, password_hash, Role.USER, self.language),
                person.plan,
                frozenset({Scope.READ, Scope.TRADE}),
            )
            for person in cast
        }
        main = self._source(tx, operator, MAIN_SOURCE)
        return Foundation(operator, users, main, self._source(tx, operator, EARLIER_SOURCE))

    def _login(self, tx: Tx, new: NewUser, plan: PlanName, scopes: frozenset[Scope]) -> Login:
        user: User = self.identity.create_user(tx, new, actor=_ACTOR)
        self.billing.set_subscription(tx, user.id, plan, actor=_ACTOR)
        issued = self.identity.issue_token(tx, user.id, label="demo", scopes=scopes, actor=_ACTOR, life=_TOKEN_LIFE)
        return Login(user.id, user.email, issued.token.reveal_text())

    def _source(self, tx: Tx, owner: Login, name: str) -> Hook:
        made: SourceWithToken = self.sources.create(
            tx, owner_id=owner.user_id, name=name, actor=_ACTOR, now=self.clock.now()
        )
        return Hook(made.source.id, made.source.name, f"/webhooks/{made.token}")
