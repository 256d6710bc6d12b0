"""The envelope: secret under data key, data key under key-encryption key (KEK); reliability.md 2.1.

    data key   wrapped = AES-256-GCM(KEK).encrypt(nonce, DEK, aad = "dek|v1|" kek_id "|" tenant)
    secret     AES-256-GCM(DEK).encrypt(nonce, secret,
                   aad = "cred|v1|" tenant "|" account "|" venue "|" field "|" version)
    stored     algorithm (1) | data key version (4) | nonce (12) | ciphertext | tag (16)

The associated data is not stored: whoever opens must name where the value belongs, so a value moved to
another row does not open. Nonces are random from the operating system, never a counter (a restored
backup would repeat it). GCM does not commit to its key, so no key is ever tried: the value names its
data key's version, the wrapped data key names its KEK.

Nothing here does I/O; a failure says which step failed and never what the bytes were.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tradewind.vault.secret import Secret

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_ALGORITHM_AES_256_GCM = 1
_HEADER = struct.Struct(">BI")
_SEPARATOR = "|"


class SealBroken(Exception):
    """A sealed value does not open: changed, moved to another row, or sealed under another key."""


@dataclass(frozen=True, slots=True)
class SealContext:
    """Where a sealed value belongs, besides its tenant. None of it is secret."""

    account_id: str
    venue: str
    field: str
    version: int

    def associated_data(self, tenant_id: str) -> bytes:
        """Return the bytes that bind a value to its place."""
        return _joined("cred", "v1", tenant_id, self.account_id, self.venue, self.field, str(self.version))


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version of a tenant's data key, wrapped: safe to store and to keep in memory."""

    tenant_id: str
    version: int
    kek_id: str
    wrapped: bytes


class KekProvider(Protocol):
    """Wraps and unwraps data keys. A KMS fits: the KEK itself never has to be here."""

    @property
    def current_id(self) -> str:
        """The id of the KEK that wraps new data keys."""
        ...

    def wrap(self, dek: Secret, tenant_id: str) -> bytes:
        """Wrap a data key under the current KEK."""
        ...

    def unwrap(self, kek_id: str, wrapped: bytes, tenant_id: str) -> Secret:
        """Unwrap a data key. Raises SealBroken (also for a KEK that is not known)."""
        ...


class LocalKek:
    """KEKs held in this process: the first one wraps, all of them unwrap (rotation)."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        if not keys:
            raise ValueError("at least one key-encryption key is needed")
        self._keys: Mapping[str, Secret] = {kek_id_of(key): key for key in keys}
        self._current_id = kek_id_of(keys[0])

    @property
    def current_id(self) -> str:
        return self._current_id

    def wrap(self, dek: Secret, tenant_id: str) -> bytes:
        """Wrap a data key under the current KEK."""
        nonce = os.urandom(_NONCE_BYTES)
        key = AESGCM(self._keys[self._current_id].reveal())
        return nonce + key.encrypt(nonce, dek.reveal(), _dek_data(self._current_id, tenant_id))

    def unwrap(self, kek_id: str, wrapped: bytes, tenant_id: str) -> Secret:
        """Unwrap a data key. Raises SealBroken (also for a KEK that is not known)."""
        kek = self._keys.get(kek_id)
        if kek is None:
            raise SealBroken(
                f"The data key was wrapped by key-encryption key {kek_id}, which is not the one in use "
                f"({self._current_id}). Start with the key this database was made with."
            )
        nonce, body = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        if len(wrapped) != _NONCE_BYTES + KEY_BYTES + _TAG_BYTES:
            raise SealBroken("the wrapped data key has the wrong length")
        try:
            return Secret(AESGCM(kek.reveal()).decrypt(nonce, body, _dek_data(kek_id, tenant_id)))
        except InvalidTag:
            raise SealBroken("the wrapped data key does not open") from None


def kek_id_of(key: Secret) -> str:
    """Return the public name of a KEK: 16 hex digits that say nothing about it. Raises ValueError."""
    raw = key.reveal()
    if len(raw) != KEY_BYTES:
        raise ValueError(f"a key-encryption key has {KEY_BYTES} bytes, this one {len(raw)}")
    return hashlib.sha256(b"tradewind kek id\x00" + raw).hexdigest()[:16]


def new_key() -> Secret:
    """Return 256 random bits of the operating system."""
    return Secret(os.urandom(KEY_BYTES))


def seal(dek: Secret, dek_version: int, associated_data: bytes, plaintext: Secret) -> bytes:
    """Encrypt a secret for one place."""
    nonce = os.urandom(_NONCE_BYTES)
    body = AESGCM(dek.reveal()).encrypt(nonce, plaintext.reveal(), associated_data)
    return _HEADER.pack(_ALGORITHM_AES_256_GCM, dek_version) + nonce + body


def open_sealed(dek: Secret, associated_data: bytes, sealed: bytes) -> Secret:
    """Decrypt a secret in its place. Raises SealBroken."""
    dek_version_of(sealed)
    start = _HEADER.size
    nonce, body = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
    try:
        return Secret(AESGCM(dek.reveal()).decrypt(nonce, body, associated_data))
    except InvalidTag:
        raise SealBroken("the sealed value does not open in this place") from None


def dek_version_of(sealed: bytes) -> int:
    """Return which version of its tenant's data key a value needs. Raises SealBroken."""
    if len(sealed) < _HEADER.size + _NONCE_BYTES + _TAG_BYTES:
        raise SealBroken("the sealed value is too short")
    algorithm, version = _HEADER.unpack_from(sealed)
    if algorithm != _ALGORITHM_AES_256_GCM:
        raise SealBroken("the sealed value names an algorithm that is not known")
    return int(version)


def _dek_data(kek_id: str, tenant_id: str) -> bytes:
    return _joined("dek", "v1", kek_id, tenant_id)


def _joined(*parts: str) -> bytes:
    # A separator inside a part would let two places share one text.
    if any(_SEPARATOR in part for part in parts):
        raise ValueError("no part of a seal's context may contain '|'")
    return _SEPARATOR.join(parts).encode("utf-8")
