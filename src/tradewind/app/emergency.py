"""The emergency stop wired: the desk over file, database and bus, and what carries its policies out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from tradewind.accounts.service import Accounts
from tradewind.app.engine import Engine
from tradewind.audit.service import Audit
from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import VenueName
from tradewind.execution.emergency import Emergency
from tradewind.execution.emergency_desk import EmergencyDesk
from tradewind.execution.emergency_routes import EmergencyDeps
from tradewind.execution.emergency_store import Scope, ScopeKind
from tradewind.execution.flatten import Flattener
from tradewind.execution.stop_file import StopFile
from tradewind.execution.stops import scopes_of
from tradewind.execution.unrecorded import Unrecorded
from tradewind.identity.login import Login
from tradewind.identity.service import Identity
from tradewind.infra.bus import Bus
from tradewind.infra.db import Tx


@dataclass(slots=True)
class EmergencyRoom:
    """Everything about emergency stops in one process."""

    desk: EmergencyDesk
    flattener: Flattener
    unrecorded: Unrecorded

    async def load(self) -> None:
        """At start, before anything is claimed: close the latch for what is stopped."""
        await self.desk.load()

    async def run(self) -> None:
        """Watch and carry out until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.desk.run(), name="emergency desk")
            tasks.create_task(self.flattener.run(), name="flattener")
            tasks.create_task(self.unrecorded.run(), name="unrecorded")


def people_of(accounts: Accounts) -> Callable[[Tx, Scope], set[UserId]]:
    """Return who finds the people with an account in a scope."""

    def find(tx: Tx, scope: Scope) -> set[UserId]:
        return {row.user_id for row in accounts.list_all(tx) if scope in scopes_of(row.venue, row.user_id, row.id)}

    return find


def build_emergency(
    engine: Engine, bus: Bus, audit: Audit, identity: Identity, accounts: Accounts, data_dir: Path
) -> EmergencyRoom:
    """Wire the emergency stop to the engine."""

    def user_of(tx: Tx, email: str) -> UserId | None:
        user = identity.find_user_by_email(tx, email)
        return None if user is None else user.id

    emergency = Emergency(engine.journal, audit, engine.clock, people_of(accounts))
    desk = EmergencyDesk(
        db=engine.db,
        emergency=emergency,
        latch=engine.latch,
        recorder=engine.recorder,
        clock=engine.clock,
        bus=bus,
        ids=engine.journal.ids,
        file=StopFile(data_dir),
        user_of=user_of,
    )
    flattener = Flattener(
        engine.db, engine.clock, emergency, engine.protector.exits, engine.desk, engine.protector.look
    )
    desk.on_change.append(flattener.wake)
    engine.recorder.listeners.append(flattener.on_moved)
    unrecorded = Unrecorded(engine.db, engine.clock, bus, engine.journal.ids, engine.protector.triggers, engine.latch)
    engine.recorder.listeners.append(unrecorded.on_moved)
    return EmergencyRoom(desk, flattener, unrecorded)


def emergency_deps(
    room: EmergencyRoom, accounts: Accounts, identity: Identity, login: Login, venues: Collection[VenueName]
) -> EmergencyDeps:
    """Return what the doors of the emergency stop stand on."""

    def own_accounts(tx: Tx, user_id: UserId) -> list[tuple[VenueName, AccountId]]:
        return [(row.venue, row.id) for row in accounts.list_of(tx, user_id)]

    def is_known(tx: Tx, scope: Scope) -> bool:
        match scope.kind:
            case ScopeKind.PLATFORM:
                return True
            case ScopeKind.VENUE:
                return scope.subject in venues
            case ScopeKind.USER:
                return _is_there(tx, identity, scope.subject)
            case ScopeKind.ACCOUNT:
                return AccountId(scope.subject) in accounts.load_many(tx, [AccountId(scope.subject)])

    return EmergencyDeps(
        db=room.desk.db,
        clock=room.desk.clock,
        desk=room.desk,
        own_accounts=own_accounts,
        is_known=is_known,
        step_up=login.step_up,
    )


def _is_there(tx: Tx, identity: Identity, user_id: str) -> bool:
    try:
        identity.load_user(tx, UserId(user_id))
    except NotFound:
        return False
    return True
