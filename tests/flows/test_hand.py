"""Orders by hand: the same road, with the user's own amount (E7)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.platform import Person, World, open_alert, world

from tradewind.core.plan import PlanName


async def _order_ended(place: World, person: Person, order_id: str) -> dict[str, Any]:
    async def is_ended() -> dict[str, Any] | None:
        _, answer = await place.call("GET", f"/orders/{order_id}", person)
        return dict(answer) if answer["ended_at"] else None

    return dict(await place.until(is_ended))


async def test_buy_when_by_amount_then_filled_and_protected_with_default_levels(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        status, order = await place.call("POST", "/trading/buy", person, {"symbol": "BTC/USDT", "amount": "25"})
        assert status == 202, order
        ended = await _order_ended(place, person, order["id"])
        assert ended["state"] == "FILLED"
        assert [line["to"] for line in ended["journal"]] == ["SENT", "FILLED"]
        position = (await place.protected(person))[0]
        entry = Decimal(position["entry_price"])
        assert Decimal("0.02") < 1 - Decimal(position["stop"]) / entry < Decimal("0.04")


async def test_sell_when_coins_are_held_for_a_signal_then_refused_until_said_so(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        status, refusal = await place.call("POST", "/trading/sell", person, {"symbol": "BTCUSDT", "all": True})
        assert status == 422
        assert "include_protected" in refusal["detail"]
        body = {"symbol": "BTCUSDT", "all": True, "include_protected": True}
        status, order = await place.call("POST", "/trading/sell", person, body)
        assert status == 202, order
        assert (await _order_ended(place, person, order["id"]))["state"] == "FILLED"
        assert await place.positions(person) == []


async def test_sell_when_other_coins_are_free_then_position_and_stop_stay(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked(balances={"USDT": "1000", "BTC": "0.01"})
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        before = await place.protected(person)
        status, order = await place.call("POST", "/trading/sell", person, {"symbol": "BTCUSDT", "quantity": "0.005"})
        assert status == 202, order
        assert (await _order_ended(place, person, order["id"]))["executed"] == "0.005"
        after = await place.positions(person)
        assert [each["quantity"] for each in after] == [each["quantity"] for each in before]
        assert after[0]["protection"] == "protected_native"


async def test_fault_90_buy_when_sent_twice_with_one_key_then_one_order(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
        headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": "form-1"}
        url = f"{place.url}/api/v1/trading/buy"
        ids = set()
        for _ in range(3):
            async with place.http.post(url, json={"symbol": "BTC", "amount": "25"}, headers=headers) as answer:
                assert answer.status == 202
                ids.add((await answer.json())["id"])
        assert len(ids) == 1
        await _order_ended(place, person, ids.pop())
        assert len([each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]) == 1


async def test_buy_when_wrong_then_told_what_to_change(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person, stranger) = place.people([PlanName.PRO, PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        for body, code in [
            ({"symbol": "BTCUSDT", "amount": "1"}, "below_minimum"),
            ({"symbol": "BTCUSDT", "amount": "5000"}, "over_free_balance"),
            ({"symbol": "BTCUSDT"}, "size_unclear"),
            ({"symbol": "BTCUSDT", "amount": "-5"}, "size_not_positive"),
            ({"symbol": "BTCUSDT", "amount": "abc"}, "not_a_number"),
            ({"symbol": "BTCUSDT.P", "amount": "25"}, "derivative_symbol"),
            ({"symbol": "NOSUCHUSDT", "amount": "25"}, "unknown_symbol"),
            ({"symbol": "BTCUSDT", "amount": "25", "stop": "999999"}, "levels_wrong"),
        ]:
            status, answer = await place.call("POST", "/trading/buy", person, body)
            assert (status, answer["code"]) == (422, code), answer
            assert answer["detail"]
        status, answer = await place.call("POST", "/trading/buy", stranger, {"symbol": "BTC", "amount": "25"})
        assert (status, answer["code"]) == (422, "account_unclear")
        body = {"symbol": "BTC", "amount": "25", "account": person.account_id}
        status, answer = await place.call("POST", "/trading/buy", stranger, body)
        assert status == 404
        assert await place.venue_orders(person.uid) == []


async def test_paper_account_when_opened_in_one_request_then_it_trades(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        status, answer = await place.call("POST", "/paper/accounts", person, {"balance": "500"})
        assert status == 201, answer
        assert answer["account"]["environment"] == "paper"
        _, balance = await place.call("GET", "/balance?asset=USDT", person)
        assert [each["free"] for each in balance["items"]] == ["500"]
        status, order = await place.call("POST", "/trading/buy", person, {"symbol": "BTC", "amount": "25"})
        assert status == 202, order
        assert (await _order_ended(place, person, order["id"]))["environment"] == "PAPER"
        status, refusal = await place.call("POST", "/paper/accounts", person, {"balance": "1"})
        assert (status, refusal["code"]) == (422, "balance_out_of_range")
