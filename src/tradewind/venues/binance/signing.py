"""Binance's signatures, pure: bytes in, text out (rest-api.md "SIGNED endpoint security", 2026-07-21).

REST signs the query as sent, already percent-encoded, directly followed by the body as sent (enforced since
2026-01-15). The WebSocket API signs all params but the signature, sorted by name, NOT percent-encoded.
HMAC answers hex, RSA and Ed25519 base64; the caller percent-encodes the signature when it goes into a query.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from enum import StrEnum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tradewind.venues.base import SignPurpose

SUBSCRIBE_METHOD = "userDataStream.subscribe.signature"

# What each purpose may sign: (method, path). The signer keeps to this; `test_order` executes nothing.
PATHS: Mapping[SignPurpose, frozenset[tuple[str, str]]] = {
    SignPurpose.ORDER: frozenset({("POST", "/api/v3/order"), ("POST", "/api/v3/orderList/oco")}),
    SignPurpose.CANCEL: frozenset({("DELETE", "/api/v3/order"), ("DELETE", "/api/v3/orderList")}),
    SignPurpose.READ: frozenset(
        {
            ("GET", "/api/v3/account"),
            ("GET", "/api/v3/order"),
            ("GET", "/api/v3/openOrders"),
            ("GET", "/api/v3/allOrders"),
            ("GET", "/api/v3/myTrades"),
            ("GET", "/sapi/v1/account/apiRestrictions"),
            ("POST", "/api/v3/order/test"),
        }
    ),
    SignPurpose.STREAM: frozenset({("WS", SUBSCRIBE_METHOD)}),
}


class SignatureKind(StrEnum):
    """The three kinds of key Binance issues."""

    HMAC = "hmac"
    ED25519 = "ed25519"
    RSA = "rsa"


def kind_of(secret: bytes) -> SignatureKind:
    """Tell what a secret is. Raises ValueError for a private key Binance does not take."""
    if b"PRIVATE KEY" not in secret:
        return SignatureKind.HMAC
    key = load_private_key(secret)
    return SignatureKind.ED25519 if isinstance(key, Ed25519PrivateKey) else SignatureKind.RSA


def load_private_key(pem: bytes) -> Ed25519PrivateKey | RSAPrivateKey:
    """Read an unencrypted PEM key; line breaks pasted as the two characters \\n are taken for what was meant.

    Raises ValueError, whose text never holds the key.
    """
    try:
        key = serialization.load_pem_private_key(pem.replace(b"\\n", b"\n"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key cannot be read: it must be an unencrypted PEM (PKCS#8)") from None
    if isinstance(key, (Ed25519PrivateKey, RSAPrivateKey)):
        return key
    raise ValueError("the private key must be Ed25519 or RSA")


def sign_hmac(secret: bytes, payload: bytes) -> str:
    """HMAC-SHA256 as lower-case hex."""
    # Not hmac.digest: that one lets go of the interpreter, and with the database's threads at work the event loop
    # waits up to 5 ms to get it back, for each signature.
    return hmac.new(secret, payload, "sha256").hexdigest()


def sign_ed25519(key: Ed25519PrivateKey, payload: bytes) -> str:
    """Ed25519 as base64 (88 characters)."""
    return base64.b64encode(key.sign(payload)).decode("ascii")


def sign_rsa(key: RSAPrivateKey, payload: bytes) -> str:
    """RSA PKCS#1 v1.5 with SHA-256 as base64."""
    return base64.b64encode(key.sign(payload, padding.PKCS1v15(), hashes.SHA256())).decode("ascii")


def sign(secret: bytes, payload: bytes) -> str:
    """Sign with whatever kind of secret this is; for few signatures (a kept key object is quicker)."""
    if b"PRIVATE KEY" not in secret:
        return sign_hmac(secret, payload)
    key = load_private_key(secret)
    return sign_ed25519(key, payload) if isinstance(key, Ed25519PrivateKey) else sign_rsa(key, payload)


def ws_payload(params: Mapping[str, str | int]) -> bytes:
    """The bytes the WebSocket API signs: sorted by name, raw UTF-8, without the signature."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature").encode("utf-8")
