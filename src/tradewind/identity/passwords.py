"""Passwords: Argon2id, at least 12 characters, none of the common ones, no rules about their make-up (P1).

Hashing takes memory on purpose (19 MiB, 2 passes, about 25 ms: OWASP's first recommendation), so at most
two run at a time and few may wait: otherwise signing in would be a way to stop the platform. An address
nobody has costs the same time as one somebody has, so times tell nothing.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tradewind.core.errors import InvalidInput, TooMany
from tradewind.identity.common_passwords import is_common
from tradewind.vault.secret import Secret

T = TypeVar("T")

CHARS_MIN = 12
# NIST 800-63B-4 asks for at least 64; a bound keeps the work bounded.
CHARS_MAX = 256
_AT_ONCE = 2
# At 25 ms and two at a time the last of these waits about a quarter of a second.
_WAITING_MAX = 20


class Passwords:
    """Hashes and verifies; one per process."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        # Verified in place of the hash of somebody who does not exist; nobody knows its password.
        self._dummy = self._hasher.hash(b"\x00nobody")

    async def hash(self, password: Secret, *personal: str) -> str:
        """Hash a new password. Raises InvalidInput where it is too short, too long or too common."""
        text = check_new_password(password, *personal)
        return await self._in_thread(lambda: self._hasher.hash(text))

    async def verify(self, password_hash: str | None, password: Secret) -> bool:
        """Check a password; None (nobody there) takes as long and is never right."""
        text = _normal(password)
        expected = self._dummy if password_hash is None else password_hash
        is_right = await self._in_thread(lambda: self._is_right(expected, text))
        return is_right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Say whether a hash was made with other parameters and should be made anew at this sign-in."""
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    async def rehash(self, password: Secret) -> str:
        """Hash a password that was just verified, without asking again whether it is a good one."""
        text = _normal(password)
        return await self._in_thread(lambda: self._hasher.hash(text))

    def _is_right(self, password_hash: str, text: str) -> bool:
        try:
            return self._hasher.verify(password_hash, text)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING_MAX:
            raise TooMany("sign_in_busy", "Too many people are signing in. Try again in a moment.", retry_after_s=2)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def check_new_password(password: Secret, *personal: str) -> str:
    """Return the normalised text of an acceptable new password. Raises InvalidInput."""
    text = _normal(password)
    if len(text) < CHARS_MIN:
        raise InvalidInput("password_short", f"A password needs at least {CHARS_MIN} characters.")
    if is_common(text, *personal):
        raise InvalidInput(
            "password_common", "This password is among the first that would be tried. Choose a few unrelated words."
        )
    return text


def _normal(password: Secret) -> str:
    # NFKC: the same characters typed on another device give the same password (NIST 800-63B-4).
    text = unicodedata.normalize("NFKC", password.reveal_text())
    if len(text) > CHARS_MAX:
        raise InvalidInput("password_long", f"A password may have at most {CHARS_MAX} characters.")
    return text
