"""Linking: tested before stored, everything or nothing, each cause with its own words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.db import bytes_of
from tests.support.linked import ADDRESSES, Accommodation, accommodation, key_pair, request_of
from tests.support.scripted_venue import ScriptedVenue, VenueKey

from tradewind.accounts import key_test
from tradewind.accounts.account import AccountRow, AccountStatus
from tradewind.accounts.refusals import (
    UNVERIFIED_SENTENCE,
    UNVERIFIED_SENTENCE_KO,
    KeyRefusal,
    refusal_text,
)
from tradewind.core.errors import InvalidInput, NotFound, TradewindError, Unavailable
from tradewind.core.instrument import Environment, VenueName
from tradewind.infra.db import Tx
from tradewind.venues.base import AccountSnapshot, PermissionSource
from tradewind.venues.errors import (
    CredentialRefused,
    NotSent,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    VenueDown,
)

_TABLES = ("accounts", "credentials", "mandates", "outbox", "tenant_keys")


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Accommodation]:
    with accommodation(tmp_path) as rooms:
        yield rooms


def _stored(rooms: Accommodation) -> dict[str, int]:
    """How many rows there are of what linking stores; the platform's own key does not count."""

    def count(tx: Tx) -> dict[str, int]:
        counts = {name: tx.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in _TABLES}
        counts["tenant_keys"] -= tx.execute(
            text("SELECT count(*) FROM tenant_keys WHERE tenant_id = 'platform'")
        ).scalar_one()
        return counts

    return rooms.house.db.read_now(count)


_NOTHING = dict.fromkeys(_TABLES, 0)


async def _refused(rooms: Accommodation, key: VenueKey, **changes: Any) -> TradewindError:
    """Link a key that must be refused; nothing may be stored, quoted or logged of it."""
    user = rooms.house.add_user(f"user{len(rooms.paper.calls)}")
    with pytest.raises(TradewindError) as caught:
        await rooms.link(user, key, **changes)
    assert _stored(rooms) == _NOTHING
    assert rooms.first_balances == []
    shown = repr(caught.value) + str(caught.value) + repr(caught.value.fields)
    assert key.api_key not in shown
    assert key.secret not in shown
    return caught.value


# --- what is stored ---


async def test_link_when_the_key_is_good_then_everything_is_stored_at_once(rooms: Accommodation) -> None:
    ann = rooms.house.add_user("ann")
    key = rooms.issue_key()
    linked = await rooms.link(ann, key, label="  my   account ")
    account = linked.account
    assert (account.user_id, account.venue, account.environment) == (ann.id, "binance", Environment.PAPER)
    assert (account.label, account.venue_user_id, account.status) == ("my account", "uid-1", AccountStatus.ACTIVE)
    assert account.rights.source is PermissionSource.VERIFIED
    assert account.has_verified_trade_right
    assert account.last_ok_at == rooms.house.clock.now()
    assert account.api_key_masked == "Key…End"
    assert linked.warnings == ()
    assert rooms.load(account) == account
    ((row, snapshot),) = rooms.first_balances
    assert (row.id, snapshot.venue_user_id) == (account.id, "uid-1")
    assert _stored(rooms) == {"accounts": 1, "credentials": 1, "mandates": 0, "outbox": 1, "tenant_keys": 1}


async def test_link_when_done_then_the_audit_tells_of_it_and_the_stream_too(rooms: Accommodation) -> None:
    ann, account = await rooms.linked_account("ann")
    entries = rooms.house.db.read_now(lambda tx: rooms.house.audit.entries_of_user(tx, ann.id))
    assert [entry.action for entry in entries][:2] == ["credential.stored", "account.linked"]
    assert rooms.house.db.read_now(rooms.house.audit.verify) is None
    (note,) = rooms.house.db.read_now(lambda tx: tx.execute(text("SELECT topic, user_id, payload FROM outbox")).all())
    payload = json.loads(note.payload)
    assert (note.topic, note.user_id) == ("account", ann.id)
    assert (payload["id"], payload["rev"], payload["status"]) == (account.id, account.rev, "active")


async def test_link_when_the_venue_is_asked_then_account_rights_and_test_order_in_this_order(
    rooms: Accommodation,
) -> None:
    await rooms.linked_account("ann")
    assert rooms.paper.calls == ["/api/v3/account", "/sapi/v1/account/apiRestrictions", "/api/v3/order/test"]
    (order,) = rooms.paper.test_orders
    assert order.spend is not None
    assert str(order.spend) == "20 USDT"


