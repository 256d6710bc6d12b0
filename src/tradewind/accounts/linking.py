"""Linking an account: trim, check the shape, test at the venue, then store everything or nothing (K1-K4).

The network stands between two transactions, so this is an edge: nothing is written before the test has
passed, and what is written then is one transaction (account, sealed key, audit, first balances). A key is
held in memory for the length of the call only, inside `Secret`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from tradewind.accounts.account import AccountRow, AccountStatus, CredentialRow, Rights
from tradewind.accounts.key_test import Finding, KeyTest, SignerIn, is_verified
from tradewind.accounts.refusals import UNVERIFIED_SENTENCE, UNVERIFIED_SENTENCE_KO, KeyRefusal
from tradewind.accounts.service import Accounts, clean_label, is_sentence
from tradewind.accounts.shapes import KeyPair, checked_pair
from tradewind.core.errors import TradewindError
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import Ids
from tradewind.signer.service import InProcessSigner, KeyToSeal
from tradewind.venues.base import AccountSnapshot, Signer

# The portfolio stands above this room: the app wires in what keeps the first balances.
OnLinked = Callable[[Tx, AccountRow, AccountSnapshot], None]


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A key to link. `confirmation`: the sentence of K3, needed only where the venue cannot name the rights."""

    user_id: UserId
    venue: VenueName
    environment: Environment
    label: str
    api_key: str
    api_secret: str
    confirmation: str = ""
    language: str = "en"
    is_stand_in: bool = False

    def __repr__(self) -> str:
        return f"LinkRequest(user_id={self.user_id!r}, venue={self.venue!r}, environment={self.environment!r}, ***)"


@dataclass(frozen=True, slots=True)
class Linked:
    """A linked account, and what looked unusual about its key."""

    account: AccountRow
    warnings: tuple[str, ...]


