"""Sealing exchange keys and signing with them, in this process.

Rules of this file: a secret is decrypted for one signature and let go (34,000 times a second on one core,
so it is never kept); of a key only the public part is kept opened. Nothing leaves but that part and
signatures, and a signature only for a call that `allowed` lists and, for orders and cancels, only for an
order that the journal knows. Refusals are `NotSent`: no byte has been written, whatever was asked for.

A Unix-socket process can take this place behind the same port.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tradewind.core.ids import AccountId, OrderId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger
from tradewind.signer.allowed import refusal
from tradewind.vault.cipher import SealBroken, SealContext, WrappedKey
from tradewind.vault.secret import Secret, mask_public
from tradewind.vault.service import Vault
from tradewind.venues.base import Signer, SignPurpose, SignRequest
from tradewind.venues.errors import CredentialRefused, NotSent

_log = logger("signer")

# (secret, payload) -> signature as the venue wants it written.
SignFunction = Callable[[bytes, bytes], str]
IsOrderKnown = Callable[[OrderId, AccountId], bool]

_FIELD_KEY = "api_key"
_FIELD_SECRET = "api_secret"  # noqa: S105 - the name of a field
_PEPPER = "fingerprint"
# 8 bytes: enough to find a key that was added before, too few to be of use to anybody else.
_FINGERPRINT_BYTES = 8


class SigningRefused(NotSent):
    """These bytes are not signed: the call is not allowed, or its order is not in the journal."""


@dataclass(frozen=True, slots=True)
class KeyToSeal:
    """A tested exchange key and the place it is sealed for."""

    user_id: UserId
    account_id: AccountId
    venue: VenueName
    version: int
    api_key: Secret
    api_secret: Secret


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A sealed exchange key and what may be shown of it."""

    sealed_key: bytes
    sealed_secret: bytes
    api_key_masked: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """An account's current sealed key, as the room that stores it hands it over."""

    account_id: AccountId
    user_id: UserId
    venue: VenueName
    environment: Environment
    version: int
    sealed_key: bytes
    sealed_secret: bytes


# The accounts room stores credentials; it stands above this one, so the app wires its query in.
LoadCredentials = Callable[[Tx, Sequence[AccountId]], Mapping[AccountId, StoredCredential]]


@dataclass(slots=True)
class _Loaded:
    row: StoredCredential
    key_dek: WrappedKey
    secret_dek: WrappedKey
    # The public part, opened once: it stands in every request. The secret never is kept.
    api_key: str | None = None


