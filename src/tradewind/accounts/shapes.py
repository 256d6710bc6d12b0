"""What an exchange key looks like, checked before it is shown to the venue (K1).

A text that cannot be a key is refused with what is wrong about it. A text that could be one and is not
what the venue issues today is only warned about: venues change their formats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tradewind.core.errors import InvalidInput
from tradewind.core.instrument import BINANCE, VenueName
from tradewind.vault.secret import Secret

_CHARS_MIN = 16
_KEY_CHARS_MAX = 256
# An RSA key of 4096 bits as PEM has about 3,300.
_SECRET_CHARS_MAX = 8_192
_BLANKS = " \t\r\n\v\f\u00a0\u200b\u200c\u200d\u2060\ufeff"
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class _Shape:
    key_chars: range
    secret_chars: range
    takes_pem: bool


# Binance: 64 characters each for HMAC keys, or a PEM private key as the secret (K1).
_SHAPES: Mapping[VenueName, _Shape] = {BINANCE: _Shape(range(64, 65), range(64, 65), takes_pem=True)}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key as it will be tried, and what looks unusual about it."""

    api_key: Secret
    api_secret: Secret
    warnings: tuple[str, ...]


def checked_pair(venue: VenueName, api_key: str, api_secret: str) -> KeyPair:
    """Trim and check key and secret. Raises InvalidInput naming the field, never quoting it."""
    key, secret = api_key.strip(_BLANKS), api_secret.strip(_BLANKS)
    shape = _SHAPES.get(venue)
    is_pem = "PRIVATE KEY-----" in secret
    _demand_form("api_key", "API key", key, _KEY_CHARS_MAX)
    if is_pem:
        _demand_pem(secret, takes_pem=shape is None or shape.takes_pem)
    else:
        _demand_form("api_secret", "secret", secret, _SECRET_CHARS_MAX)
    if key == secret:
        raise _wrong("api_secret", "The secret is the same text as the API key. Copy the secret itself.")
    warnings = [] if shape is None else [*_unusual("API key", key, shape.key_chars)]
    if shape is not None and not is_pem:
        warnings += _unusual("secret", secret, shape.secret_chars)
    return KeyPair(Secret(key), Secret(secret), tuple(warnings))


def _demand_form(field: str, name: str, text: str, chars_max: int) -> None:
    if not text:
        raise _wrong(field, f"The {name} is empty.")
    if "PRIVATE KEY" in text or "PUBLIC KEY" in text:
        raise _wrong(field, f"The {name} is a PEM text. The API key is the short one that the venue shows.")
    if any(blank in text for blank in _BLANKS):
        raise _wrong(field, f"The {name} has a blank inside. Copy it again in one piece.")
    if not text.isascii() or not text.isprintable():
        raise _wrong(field, f"The {name} has characters that no key has. Copy it again.")
    if len(text) < _CHARS_MIN:
        raise _wrong(field, f"The {name} has {len(text)} characters: that is too short for one. Copy it whole.")
    if len(text) > chars_max:
        raise _wrong(field, f"The {name} has {len(text)} characters: that is too long for one.")


def _demand_pem(text: str, *, takes_pem: bool) -> None:
    if not takes_pem:
        raise _wrong("api_secret", "This venue takes no private key in PEM form. Copy the secret it shows.")
    if "ENCRYPTED" in text:
        raise _wrong("api_secret", "The private key is encrypted. Add it without a passphrase; it is sealed here.")
    if len(text) > _SECRET_CHARS_MAX or not text.startswith("-----BEGIN ") or "-----END " not in text:
        raise _wrong("api_secret", "The private key is not complete: copy it from -----BEGIN to -----END.")


def _unusual(name: str, text: str, usual: range) -> list[str]:
    if len(text) not in usual:
        length = str(usual[0]) if len(usual) == 1 else f"{usual[0]} to {usual[-1]}"
        return [f"The {name} has {len(text)} characters; usual at this venue are {length}."]
    if not _ALPHANUMERIC.fullmatch(text):
        return [f"The {name} has other characters than letters and digits, which is unusual at this venue."]
    return []


def _wrong(field: str, text: str) -> InvalidInput:
    return InvalidInput("key_malformed", text, fields={field: text})
