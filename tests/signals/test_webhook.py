"""The webhook, through HTTP: what is stored once, what is refused, and who is slowed down."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.signal_builders import zulu
from tests.support.signal_house import ENTRY, House, signal_house


@pytest.fixture(name="house")
def one_house(tmp_path: Path) -> Iterator[House]:
    with signal_house(tmp_path) as house:
        yield house


@pytest.fixture
async def sender(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.caller() as client:
        yield client


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
        damaged[at : at + rng.randint(0, 6)] = rng.choice(_SPLINTERS)
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


async def test_alert_time_when_posted_is_shown_beside_the_arrival(house: House, sender: httpx.AsyncClient) -> None:
    now = house.people.clock.now()
    signal_id = (await sender.post(house.hook, json={**ENTRY, "timenow": zulu(now)})).json()["id"]
    async with house.caller(house.operator) as operator:
        seen = (await operator.get(f"/api/v1/signals/{signal_id}")).json()
    assert seen["alert_at"] == zulu(now)
    assert seen["received_at"] == zulu(now)
