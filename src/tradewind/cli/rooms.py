"""The rooms a command may need, over the database of the settings; the platform itself need not run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from tradewind.audit.service import Audit
from tradewind.billing.service import Billing
from tradewind.cli.start import kek_place, ready_db, settings_of
from tradewind.config import Settings
from tradewind.core.errors import NotFound
from tradewind.core.plan import PlanName
from tradewind.identity.people import User
from tradewind.identity.service import Identity
from tradewind.infra.clock import Clock, SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import Ids, RandomIds
from tradewind.vault.opening import open_vault

# Who acts, in the audit: whoever may run commands on this machine.
ACTOR = "cli"


@dataclass(frozen=True, slots=True)
class Rooms:
    """What commands about people work with."""

    settings: Settings
    db: Db
    clock: Clock
    ids: Ids
    audit: Audit
    identity: Identity
    billing: Billing

    def load_user(self, tx: Tx, email: str) -> User:
        """Load a person by e-mail address. Raises NotFound."""
        user = self.identity.find_user_by_email(tx, email)
        if user is None:
            raise NotFound("user_not_found", f"There is no user {email}. `tradewind users list` shows who there is.")
        return user

    def subscribe(self, tx: Tx, user: User, plan: PlanName) -> None:
        """Put a person on a plan from now on."""
        self.billing.seed_plans(tx)
        self.billing.set_subscription(tx, user.id, plan, actor=ACTOR)

    def plan_names(self, tx: Tx, users: Sequence[User]) -> Mapping[str, str]:
        """Say which plan each person is on now; who is on none is missing."""
        plans = self.billing.entitlement(tx, [user.id for user in users], self.clock.now())
        return {user_id: plan.name.value for user_id, plan in plans.items() if plan is not None}


@contextmanager
def opened_rooms(context: typer.Context) -> Iterator[Rooms]:
    """Open database, key and rooms. Raises Conflict for an older schema, InvalidInput without the right key."""
    settings = settings_of(context)
    clock = SystemClock()
    ids = RandomIds(clock)
    with ready_db(settings) as db:
        vault = db.write_now(lambda tx: open_vault(tx, kek_place(settings), clock, os.environ))
        audit = Audit(vault, clock)
        yield Rooms(settings, db, clock, ids, audit, Identity(clock, ids, audit), Billing(clock, ids, audit))
