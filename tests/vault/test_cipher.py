"""The envelope opens in its own place and nowhere else."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.vault.cipher import (
    KEY_BYTES,
    LocalKek,
    SealBroken,
    SealContext,
    dek_version_of,
    kek_id_of,
    new_key,
    open_sealed,
    seal,
)
from tradewind.vault.secret import Secret

_DEK = Secret(bytes(range(32)))
_KEK = Secret(bytes(range(32, 64)))
_PLACE = SealContext("a1", "binance", "api_secret", 1).associated_data("u1")


@given(st.binary(max_size=4_096))
def test_seal_when_opened_in_its_place_then_is_the_same(plaintext: bytes) -> None:
    sealed = seal(_DEK, 1, _PLACE, Secret(plaintext))
    assert open_sealed(_DEK, _PLACE, sealed).reveal() == plaintext


def test_seal_when_looked_at_then_has_the_documented_form() -> None:
    sealed = seal(_DEK, 7, _PLACE, Secret(b"12345"))
    assert sealed[0] == 1
    assert int.from_bytes(sealed[1:5], "big") == dek_version_of(sealed) == 7
    assert len(sealed) == 1 + 4 + 12 + 5 + 16
    assert b"12345" not in sealed


def test_open_when_any_single_bit_is_flipped_then_is_refused() -> None:
    sealed = seal(_DEK, 1, _PLACE, Secret(b"the secret of account a1"))
    # The version in bytes 1 to 4 chooses the key; the vault refuses one that does not exist (test_service).
    places = [number for number in range(len(sealed)) if not 1 <= number <= 4]
    for number, bit in itertools.product(places, range(8)):
        changed = bytearray(sealed)
        changed[number] ^= 1 << bit
        with pytest.raises(SealBroken):
            open_sealed(_DEK, _PLACE, bytes(changed))


def test_open_when_cut_or_lengthened_then_is_refused() -> None:
    sealed = seal(_DEK, 1, _PLACE, Secret(b"secret"))
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            open_sealed(_DEK, _PLACE, sealed[:length])
    with pytest.raises(SealBroken):
        open_sealed(_DEK, _PLACE, sealed + b"\x00")


def test_open_when_any_part_of_the_place_differs_then_is_refused() -> None:
    places = [
        SealContext(account, venue, field, version).associated_data(tenant)
        for tenant, account, venue, field, version in itertools.product(
            ("u1", "u2"), ("a1", "a2"), ("binance", "upbit"), ("api_key", "api_secret"), (1, 2)
        )
    ]
    assert len(set(places)) == 32
    sealed = [seal(_DEK, 1, place, Secret(b"x" * 64)) for place in places]
    for (number, place), (other, value) in itertools.product(enumerate(places), enumerate(sealed)):
        if number == other:
            assert open_sealed(_DEK, place, value).reveal() == b"x" * 64
        else:
            with pytest.raises(SealBroken):
                open_sealed(_DEK, place, value)


def test_place_when_a_part_holds_the_separator_then_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\|"):
        SealContext("a1|binance", "x", "api_key", 1).associated_data("u1")


def test_nonces_when_many_are_drawn_then_all_differ() -> None:
    drawn = {seal(_DEK, 1, _PLACE, Secret(b""))[5:17] for _ in range(20_000)}
    assert len(drawn) == 20_000


def test_kek_when_unwrapping_its_own_then_gives_the_data_key() -> None:
    kek = LocalKek([_KEK])
    wrapped = kek.wrap(_DEK, "u1")
    assert _DEK.reveal() not in wrapped
    assert kek.unwrap(kek.current_id, wrapped, "u1") == _DEK


def test_kek_when_the_wrapped_key_is_of_another_tenant_or_changed_then_is_refused() -> None:
    kek = LocalKek([_KEK])
    wrapped = kek.wrap(_DEK, "u1")
    with pytest.raises(SealBroken):
        kek.unwrap(kek.current_id, wrapped, "u2")
    for number in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[number] ^= 1
        with pytest.raises(SealBroken):
            kek.unwrap(kek.current_id, bytes(changed), "u1")
    with pytest.raises(SealBroken):
        kek.unwrap(kek.current_id, wrapped[:-1], "u1")


def test_kek_when_another_one_is_in_use_then_says_which_is_needed() -> None:
    made_with, started_with = LocalKek([_KEK]), LocalKek([new_key()])
    with pytest.raises(SealBroken, match=made_with.current_id):
        started_with.unwrap(made_with.current_id, made_with.wrap(_DEK, "u1"), "u1")


def test_kek_when_there_are_older_ones_then_they_still_unwrap() -> None:
    old, new = LocalKek([_KEK]), LocalKek([Secret(bytes(range(64, 96))), _KEK])
    assert new.unwrap(old.current_id, old.wrap(_DEK, "u1"), "u1") == _DEK
    assert new.current_id != old.current_id


def test_kek_id_when_looked_at_then_says_nothing_of_the_key() -> None:
    assert kek_id_of(_KEK) not in _KEK.reveal().hex()
    assert len(new_key().reveal()) == KEY_BYTES
    with pytest.raises(ValueError, match="32 bytes"):
        kek_id_of(Secret(b"short"))
    with pytest.raises(ValueError, match="at least one"):
        LocalKek([])
