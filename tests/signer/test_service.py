"""Signing with sealed keys: for known orders only, and never with a swapped or broken one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text
from tests.support.linked import Accommodation, accommodation, key_pair, request_of
from tests.support.scripted_venue import sign_hmac

from tradewind.accounts.account import AccountRow
from tradewind.accounts.service import stored_credentials
from tradewind.core.ids import AccountId, OrderId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.infra.db import Tx
from tradewind.signer.service import InProcessSigner, SigningRefused
from tradewind.vault.secret import Secret
from tradewind.venues.base import SignPurpose, SignRequest
from tradewind.venues.errors import CredentialRefused, NotSent

_READ = SignRequest(SignPurpose.READ, "GET", "/api/v3/account", b"timestamp=1")
_ORDER = OrderId("o1")


def _order(order_id: OrderId | None = _ORDER, purpose: SignPurpose = SignPurpose.ORDER) -> SignRequest:
    method = "POST" if purpose is SignPurpose.ORDER else "DELETE"
    return SignRequest(purpose, method, "/api/v3/order", b"symbol=BTCUSDT&timestamp=1", order_id)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Accommodation]:
    with accommodation(tmp_path) as rooms:
        yield rooms


@pytest.fixture
async def ann(rooms: Accommodation) -> AccountRow:
    return (await rooms.linked_account("ann"))[1]


async def test_sign_when_the_key_is_stored_then_signs_as_its_owner_would(rooms: Accommodation, ann: AccountRow) -> None:
    signer = rooms.signer.for_account(ann.id)
    api_key, secret = key_pair()
    assert (signer.account_id, signer.environment) == (ann.id, Environment.PAPER)
    assert await signer.api_key() == api_key
    assert await signer.sign(_READ) == sign_hmac(secret.encode(), b"timestamp=1")


@pytest.mark.parametrize("purpose", [SignPurpose.ORDER, SignPurpose.CANCEL])
async def test_sign_when_the_journal_does_not_know_the_order_then_is_refused_as_not_sent(
    rooms: Accommodation, ann: AccountRow, purpose: SignPurpose
) -> None:
    signer = rooms.signer.for_account(ann.id)
    for order_id in (None, _ORDER):
        with pytest.raises(SigningRefused) as caught:
            await signer.sign(_order(order_id, purpose))
        assert isinstance(caught.value, NotSent)
    rooms.known_orders.add((_ORDER, ann.id))
    assert await signer.sign(_order(_ORDER, purpose))


async def test_sign_when_the_order_is_another_accounts_then_is_refused(rooms: Accommodation, ann: AccountRow) -> None:
    _, bob = await rooms.linked_account("bob", 2)
    rooms.known_orders.add((_ORDER, bob.id))
    with pytest.raises(SigningRefused):
        await rooms.signer.for_account(ann.id).sign(_order())


async def test_sign_when_nobody_wired_the_journal_in_then_no_order_is_signed(
    rooms: Accommodation, ann: AccountRow
) -> None:
    house = rooms.house
    unwired = InProcessSigner(house.db, house.vault, stored_credentials, {BINANCE: sign_hmac})
    assert await unwired.for_account(ann.id).sign(_READ)
    with pytest.raises(SigningRefused):
        await unwired.for_account(ann.id).sign(_order())


async def test_sign_when_the_call_is_not_allowed_then_is_refused(rooms: Accommodation, ann: AccountRow) -> None:
    rooms.known_orders.add((_ORDER, ann.id))
    withdrawal = SignRequest(SignPurpose.ORDER, "POST", "/sapi/v1/capital/withdraw/apply", b"timestamp=1", _ORDER)
    with pytest.raises(SigningRefused):
        await rooms.signer.for_account(ann.id).sign(withdrawal)


async def test_for_account_when_there_is_no_key_then_says_so(rooms: Accommodation) -> None:
    with pytest.raises(CredentialRefused) as caught:
        rooms.signer.for_account(AccountId("nobody"))
    assert caught.value.code == "no_credential"


async def test_sign_when_the_rows_of_two_accounts_were_swapped_then_neither_opens(
    rooms: Accommodation, ann: AccountRow
) -> None:
    _, bob = await rooms.linked_account("bob", 2)

    def swap(tx: Tx) -> None:
        rows = tx.execute(text("SELECT id, sealed_key, sealed_secret FROM credentials")).all()
        for mine, other in (rows, reversed(rows)):
            values = {"id": mine.id, "k": other.sealed_key, "s": other.sealed_secret}
            tx.execute(text("UPDATE credentials SET sealed_key = :k, sealed_secret = :s WHERE id = :id"), values)

    rooms.house.db.write_now(swap)
    for row in (ann, bob):
        rooms.signer.forget(row.id)
        signer = rooms.signer.for_account(row.id)
        with pytest.raises(CredentialRefused) as caught:
            await signer.sign(_READ)
        assert caught.value.code == "credential_unreadable"
        with pytest.raises(CredentialRefused):
            await signer.api_key()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credentials SET sealed_secret = sealed_key",
        "UPDATE credentials SET version = version + 1",
        "UPDATE credentials SET user_id = 'somebody else'",
        "UPDATE accounts SET venue = 'upbit'",
        "UPDATE credentials SET sealed_secret = CAST('1' AS {bytes})",
        "UPDATE credentials SET sealed_secret = CAST('{zeros}' AS {bytes})",
        "DELETE FROM tenant_keys WHERE tenant_id <> 'platform'",
    ],
)
async def test_sign_when_the_stored_key_was_tampered_with_then_no_signature_and_no_secret_comes_out(
    rooms: Accommodation, ann: AccountRow, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"bytes": "BYTEA" if rooms.house.db.dialect == "postgresql" else "BLOB", "zeros": "0" * 97}
    rooms.house.db.write_now(lambda tx: tx.execute(text(change.format(**words))))
    rooms.signer.forget(ann.id)
    with pytest.raises((CredentialRefused, SigningRefused)) as caught:
        await rooms.signer.for_account(ann.id).sign(_READ)
    logged = capsys.readouterr()
    for secret in key_pair():
        assert secret not in str(caught.value) + logged.out + logged.err


async def test_forget_when_the_key_was_replaced_then_the_new_one_signs(rooms: Accommodation, ann: AccountRow) -> None:
    signer = rooms.signer.for_account(ann.id)
    before = await signer.sign(_READ)
    new = rooms.issue_key(9, venue_user_id=ann.venue_user_id)
    user = rooms.house.db.read_now(lambda tx: rooms.house.identity.load_user(tx, ann.user_id))
    await rooms.linker.replace_key(request_of(user.id, new), ann.id, actor="test")
    after = await signer.sign(_READ)
    assert before != after == sign_hmac(new.secret.encode(), b"timestamp=1")


async def test_warm_when_there_are_many_accounts_then_one_query_loads_them_all(rooms: Accommodation) -> None:
    rows = [(await rooms.linked_account(f"user{number}", number))[1] for number in range(10)]
    for row in rows:
        rooms.signer.forget(row.id)
    statements: list[str] = []
    event.listen(rooms.house.db._reader, "before_cursor_execute", lambda *args: statements.append(args[2]))
    await rooms.signer.warm([row.id for row in rows])
    assert len([statement for statement in statements if "FROM credentials" in statement]) == 1
    statements.clear()
    for row in rows:
        await rooms.signer.for_account(row.id).sign(_READ)
    assert statements == []


async def test_memory_when_there_are_more_accounts_than_it_holds_then_all_still_sign(rooms: Accommodation) -> None:
    house = rooms.house
    small = InProcessSigner(house.db, house.vault, stored_credentials, {BINANCE: sign_hmac}, size_max=2)
    rows = [(await rooms.linked_account(f"user{number}", number))[1] for number in range(5)]
    signers = [small.for_account(row.id) for row in rows]
    for number, signer in enumerate(signers):
        assert await signer.sign(_READ) == sign_hmac(key_pair(number)[1].encode(), b"timestamp=1")
    assert len(small._rows) == 2


async def test_memory_when_looked_at_then_holds_nothing_decrypted(rooms: Accommodation, ann: AccountRow) -> None:
    await rooms.signer.for_account(ann.id).sign(_READ)
    shown = repr(rooms.signer._rows) + repr(vars(rooms.signer))
    for secret in key_pair():
        assert secret not in shown


async def test_pending_when_a_key_is_under_test_then_it_only_reads(rooms: Accommodation) -> None:
    api_key, secret = key_pair()
    signer = rooms.signer.pending(
        BINANCE, Environment.LIVE, AccountId("new"), api_key=Secret(api_key), api_secret=Secret(secret)
    )
    assert (signer.account_id, signer.environment) == ("new", Environment.LIVE)
    assert await signer.api_key() == api_key
    assert await signer.sign(_READ) == sign_hmac(secret.encode(), b"timestamp=1")
    rooms.known_orders.add((_ORDER, AccountId("new")))
    for request in (_order(), _order(purpose=SignPurpose.CANCEL)):
        with pytest.raises(SigningRefused):
            await signer.sign(request)
    assert secret not in repr(signer)


async def test_pending_when_the_secret_is_no_key_then_the_refusal_does_not_quote_it(rooms: Accommodation) -> None:
    def unreadable(secret: bytes, payload: bytes) -> str:
        raise ValueError(f"cannot read {secret!r}")

    house = rooms.house
    signer = InProcessSigner(house.db, house.vault, stored_credentials, {BINANCE: unreadable}).pending(
        BINANCE, Environment.PAPER, AccountId("new"), api_key=Secret("k"), api_secret=Secret("canary-1")
    )
    with pytest.raises(CredentialRefused) as caught:
        await signer.sign(_READ)
    assert caught.value.code == "secret_unreadable"
    assert "canary-1" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
