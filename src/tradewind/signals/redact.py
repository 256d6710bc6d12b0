"""What is kept of an alert's body: everything but secrets.

Templates of other services carry keys, tokens and passwords in the body. Ours is in the URL; theirs are of
no use to us and must not lie in our database.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

MASK = "***"
_SECRET = re.compile(
    r"(?:.*(?:token|secret|passw(?:or)?d|passphrase|pass_phrase|api_?key|private_?key|security_?key|credential).*"
    r"|key|pass|pin|auth|authorization|pointer|code|license|license_?id)",
    re.IGNORECASE,
)


def redacted(value: Any) -> Any:
    """Copy a JSON value with the values of secret-looking fields masked, at any depth."""
    if isinstance(value, dict):
        return {key: MASK if _is_secret(key) else redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


def body_hash(kept: str, index: int | None = None) -> str:
    """SHA-256 of what is kept of a message; `index` tells equal messages of one array apart."""
    text = kept if index is None else f"{index}\x1f{kept}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _is_secret(key: str) -> bool:
    return _SECRET.fullmatch(key) is not None
