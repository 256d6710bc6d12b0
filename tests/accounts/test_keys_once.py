"""One venue account once; keys replaced and tested again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.linked import Accommodation, accommodation, key_pair, request_of
from tests.support.scripted_venue import ScriptedVenue, VenueKey

from tradewind.accounts.account import AccountStatus
from tradewind.core.errors import Conflict, NotFound, TradewindError
from tradewind.core.instrument import Environment
from tradewind.infra.db import Tx
from tradewind.venues.errors import (
    CredentialRefused,
)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Accommodation]:
    with accommodation(tmp_path) as rooms:
        yield rooms


def _rows_of(rooms: Accommodation, table: str) -> int:
    query = text(f"SELECT count(*) FROM {table}")
    return rooms.house.db.read_now(lambda tx: int(tx.execute(query).scalar_one()))


# --- one venue account once ---


async def test_link_when_the_key_is_linked_already_then_is_refused_before_the_venue_is_asked(
    rooms: Accommodation,
) -> None:
    ann, _ = await rooms.linked_account("ann")
    key = rooms.paper.keys[key_pair()[0]]
    rooms.paper.calls.clear()
    for user in (ann, rooms.house.add_user("bob")):
        with pytest.raises(Conflict) as caught:
            await rooms.link(user, key)
        assert caught.value.code == "key_already_linked"
        assert "ann" not in caught.value.message
    assert rooms.paper.calls == []


async def test_link_when_the_venue_account_is_linked_by_another_key_then_is_refused(rooms: Accommodation) -> None:
    ann, _ = await rooms.linked_account("ann")
    second = rooms.issue_key(2, venue_user_id="uid-1")
    for user in (ann, rooms.house.add_user("bob")):
        with pytest.raises(Conflict) as caught:
            await rooms.link(user, second)
        assert caught.value.code == "venue_account_already_linked"
    assert _rows_of(rooms, "accounts") == 1


async def test_link_when_two_users_link_the_same_account_at_once_then_one_gets_it(rooms: Accommodation) -> None:
    users = [rooms.house.add_user("ann"), rooms.house.add_user("bob")]
    keys = [rooms.issue_key(1, venue_user_id="same"), rooms.issue_key(2, venue_user_id="same")]
    results = await asyncio.gather(
        *(rooms.link(user, key) for user, key in zip(users, keys, strict=True)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Linked"]
    assert _rows_of(rooms, "accounts") == 1


async def test_link_when_the_same_user_id_is_of_another_environment_then_is_another_account(
    rooms: Accommodation,
) -> None:
    testnet = rooms.venues.clients[Environment.TESTNET] = ScriptedVenue(Environment.TESTNET)
    ann, _ = await rooms.linked_account("ann")
    api_key, secret = key_pair(7)
    key = testnet.add(VenueKey(api_key, secret, "uid-1"))
    await rooms.link(ann, key, environment=Environment.TESTNET)
    assert _rows_of(rooms, "accounts") == 2


async def test_link_when_ones_own_account_lost_its_key_then_it_gets_the_new_one_and_no_twin(
    rooms: Accommodation,
) -> None:
    ann, account = await rooms.linked_account("ann")
    rooms.house.db.write_now(lambda tx: rooms.accounts.remove_key(tx, ann.id, account.id, actor="x"))
    new = rooms.issue_key(2, venue_user_id="uid-1")
    with pytest.raises(Conflict):
        await rooms.link(rooms.house.add_user("bob"), new)
    again = (await rooms.link(ann, new)).account
    assert (again.id, again.status, again.credential_version) == (account.id, AccountStatus.ACTIVE, 2)
    assert _rows_of(rooms, "credentials") == 1


async def test_link_when_an_account_was_deleted_then_it_may_be_linked_anew(rooms: Accommodation) -> None:
    ann, account = await rooms.linked_account("ann")
    rooms.house.db.write_now(lambda tx: rooms.accounts.delete(tx, ann.id, account.id, actor="x"))
    again = (await rooms.link(rooms.house.add_user("bob"), rooms.paper.keys[key_pair()[0]])).account
    assert again.id != account.id


async def test_link_when_it_is_an_operators_stand_in_then_it_is_marked_and_takes_nobodys_place(
    rooms: Accommodation,
) -> None:
    await rooms.linked_account("ann")
    second = rooms.issue_key(2, venue_user_id="uid-1")
    stand_in = (await rooms.link(rooms.house.add_user("olga"), second, is_stand_in=True)).account
    assert stand_in.is_stand_in


# --- replacing and testing again ---


async def test_replace_when_the_key_is_of_the_same_account_then_only_the_new_one_stays(rooms: Accommodation) -> None:
    ann, account = await rooms.linked_account("ann")
    new = rooms.issue_key(2, venue_user_id="uid-1")
    replaced = (await rooms.linker.replace_key(request_of(ann.id, new), account.id, actor="x")).account
    assert (replaced.id, replaced.credential_version) == (account.id, 2)
    assert replaced.credential_id != account.credential_id
    assert _rows_of(rooms, "credentials") == 1
    assert await rooms.signer.for_account(account.id).api_key() == new.api_key


async def test_fault_59_replace_when_the_key_is_of_another_account_or_refused_then_the_old_one_stays(
    rooms: Accommodation,
) -> None:
    ann, account = await rooms.linked_account("ann")
    other, withdrawing = rooms.issue_key(2), rooms.issue_key(3, venue_user_id="uid-1")
    withdrawing.can_withdraw = True
    for key, code in ((other, "key_of_other_account"), (withdrawing, "key_can_withdraw")):
        with pytest.raises(TradewindError) as caught:
            await rooms.linker.replace_key(request_of(ann.id, key), account.id, actor="x")
        assert caught.value.code == code
    assert rooms.load(account) == account
    bob = rooms.house.add_user("bob")
    with pytest.raises(NotFound):
        await rooms.linker.replace_key(request_of(bob.id, other), account.id, actor="x")


async def test_replace_when_a_paused_account_gets_a_key_then_it_stays_paused(rooms: Accommodation) -> None:
    ann, account = await rooms.linked_account("ann")
    rooms.house.db.write_now(lambda tx: rooms.accounts.pause(tx, ann.id, account.id, actor="x"))
    new = rooms.issue_key(2, venue_user_id="uid-1")
    replaced = (await rooms.linker.replace_key(request_of(ann.id, new), account.id, actor="x")).account
    assert replaced.status is AccountStatus.PAUSED


async def test_test_stored_when_all_is_well_then_the_count_of_errors_starts_anew(rooms: Accommodation) -> None:
    _, account = await rooms.linked_account("ann")
    rooms.house.db.write_now(lambda tx: rooms.accounts.record_credential_error(tx, account.id))
    await rooms.house.clock.advance(60)
    tested = await rooms.linker.test_stored(rooms.load(account), actor="x")
    assert (tested.credential_errors, tested.last_ok_at) == (0, rooms.house.clock.now())


def _spoil(tx: Tx, column: str) -> None:
    sealed = bytes(tx.execute(text(f"SELECT {column} FROM credentials")).scalar_one())
    # A changed last byte shows when the secret is opened; a key without its envelope is not even taken up.
    spoilt = sealed[:-1] + bytes([sealed[-1] ^ 1]) if column == "sealed_secret" else b""
    tx.execute(text(f"UPDATE credentials SET {column} = :spoilt"), {"spoilt": spoilt})


@pytest.mark.parametrize(
    ("code", "column"), [("credential_unreadable", "sealed_secret"), ("no_credential", "sealed_key")]
)
async def test_test_stored_when_the_stored_key_does_not_open_then_the_venue_is_not_blamed(
    rooms: Accommodation, code: str, column: str
) -> None:
    ann, account = await rooms.linked_account("ann")
    rooms.house.db.write_now(lambda tx: _spoil(tx, column))
    rooms.signer.forget(account.id)
    for language, word in (("en", "was not asked"), ("ko", "묻지 않았어요")):
        with pytest.raises(Conflict) as caught:
            await rooms.linker.test_stored(account, actor="x", language=language)
        assert caught.value.code == code
        assert word in caught.value.message
        assert "refused" not in caught.value.message
    new = rooms.issue_key(2, venue_user_id="uid-1")
    await rooms.linker.replace_key(request_of(ann.id, new), account.id, actor="x")
    assert (await rooms.linker.test_stored(rooms.load(account), actor="x")).credential_errors == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"can_withdraw": True}, "key_can_withdraw"),
        ({"can_trade": False}, "key_cannot_trade"),
        ({"test_order_error": CredentialRefused("key_refused", "x")}, "key_cannot_trade"),
    ],
)
async def test_fault_58_test_stored_when_the_key_has_become_unfit_then_entries_stop_and_the_account_says_why(
    rooms: Accommodation, change: dict[str, Any], reason: str
) -> None:
    _, account = await rooms.linked_account("ann")
    for name, value in change.items():
        setattr(rooms.paper.keys[key_pair()[0]], name, value)
    tested = await rooms.linker.test_stored(account, actor="x")
    assert (tested.status, tested.status_reason) == (AccountStatus.PAUSED, reason)
    assert not tested.has_verified_trade_right
    with pytest.raises(Conflict):
        rooms.house.db.write_now(lambda tx: rooms.accounts.resume(tx, account.user_id, account.id, actor="x"))