class InProcessSigner:
    """Signs for every account of this process; keeps at most `size_max` sealed rows in memory."""

    def __init__(
        self,
        db: Db,
        vault: Vault,
        load_credentials: LoadCredentials,
        algorithms: Mapping[VenueName, SignFunction],
        *,
        is_order_known: IsOrderKnown = lambda _order_id, _account_id: False,
        size_max: int = 20_000,
    ) -> None:
        self._db = db
        self._vault = vault
        self._load_credentials = load_credentials
        self._algorithms = algorithms
        self._is_order_known = is_order_known
        self._size_max = size_max
        self._rows: OrderedDict[AccountId, _Loaded] = OrderedDict()
        self._generation = 0

    # --- sealing ---

    def seal_key(self, tx: Tx, key: KeyToSeal) -> SealedKey:
        """Seal an exchange key for its account. The caller stores it and calls `forget` after the commit."""
        public = key.api_key.reveal_text()
        return SealedKey(
            sealed_key=self._vault.seal(tx, key.user_id, _context(key, _FIELD_KEY), key.api_key),
            sealed_secret=self._vault.seal(tx, key.user_id, _context(key, _FIELD_SECRET), key.api_secret),
            api_key_masked=mask_public(public),
            fingerprint=self.fingerprint(tx, key.venue, key.api_key),
        )

    def fingerprint(self, tx: Tx, venue: VenueName, api_key: Secret) -> str:
        """Return a keyed hash by which a key that was added before is found, without comparing keys."""
        pepper = self._vault.platform_key(tx, _PEPPER)
        text = venue.encode("utf-8") + b"\x1f" + api_key.reveal()
        return hmac.digest(pepper.reveal(), text, "sha256")[:_FINGERPRINT_BYTES].hex()

    # --- signing ---

    def for_account(self, account_id: AccountId) -> Signer:
        """Return the signer of an account. Raises CredentialRefused where it has no key.

        Reads the database on the calling thread the first time; `warm` many accounts before a fan-out.
        """
        if account_id not in self._rows:
            self._keep(self._db.read_now(lambda tx: self._load(tx, [account_id])))
        return AccountSigner(self, account_id, self._loaded(account_id).row.environment)

    async def warm(self, account_ids: Sequence[AccountId]) -> None:
        """Load the sealed keys of these accounts in one query."""
        missing = [account_id for account_id in account_ids if account_id not in self._rows]
        if not missing:
            return
        generation = self._generation
        loaded = await self._db.read(lambda tx: self._load(tx, missing))
        # Something changed while we read: what was read may be the old key.
        if generation == self._generation:
            self._keep(loaded)

    def forget(self, account_id: AccountId) -> None:
        """Drop what is kept of an account; call after every committed change of its key."""
        self._generation += 1
        self._rows.pop(account_id, None)

    def pending(
        self, venue: VenueName, environment: Environment, account_id: AccountId, *, api_key: Secret, api_secret: Secret
    ) -> Signer:
        """Return a signer for a key under test, which is stored nowhere and may only read."""
        return PendingSigner(account_id, environment, venue, self._algorithm(venue), (api_key, api_secret))

    def api_key_of(self, account_id: AccountId) -> str:
        """Return the public part of an account's key. Raises CredentialRefused."""
        loaded = self._loaded(account_id)
        if loaded.api_key is None:
            loaded.api_key = self._open(loaded, loaded.key_dek, _FIELD_KEY, loaded.row.sealed_key).reveal_text()
        return loaded.api_key

    def sign_for(self, account_id: AccountId, request: SignRequest) -> str:
        """Sign one request of an account. Raises SigningRefused or CredentialRefused."""
        loaded = self._loaded(account_id)
        venue = loaded.row.venue
        problem = refusal(venue, request)
        if problem is None and request.purpose in (SignPurpose.ORDER, SignPurpose.CANCEL):
            problem = self._order_problem(account_id, request.order_id)
        if problem is not None:
            _log.error("signer.refused", account_id=account_id, order_id=request.order_id, problem=problem)
            raise SigningRefused("signing_refused", problem)
        secret = self._open(loaded, loaded.secret_dek, _FIELD_SECRET, loaded.row.sealed_secret)
        return _signed(self._algorithm(venue), secret, request.payload)

    def _order_problem(self, account_id: AccountId, order_id: OrderId | None) -> str | None:
        if order_id is None:
            return "an order or cancel names its order"
        if not self._is_order_known(order_id, account_id):
            return "the journal does not know this order as one of this account"
        return None

    def _algorithm(self, venue: VenueName) -> SignFunction:
        algorithm = self._algorithms.get(venue)
        if algorithm is None:
            raise SigningRefused("signing_refused", f"there is no way to sign for {venue}")
        return algorithm

    def _loaded(self, account_id: AccountId) -> _Loaded:
        loaded = self._rows.get(account_id)
        if loaded is None:
            # Evicted or changed since the signer was handed out: look again, once.
            self._keep(self._db.read_now(lambda tx: self._load(tx, [account_id])))
            loaded = self._rows.get(account_id)
        if loaded is None:
            raise CredentialRefused(
                "no_credential", "The account has no usable exchange key. Add one: POST /api/v1/credentials."
            )
        self._rows.move_to_end(account_id)
        return loaded

    def _load(self, tx: Tx, account_ids: Sequence[AccountId]) -> list[_Loaded]:
        found = self._load_credentials(tx, account_ids)
        loaded = []
        for row in found.values():
            try:
                key_dek = self._vault.load_key(tx, row.user_id, row.sealed_key)
                secret_dek = self._vault.load_key(tx, row.user_id, row.sealed_secret)
            except SealBroken as error:
                _log.error("signer.unreadable", account_id=row.account_id, problem=str(error))
                continue
            loaded.append(_Loaded(row, key_dek, secret_dek))
        return loaded

    def _keep(self, loaded: Sequence[_Loaded]) -> None:
        for each in loaded:
            self._rows[each.row.account_id] = each
            self._rows.move_to_end(each.row.account_id)
        while len(self._rows) > self._size_max:
            self._rows.popitem(last=False)

    def _open(self, loaded: _Loaded, dek: WrappedKey, field: str, sealed: bytes) -> Secret:
        row = loaded.row
        context = SealContext(row.account_id, row.venue, field, row.version)
        try:
            return self._vault.open_with(dek, context, sealed)
        except SealBroken as error:
            _log.error("signer.unreadable", account_id=row.account_id, problem=str(error))
            raise CredentialRefused(
                "credential_unreadable", "The stored exchange key cannot be opened. Add the key again."
            ) from None


class AccountSigner:
    """The Signer port for one account with a stored key."""

    def __init__(self, signer: InProcessSigner, account_id: AccountId, environment: Environment) -> None:
        self._signer = signer
        self._account_id = account_id
        self._environment = environment

    @property
    def account_id(self) -> AccountId:
        return self._account_id

    @property
    def environment(self) -> Environment:
        return self._environment

    async def api_key(self) -> str:
        """Return the public part of the key. Raises CredentialRefused."""
        return self._signer.api_key_of(self._account_id)

    async def sign(self, request: SignRequest) -> str:
        """Sign one request. Raises SigningRefused or CredentialRefused."""
        return self._signer.sign_for(self._account_id, request)


class PendingSigner:
    """The Signer port for a key under test: reads only, no orders, stored nowhere."""

    def __init__(
        self,
        account_id: AccountId,
        environment: Environment,
        venue: VenueName,
        algorithm: SignFunction,
        key: tuple[Secret, Secret],
    ) -> None:
        self._account_id = account_id
        self._environment = environment
        self._venue = venue
        self._algorithm = algorithm
        self._key = key

    @property
    def account_id(self) -> AccountId:
        return self._account_id

    @property
    def environment(self) -> Environment:
        return self._environment

    async def api_key(self) -> str:
        """Return the public part of the key."""
        return self._key[0].reveal_text()

    async def sign(self, request: SignRequest) -> str:
        """Sign a read. Raises SigningRefused."""
        problem = refusal(self._venue, request)
        if problem is None and request.purpose is not SignPurpose.READ:
            problem = "a key under test may only read"
        if problem is not None:
            raise SigningRefused("signing_refused", problem)
        return _signed(self._algorithm, self._key[1], request.payload)


def _signed(algorithm: SignFunction, secret: Secret, payload: bytes) -> str:
    try:
        return algorithm(secret.reveal(), payload)
    except ValueError:
        # A private key that cannot be read; the text of the error stays here, it may quote the key.
        raise CredentialRefused("secret_unreadable", "The secret is no key that this venue signs with.") from None


def _context(key: KeyToSeal, field: str) -> SealContext:
    return SealContext(key.account_id, key.venue, field, key.version)