class Linker:
    """Links accounts, replaces and tests their keys."""

    def __init__(
        self,
        db: Db,
        clock: Clock,
        ids: Ids,
        *,
        accounts: Accounts,
        signer: InProcessSigner,
        key_test: KeyTest,
        on_linked: OnLinked,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._accounts = accounts
        self._signer = signer
        self._key_test = key_test
        self._on_linked = on_linked

    async def link(self, request: LinkRequest, *, actor: str) -> Linked:
        """Link an account by its key, tested first; nothing is stored on failure.

        A user's own account whose key was deleted gets the new key instead of a twin.
        Raises InvalidInput, Conflict or Unavailable, each cause with its own code (refusals.py).
        """
        label = clean_label(request.label)
        pair = checked_pair(request.venue, request.api_key, request.api_secret)
        account_id = AccountId(self._ids.new())
        await self._demand_new_key(request, pair)
        tested = await self._test(request, pair, account_id)
        self._demand_confirmed(request, tested.rights)

        def store(tx: Tx) -> AccountRow:
            row = self._own_row(tx, request, tested)
            if row is None:
                row = self._new_row(request, account_id, label, tested)
                self._accounts.insert(tx, row, actor=actor)
            row = self._attach(tx, row, pair, tested.rights, actor)
            self._on_linked(tx, row, tested.snapshot)
            return row

        return Linked(await self._stored(store, request), pair.warnings)

    async def replace_key(self, request: LinkRequest, account_id: AccountId, *, actor: str) -> Linked:
        """Replace the key of a user's account, tested first; it must be of the same venue account."""
        account = await self._db.read(lambda tx: self._accounts.load(tx, request.user_id, account_id))
        pair = checked_pair(account.venue, request.api_key, request.api_secret)
        tested = await self._test(request, pair, account_id)
        self._demand_confirmed(request, tested.rights)
        if tested.snapshot.venue_user_id != account.venue_user_id:
            raise self._refusal(KeyRefusal.OTHER_ACCOUNT, request)

        def store(tx: Tx) -> AccountRow:
            row = self._accounts.load(tx, request.user_id, account_id)
            row = self._attach(tx, row, pair, tested.rights, actor)
            self._on_linked(tx, row, tested.snapshot)
            return row

        return Linked(await self._stored(store, request), pair.warnings)

    async def test_stored(self, account: AccountRow, *, actor: str, language: str = "en") -> AccountRow:
        """Test the stored key of an account again and record what the venue says of it.

        A key that has become unfit (it can withdraw, it may not trade) stops entries; the account says why.
        Raises InvalidInput or Unavailable where the key could not be tested.
        """
        found = await self._key_test.examine(
            account.venue,
            account.environment,
            lambda _environment: self._signer.for_account(account.id),
            language=language,
        )
        return await self._db.write(
            lambda tx: self._accounts.record_test(tx, account, found.rights, cause=found.cause, actor=actor)
        )

    async def _test(self, request: LinkRequest, pair: KeyPair, account_id: AccountId) -> Finding:
        def signer_in(environment: Environment) -> Signer:
            return self._signer.pending(
                request.venue, environment, account_id, api_key=pair.api_key, api_secret=pair.api_secret
            )

        return await self._run_test(request, signer_in, pair)

    async def _run_test(self, request: LinkRequest, signer_in: SignerIn, pair: KeyPair) -> Finding:
        try:
            return await self._key_test.run(request.venue, request.environment, signer_in, language=request.language)
        except TradewindError as error:
            # What looked unusual before the test is worth reading once the venue has said no.
            if pair.warnings:
                raise type(error)(
                    error.code, " ".join((error.message, *pair.warnings)), retry_after_s=error.retry_after_s
                ) from None
            raise

    async def _demand_new_key(self, request: LinkRequest, pair: KeyPair) -> None:
        """Refuse a key that is linked already before the venue is asked."""

        def owner(tx: Tx) -> UserId | None:
            fingerprint = self._signer.fingerprint(tx, request.venue, pair.api_key)
            return self._accounts.owner_of_fingerprint(tx, fingerprint)

        # A write: the fingerprints' key is made on first use.
        if await self._db.write(owner) is not None:
            raise self._refusal(KeyRefusal.KEY_TAKEN, request)

    def _demand_confirmed(self, request: LinkRequest, rights: Rights) -> None:
        if is_verified(rights) or is_sentence(request.confirmation, UNVERIFIED_SENTENCE, UNVERIFIED_SENTENCE_KO):
            return
        raise self._refusal(KeyRefusal.UNVERIFIED, request)

    def _own_row(self, tx: Tx, request: LinkRequest, tested: Finding) -> AccountRow | None:
        """Find the user's own account that waits for a key. Raises Conflict where the venue account is taken."""
        if request.is_stand_in:
            return None
        row = self._accounts.find_by_venue_user(tx, request.venue, request.environment, tested.snapshot.venue_user_id)
        if row is None:
            return None
        if row.user_id != request.user_id or row.has_credential:
            raise self._refusal(KeyRefusal.ACCOUNT_TAKEN, request)
        return row

    def _new_row(self, request: LinkRequest, account_id: AccountId, label: str, tested: Finding) -> AccountRow:
        return AccountRow(
            id=account_id,
            user_id=request.user_id,
            venue=request.venue,
            environment=request.environment,
            label=label,
            venue_user_id=tested.snapshot.venue_user_id,
            status=AccountStatus.ACTIVE,
            status_reason=None,
            rights=tested.rights,
            last_ok_at=self._clock.now(),
            credential_errors=0,
            credential_version=0,
            is_stand_in=request.is_stand_in,
            quote_asset=None,
            max_order_quote=None,
            max_day_quote=None,
            dry_run=False,
            live_confirmed_at=None,
            created_at=self._clock.now(),
            rev=0,
            credential_id=None,
            api_key_masked=None,
        )

    def _attach(self, tx: Tx, row: AccountRow, pair: KeyPair, rights: Rights, actor: str) -> AccountRow:
        version = row.credential_version + 1
        sealed = self._signer.seal_key(
            tx, KeyToSeal(row.user_id, row.id, row.venue, version, pair.api_key, pair.api_secret)
        )
        credential = CredentialRow(
            id=self._ids.new(),
            account_id=row.id,
            user_id=row.user_id,
            version=version,
            api_key_masked=sealed.api_key_masked,
            fingerprint=sealed.fingerprint,
            sealed_key=sealed.sealed_key,
            sealed_secret=sealed.sealed_secret,
            created_at=self._clock.now(),
        )
        return self._accounts.attach_key(tx, row, credential, rights, actor=actor)

    async def _stored(self, store: Callable[[Tx], AccountRow], request: LinkRequest) -> AccountRow:
        try:
            row = await self._db.write(store)
        except IntegrityError as error:
            # Two requests at once: the unique indexes decide, and the later one hears what it is.
            text = str(error.orig)
            if "fingerprint" in text:
                raise self._refusal(KeyRefusal.KEY_TAKEN, request) from None
            if "venue_user" in text:
                raise self._refusal(KeyRefusal.ACCOUNT_TAKEN, request) from None
            raise
        self._signer.forget(row.id)
        return row

    def _refusal(self, cause: KeyRefusal, request: LinkRequest) -> TradewindError:
        return self._key_test.refusal(cause, request.venue, request.language)
