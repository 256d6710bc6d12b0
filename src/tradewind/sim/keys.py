"""API keys of the simulated venue: issue, look up, and what each may do.

A key belongs to one uid; one uid may hold several keys. Rights are the key's, never the account's:
`apiRestrictions` shows them and -2015 enforces them. A withdrawal right needs an IP list, as at the venue
(developers.binance.com, "Get API Key Permission", 2026-11).
The ring is durable in its own SQLite file beside the exchange's, so that a restart never forgets a key a
client already holds. It stores secrets in the clear: they open nothing but play money.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import sqlite3
import string
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key

from tradewind.sim.binance_auth import HmacSecret, Verifier

_ALPHABET = string.ascii_letters + string.digits
KEY_LENGTH = 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS api_keys (
    api_key TEXT PRIMARY KEY,
    uid INTEGER NOT NULL,
    kind TEXT NOT NULL,
    material TEXT NOT NULL,
    detail TEXT NOT NULL
)
"""


class KeyKind(StrEnum):
    """The three kinds of keys the venue issues."""

    HMAC = "hmac"
    ED25519 = "ed25519"
    RSA = "rsa"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Rights of one key."""

    reading: bool = True
    trading: bool = True
    withdraw: bool = False
    internal_transfer: bool = False
    universal_transfer: bool = False


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One issued key; `verifier` checks its signatures."""

    api_key: str
    uid: int
    kind: KeyKind
    verifier: Verifier = field(repr=False)
    permissions: Permissions
    ip_list: tuple[str, ...]
    created_ms: int
    expires_ms: int | None = None

    def allows_address(self, address: str) -> bool:
        """Tell whether the caller's address is on the list; an empty list allows every address."""
        if not self.ip_list:
            return True
        try:
            caller = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(caller in ipaddress.ip_network(entry, strict=False) for entry in self.ip_list)

    def has_lapsed(self, now_ms: int) -> bool:
        """Tell whether the trading right has lapsed; reading goes on."""
        return self.expires_ms is not None and now_ms >= self.expires_ms


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """What the person who created the key is shown, once."""

    key: ApiKey
    secret: str = field(repr=False)


class KeyRing:
    """All keys of the venue, in memory and on disk."""

    def __init__(self, path: Path | None) -> None:
        """Open the ring; None keeps it in memory. Raises sqlite3.OperationalError when unwritable."""
        self._db = sqlite3.connect(str(path) if path is not None else ":memory:", isolation_level=None)
        if path is not None:
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(_SCHEMA)
        self._keys: dict[str, ApiKey] = {key.api_key: key for key in self._read_all()}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, api_key: str) -> ApiKey | None:
        """Look a key up by its public name."""
        return self._keys.get(api_key)

    def of_uid(self, uid: int) -> list[ApiKey]:
        """List the keys of one account, oldest first."""
        return [key for key in self._keys.values() if key.uid == uid]

    def issue(
        self,
        uid: int,
        kind: KeyKind,
        permissions: Permissions,
        *,
        created_ms: int,
        ip_list: tuple[str, ...] = (),
        expires_ms: int | None = None,
        public_key_pem: str | None = None,
    ) -> IssuedKey:
        """Create and store a key. Raises ValueError for a bad address, key or combination of rights."""
        if permissions.withdraw and not ip_list:
            raise ValueError("withdrawals can only be enabled on a key with an IP list")
        for entry in ip_list:
            ipaddress.ip_network(entry, strict=False)
        material, secret = _new_material(kind, public_key_pem)
        key = ApiKey(
            api_key=_random_name(),
            uid=uid,
            kind=kind,
            verifier=_load_verifier(kind, material),
            permissions=permissions,
            ip_list=ip_list,
            created_ms=created_ms,
            expires_ms=expires_ms,
        )
        self._write(key, material)
        return IssuedKey(key, secret)

    def change(self, api_key: str, permissions: Permissions) -> ApiKey:
        """Replace the rights of a key. Raises KeyError when unknown."""
        changed = replace(self._keys[api_key], permissions=permissions)
        self._db.execute("UPDATE api_keys SET detail = ? WHERE api_key = ?", (_detail(changed), api_key))
        self._keys[api_key] = changed
        return changed

    def revoke(self, api_key: str) -> None:
        """Delete a key for good. Raises KeyError when unknown."""
        del self._keys[api_key]
        self._db.execute("DELETE FROM api_keys WHERE api_key = ?", (api_key,))

    def _write(self, key: ApiKey, material: str) -> None:
        self._db.execute(
            "INSERT INTO api_keys (api_key, uid, kind, material, detail) VALUES (?, ?, ?, ?, ?)",
            (key.api_key, key.uid, key.kind.value, material, _detail(key)),
        )
        self._keys[key.api_key] = key

    def _read_all(self) -> Iterator[ApiKey]:
        rows = self._db.execute("SELECT api_key, uid, kind, material, detail FROM api_keys ORDER BY rowid")
        for api_key, uid, kind, material, detail in rows.fetchall():
            loaded = json.loads(detail)
            yield ApiKey(
                api_key=api_key,
                uid=uid,
                kind=KeyKind(kind),
                verifier=_load_verifier(KeyKind(kind), material),
                permissions=Permissions(**loaded["permissions"]),
                ip_list=tuple(loaded["ip_list"]),
                created_ms=loaded["created_ms"],
                expires_ms=loaded["expires_ms"],
            )


def rights(permissions: Permissions) -> dict[str, bool]:
    """Give the rights by name, as the control API shows them."""
    return {item.name: bool(getattr(permissions, item.name)) for item in fields(permissions)}


def _detail(key: ApiKey) -> str:
    return json.dumps(
        {
            "permissions": rights(key.permissions),
            "ip_list": list(key.ip_list),
            "created_ms": key.created_ms,
            "expires_ms": key.expires_ms,
        }
    )


def _random_name() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(KEY_LENGTH))


def _new_material(kind: KeyKind, public_key_pem: str | None) -> tuple[str, str]:
    """Give (what the venue keeps, what the person keeps)."""
    if kind is KeyKind.HMAC:
        if public_key_pem is not None:
            raise ValueError("an HMAC key takes no public key")
        secret = _random_name()
        return secret, secret
    if public_key_pem is not None:
        return public_key_pem, ""
    # 2048 bit is the least the venue takes for RSA; enough for play money and quick to make.
    private = Ed25519PrivateKey.generate() if kind is KeyKind.ED25519 else generate_private_key(65537, 2048)
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public_pem.decode(), private_pem.decode()


def _load_verifier(kind: KeyKind, material: str) -> Verifier:
    if kind is KeyKind.HMAC:
        return HmacSecret(material.encode())
    public = serialization.load_pem_public_key(material.encode())
    if kind is KeyKind.ED25519 and isinstance(public, Ed25519PublicKey):
        return public
    if kind is KeyKind.RSA and isinstance(public, RSAPublicKey):
        return public
    raise ValueError(f"not a public key of kind {kind.value}")


def looks_like_key(api_key: str) -> bool:
    """Tell whether a header value has the form of a key at all (-2014 otherwise)."""
    return len(api_key) == KEY_LENGTH and api_key.isascii() and api_key.isalnum()
