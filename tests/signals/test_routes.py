"""The webhook and the room's other doors, through HTTP."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.support.db import bytes_of
from tests.support.people import People, browser, people
from tests.support.signal_builders import zulu

from tradewind.core.ids import SourceId
from tradewind.core.money import Asset
from tradewind.identity.people import User
from tradewind.infra.db import Tx
from tradewind.signals import service
from tradewind.signals.routes import build_router
from tradewind.signals.sources import Sources, SourceWithToken
from tradewind.signals.webhook import SignalDeps, build_webhook_router
from tradewind.web.principal import Role, Scope

ENTRY = {"action": "buy", "ticker": "BTCUSDT"}


class KnownAssets:
    """What the market lists in these tests; None: no list was ever read."""

    def __init__(self) -> None:
        self.bases: set[str] | None = {"BTC", "ETH", "PEPE"}

    def is_listed(self, base: Asset) -> bool | None:
        return None if self.bases is None else base in self.bases

    def similar_bases(self, base: Asset) -> list[str]:
        return sorted(asset for asset in self.bases or () if asset[:2] == base[:2])


@dataclass
class House:
    """One installation with an operator, a source and a user."""

    people: People
    sources: Sources
    assets: KnownAssets
    operator: User
    user: User
    source: SourceWithToken
    app: FastAPI
    visible: dict[str, set[SourceId]]

    @property
    def hook(self) -> str:
        return f"/webhooks/{self.source.token}"

    def count(self) -> int:
        return len(self.people.db.read_now(lambda tx: service.list_entries(tx, visible=None, limit=1_000)))

    def caller(self, user: User | None = None, **how: Any) -> httpx.AsyncClient:
        token = None if user is None else self.people.add_token(user, **how)
        return browser(self.app, token)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with people(tmp_path) as base:
        operator, user = base.add_user("operator", role=Role.OPERATOR), base.add_user("user")
        sources, assets = Sources(base.ids, base.audit), KnownAssets()
        visible: dict[str, set[SourceId]] = {}

        def visible_sources(_tx: Tx, user_id: str) -> Collection[SourceId]:
            return visible.get(user_id, set())

        deps = SignalDeps(base.db, base.clock, base.ids, sources, base.limiter, assets, visible_sources)
        app = base.app(build_router(deps))
        app.include_router(build_webhook_router(deps))
        made = base.db.write_now(
            lambda tx: sources.create(tx, owner_id=operator.id, name="rsi", actor="test", now=base.clock.now())
        )
        yield House(base, sources, assets, operator, user, made, app, visible)


@pytest.fixture
async def sender(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.caller() as client:
        yield client


# --- webhook ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_alert_when_posted_is_answered_202_with_the_stored_id(
    house: House, sender: httpx.AsyncClient, prefix: str
) -> None:
    answer = await sender.post(prefix + house.hook, json=ENTRY)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["status"], body["duplicate"]) == ("new", False)
    assert body["links"]["self"] == f"/api/v1/signals/{body['id']}"
    assert [one["id"] for one in body["signals"]] == [body["id"]]
    assert house.count() == 1


async def test_alert_when_sent_as_text_is_read_by_its_content(house: House, sender: httpx.AsyncClient) -> None:
    answer = await sender.post(house.hook, content=json.dumps(ENTRY), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 202
    answer = await sender.post(house.hook, content="buy ETHUSDT", headers={"Content-Type": "application/json"})
    assert answer.status_code == 202


async def test_alert_when_posted_twice_gets_the_same_id(house: House, sender: httpx.AsyncClient) -> None:
    first, again = [(await sender.post(house.hook, json=ENTRY)).json() for _ in range(2)]
    assert first["id"] == again["id"]
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert house.count() == 1


async def test_fault_13_copies_when_posted_at_once_store_one_row(house: House, sender: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(sender.post(house.hook, json=ENTRY) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.json()["duplicate"] for answer in answers].count(False) == 1
    assert house.count() == 1


async def test_alert_with_a_known_id_and_other_content_is_a_409(house: House, sender: httpx.AsyncClient) -> None:
    await sender.post(house.hook, json={**ENTRY, "id": "a"})
    answer = await sender.post(house.hook, json={**ENTRY, "id": "a", "price": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "id_with_other_content")
    assert house.count() == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "named"),
    [
        (b"", 400, "body_not_readable", "empty"),
        (b"{oops", 400, "malformed_json", "line 1"),
        (b'{"ticker":"BTCUSDT","action":"buy",}', 400, "malformed_json", "column"),
        (b"BTCUSDT Crossing 67,000.00", 422, "action_missing", "buy BTCUSDT"),
        (b'{"action":"buy","ticker":"BTCUSDT.P"}', 422, "derivative_symbol", "Send BTCUSDT"),
        (b'{"action":"buy","ticker":"PEPPEUSDT"}', 422, "unknown_symbol", "PEPE"),
        (b'{"action":"buy","ticker":"{{ticker}}"}', 422, "unresolved_placeholder", "{{ticker}}"),
        (b'{"action":"short","ticker":"BTCUSDT"}', 422, "short_not_supported", "spot"),
        (b'{"message_type":"bot","bot_id":1}', 422, "dialect_not_supported", "3Commas"),
        (b'{"action":"buy","ticker":"BTCUSDT","sent_at":"2026-11-20T11:58:59Z"}', 422, "stale_alert", "61 s"),
        (b'{"action":"buy","ticker":"BTCUSDT","n":NaN}', 422, "not_a_number", "NaN"),
    ],
)
async def test_alert_that_cannot_be_obeyed_is_told_why_and_not_stored(
    house: House, sender: httpx.AsyncClient, body: bytes, status: int, code: str, named: str
) -> None:
    answer = await sender.post(house.hook, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert named in answer.json()["detail"]
    assert house.count() == 0


async def test_asset_when_no_list_was_ever_read_is_taken_on_trust(house: House, sender: httpx.AsyncClient) -> None:
    house.assets.bases = None
    assert (await sender.post(house.hook, json={"action": "buy", "ticker": "NEWUSDT"})).status_code == 202


@pytest.mark.parametrize("token", ["twh_" + "x" * 43, "short", "twh_" + "é" * 43, "a" * 300])
async def test_webhook_token_when_unknown_is_a_404(house: House, sender: httpx.AsyncClient, token: str) -> None:
    answer = await sender.post(f"/webhooks/{token}", json=ENTRY)
    assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found")
    assert token not in answer.json()["detail"]
    assert house.count() == 0


async def test_unknown_tokens_when_tried_in_a_row_are_slowed_down(house: House, sender: httpx.AsyncClient) -> None:
    statuses = [(await sender.post(f"/webhooks/twh_{'x' * 43}", json=ENTRY)).status_code for _ in range(25)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    # A stranger on the same address costs the source nothing.
    assert (await sender.post(house.hook, json=ENTRY)).status_code == 202


async def test_source_when_switched_off_answers_403_and_stores_nothing(house: House, sender: httpx.AsyncClient) -> None:
    async with house.caller(house.operator) as operator:
        path = f"/api/v1/sources/{house.source.source.id}"
        assert (await operator.patch(path, json={"is_enabled": False})).json()["is_enabled"] is False
        answer = await sender.post(house.hook, json=ENTRY)
        assert (answer.status_code, answer.json()["code"]) == (403, "source_disabled")
        assert house.count() == 0
        await operator.patch(path, json={"is_enabled": True})
        assert (await sender.post(house.hook, json=ENTRY)).status_code == 202


async def test_body_over_64_kib_when_posted_is_a_413(house: House, sender: httpx.AsyncClient) -> None:
    body = b'{"action":"buy","ticker":"BTCUSDT","note":"' + b"x" * 65_536 + b'"}'
    answer = await sender.post(house.hook, content=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    async def chunks() -> AsyncIterator[bytes]:
        # Without a length: refused at the byte that is too much, however much would follow.
        for _ in range(1_000):
            yield b"x" * 1_024

    answer = await sender.post(house.hook, content=chunks())
    assert answer.status_code == 413
    assert house.count() == 0


async def test_fault_22_burst_over_50_is_a_429_and_refills_by_ten_a_second(
    house: House, sender: httpx.AsyncClient
) -> None:
    statuses = [(await sender.post(house.hook, json=ENTRY)).status_code for _ in range(51)]
    assert statuses == [202] * 50 + [429]
    answer = await sender.post(house.hook, json=ENTRY)
    assert int(answer.headers["Retry-After"]) >= 1
    await house.people.clock.advance(0.5)
    statuses = [(await sender.post(house.hook, json=ENTRY)).status_code for _ in range(6)]
    assert statuses == [202] * 5 + [429]


async def test_address_with_a_slash_at_the_end_is_no_redirect(house: House, sender: httpx.AsyncClient) -> None:
    assert (await sender.post(f"{house.hook}/", json=ENTRY)).status_code == 202


_SPLINTERS = (b"", b"\x00", b"\xff", b'"', b"{", b"]", b"1e999", b"NaN", b"null", b"{{close}}", b",", b":")


def _damaged(rng: random.Random, body: bytes) -> bytes:
    """A body with a few bytes changed, taken out, doubled or put in."""
    damaged = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(damaged) + 1)
        part = rng.choice(
            [b"", b"\x00", b"\xff", b'"', b"{", b"]", b"1e999", b"NaN", b"null", b"{{close}}", b",", b":"]
        )
        damaged[at : at + rng.randint(0, 6)] = part
    return bytes(damaged)


async def test_damaged_alerts_when_posted_are_never_our_fault(house: House, sender: httpx.AsyncClient) -> None:
    whole = [
        json.dumps(
            {**ENTRY, "price": "67000.5", "sl": 66000, "tp": [70000, 71000], "id": "a", "sent_at": "x"}
        ).encode(),
        json.dumps([ENTRY, {"action": "close", "ticker": "ETHUSDT"}]).encode(),
        b"buy BTCUSDT sl=66000 tp=70000 @ 67000",
        b"X: order buy @ 0.1 filled on BTCUSDT. New strategy position is 0.1",
    ]
    rng, seen = random.Random(20_261_120), set[int]()
    for _ in range(300):
        await house.people.clock.advance(0.2)
        answer = await sender.post(house.hook, content=_damaged(rng, rng.choice(whole)))
        seen.add(answer.status_code)
        assert answer.status_code in (202, 400, 409, 422), answer.text
        assert answer.json().keys() >= ({"id"} if answer.status_code == 202 else {"code", "detail"})
    assert {202, 400, 422} <= seen


async def test_answer_when_the_body_holds_secrets_repeats_none(house: House, sender: httpx.AsyncClient) -> None:
    body = {"action": "nonsense", "ticker": "BTCUSDT", "api_secret": "s3cr3t-value"}
    answer = await sender.post(house.hook, json=body)
    assert answer.status_code == 422
    assert "s3cr3t-value" not in answer.text


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


async def test_alert_time_when_posted_is_shown_beside_the_arrival(house: House, sender: httpx.AsyncClient) -> None:
    now = house.people.clock.now()
    signal_id = (await sender.post(house.hook, json={**ENTRY, "timenow": zulu(now)})).json()["id"]
    async with house.caller(house.operator) as operator:
        seen = (await operator.get(f"/api/v1/signals/{signal_id}")).json()
    assert seen["alert_at"] == zulu(now)
    assert seen["received_at"] == zulu(now)
