"""Exchange keys of the bench: derived from a number, so that platform, peers and responder agree without talking."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

# Never a key of anybody: the responder listens on loopback and knows no money.
_DOMAIN = b"tradewind bench key "


@dataclass(frozen=True, slots=True)
class Key:
    """An exchange key to link, of one account of the venue."""

    api_key: str
    secret: str = field(repr=False)
    uid: int


def key_of(number: int) -> Key:
    """Return the key of account `number` at the responder: 64 letters and digits, as Binance's are."""
    api_key = hashlib.sha256(_DOMAIN + str(number).encode("ascii")).hexdigest()
    return Key(api_key, secret_of(api_key), uid_of(api_key))


def secret_of(api_key: str) -> str:
    """Return the secret that belongs to a public part."""
    return hashlib.sha256(_DOMAIN + api_key.encode("ascii")).hexdigest()


def uid_of(api_key: str) -> int:
    """Return the responder's number of the account with this key."""
    return int(api_key[:12], 16)


def is_signed(api_key: bytes, signed: bytes) -> bool:
    """Say whether a query or body ends with the right signature of what stands before it."""
    payload, _, signature = signed.rpartition(b"&signature=")
    secret = secret_of(api_key.decode("ascii")).encode("ascii")
    return hmac.compare_digest(hmac.digest(secret, payload, "sha256").hex().encode("ascii"), signature)
