"""Where the key-encryption key comes from."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.support.clock import ManualClock
from tests.support.db import fresh_db

from tradewind.core.errors import InvalidInput
from tradewind.vault.kek import (
    Derivation,
    create_kek_file,
    kek_from_environment,
    kek_from_file,
    kek_from_passphrase,
)
from tradewind.vault.opening import KekPlace, open_vault
from tradewind.vault.secret import Secret
from tradewind.vault.service import kek_for_passphrase

_HEX = "ab" * 32


def test_create_when_there_is_none_then_only_its_owner_may_read_it(tmp_path: Path) -> None:
    made = create_kek_file(tmp_path / "kek")
    assert stat.S_IMODE((tmp_path / "kek").stat().st_mode) == 0o400
    assert kek_from_file(tmp_path / "kek").current_id == made.current_id


def test_create_when_there_is_one_then_it_is_never_overwritten(tmp_path: Path) -> None:
    made = create_kek_file(tmp_path / "kek")
    with pytest.raises(InvalidInput, match="never overwritten"):
        create_kek_file(tmp_path / "kek")
    assert kek_from_file(tmp_path / "kek").current_id == made.current_id


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o620, 0o602, 0o610, 0o601])
def test_file_when_others_may_reach_it_then_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    create_kek_file(path)
    path.chmod(mode)
    with pytest.raises(InvalidInput, match="chmod 600"):
        kek_from_file(path)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_file_when_only_its_owner_may_reach_it_then_is_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    create_kek_file(path)
    path.chmod(mode)
    kek_from_file(path)


def test_file_when_it_lies_in_the_data_directory_then_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    create_kek_file(data / "kek")
    with pytest.raises(InvalidInput, match="inside the data directory"):
        kek_from_file(data / "kek", outside=data)
    create_kek_file(tmp_path / "kek")
    kek_from_file(tmp_path / "kek", outside=data)


@pytest.mark.parametrize("content", ["", "\n", "zz" * 32, "ab" * 31, "ab" * 33, "ab" * 32 + " cd"])
def test_file_when_it_holds_no_key_then_is_refused_without_quoting_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kek"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(InvalidInput) as caught:
        kek_from_file(path)
    assert caught.value.code == "kek_malformed"
    assert not content.strip() or content.strip() not in caught.value.message


def test_file_when_it_is_missing_or_leads_nowhere_or_is_a_folder_then_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("missing", "link", "circle", "folder"):
        with pytest.raises(InvalidInput) as caught:
            kek_from_file(tmp_path / name)
        assert caught.value.code == "kek_not_readable"


def test_link_when_what_it_leads_to_is_private_then_is_read(tmp_path: Path) -> None:
    # A mounted Kubernetes secret: name -> ..data/name -> ..2026_11_20/name.
    (tmp_path / "..2026_11_20").mkdir()
    made = create_kek_file(tmp_path / "..2026_11_20" / "kek")
    (tmp_path / "..data").symlink_to("..2026_11_20")
    (tmp_path / "kek").symlink_to("..data/kek")
    assert kek_from_file(tmp_path / "kek").current_id == made.current_id
    (tmp_path / "..2026_11_20" / "kek").chmod(0o444)
    with pytest.raises(InvalidInput, match="chmod 600"):
        kek_from_file(tmp_path / "kek")


def test_link_when_either_end_lies_in_the_data_directory_then_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for target, link in ((data / "kek", tmp_path / "out"), (tmp_path / "kek", data / "in")):
        create_kek_file(target)
        link.symlink_to(target)
        with pytest.raises(InvalidInput, match="inside the data directory"):
            kek_from_file(link, outside=data)


def _credential(folder: Path, mode: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "kek"
    path.unlink(missing_ok=True)
    create_kek_file(path)
    path.chmod(mode)
    return path


def test_credential_when_a_group_may_read_it_then_is_read_in_its_folder_alone(tmp_path: Path) -> None:
    credentials, elsewhere = tmp_path / "credentials", tmp_path / "elsewhere"
    kek_from_file(_credential(credentials, 0o440), credentials=credentials)
    (tmp_path / "link").symlink_to(credentials / "kek")
    kek_from_file(tmp_path / "link", credentials=credentials)
    # A link in the folder does not make a credential of what lies outside.
    _credential(elsewhere, 0o440)
    (credentials / "leak").symlink_to(elsewhere / "kek")
    for path, folder in (
        (elsewhere / "kek", credentials),
        (credentials / "leak", credentials),
        (credentials / "kek", None),
        (credentials / "kek", Path()),
    ):
        with pytest.raises(InvalidInput, match="chmod 600"):
            kek_from_file(path, credentials=folder)


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o450, 0o644, 0o442, 0o441])
def test_credential_when_more_than_a_groups_reading_is_allowed_then_is_refused(tmp_path: Path, mode: int) -> None:
    path = _credential(tmp_path / "credentials", mode)
    with pytest.raises(InvalidInput, match="chmod 600"):
        kek_from_file(path, credentials=path.parent)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away")
def test_credential_when_it_belongs_to_somebody_else_then_no_group_may_read_it(tmp_path: Path) -> None:
    path = _credential(tmp_path / "credentials", 0o440)
    os.chown(path, 65_534, -1)
    with pytest.raises(InvalidInput, match="chmod 600"):
        kek_from_file(path, credentials=path.parent)


def test_open_when_the_service_names_a_folder_of_credentials_then_the_key_in_it_opens_the_vault(tmp_path: Path) -> None:
    path = _credential(tmp_path / "credentials", 0o440)
    place = KekPlace(path, tmp_path / "data")
    with fresh_db(tmp_path, ("vault",)) as db:
        environ = {"CREDENTIALS_DIRECTORY": str(path.parent)}
        vault = db.write_now(lambda tx: open_vault(tx, place, ManualClock(), environ))
        assert vault.kek_id == kek_from_file(path, credentials=path.parent).current_id
        with pytest.raises(InvalidInput, match="chmod 600"):
            db.write_now(lambda tx: open_vault(tx, place, ManualClock(), {}))


def test_file_when_it_holds_two_keys_then_the_first_is_current(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    path.write_text("cd" * 32 + "\n" + _HEX + "\n")
    path.chmod(0o600)
    old = kek_from_environment({"K": _HEX}, "K")
    both = kek_from_file(path)
    assert both.current_id == kek_from_environment({"K": "cd" * 32}, "K").current_id
    assert both.unwrap(old.current_id, old.wrap(Secret(os.urandom(32)), "u1"), "u1")


@pytest.mark.parametrize("environment", [{}, {"K": ""}, {"K": "  "}, {"K": "secret-but-no-hex"}])
def test_environment_when_it_holds_no_key_then_is_refused_without_quoting_it(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="K") as caught:
        kek_from_environment(environment, "K")
    assert "secret-but-no-hex" not in caught.value.message


@pytest.mark.parametrize("derivation", list(Derivation))
def test_passphrase_when_derived_again_then_is_the_same_key_for_the_same_salt_only(derivation: Derivation) -> None:
    passphrase = Secret("correct horse battery staple")
    first = kek_from_passphrase(passphrase, b"a" * 16, derivation)
    assert kek_from_passphrase(passphrase, b"a" * 16, derivation).current_id == first.current_id
    assert kek_from_passphrase(passphrase, b"b" * 16, derivation).current_id != first.current_id


def test_passphrase_when_short_then_is_refused() -> None:
    with pytest.raises(InvalidInput, match="16 characters"):
        kek_from_passphrase(Secret("too short"), b"a" * 16)


def test_passphrase_when_a_database_keeps_its_salt_then_the_next_start_has_the_same_key(tmp_path: Path) -> None:
    passphrase, clock = Secret("correct horse battery staple"), ManualClock()
    with fresh_db(tmp_path, ("vault",)) as db:
        first = db.write_now(lambda tx: kek_for_passphrase(tx, passphrase, clock))
        # What is asked for later does not matter: the database says how it was made.
        again = db.write_now(lambda tx: kek_for_passphrase(tx, passphrase, clock, Derivation.SCRYPT))
        assert again.current_id == first.current_id
        other = db.write_now(lambda tx: kek_for_passphrase(tx, Secret("another one, as long"), clock))
        assert other.current_id != first.current_id
