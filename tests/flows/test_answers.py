"""What the doors answer: a repeat the same as before, each role what it may see, the status one truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import text
from tests.support.platform import Person, World, open_alert, world

from tradewind.core.plan import PlanName


async def _post(place: World, path: str, person: Person, key: str, body: Any) -> tuple[int, str | None, bytes]:
    headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": key}
    async with place.http.post(f"{place.url}/api/v1{path}", json=body, headers=headers) as answer:
        return answer.status, answer.headers.get("Idempotency-Replayed"), await answer.read()


def _change(place: World, statement: str, **values: str) -> None:
    assert place.app is not None
    assert place.app.db.write_now(lambda tx: tx.execute(text(statement), values).rowcount) == 1


async def test_buy_when_repeated_after_the_world_has_changed_then_first_answer(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        body = {"symbol": "BTC/USDT", "amount": "25"}
        status, replayed, first = await _post(place, "/trading/buy", person, "once", body)
        assert (status, replayed) == (202, None), first
        assert (await place.call("POST", "/paper/accounts", person, {"balance": "500"}))[0] == 201
        # With two accounts the same words would be unclear; as a repeat they are not read again.
        assert await _post(place, "/trading/buy", person, "once", body) == (202, "true", first)
        assert (await _post(place, "/trading/buy", person, "another", body))[0] == 422
        await place.protected(person)
        assert (await place.call("DELETE", f"/accounts/{person.account_id}", person))[0] in (204, 409)
        assert await _post(place, "/trading/buy", person, "once", body) == (202, "true", first)
        await place.sim.stop()
        assert await _post(place, "/trading/buy", person, "once", body) == (202, "true", first)
        status, _, refusal = await _post(place, "/trading/buy", person, "once", {**body, "amount": "26"})
        assert (status, b"idempotency_key_reused" in refusal) == (409, True)


async def test_decisions_when_asked_by_role_then_each_sees_what_it_may(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        one, two, support, owner = place.people([PlanName.PRO] * 4)
        await place.start_platform()
        await place.link(one)
        await place.link(two)
        _change(place, "UPDATE users SET role = 'support' WHERE id = :id", id=support.id)
        status, issued = await place.call(
            "POST", "/tokens", place.operator, {"label": "script", "scopes": ["read", "trade"]}
        )
        assert status == 201, issued
        script = Person(place.operator.id, issued["token"])
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        path = f"/signals/{answer['id']}"
        both = {one.account_id, two.account_id}

        async def seen(person: Person) -> tuple[set[str], set[str], bool]:
            status, found = await place.call("GET", f"{path}/decisions", person)
            assert status == 200, found
            status, fan = await place.call("GET", f"{path}/fan", person)
            assert status == 200, fan
            shown = {each["account_id"] for each in found["items"]}
            assert fan["counts"]["accounts"] == len(fan["cells"])
            has_working = any(each["working"] for each in found["items"])
            return shown, {each["account"] for each in fan["cells"]}, has_working

        assert await seen(place.operator) == (both, both, True)
        assert await seen(support) == (both, both, False)
        assert await seen(one) == ({one.account_id}, {one.account_id}, True)
        # The operator's own source, by a token without the admin scope: the signal, and nobody's accounts.
        assert await seen(script) == (set(), set(), False)
        assert (await place.call("GET", f"{path}/decisions", owner))[0] == 404
        _change(place, "UPDATE sources SET owner_id = :owner WHERE id = :id", owner=owner.id, id=place.source_id)
        assert await seen(owner) == (set(), set(), False)
        for door in ("", "/decisions", "/fan"):
            assert (await place.call("GET", path + door, script))[0] == 404


async def test_status_when_accounts_differ_then_reasons_only_where_none_may_trade(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        _, none = await place.call("GET", "/trading/status", person)
        assert (none["can_trade"], [each["code"] for each in none["reasons"]]) == (False, ["no_account"])
        await place.link(person)
        _, opened = await place.call("POST", "/paper/accounts", person, {"balance": "500"})
        other = opened["account"]["id"]
        await place.reconciled(person)
        assert (await place.call("POST", f"/accounts/{person.account_id}/pause", person))[0] == 200
        _, mixed = await place.call("GET", "/trading/status", person)
        assert (mixed["can_trade"], mixed["reasons"], mixed["trading_enabled"]) == (True, [], True)
        of_each = {each["account_id"]: [why["code"] for why in each["reasons"]] for each in mixed["accounts"]}
        assert of_each == {person.account_id: ["paused"], other: []}
        assert (await place.call("POST", f"/accounts/{other}/pause", person))[0] == 200
        _, closed = await place.call("GET", "/trading/status", person)
        assert (closed["can_trade"], [each["code"] for each in closed["reasons"]]) == (False, ["paused"])
        assert closed["timestamp"].endswith("Z")


async def test_times_when_read_then_all_say_utc_the_same_way(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        order = (await place.orders(person))[0]
        found = [
            (await place.call("GET", path, person))[1]
            for path in ("/orders", f"/orders/{order['id']}", "/positions", "/balance", "/decisions")
        ]
        found.append((await place.call("GET", f"/signals/{answer['id']}/fan", person))[1])
        assert found[1]["journal"][0]["to"] == "SENT"
        times = [value for each in found for value in _times(each)]
        assert len(times) > 10
        assert [each for each in times if not each.endswith("Z")] == []
        # What was answered can be asked with.
        _, older = await place.call("GET", f"/orders?before={order['created_at']}", person)
        assert older == {"items": []}


def _times(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [text for key, text in value.items() if (key == "at" or key.endswith("_at")) and text is not None]
        # `detail` and `working` are what was written down then, word for word.
        return own + [
            each for key, inner in value.items() if key not in ("detail", "working") for each in _times(inner)
        ]
    return [each for inner in value for each in _times(inner)] if isinstance(value, list) else []