async def test_link_when_the_venue_has_no_test_order_then_none_is_sent(rooms: Accommodation) -> None:
    rooms.paper.has_test_order = False
    await rooms.linked_account("ann")
    assert "/api/v3/order/test" not in rooms.paper.calls


async def test_link_when_the_text_has_blanks_around_it_then_they_do_not_count(rooms: Accommodation) -> None:
    ann, key = rooms.house.add_user("ann"), rooms.issue_key()
    await rooms.link(ann, key, api_key=f"\n {key.api_key}\u200b", api_secret=f"{key.secret} \r\n")


async def test_link_when_the_first_balances_cannot_be_kept_then_nothing_is_stored(rooms: Accommodation) -> None:
    ann = rooms.house.add_user("ann")

    def fail(tx: Tx, row: AccountRow, snapshot: AccountSnapshot) -> None:
        raise KeyError("portfolio")

    rooms.linker._on_linked = fail
    with pytest.raises(KeyError):
        await rooms.link(ann, rooms.issue_key())
    assert _stored(rooms) == _NOTHING


async def test_files_when_keys_were_linked_then_hold_neither_key_nor_secret_in_any_form(
    rooms: Accommodation, tmp_path: Path
) -> None:
    for number in range(25):
        await rooms.linked_account(f"user{number}", number)
    rooms.house.db.close()
    content = bytes_of(tmp_path)
    assert b"user24@example.com" in content
    for number in range(25):
        for value in key_pair(number):
            plain = value.encode()
            for form in (plain, plain[::-1], plain.hex().encode(), plain[:20], plain[-20:]):
                assert form not in content


async def test_request_when_written_down_then_shows_neither_key_nor_secret(rooms: Accommodation) -> None:
    key = rooms.issue_key()
    shown = repr(request_of(rooms.house.add_user("ann").id, key))
    assert key.api_key not in shown
    assert key.secret not in shown


# --- what is refused ---


async def test_link_when_the_key_is_unknown_then_the_three_causes_and_the_address_are_named(
    rooms: Accommodation,
) -> None:
    api_key, secret = key_pair()
    error = await _refused(rooms, VenueKey(api_key, secret, "uid"))
    assert (type(error), error.code) == (InvalidInput, "key_refused")
    assert "IP list" in error.message
    assert ADDRESSES[0] in error.message


async def test_link_when_the_secret_is_wrong_then_says_so(rooms: Accommodation) -> None:
    key = rooms.issue_key()
    error = await _refused(rooms, key, api_secret="x" * 64)
    assert error.code == "secret_wrong"


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (CredentialRefused("key_unknown", "x"), InvalidInput, "key_wrong"),
        (CredentialRefused("key_malformed", "x"), InvalidInput, "key_wrong"),
        (CredentialRefused("bad_signature", "x"), InvalidInput, "secret_wrong"),
        (CredentialRefused("ip_not_allowed", "x"), InvalidInput, "key_address_refused"),
        (CredentialRefused("unauthorized", "x"), InvalidInput, "key_refused"),
        (VenueDown("code_-1021", "x"), Unavailable, "venue_clock"),
        (VenueDown("answer_lost", "x"), Unavailable, "venue_unreachable"),
        (NotSent("connect", "x"), Unavailable, "venue_unreachable"),
        (OutcomeUnknown("x", "x"), Unavailable, "venue_unreachable"),
        (TimeoutError(), Unavailable, "venue_unreachable"),
        (RateLimited("banned", "x"), Unavailable, "venue_busy"),
    ],
)
async def test_link_when_the_venue_says_no_then_each_cause_has_its_own_words(
    rooms: Accommodation, failure: Exception, kind: type[TradewindError], code: str
) -> None:
    key = rooms.issue_key()
    rooms.paper.fails = failure
    error = await _refused(rooms, key)
    assert (type(error), error.code) == (kind, code)


async def test_link_when_the_venue_never_answers_then_is_given_up(
    rooms: Accommodation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_test, "_TEST_SECONDS_MAX", 0.01)

    class _Silent(ScriptedVenue):
        async def account(self, signer: object) -> AccountSnapshot:
            await asyncio.Event().wait()
            raise AssertionError

    key = rooms.issue_key()
    rooms.venues.clients[Environment.PAPER] = _Silent()
    assert (await _refused(rooms, key)).code == "venue_unreachable"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"can_withdraw": True}, "key_can_withdraw"),
        # Withdrawal is what must not be overlooked for another cause.
        ({"can_withdraw": True, "can_trade": False, "can_read": False}, "key_can_withdraw"),
        ({"can_trade": False}, "key_cannot_trade"),
        ({"can_read": False}, "key_cannot_read"),
        ({"account_can_trade": False}, "account_cannot_trade"),
        ({"test_order_error": CredentialRefused("key_refused", "x")}, "key_cannot_trade"),
        ({"test_order_error": OrderRefused("account_disabled", "x")}, "key_cannot_trade"),
    ],
)
async def test_fault_58_link_when_the_key_may_do_too_much_or_too_little_then_is_refused(
    rooms: Accommodation, change: dict[str, Any], code: str
) -> None:
    key = rooms.issue_key()
    for name, value in change.items():
        setattr(key, name, value)
    error = await _refused(rooms, key)
    assert (type(error), error.code) == (InvalidInput, code)
    assert "Binance" in error.message


