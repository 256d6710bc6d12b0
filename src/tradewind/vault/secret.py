"""A value that must not be seen: masked in every text, refused by every serialiser.

The first layer of reliability.md 2.3. Python cannot wipe memory honestly (2.2), so the aim is that a
secret never reaches a text in the first place, and lives no longer than the call that needs it.
"""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

_MASK = "***"
# Below this, three characters at each end would be most of it.
_MASKABLE_CHARS = 12


class Secret:
    """A masked value; `reveal` is the only way to it, and easy to find in a search."""

    __slots__ = ("__value",)

    def __init__(self, value: str | bytes) -> None:
        self.__value = value.encode("utf-8") if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """Return the plaintext. Do not store it, do not put it into a text."""
        return self.__value

    def reveal_text(self) -> str:
        """Return the plaintext as text (UTF-8)."""
        return self.__value.decode("utf-8")

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value, other.reveal())

    def __hash__(self) -> NoReturn:
        raise TypeError("a secret is no key of a mapping")

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")


def mask_public(text: str) -> str:
    """Show the first and last three characters of the PUBLIC part of a key (K6).

    >>> mask_public("vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A")
    'vmP…h8A'
    """
    if len(text) < _MASKABLE_CHARS:
        return _MASK
    return f"{text[:3]}…{text[-3:]}"
