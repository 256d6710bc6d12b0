"""Accounts, keys and mandates by HTTP: nothing secret comes out, and tenants are apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.linked import ADDRESSES, OPEN_SOURCE, Accommodation, accommodation, key_pair
from tests.support.people import browser
from tests.support.scripted_venue import VenueKey

from tradewind.accounts.account import AccountRow
from tradewind.accounts.paper_routes import PaperDeps
from tradewind.accounts.paper_routes import build_router as build_paper_router
from tradewind.identity.people import User
from tradewind.web.principal import Scope

_API = "/api/v1"


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Accommodation]:
    with accommodation(tmp_path) as rooms:
        yield rooms


@dataclass
class Person:
    """A user with one account, at a browser of their own."""

    user: User
    account: AccountRow
    client: httpx.AsyncClient


@pytest.fixture
async def ann(rooms: Accommodation) -> AsyncIterator[Person]:
    user, account = await rooms.linked_account("ann", 1)
    async with browser(rooms.app(), rooms.house.add_token(user)) as client:
        yield Person(user, account, client)


@pytest.fixture
async def bob(rooms: Accommodation) -> AsyncIterator[Person]:
    user, account = await rooms.linked_account("bob", 2)
    async with browser(rooms.app(), rooms.house.add_token(user)) as client:
        yield Person(user, account, client)


def _body(key: VenueKey, **changes: object) -> dict[str, object]:
    return {
        "venue": "binance",
        "label": "second",
        "api_key": key.api_key,
        "api_secret": key.secret,
        **changes,
    }


async def test_link_when_the_key_is_good_then_201_and_masks_only(rooms: Accommodation, ann: Person) -> None:
    key = rooms.issue_key(5)
    answer = await ann.client.post(f"{_API}/credentials", json=_body(key))
    assert answer.status_code == 201
    account = answer.json()["account"]
    assert (account["environment"], account["status"], account["api_key_masked"]) == ("paper", "active", "Key…End")
    assert account["rights"] == {"source": "verified", "can_read": True, "can_trade": True, "can_withdraw": False}
    listed = await ann.client.get(f"{_API}/credentials")
    assert len(listed.json()["items"]) == 2
    for shown in (answer, listed, await ann.client.get(f"{_API}/accounts")):
        assert key.api_key not in shown.text
        assert key.secret not in shown.text
        assert "sealed" not in shown.text


async def test_link_when_repeated_with_the_same_idempotency_key_then_the_first_answer_comes_again(
    rooms: Accommodation, ann: Person
) -> None:
    body, headers = _body(rooms.issue_key(5)), {"Idempotency-Key": "form-1"}
    first = await ann.client.post(f"{_API}/credentials", json=body, headers=headers)
    second = await ann.client.post(f"{_API}/credentials", json=body, headers=headers)
    without = await ann.client.post(f"{_API}/credentials", json=body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.text == second.text
    assert (without.status_code, without.json()["code"]) == (409, "key_already_linked")


async def test_link_when_refused_then_the_answer_names_the_cause_and_may_be_korean(
    rooms: Accommodation, ann: Person
) -> None:
    key = rooms.issue_key(5)
    key.can_withdraw = True
    answer = await ann.client.post(f"{_API}/credentials", json=_body(key))
    assert (answer.status_code, answer.json()["code"]) == (422, "key_can_withdraw")
    rooms.paper.names_rights, key.can_withdraw = False, False
    unsure = await ann.client.post(f"{_API}/credentials", json=_body(key))
    sentence = (await ann.client.get(f"{_API}/credentials/requirements")).json()["unverified_sentence"]["en"]
    assert (unsure.status_code, unsure.json()["code"]) == (422, "key_unverified")
    sure = await ann.client.post(f"{_API}/credentials", json=_body(key, confirmation=sentence))
    assert sure.json()["account"]["rights"]["source"] == "unverified"


@pytest.mark.parametrize(
    "change",
    [
        {"api_key": 7},
        {"api_secret": None},
        {"api_secret": "canary-1" * 9_000},
        {"environment": "canary-1"},
        {"user_id": "canary-1"},
        {"status": "active"},
        {"label": ""},
    ],
)
async def test_link_when_the_body_does_not_fit_then_is_refused_without_echo(
    rooms: Accommodation, ann: Person, change: dict[str, object]
) -> None:
    key = rooms.issue_key(5)
    answer = await ann.client.post(f"{_API}/credentials", json=_body(key, **change))
    assert answer.status_code in (413, 422)
    for text in ("canary-1", key.secret, key.api_key):
        assert text not in answer.text


async def test_link_when_the_hour_is_used_up_then_a_repeat_still_gets_its_first_answer(
    rooms: Accommodation, ann: Person
) -> None:
    body, headers = _body(rooms.issue_key(5)), {"Idempotency-Key": "form-1"}
    first = await ann.client.post(f"{_API}/credentials", json=body, headers=headers)
    stranger = _body(VenueKey(*key_pair(9), "uid"))
    while (last := await ann.client.post(f"{_API}/credentials", json=stranger)).status_code != 429:
        pass
    again = await ann.client.post(f"{_API}/credentials", json=body, headers=headers)
    assert (again.status_code, again.text) == (201, first.text)
    assert "More than 5 keys added in an hour" in last.json()["detail"]
    assert int(last.headers["retry-after"]) > 0


async def test_link_when_it_is_no_key_at_all_then_it_is_not_counted(rooms: Accommodation, ann: Person) -> None:
    slip = _body(VenueKey("short", "as well", "uid"))
    wrong = [(await ann.client.post(f"{_API}/credentials", json=slip)).status_code for _ in range(8)]
    credential_id = ann.account.credential_id
    keys = {"api_key": "short", "api_secret": "as well"}
    wrong += [(await ann.client.put(f"{_API}/credentials/{credential_id}", json=keys)).status_code for _ in range(8)]
    assert wrong == [422] * 16
    assert (await ann.client.post(f"{_API}/credentials", json=_body(rooms.issue_key(5)))).status_code == 201


async def test_paper_account_when_the_hour_is_used_up_then_a_repeat_still_gets_its_first_answer(
    rooms: Accommodation, ann: Person
) -> None:
    numbers = iter(range(20, 40))

    async def issue(_balance: Decimal) -> tuple[str, str]:
        key = rooms.issue_key(next(numbers))
        return key.api_key, key.secret

    house = rooms.house
    app = house.app(build_paper_router(PaperDeps(house.db, house.clock, rooms.linker, house.limiter, issue)))
    async with browser(app, house.add_token(ann.user)) as client:
        answers = [
            await client.post(f"{_API}/paper/accounts", json={}, headers={"Idempotency-Key": f"k{number}"})
            for number in (0, 1, 2, 3, 4, 5, 0)
        ]
    assert [answer.status_code for answer in answers] == [201] * 5 + [429, 201]
    assert answers[6].text == answers[0].text


async def test_link_when_tried_again_and_again_then_the_sixth_in_an_hour_waits(
    rooms: Accommodation, ann: Person
) -> None:
    stranger = VenueKey(*key_pair(9), "uid")
    statuses = [(await ann.client.post(f"{_API}/credentials", json=_body(stranger))).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]


async def test_requirements_when_asked_then_name_the_address_for_the_ip_list(ann: Person) -> None:
    assert (await ann.client.get(f"{_API}/credentials/requirements")).json()["addresses"] == list(ADDRESSES)


async def test_account_when_changed_then_amounts_are_texts_and_null_takes_a_cap_away(ann: Person) -> None:
    path = f"{_API}/accounts/{ann.account.id}"
    changed = (await ann.client.patch(path, json={"max_order_quote": "25.50", "quote_asset": "USDC"})).json()
    assert (changed["max_order_quote"], changed["quote_asset"]) == ("25.5", "USDC")
    kept = (await ann.client.patch(path, json={"label": "spot"})).json()
    assert (kept["label"], kept["max_order_quote"]) == ("spot", "25.5")
    cleared = (await ann.client.patch(path, json={"max_order_quote": None})).json()
    assert (cleared["max_order_quote"], cleared["quote_asset"]) == (None, "USDC")


@pytest.mark.parametrize(
    "body",
    [
        {"max_order_quote": 25.5},
        {"max_order_quote": "NaN"},
        {"max_order_quote": "Infinity"},
        {"max_order_quote": "-1"},
        {"max_order_quote": "1e400000"},
        {"quote_asset": "usdt"},
        {"environment": "live"},
        {"is_stand_in": True},
        {"user_id": "x"},
        {"live_confirmed_at": "2026-11-20T00:00:00Z"},
        {"status": "active"},
        [],
        "x",
    ],
)
async def test_account_when_the_change_does_not_fit_then_is_refused_and_nothing_changes(
    rooms: Accommodation, ann: Person, body: Any
) -> None:
    answer = await ann.client.patch(f"{_API}/accounts/{ann.account.id}", json=body)
    assert answer.status_code == 422
    assert rooms.load(ann.account) == ann.account


async def test_account_when_paused_resumed_tested_and_deleted_then_each_answers_the_new_state(ann: Person) -> None:
    path = f"{_API}/accounts/{ann.account.id}"
    assert (await ann.client.post(f"{path}/pause")).json()["status"] == "paused"
    assert (await ann.client.post(f"{path}/resume")).json()["status"] == "active"
    tested = await ann.client.post(f"{_API}/credentials/{ann.account.credential_id}/test")
    assert (tested.status_code, tested.json()["credential_errors"]) == (200, 0)
    confirmed = await ann.client.post(f"{path}/live-confirmation", json={"typed": "x"})
    assert (confirmed.status_code, confirmed.json()["code"]) == (409, "account_not_live")
    assert (await ann.client.delete(path)).status_code == 204
    assert (await ann.client.get(path)).status_code == 404


async def test_key_when_replaced_and_deleted_then_its_old_id_is_gone(rooms: Accommodation, ann: Person) -> None:
    new = rooms.issue_key(7, venue_user_id="uid-1")
    old_path = f"{_API}/credentials/{ann.account.credential_id}"
    body = {"api_key": new.api_key, "api_secret": new.secret}
    replaced = await ann.client.put(old_path, json=body)
    assert replaced.status_code == 200
    assert (await ann.client.delete(old_path)).status_code == 404
    new_path = f"{_API}/credentials/{replaced.json()['account']['credential_id']}"
    assert (await ann.client.delete(new_path)).status_code == 204
    assert (await ann.client.get(f"{_API}/credentials")).json()["items"] == []
    assert (await ann.client.get(f"{_API}/accounts")).json()["items"][0]["status_reason"] == "no_key"


async def test_mandate_when_given_changed_and_taken_back_then_answers_as_texts(ann: Person) -> None:
    body = {"account_id": ann.account.id, "source_id": OPEN_SOURCE, "budget_quote": "100.50", "risk": "high"}
    headers = {"Idempotency-Key": "form-2"}
    given = await ann.client.post(f"{_API}/mandates", json=body, headers=headers)
    assert given.status_code == 201
    mandate = given.json()
    assert (mandate["budget_quote"], mandate["risk"], mandate["stop_bps"]) == ("100.5", "high", 300)
    assert (await ann.client.post(f"{_API}/mandates", json=body, headers=headers)).text == given.text
    assert (await ann.client.post(f"{_API}/mandates", json=body)).status_code == 409
    path = f"{_API}/mandates/{mandate['id']}"
    changed = (await ann.client.patch(path, json={"budget_quote": None, "stop_bps": 200})).json()
    assert (changed["budget_quote"], changed["stop_bps"], changed["risk"]) == (None, 200, "high")
    assert (await ann.client.patch(path, json={"account_id": "x"})).status_code == 422
    assert (await ann.client.patch(path, json={"stop_bps": 9_000})).status_code == 422
    assert (await ann.client.get(path)).json() == changed
    assert (await ann.client.delete(path)).status_code == 204
    assert (await ann.client.get(f"{_API}/mandates")).json() == {"items": []}


def _operations(person: Person, mandate_id: str) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Every operation of this room that takes an id, on this person's things."""
    account, credential = f"/accounts/{person.account.id}", f"/credentials/{person.account.credential_id}"
    pair = dict(zip(("api_key", "api_secret"), key_pair(8), strict=True))
    return [
        ("GET", account, None),
        ("PATCH", account, {"label": "stolen"}),
        ("POST", f"{account}/pause", None),
        ("POST", f"{account}/resume", None),
        ("POST", f"{account}/live-confirmation", {"typed": "I trade real money"}),
        ("DELETE", f"{account}/live-confirmation", None),
        ("POST", f"{credential}/test", None),
        ("PUT", credential, pair),
        ("DELETE", credential, None),
        ("GET", f"/mandates/{mandate_id}", None),
        ("PATCH", f"/mandates/{mandate_id}", {"is_enabled": False}),
        ("DELETE", f"/mandates/{mandate_id}", None),
        ("POST", "/mandates", {"account_id": person.account.id, "source_id": OPEN_SOURCE}),
        ("DELETE", account, None),
    ]


