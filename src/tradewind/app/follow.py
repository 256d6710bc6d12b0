"""Keeps the private streams in step with the accounts: linked, new key, key gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tradewind.accounts.account import AccountRow
from tradewind.accounts.service import TOPIC, Accounts
from tradewind.app.engine import Engine
from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId
from tradewind.core.instrument import Environment, VenueName
from tradewind.infra.bus import Bus, Subscription
from tradewind.infra.db import Db
from tradewind.infra.log import logger
from tradewind.signer.service import InProcessSigner
from tradewind.venues.errors import CredentialRefused

_log = logger("app.follow")

# After a change that could not be read.
_AGAIN_S = 2.0


@dataclass(slots=True)
class Places:
    """Where each account trades; known for every account that was ever followed."""

    _places: dict[AccountId, tuple[VenueName, Environment]] = field(default_factory=dict)

    def put(self, row: AccountRow) -> None:
        """Remember an account's place."""
        self._places[row.id] = (row.venue, row.environment)

    def of(self, account_id: AccountId) -> tuple[VenueName, Environment] | None:
        """Return an account's place."""
        return self._places.get(account_id)


class AccountFollower:
    """Follows every account with a key; told of changes by the bus."""

    def __init__(
        self, db: Db, bus: Bus, accounts: Accounts, signer: InProcessSigner, engine: Engine, places: Places
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._signer = signer
        self._engine = engine
        self._places = places
        self._versions: dict[AccountId, int] = {}
        self._bus = bus
        # From now on, so that nothing is missed between the first look and the loop.
        self._subscription: Subscription = bus.subscribe(TOPIC)

    async def start(self) -> None:
        """Follow every account there is."""
        rows = await self._db.read(self._accounts.list_all)
        await self._signer.warm([row.id for row in rows if row.has_credential])
        for row in rows:
            self._take(row)

    async def run(self) -> None:
        """Follow changes until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                async for message in self._subscription:
                    account_id = AccountId(str(message.payload["id"]))
                    if not await self._is_refreshed(account_id):
                        tasks.create_task(self._try_again(account_id), name=f"follow {account_id}")
        finally:
            self._bus.unsubscribe(self._subscription)

    async def _try_again(self, account_id: AccountId) -> None:
        """Its entries wait until it is followed, so it is tried until it is."""
        is_done = False
        while not is_done:
            await asyncio.sleep(_AGAIN_S)
            is_done = await self._is_refreshed(account_id)

    async def _is_refreshed(self, account_id: AccountId) -> bool:
        try:
            await self._refresh(account_id)
        except Exception:
            # A busy database, or one that is away.
            _log.exception("app.follow.failed", account_id=account_id)
            return False
        return True

    async def _refresh(self, account_id: AccountId) -> None:
        found = await self._db.read(lambda tx: self._accounts.load_many(tx, [account_id]))
        row = found.get(account_id)
        if row is None:
            self._drop(account_id)
        else:
            self._take(row)

    def _take(self, row: AccountRow) -> None:
        self._places.put(row)
        if not row.has_credential:
            self._drop(row.id)
            return
        if self._versions.get(row.id) == row.credential_version:
            return
        if row.id in self._versions:
            self._signer.forget(row.id)
        self._versions[row.id] = row.credential_version
        try:
            self._engine.follow(row)
        except (NotFound, CredentialRefused) as error:
            _log.warning("app.follow.not_followed", account_id=row.id, error=str(error))

    def _drop(self, account_id: AccountId) -> None:
        self._versions.pop(account_id, None)
        self._signer.forget(account_id)
        self._engine.unfollow(account_id)
