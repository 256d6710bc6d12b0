"""Sealing in a database: tenants apart, rows not exchangeable, the wrong key noticed at the start."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.clock import ManualClock
from tests.support.db import bytes_of, fresh_db

from tradewind.infra.db import Db, Tx
from tradewind.vault.cipher import LocalKek, SealBroken, SealContext, new_key
from tradewind.vault.secret import Secret
from tradewind.vault.service import Vault

_KEK = Secret(bytes(range(32)))
_CANARY = b"canary-5c1e0d9a8b7f6e5d4c3b2a19"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    with fresh_db(tmp_path, ("vault",)) as db:
        yield db


@pytest.fixture
def vault() -> Vault:
    return Vault(LocalKek([_KEK]), ManualClock())


def test_open_when_rows_are_swapped_in_any_way_then_every_swap_is_refused(db: Db, vault: Vault) -> None:
    places = [
        (tenant, SealContext(account, "binance", field, version))
        for tenant, account in (("u1", "a1"), ("u1", "a2"), ("u2", "a3"), ("u3", "a4"))
        for field in ("api_key", "api_secret")
        for version in (1, 2)
    ]

    def work(tx: Tx) -> tuple[int, int]:
        sealed = [vault.seal(tx, tenant, context, Secret(_CANARY)) for tenant, context in places]
        opened = refused = 0
        for (number, (tenant, context)), (other, value) in itertools.product(enumerate(places), enumerate(sealed)):
            try:
                assert vault.open(tx, tenant, context, value).reveal() == _CANARY
                assert number == other
                opened += 1
            except SealBroken:
                refused += 1
        return opened, refused

    count = len(places)
    assert db.write_now(work) == (count, count * count - count)


def test_open_when_any_byte_is_flipped_then_every_one_is_refused(db: Db, vault: Vault) -> None:
    context = SealContext("a1", "binance", "api_secret", 1)

    def work(tx: Tx) -> int:
        sealed = vault.seal(tx, "u1", context, Secret(_CANARY))
        refused = 0
        for number in range(len(sealed)):
            changed = bytearray(sealed)
            changed[number] ^= 0x55
            with pytest.raises(SealBroken):
                vault.open(tx, "u1", context, bytes(changed))
            refused += 1
        return refused - len(sealed)

    assert db.write_now(work) == 0


def test_seal_when_two_tenants_seal_then_each_has_a_key_of_its_own(db: Db, vault: Vault) -> None:
    context = SealContext("a1", "binance", "api_secret", 1)

    def work(tx: Tx) -> list[tuple[str, int]]:
        for tenant in ("u1", "u2", "u1"):
            vault.seal(tx, tenant, context, Secret(_CANARY))
        rows = tx.execute(text("SELECT tenant_id, version FROM tenant_keys ORDER BY tenant_id"))
        return [(row.tenant_id, row.version) for row in rows]

    assert db.write_now(work) == [("u1", 1), ("u2", 1)]


def test_open_when_the_wrapped_keys_of_two_tenants_are_swapped_then_is_refused(db: Db, vault: Vault) -> None:
    context = SealContext("a1", "binance", "api_secret", 1)

    def work(tx: Tx) -> None:
        sealed = vault.seal(tx, "u1", context, Secret(_CANARY))
        vault.seal(tx, "u2", context, Secret(_CANARY))
        tx.execute(
            text(
                "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys AS o WHERE o.tenant_id = 'u2') "
                "WHERE tenant_id = 'u1'"
            )
        )
        with pytest.raises(SealBroken):
            vault.open(tx, "u1", context, sealed)

    db.write_now(work)


def test_files_when_secrets_are_sealed_then_hold_neither_plaintext_nor_keys(
    db: Db, vault: Vault, tmp_path: Path
) -> None:
    canaries = [Secret(f"canary-{number}-{number * 7919:016x}") for number in range(50)]

    def work(tx: Tx) -> None:
        for number, canary in enumerate(canaries):
            vault.seal(tx, f"u{number}", SealContext("a", "binance", "api_secret", 1), canary)
        vault.platform_key(tx, "audit")

    db.write_now(work)
    db.close()
    content = bytes_of(tmp_path)
    assert b"tenant_keys" in content
    for canary in [*canaries, _KEK]:
        plain = canary.reveal()
        for form in (plain, plain[::-1], plain.hex().encode(), plain.hex().upper().encode()):
            assert form not in content


def test_platform_key_when_asked_again_then_is_the_same_and_names_are_apart(db: Db, vault: Vault) -> None:
    first = db.write_now(lambda tx: vault.platform_key(tx, "audit"))
    assert db.read_now(lambda tx: vault.find_platform_key(tx, "audit")) == first
    assert db.write_now(lambda tx: vault.platform_key(tx, "fingerprint")) != first
    assert db.read_now(lambda tx: vault.find_platform_key(tx, "never made")) is None


def test_platform_key_when_its_transaction_failed_then_the_next_one_makes_it_anew(db: Db, vault: Vault) -> None:
    def fail(tx: Tx) -> None:
        vault.platform_key(tx, "audit")
        raise KeyError

    with pytest.raises(KeyError):
        db.write_now(fail)
    made = db.write_now(lambda tx: vault.platform_key(tx, "audit"))
    assert db.read_now(lambda tx: vault.find_platform_key(tx, "audit")) == made


def test_problem_when_started_with_another_key_then_it_is_named_before_any_user_notices(db: Db, vault: Vault) -> None:
    assert db.read_now(vault.problem) is None
    db.write_now(lambda tx: vault.seal(tx, "u1", SealContext("a", "v", "f", 1), Secret("x")))
    assert db.read_now(vault.problem) is None
    stranger = Vault(LocalKek([new_key()]), ManualClock())
    problem = db.read_now(stranger.problem)
    assert problem is not None
    assert vault.kek_id in problem


def test_open_with_when_the_key_version_is_another_then_is_refused(db: Db, vault: Vault) -> None:
    context = SealContext("a1", "binance", "api_secret", 1)

    def work(tx: Tx) -> None:
        sealed = vault.seal(tx, "u1", context, Secret(_CANARY))
        key = vault.load_key(tx, "u1", sealed)
        assert vault.open_with(key, context, sealed).reveal() == _CANARY
        with pytest.raises(SealBroken, match="another version"):
            vault.open_with(key, context, sealed[:4] + b"\x02" + sealed[5:])

    db.write_now(work)