async def _give_mandate(person: Person) -> str:
    body = {"account_id": person.account.id, "source_id": OPEN_SOURCE}
    mandate_id: str = (await person.client.post(f"{_API}/mandates", json=body)).json()["id"]
    return mandate_id


async def test_fault_64_tenants_when_one_uses_the_others_ids_then_404_on_every_operation_and_no_byte_of_theirs(
    rooms: Accommodation, ann: Person, bob: Person
) -> None:
    mandate_id = await _give_mandate(ann)
    before = rooms.load(ann.account)
    venue_calls = len(rooms.paper.calls)
    operations = _operations(ann, mandate_id)
    for method, path, body in operations:
        answer = await bob.client.request(method, f"{_API}{path}", json=body)
        assert answer.status_code == 404, (method, path)
        document = answer.json()
        for text in ("ann", "uid-1", "Key…End", "my account"):
            assert text not in document["detail"]
    assert rooms.load(ann.account) == before
    assert len(rooms.paper.calls) == venue_calls
    assert (await ann.client.get(f"{_API}/mandates")).json()["items"][0]["is_enabled"]
    for path in ("/accounts", "/credentials", "/mandates"):
        listed = (await bob.client.get(f"{_API}{path}")).text
        assert ann.account.id not in listed
        assert mandate_id not in listed


