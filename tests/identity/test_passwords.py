"""Passwords: what is taken, what is refused, what a check costs."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import extract_parameters

from tradewind.core.errors import InvalidInput, TooMany
from tradewind.identity.passwords import CHARS_MAX, Passwords, check_new_password
from tradewind.vault.secret import Secret

_GOOD = "umbrella tram violet 7"


@pytest.mark.parametrize(
    "password",
    [
        _GOOD,
        "correct-horse-umbrella",
        "나는 오늘 비빔밥을 먹었다",
        "my password is umbrella",
        "x7Kp2mQz9LwB",
        "  spaces count as well  ",
        "ünïcödé wörks tøø",
        "bitcoin pays for my cat",
    ],
)
def test_password_when_it_is_long_and_uncommon_then_is_taken(password: str) -> None:
    assert check_new_password(Secret(password), "someone@example.com")


@pytest.mark.parametrize("password", ["", "a", "x7Kp2mQz9Lw", "열두자가되지않음"])
def test_password_when_it_has_fewer_than_twelve_characters_then_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput, match="12 characters"):
        check_new_password(Secret(password))


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "Password2026!!",
        "P@ssw0rd1234",
        "qwertyuiop12",
        "qwertyuiopas",
        "123456789012",
        "210987654321",
        "aaaaaaaaaaaaa",
        "abcabcabcabc",
        "121212121212",
        "abcdefghijkl",
        "zyxwvutsrqpo",
        "1q2w3e4r5t6y",
        "qwertyqwerty",
        "iloveyou2026",
        "welcome-bitcoin-1",
        "Tradewind2026!",
        "tradewindtradewind",
        "bitcointothemoon",
        "correcthorsebatterystaple",
        "letmeinletmein",
        "superman!!!!!!!!",
        "!!!!!!!!1234",
        "dkssudgktpdy12",
        "Summer2026Summer",
    ],
)
def test_password_when_it_would_be_tried_first_then_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_new_password(Secret(password))
    assert caught.value.code == "password_common"
    assert password not in caught.value.message


@pytest.mark.parametrize("password", ["marguerite1234", "Marguerite2026!", "marguerite.dubois1"])
def test_password_when_it_is_the_persons_own_name_then_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_new_password(Secret(password), "marguerite.dubois@example.com")
    assert caught.value.code == "password_common"


def test_password_when_it_is_very_long_then_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidInput, match=str(CHARS_MAX)):
        check_new_password(Secret("umbrella tram " * 100))


async def test_hash_when_verified_then_only_the_same_password_is_right() -> None:
    passwords = Passwords()
    hashed = await passwords.hash(Secret(_GOOD))
    assert hashed.startswith("$argon2id$")
    assert _GOOD not in hashed
    assert await passwords.verify(hashed, Secret(_GOOD))
    assert not await passwords.verify(hashed, Secret(_GOOD + " "))
    assert not await passwords.verify(hashed, Secret(""))


async def test_hash_when_made_twice_then_the_salt_differs() -> None:
    passwords = Passwords()
    assert await passwords.hash(Secret(_GOOD)) != await passwords.hash(Secret(_GOOD))


async def test_verify_when_typed_on_another_device_then_the_same_characters_are_the_same() -> None:
    passwords = Passwords()
    composed, decomposed = "caf\u00e9 umbrella tram", "cafe\u0301 umbrella tram"
    hashed = await passwords.hash(Secret(composed))
    assert await passwords.verify(hashed, Secret(decomposed))


async def test_verify_when_nobody_is_there_then_the_same_work_is_done_and_nothing_is_right() -> None:
    passwords = Passwords()
    assert not await passwords.verify(None, Secret("\x00nobody"))
    made = extract_parameters(await passwords.hash(Secret(_GOOD)))
    dummy = extract_parameters(passwords._dummy)
    assert (dummy.time_cost, dummy.memory_cost, dummy.parallelism) == (
        made.time_cost,
        made.memory_cost,
        made.parallelism,
    )
    assert (made.time_cost, made.memory_cost, made.parallelism) == (2, 19_456, 1)


@pytest.mark.parametrize("hashed", ["!", "", "$argon2id$broken", "plain text"])
async def test_verify_when_the_stored_hash_is_none_then_nothing_is_right(hashed: str) -> None:
    passwords = Passwords()
    assert not await passwords.verify(hashed, Secret(_GOOD))
    assert passwords.is_outdated(hashed)


async def test_verify_when_too_many_wait_then_the_rest_is_told_to_come_back() -> None:
    passwords = Passwords()
    results = await asyncio.gather(*(passwords.verify(None, Secret(_GOOD)) for _ in range(30)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, TooMany)]
    assert len(refused) == 10
    assert [result for result in results if result is False] == [False] * 20
    # And afterwards everything is free again.
    assert not await passwords.verify(None, Secret(_GOOD))
