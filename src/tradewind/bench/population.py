"""A platform with N linked accounts, made by the same verbs that people's requests call, in one transaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tradewind.accounts.account import AccountRow, AccountStatus, CredentialRow, Rights
from tradewind.accounts.mandates import Mandates
from tradewind.accounts.service import Accounts, stored_credentials
from tradewind.audit.service import Audit
from tradewind.bench.keys import Key
from tradewind.billing.service import Billing
from tradewind.core.ids import AccountId, SourceId, UserId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import Asset
from tradewind.core.plan import PlanName
from tradewind.execution import service as execution
from tradewind.identity.service import Identity, NewUser
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import RandomIds
from tradewind.infra.migrate import upgrade_schema
from tradewind.portfolio.service import record_balances
from tradewind.signals.sources import Sources
from tradewind.signer.service import InProcessSigner, KeyToSeal
from tradewind.vault.opening import KekPlace, create_missing_kek, open_vault
from tradewind.vault.secret import Secret
from tradewind.venues.base import AssetBalance, PermissionSource
from tradewind.venues.binance.signing import sign
from tradewind.web.principal import Role

_ACTOR = "bench"
_BALANCE = Decimal(10_000)
_RIGHTS = Rights(PermissionSource.VERIFIED, can_read=True, can_trade=True, can_withdraw=False)


@dataclass(frozen=True, slots=True)
class Population:
    """Who was made."""

    source_id: SourceId
    accounts: int
    # A second source, which the first `some` accounts follow too.
    source_of_some: SourceId | None = None


def populate(
    url: str, kek_file: Path, data_dir: Path, keys: Sequence[Key], plans: Sequence[PlanName], some: int = 0
) -> Population:
    """Fill an empty database with one user, account, key and mandate for each key; plans are dealt in turn.

    The first `some` of them follow a second source as well.
    """
    clock = SystemClock()
    db = Db.open(url)
    try:
        upgrade_schema(db)
        place = KekPlace(kek_file, data_dir)
        db.write_now(lambda tx: create_missing_kek(tx, place))
        vault = db.write_now(lambda tx: open_vault(tx, place, clock, os.environ))
        ids = RandomIds(clock)
        audit = Audit(vault, clock)
        town = _Town(
            clock=clock,
            ids=ids,
            identity=Identity(clock, ids, audit),
            billing=Billing(clock, ids, audit),
            accounts=Accounts(clock, audit, execution.has_open_business),
            mandates=Mandates(clock, ids, audit, lambda _tx, _source_id, _user_id: True),
            sources=Sources(ids, audit),
            signer=InProcessSigner(db, vault, stored_credentials, {BINANCE: sign}),
        )
        return db.write_now(lambda tx: town.settle(tx, keys, plans, some))
    finally:
        db.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Town:
    clock: SystemClock
    ids: RandomIds
    identity: Identity
    billing: Billing
    accounts: Accounts
    mandates: Mandates
    sources: Sources
    signer: InProcessSigner

    def settle(self, tx: Tx, keys: Sequence[Key], plans: Sequence[PlanName], some: int) -> Population:
        self.billing.seed_plans(tx)
        operator = self.identity.create_user(
            tx, NewUser("operator@bench.example", "Operator", "!", Role.OPERATOR), actor=_ACTOR
        )
        source_id, of_some = (self._source(tx, operator.id, name) for name in ("bench", "bench of some"))
        for number, key in enumerate(keys):
            followed = [source_id, of_some] if number < some else [source_id]
            self._move_in(tx, number, key, plans[number % len(plans)], followed)
        return Population(source_id, len(keys), of_some)

    def _source(self, tx: Tx, owner_id: str, name: str) -> SourceId:
        made = self.sources.create(tx, owner_id=owner_id, name=name, actor=_ACTOR, now=self.clock.now())
        return SourceId(made.source.id)

    def _move_in(self, tx: Tx, number: int, key: Key, plan: PlanName, followed: Sequence[SourceId]) -> None:
        new = NewUser(f"user{number}@bench.example", f"User {number}", "!", Role.USER)
        user_id = UserId(self.identity.create_user(tx, new, actor=_ACTOR).id)
        self.billing.set_subscription(tx, user_id, plan, actor=_ACTOR)
        row = self._account(user_id, key)
        self.accounts.insert(tx, row, actor=_ACTOR)
        self._attach(tx, row, key)
        record_balances(tx, user_id, row.id, [AssetBalance(Asset("USDT"), _BALANCE, Decimal(0))], self.clock.now())
        for source_id in followed:
            self.mandates.create(tx, user_id, row.id, source_id, actor=_ACTOR)

    def _account(self, user_id: UserId, key: Key) -> AccountRow:
        return AccountRow(
            id=AccountId(self.ids.new()),
            user_id=user_id,
            venue=BINANCE,
            environment=Environment.PAPER,
            label="bench",
            venue_user_id=str(key.uid),
            status=AccountStatus.ACTIVE,
            status_reason=None,
            rights=_RIGHTS,
            last_ok_at=self.clock.now(),
            credential_errors=0,
            credential_version=0,
            is_stand_in=False,
            quote_asset=None,
            max_order_quote=None,
            max_day_quote=None,
            dry_run=False,
            live_confirmed_at=None,
            created_at=self.clock.now(),
            rev=0,
            credential_id=None,
            api_key_masked=None,
        )

    def _attach(self, tx: Tx, row: AccountRow, key: Key) -> None:
        to_seal = KeyToSeal(row.user_id, row.id, row.venue, 1, Secret(key.api_key), Secret(key.secret))
        sealed = self.signer.seal_key(tx, to_seal)
        credential = CredentialRow(
            id=self.ids.new(),
            account_id=row.id,
            user_id=row.user_id,
            version=1,
            api_key_masked=sealed.api_key_masked,
            fingerprint=sealed.fingerprint,
            sealed_key=sealed.sealed_key,
            sealed_secret=sealed.sealed_secret,
            created_at=self.clock.now(),
        )
        self.accounts.attach_key(tx, row, credential, _RIGHTS, actor=_ACTOR)
