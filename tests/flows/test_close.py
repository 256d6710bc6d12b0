"""Closes: they go before what has not left, and end flat (order-protocol.md section 4)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.platform import close_alert, open_alert, world

from tradewind.core.plan import PlanName
from tradewind.sim.instruments import SymbolRules, rules_for
from tradewind.sim.tape import Tape


async def test_close_when_one_second_after_open_with_trial_then_superseded_and_flat(tmp_path: Path) -> None:
    """order-protocol.md section 4: open-then-close inside a plan delay ends flat."""
    async with world(tmp_path) as place:
        trial, pro = place.people([PlanName.TRIAL, PlanName.PRO])
        await place.start_platform()
        await place.link(trial)
        await place.link(pro)
        _, opened = await place.alert(open_alert())
        await asyncio.sleep(1)
        _, closed = await place.alert(close_alert())
        await place.settled(closed["id"])
        board = await place.settled(opened["id"])
        reasons = {each["account"]: (each["state"], each["reason"]) for each in board["cells"]}
        assert reasons[trial.account_id] == ("DENIED", "superseded")
        assert reasons[pro.account_id][0] == "FILLED"

        async def is_flat() -> bool:
            return not await place.positions(trial) and not await place.positions(pro)

        await place.until(is_flat)
        # Past the trial plan's release: nothing of it ever reached the venue.
        await asyncio.sleep(2.5)
        assert await place.venue_orders(trial.uid) == []
        sells = [each for each in await place.venue_orders(pro.uid) if each["status"] == "FILLED"]
        assert [each["side"] for each in sells] == ["BUY", "SELL"]


async def test_close_when_position_protected_then_oco_cancelled_and_all_sold(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        assert await place.positions(person) == []
        states = {(each["leg"], each["state"]) for each in await place.orders(person)}
        assert states == {("entry", "FILLED"), ("stop", "CANCELED"), ("target", "CANCELED"), ("exit", "FILLED")}


async def test_fault_17_close_when_nothing_held_then_skipped(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["skip_reasons"] == {"nothing_held": 1}


async def test_stop_when_price_falls_then_sold_by_the_venue_and_booked(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person)
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        position = (await place.protected(person))[0]
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(float(position["stop"]) * 0.99)})

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        states = {each["leg"]: each["state"] for each in await place.orders(person)}
        assert states == {"entry": "FILLED", "stop": "FILLED", "target": "EXPIRED"}


async def test_close_when_the_base_is_held_in_two_markets_then_one_decision_sells_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """order-protocol.md section 4: a close sells the source's lots of the base, all of them."""
    _list_btc_against_fdusd(monkeypatch)
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        await place.start_platform()
        await place.link(person, balances={"USDT": "1000", "FDUSD": "1000"}, allows_adding=True)
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        _, answer = await place.call("GET", "/mandates", person)
        path = f"/mandates/{answer['items'][0]['id']}"
        status, changed = await place.call("PATCH", path, person, {"quote_preference": "FDUSD"})
        assert status == 200, changed
        _, added = await place.alert(open_alert(sent_by="second"))
        await place.settled(added["id"])
        held = await place.protected(person)
        assert {each["symbol"] for each in held} == {"BTCUSDT", "BTCFDUSD"}

        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        board = await place.fan(closed["id"])
        assert (board["counts"]["accounts"], board["counts"]["placed"], board["counts"]["skipped"]) == (1, 1, 0)
        assert board["counts"]["states"] == {"FILLED": 1}
        exits = [each for each in await place.orders(person) if each["leg"] == "exit"]
        assert {(each["symbol"], each["state"]) for each in exits} == {("BTCUSDT", "FILLED"), ("BTCFDUSD", "FILLED")}
        sold = [
            each for each in await place.venue_orders(person.uid) if each["side"] == "SELL" and each["type"] == "MARKET"
        ]
        assert sorted(each["symbol"] for each in sold) == ["BTCFDUSD", "BTCUSDT"]


def _list_btc_against_fdusd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the simulated venue list BTC in a second quote asset, at the price of the first."""
    rules, prices_at = Tape.rules, Tape.prices_at

    def with_second(self: Tape) -> dict[str, SymbolRules]:
        price = prices_at(self)["BTCUSDT"]
        return {**rules(self), "BTCFDUSD": rules_for("BTCFDUSD", "BTC", "FDUSD", price)}

    def with_price(self: Tape, offset_ms: int = 0) -> dict[str, Decimal]:
        found = prices_at(self, offset_ms)
        return {**found, "BTCFDUSD": found["BTCUSDT"]}

    monkeypatch.setattr(Tape, "rules", with_second)
    monkeypatch.setattr(Tape, "prices_at", with_price)