async def test_matrix_when_compared_with_the_routes_then_no_operation_with_an_id_is_left_out(
    rooms: Accommodation, ann: Person
) -> None:
    tried = set()
    for method, path, _ in _operations(ann, "M"):
        shape = path.replace(ann.account.id, "{account_id}").replace(str(ann.account.credential_id), "{credential_id}")
        tried.add((method, _API + shape.replace("/mandates/M", "/mandates/{mandate_id}")))
    with_id = {
        (method.upper(), path)
        for path, item in rooms.app().openapi()["paths"].items()
        for method in item
        if "{" in path
    }
    assert with_id <= tried


async def test_scopes_when_a_token_may_only_read_then_nothing_can_be_changed(rooms: Accommodation, ann: Person) -> None:
    mandate_id = await _give_mandate(ann)
    async with browser(rooms.app(), rooms.house.add_token(ann.user, scopes=frozenset({Scope.READ}))) as reader:
        for method, path, body in _operations(ann, mandate_id):
            answer = await reader.request(method, f"{_API}{path}", json=body)
            assert answer.status_code == (200 if method == "GET" else 403), (method, path)
        linking = await reader.post(f"{_API}/credentials", json=_body(rooms.issue_key(9)))
        assert linking.status_code == 403
    async with browser(rooms.app()) as stranger:
        for method, path, body in _operations(ann, mandate_id):
            assert (await stranger.request(method, f"{_API}{path}", json=body)).status_code == 401
