"""The doors of the room that people use, through HTTP: sources, and signals to read or send by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.db import bytes_of
from tests.support.signal_house import ENTRY, House, signal_house

from tradewind.web.principal import Scope


@pytest.fixture(name="house")
def one_house(tmp_path: Path) -> Iterator[House]:
    with signal_house(tmp_path) as house:
        yield house


@pytest.fixture
async def sender(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.caller() as client:
        yield client


# --- sources ---------------------------------------------------------------------------------------


async def test_source_when_created_shows_its_address_once(house: House) -> None:
    async with house.caller(house.operator) as operator:
        made = await operator.post("/api/v1/sources", json={"name": " my  bot "})
        assert made.status_code == 201
        token = made.json()["token"]
        assert made.json()["name"] == "my bot"
        listed = await operator.get("/api/v1/sources")
        assert [one["name"] for one in listed.json()] == ["rsi", "my bot"]
        assert token not in listed.text
        again = await operator.post("/api/v1/sources", json={"name": "my bot"})
        assert (again.status_code, again.json()["code"]) == (409, "source_name_taken")
        assert (await operator.post(made.json()["webhook_path"], json=ENTRY)).status_code == 202


def test_token_when_stored_is_a_hash_only(house: House, tmp_path: Path) -> None:
    stored = bytes_of(tmp_path)
    assert b"source.created" in stored
    assert house.source.token.encode() not in stored
    assert house.source.token not in repr(house.source)


async def test_source_when_rotated_ends_the_old_address(house: House, sender: httpx.AsyncClient) -> None:
    async with house.caller(house.operator) as operator:
        made = (await operator.post(f"/api/v1/sources/{house.source.source.id}/rotate")).json()
    assert (await sender.post(house.hook, json=ENTRY)).status_code == 404
    assert (await sender.post(made["webhook_path"], json=ENTRY)).status_code == 202


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/sources"), ("PATCH", "/sources/{id}"), ("POST", "/sources/{id}/rotate")]
)
async def test_sources_when_changed_by_a_user_or_stranger_are_refused(house: House, method: str, path: str) -> None:
    url = "/api/v1" + path.format(id=house.source.source.id)
    async with house.caller(house.user) as user, house.caller() as stranger:
        assert (await user.request(method, url, json={"name": "x"})).status_code == 403
        assert (await stranger.request(method, url, json={"name": "x"})).status_code == 401
        listed = await user.get("/api/v1/sources")
        assert [one["name"] for one in listed.json()] == ["rsi"]


async def test_source_when_unknown_is_a_404(house: House) -> None:
    async with house.caller(house.operator) as operator:
        assert (await operator.post("/api/v1/sources/none/rotate")).status_code == 404
        assert (await operator.patch("/api/v1/sources/none", json={})).status_code == 404


# --- signals ---------------------------------------------------------------------------------------


async def test_signals_when_read_by_others_do_not_exist(house: House, sender: httpx.AsyncClient) -> None:
    signal_id = (await sender.post(house.hook, json={**ENTRY, "password": "hunter2hunter2"})).json()["id"]
    path = f"/api/v1/signals/{signal_id}"
    async with house.caller(house.user) as user, house.caller(house.operator) as operator:
        assert (await user.get("/api/v1/signals")).json()["items"] == []
        assert (await user.get(path)).status_code == 404
        whole = (await operator.get(path)).json()
        assert whole["raw"] == '{"action":"buy","password":"***","ticker":"BTCUSDT"}'
        house.visible[house.user.id] = {house.source.source.id}
        seen = (await user.get(path)).json()
        assert (seen["id"], seen["base"], seen["raw"]) == (signal_id, "BTC", None)
        assert [one["id"] for one in (await user.get("/api/v1/signals")).json()["items"]] == [signal_id]
    async with house.caller() as stranger:
        assert (await stranger.get(path)).status_code == 401


async def test_signals_when_listed_come_newest_first_in_pages(house: House, sender: httpx.AsyncClient) -> None:
    ids = [(await sender.post(house.hook, json={**ENTRY, "id": str(number)})).json()["id"] for number in range(5)]
    async with house.caller(house.operator) as operator:
        first = (await operator.get("/api/v1/signals", params={"limit": 3})).json()
        rest = (await operator.get("/api/v1/signals", params={"limit": 3, "cursor": first["next_cursor"]})).json()
        none = (await operator.get("/api/v1/signals", params={"state": "dead"})).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None
    assert none["items"] == []


async def test_hand_signal_when_sent_twice_under_one_key_is_one_signal(house: House) -> None:
    body = {
        "source_id": house.source.source.id,
        "action": "open",
        "symbol": "BTC/USDT",
        "price": "67000",
        "stop_percent": "2.5",
        "targets": ["70000"],
        "size": "100",
        "size_kind": "quote",
    }
    async with house.caller(house.operator) as operator:
        first = await operator.post("/api/v1/signals", json=body, headers={"Idempotency-Key": "k1"})
        again = await operator.post("/api/v1/signals", json=body, headers={"Idempotency-Key": "k1"})
        other = await operator.post("/api/v1/signals", json=body, headers={"Idempotency-Key": "k2"})
        changed = await operator.post(
            "/api/v1/signals", json={**body, "action": "close"}, headers={"Idempotency-Key": "k1"}
        )
        missing = await operator.post("/api/v1/signals", json=body)
        seen = (await operator.get(f"/api/v1/signals/{first.json()['id']}")).json()
    assert (first.status_code, first.json()) == (202, again.json())
    assert other.json()["id"] != first.json()["id"]
    assert changed.status_code == 409
    assert missing.status_code == 400
    assert house.count() == 2
    assert (seen["origin"], seen["stop_bps"], seen["size"], seen["size_kind"]) == ("api", 250, "100", "quote")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"symbol": "BTCUSDT.P"}, 422, "derivative_symbol"),
        ({"symbol": "NOPEUSDT"}, 422, "unknown_symbol"),
        ({"price": "abc"}, 422, "not_a_number"),
        ({"price": 67000}, 422, "invalid_request"),
        ({"size": "-1"}, 422, "size_not_positive"),
        ({"extra": 1}, 422, "invalid_request"),
        ({"source_id": "none"}, 404, "source_not_found"),
    ],
)
async def test_hand_signal_that_cannot_be_obeyed_is_told_why(
    house: House, change: dict[str, Any], status: int, code: str
) -> None:
    body = {"source_id": house.source.source.id, "action": "open", "symbol": "BTC/USDT", **change}
    async with house.caller(house.operator) as operator:
        answer = await operator.post("/api/v1/signals", json=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert house.count() == 0


async def test_hand_signal_as_somebody_elses_source_is_a_404(house: House) -> None:
    body = {"source_id": house.source.source.id, "action": "open", "symbol": "BTC/USDT"}
    key = {"Idempotency-Key": "k"}
    house.visible[house.user.id] = {house.source.source.id}
    async with house.caller(house.user) as user:
        assert (await user.post("/api/v1/signals", json=body, headers=key)).status_code == 404
    async with house.caller(house.operator, scopes=frozenset({Scope.READ})) as reader:
        assert (await reader.post("/api/v1/signals", json=body, headers=key)).status_code == 403
    assert house.count() == 0
