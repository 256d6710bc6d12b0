"""The vault's verbs: seal and open secrets of tenants, keys of the platform itself.

Every tenant has its own data key, so deleting that key shreds the tenant's secrets, and no single key
opens everybody's. Plaintext is returned as `Secret` and never kept: opening takes microseconds.
"""

from __future__ import annotations

import os

from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.vault import cipher, store
from tradewind.vault.cipher import KekProvider, SealBroken, SealContext, WrappedKey
from tradewind.vault.kek import SALT_BYTES, Derivation, kek_from_passphrase
from tradewind.vault.secret import Secret

# The platform is a tenant of its own, for keys that belong to nobody else.
PLATFORM_TENANT = "platform"


class Vault:
    """Seals and opens; holds the KEK provider and nothing decrypted."""

    def __init__(self, kek: KekProvider, clock: Clock) -> None:
        self._kek = kek
        self._clock = clock

    @property
    def kek_id(self) -> str:
        """The public name of the key-encryption key in use."""
        return self._kek.current_id

    def seal(self, tx: Tx, tenant_id: str, context: SealContext, plaintext: Secret) -> bytes:
        """Encrypt a secret for one place of one tenant; makes the tenant's data key on first use."""
        key = store.find_current_key(tx, tenant_id)
        if key is None:
            key = self._make_key(tx, tenant_id)
        dek = self._kek.unwrap(key.kek_id, key.wrapped, tenant_id)
        return cipher.seal(dek, key.version, context.associated_data(tenant_id), plaintext)

    def open(self, tx: Tx, tenant_id: str, context: SealContext, sealed: bytes) -> Secret:
        """Decrypt a secret in its place. Raises SealBroken."""
        return self.open_with(self.load_key(tx, tenant_id, sealed), context, sealed)

    def load_key(self, tx: Tx, tenant_id: str, sealed: bytes) -> WrappedKey:
        """Load the wrapped data key that a sealed value names. Raises SealBroken."""
        version = cipher.dek_version_of(sealed)
        key = store.find_key(tx, tenant_id, version)
        if key is None:
            raise SealBroken("the sealed value names a data key that its tenant does not have")
        return key

    def open_with(self, key: WrappedKey, context: SealContext, sealed: bytes) -> Secret:
        """Decrypt with a wrapped data key loaded before: no database. Raises SealBroken."""
        if cipher.dek_version_of(sealed) != key.version:
            raise SealBroken("the sealed value needs another version of the data key")
        dek = self._kek.unwrap(key.kek_id, key.wrapped, key.tenant_id)
        return cipher.open_sealed(dek, context.associated_data(key.tenant_id), sealed)

    def platform_key(self, tx: Tx, name: str) -> Secret:
        """Return a random key of the platform (audit chain, fingerprints); made on first use.

        Raises SealBroken where it does not open.
        """
        kept = self.find_platform_key(tx, name)
        if kept is not None:
            return kept
        key = cipher.new_key()
        sealed = self.seal(tx, PLATFORM_TENANT, _platform_context(name), key)
        store.insert_platform_key(tx, name, sealed, self._clock.now())
        return key

    def find_platform_key(self, tx: Tx, name: str) -> Secret | None:
        """Return a key of the platform if it was ever made. Raises SealBroken where it does not open."""
        sealed = store.find_platform_key(tx, name)
        return None if sealed is None else self.open(tx, PLATFORM_TENANT, _platform_context(name), sealed)

    def problem(self, tx: Tx) -> str | None:
        """Say why this KEK is not the one this database was made with; None if it is, or if nothing is sealed."""
        key = store.find_current_key(tx, PLATFORM_TENANT) or store.find_first_key(tx)
        if key is None:
            return None
        try:
            self._kek.unwrap(key.kek_id, key.wrapped, key.tenant_id)
        except SealBroken as error:
            return str(error)
        return None

    def _make_key(self, tx: Tx, tenant_id: str) -> WrappedKey:
        wrapped = self._kek.wrap(cipher.new_key(), tenant_id)
        key = WrappedKey(tenant_id, 1, self._kek.current_id, wrapped)
        store.insert_key(tx, key, self._clock.now())
        return key


def _platform_context(name: str) -> SealContext:
    return SealContext(account_id="-", venue="-", field=name, version=1)


def kek_for_passphrase(
    tx: Tx, passphrase: Secret, clock: Clock, derivation: Derivation = Derivation.PBKDF2
) -> KekProvider:
    """Derive this database's KEK from its passphrase; the salt is made on first use and kept.

    `derivation` counts only then. Raises InvalidInput if the passphrase is short.
    """
    kept = store.find_derivation(tx)
    if kept is not None:
        return kek_from_passphrase(passphrase, kept[1], Derivation(kept[0]))
    salt = os.urandom(SALT_BYTES)
    kek = kek_from_passphrase(passphrase, salt, derivation)
    store.insert_derivation(tx, derivation.value, salt, clock.now())
    return kek
