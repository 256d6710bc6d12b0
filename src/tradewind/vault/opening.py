"""Finding the key-encryption key where the settings say it is, and checking that it fits the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tradewind.core.errors import InvalidInput
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.vault import store
from tradewind.vault.cipher import KekProvider
from tradewind.vault.kek import create_kek_file, kek_from_environment, kek_from_file
from tradewind.vault.secret import Secret
from tradewind.vault.service import Vault, kek_for_passphrase


@dataclass(frozen=True, slots=True)
class KekPlace:
    """Where the key is: an environment variable, a passphrase in one, else a file outside `data_dir`."""

    file: Path
    data_dir: Path
    key_env: str | None = None
    passphrase_env: str | None = None

    @property
    def uses_file(self) -> bool:
        return self.key_env is None and self.passphrase_env is None

    def describe(self) -> str:
        """Name the place, never what is in it."""
        if self.key_env is not None:
            return f"environment variable {self.key_env}"
        if self.passphrase_env is not None:
            return f"passphrase in environment variable {self.passphrase_env}"
        return f"file {self.file}"


def open_vault(tx: Tx, place: KekPlace, clock: Clock, environ: Mapping[str, str]) -> Vault:
    """Open the vault of this database.

    Raises InvalidInput where there is no key, or where it is not the one this database was made with: a
    wrong key must stop the start, not fail one user after the other.
    """
    vault = Vault(_kek(tx, place, clock, environ), clock)
    problem = vault.problem(tx)
    if problem is not None:
        raise InvalidInput(
            "kek_wrong",
            f"The key-encryption key ({place.describe()}) is not the one this database was made with: "
            f"{problem.rstrip('.')}. Put the right key back; nothing was changed.",
        )
    return vault


def create_missing_kek(tx: Tx, place: KekPlace) -> bool:
    """Make the key file on the very first start; return whether it was made.

    Only while nothing is sealed: a fresh key beside an existing database would open nothing.
    """
    if not place.uses_file or place.file.exists():
        return False
    if store.find_first_key(tx) is not None:
        raise InvalidInput(
            "kek_missing",
            f"The key {place.file} is gone, and this database holds secrets sealed with it. Put it back from your "
            "own safe-keeping; a new one would open nothing.",
        )
    try:
        place.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            "kek_not_written", f"The folder {place.file.parent} cannot be made: {error.strerror}."
        ) from None
    create_kek_file(place.file)
    return True


def _kek(tx: Tx, place: KekPlace, clock: Clock, environ: Mapping[str, str]) -> KekProvider:
    if place.key_env is not None:
        return kek_from_environment(environ, place.key_env)
    if place.passphrase_env is not None:
        passphrase = environ.get(place.passphrase_env, "")
        if not passphrase:
            raise InvalidInput(
                "kek_missing", f"The environment variable {place.passphrase_env} with the passphrase is not set."
            )
        return kek_for_passphrase(tx, Secret(passphrase), clock)
    if not place.file.exists():
        raise InvalidInput(
            "kek_missing", f"There is no key-encryption key at {place.file}. Make one with: tradewind keys init"
        )
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    return kek_from_file(place.file, outside=place.data_dir, credentials=Path(credentials) if credentials else None)