async def test_link_when_only_the_test_order_itself_is_refused_then_the_right_to_trade_is_proven(
    rooms: Accommodation,
) -> None:
    key = rooms.issue_key()
    key.test_order_error = OrderRefused("insufficient_balance", "x")
    assert (await rooms.link(rooms.house.add_user("ann"), key)).account.rights.can_trade


async def test_link_when_the_key_is_of_another_environment_then_that_one_is_named(rooms: Accommodation) -> None:
    testnet = rooms.venues.clients[Environment.TESTNET] = ScriptedVenue(Environment.TESTNET)
    api_key, secret = key_pair(7)
    key = testnet.add(VenueKey(api_key, secret, "uid-7"))
    error = await _refused(rooms, key)
    assert error.code == "key_wrong_environment"
    assert "testnet" in error.message
    assert "paper" in error.message
    linked = await rooms.link(rooms.house.add_user("ann"), key, environment=Environment.TESTNET)
    assert linked.account.environment is Environment.TESTNET


async def test_link_when_the_environment_is_not_set_up_then_says_which_setting(rooms: Accommodation) -> None:
    key = rooms.issue_key()
    user = rooms.house.add_user("ann")
    for changes in ({"environment": Environment.LIVE}, {"venue": VenueName("upbit")}):
        with pytest.raises(NotFound):
            await rooms.link(user, key, **changes)
    assert _stored(rooms) == _NOTHING


@pytest.mark.parametrize("typed", ["", "yes", "true", "This key cannot withdraw"])
async def test_link_when_the_venue_cannot_name_rights_then_the_sentence_is_asked_for(
    rooms: Accommodation, typed: str
) -> None:
    rooms.paper.names_rights = False
    error = await _refused(rooms, rooms.issue_key(), confirmation=typed)
    assert error.code == "key_unverified"
    assert UNVERIFIED_SENTENCE in error.message


@pytest.mark.parametrize(
    "typed", [UNVERIFIED_SENTENCE, " this key cannot withdraw or transfer ", UNVERIFIED_SENTENCE_KO]
)
async def test_link_when_the_sentence_was_typed_then_the_rights_stay_marked_unverified(
    rooms: Accommodation, typed: str
) -> None:
    rooms.paper.names_rights = False
    ann = rooms.house.add_user("ann")
    linked = await rooms.link(ann, rooms.issue_key(), confirmation=typed)
    assert linked.account.rights.source is PermissionSource.UNVERIFIED


async def test_link_when_the_shape_is_unusual_then_it_is_tried_and_told_either_way(rooms: Accommodation) -> None:
    short = rooms.paper.add(VenueKey("k" * 40, "s" * 64, "uid-short"))
    linked = await rooms.link(rooms.house.add_user("ann"), short)
    assert "40 characters" in linked.warnings[0]
    with pytest.raises(InvalidInput) as caught:
        await rooms.link(rooms.house.add_user("bob"), VenueKey("k" * 41, "s" * 64, "uid"))
    assert caught.value.code == "key_refused"
    assert "41 characters" in caught.value.message


async def test_link_when_the_shape_is_impossible_then_the_venue_is_not_asked(rooms: Accommodation) -> None:
    error = await _refused(rooms, rooms.issue_key(), api_secret="short")
    assert error.code == "key_malformed"
    assert rooms.paper.calls == []


def test_texts_when_read_in_either_language_then_every_cause_has_its_own() -> None:
    values = dict.fromkeys(("venue", "other", "environment", "addresses", "sentence"), "VALUE")
    for language in ("en", "ko"):
        texts = [refusal_text(cause, language, values) for cause in KeyRefusal]
        assert len(set(texts)) == len(KeyRefusal)
        assert not [shown for shown in texts if "{" in shown]
    assert any("\uac00" <= letter <= "\ud7a3" for letter in refusal_text(KeyRefusal.BUSY, "ko", values))
