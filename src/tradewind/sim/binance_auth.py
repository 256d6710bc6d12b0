"""Signatures over the bytes as received, and the time window.

REST: the payload is the raw query followed by the raw body, no separator, without the `signature` pair
(rest-api.md, 2026-07-21). Nothing is decoded before it is checked: since January 2026 a client that signs
first and percent-encodes afterwards fails with -1022, and so it does here.
WebSocket API: all params but `signature`, sorted by name, `k=v` joined with `&`, not encoded.
HMAC is hex in either case; RSA (PKCS#1 v1.5, SHA-256) and Ed25519 are base64 and case-sensitive.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tradewind.sim import binance_errors as errors
from tradewind.sim.binance_errors import VenueError, missing
from tradewind.sim.binance_params import DECIMAL_PATTERN, Params

RECV_WINDOW_DEFAULT_MS = Decimal(5000)
RECV_WINDOW_MAX_MS = Decimal(60000)
# A timestamp may be at most this far ahead of the venue's clock.
_AHEAD_MS = 1000
# CHANGELOG 2024-12-09: before 2017 or more than 10 s ahead is a bad parameter, not a window failure.
_EARLIEST_MS = 1_483_228_800_000
_ABSURD_AHEAD_MS = 10_000
# Above this a timestamp is microseconds (it would be the year 2286 in milliseconds).
_MICROSECONDS_FROM = 10**13


@dataclass(frozen=True, slots=True)
class HmacSecret:
    """The shared secret of a key; never shown."""

    secret: bytes

    def __repr__(self) -> str:
        return "HmacSecret(***)"


Verifier = HmacSecret | Ed25519PublicKey | RSAPublicKey


def signed_payload(query: bytes, body: bytes) -> bytes:
    """Give the exact bytes a REST signature covers."""
    return without_signature(query) + without_signature(body)


def without_signature(raw: bytes) -> bytes:
    """Cut the `signature` pair out of a raw query or body and leave every other byte alone."""
    if b"signature=" not in raw:
        return raw
    return b"&".join(pair for pair in raw.split(b"&") if not pair.startswith(b"signature="))


def ws_payload(params: Mapping[str, str]) -> bytes:
    """Give the bytes a WebSocket API signature covers: sorted, joined, not encoded."""
    return "&".join(f"{k}={params[k]}" for k in sorted(params) if k != "signature").encode()


def is_signed_by(verifier: Verifier, payload: bytes, signature: str) -> bool:
    """Check one signature; a malformed one is simply wrong."""
    if isinstance(verifier, HmacSecret):
        expected = hmac.new(verifier.secret, payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(verifier, Ed25519PublicKey):
            verifier.verify(raw, payload)
        else:
            verifier.verify(raw, payload, padding.PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The span in which a signed request may still be carried out, in milliseconds of venue time."""

    timestamp_ms: Decimal
    recv_window_ms: Decimal

    def check(self, server_ms: int) -> None:
        """Refuse with -1021 outside the window; asked on arrival, after processing and before the engine."""
        if self.timestamp_ms >= server_ms + _AHEAD_MS:
            raise VenueError(
                errors.INVALID_TIMESTAMP,
                "Timestamp for this request was 1000ms ahead of the server's time.",
            )
        if server_ms - self.timestamp_ms > self.recv_window_ms:
            raise VenueError(errors.INVALID_TIMESTAMP, "Timestamp for this request is outside of the recvWindow.")


def read_window(params: Params, server_ms: int) -> TimeWindow:
    """Read `timestamp` (ms or us) and `recvWindow` (ms, up to three decimals)."""
    raw = params.text("timestamp")
    if raw is None:
        raise missing("timestamp")
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 20):
        raise errors.illegal_characters("timestamp", "^[0-9]{1,20}$")
    number = int(raw)
    timestamp = Decimal(number) / 1000 if number >= _MICROSECONDS_FROM else Decimal(number)
    if timestamp < _EARLIEST_MS or timestamp > server_ms + _ABSURD_AHEAD_MS:
        raise VenueError(errors.INVALID_PARAMETER, "Data sent for parameter 'timestamp' is not valid.")
    return TimeWindow(timestamp, _read_recv_window(params))


def _read_recv_window(params: Params) -> Decimal:
    window = params.decimal("recvWindow")
    if window is None:
        return RECV_WINDOW_DEFAULT_MS
    if window > RECV_WINDOW_MAX_MS:
        raise VenueError(errors.BAD_RECV_WINDOW, "recvWindow must be less than 60000")
    # Since 2025-08-12 the window takes up to three decimals.
    exponent = window.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -3:
        raise errors.illegal_characters("recvWindow", DECIMAL_PATTERN)
    return window
