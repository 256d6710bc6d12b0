"""Where the key-encryption key comes from: a file, the environment, or a passphrase (K4).

The file holds one key of 64 hex digits per line, the current one first; more lines are older keys that may
still unwrap. It belongs to one owner and nobody else may read it, and it stays out of the data directory:
a copy of the data must not carry its key along. A service manager's credential may be readable by a group:
systemd lets the service in by an access list, whose mask shows as the group's bits, and Kubernetes by the
pod's group; both name the folder in CREDENTIALS_DIRECTORY.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tradewind.core.errors import InvalidInput
from tradewind.vault.cipher import KEY_BYTES, LocalKek, new_key
from tradewind.vault.secret import Secret

# K4 names 600,000 rounds (OWASP's figure for PBKDF2-HMAC-SHA256).
_PBKDF2_ROUNDS = 600_000
# 128 MiB: n * r * 128 bytes, about half a second; RFC 7914 parameters for a file that is opened once.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**17, 8, 1
_PASSPHRASE_CHARS_MIN = 16
SALT_BYTES = 16
# Far more keys than anybody rotates through.
_FILE_BYTES_MAX = 64 * 1024


class Derivation(StrEnum):
    """How a passphrase becomes a key; kept beside the salt."""

    PBKDF2 = "pbkdf2-sha256-600000"
    SCRYPT = "scrypt-17-8-1"


def create_kek_file(path: Path) -> LocalKek:
    """Write a new random key, readable by its owner alone. Raises InvalidInput if the file exists.

    A key is made once, by an explicit call: making one silently beside an existing database would leave
    every sealed secret in it closed for ever.
    """
    key = new_key()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o400)
    except FileExistsError:
        raise InvalidInput("kek_exists", f"The key file {path} exists. It is never overwritten.") from None
    except OSError as error:
        raise InvalidInput("kek_not_written", f"The key file {path} cannot be written: {error.strerror}.") from None
    with os.fdopen(fd, "wb") as file:
        file.write(key.reveal().hex().encode("ascii") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return LocalKek([key])


def kek_from_file(path: Path, *, outside: Path | None = None, credentials: Path | None = None) -> LocalKek:
    """Read the key file. `outside`: a directory it must not lie in (the data directory).

    `credentials`: the folder of a service manager's credentials, in which a group may read. Links are
    followed, and what they lead to is judged. Raises InvalidInput naming the file and what to do.
    """
    real = Path(os.path.realpath(path))
    # The link itself counts as well: a copy that follows links would hold the key.
    places = (real, path.parent.resolve() / path.name)
    if outside is not None and any(place.is_relative_to(outside.resolve()) for place in places):
        raise InvalidInput(
            "kek_beside_data",
            f"The key file {path} lies inside the data directory {outside}: a copy of the data would hold its key. "
            "Move it elsewhere.",
        )
    try:
        # Every link is resolved above; one put there since is not followed.
        fd = os.open(real, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise InvalidInput("kek_not_readable", f"The key file {path} cannot be read: {error.strerror}.") from None
    try:
        # Asked of the open file, so that nobody can swap it in between.
        _demand_private(path, os.fstat(fd), is_credential=_lies_in(real, credentials))
        text = os.read(fd, _FILE_BYTES_MAX).decode("ascii", "replace")
    finally:
        os.close(fd)
    return LocalKek([_key_of(line, f"The key file {path}") for line in text.split()] or [_no_key(path)])


def kek_from_environment(environment: Mapping[str, str], name: str) -> LocalKek:
    """Read the key (64 hex digits, older ones after commas) from an environment variable. Raises InvalidInput."""
    text = environment.get(name, "")
    if not text.strip():
        raise InvalidInput("kek_missing", f"The environment variable {name} with the key-encryption key is not set.")
    return LocalKek([_key_of(part.strip(), f"The environment variable {name}") for part in text.split(",")])


def kek_from_passphrase(passphrase: Secret, salt: bytes, derivation: Derivation = Derivation.PBKDF2) -> LocalKek:
    """Derive the key from a passphrase (about half a second of one core). Raises InvalidInput if it is short."""
    if len(passphrase.reveal_text()) < _PASSPHRASE_CHARS_MIN:
        raise InvalidInput("passphrase_short", f"A key passphrase needs at least {_PASSPHRASE_CHARS_MIN} characters.")
    if len(salt) < SALT_BYTES:
        raise ValueError("the salt is too short")
    return LocalKek([Secret(_derive(passphrase.reveal(), salt, derivation))])


def _derive(passphrase: bytes, salt: bytes, derivation: Derivation) -> bytes:
    if derivation is Derivation.SCRYPT:
        return Scrypt(salt=salt, length=KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase)
    return PBKDF2HMAC(algorithm=SHA256(), length=KEY_BYTES, salt=salt, iterations=_PBKDF2_ROUNDS).derive(passphrase)


def _lies_in(real: Path, folder: Path | None) -> bool:
    return folder is not None and folder.is_absolute() and real.is_relative_to(folder.resolve())


def _demand_private(path: Path, status: os.stat_result, *, is_credential: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput("kek_not_readable", f"The key file {path} is not a regular file.")
    # Windows has no such bits and reports every file as open to all.
    if os.name != "posix":
        return
    # A group may read a credential that belongs to root or to us; nobody may write or run it.
    is_ours = status.st_uid in (0, os.geteuid())
    refused = 0o037 if is_credential and is_ours else 0o077
    if status.st_mode & refused:
        raise InvalidInput(
            "kek_too_open",
            f"The key file {path} may be read by others (mode {status.st_mode & 0o777:04o}). Run: chmod 600 {path}",
        )


def _key_of(text: str, where: str) -> Secret:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(text) != 2 * KEY_BYTES:
        raise InvalidInput("kek_malformed", f"{where} must hold keys of 64 hex digits.")
    return Secret(key)


def _no_key(path: Path) -> Secret:
    raise InvalidInput("kek_malformed", f"The key file {path} is empty.")
