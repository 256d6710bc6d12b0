"""Closes: they go before what has not left, and end flat (order-protocol.md section 4)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.core.plan import PlanName
from tradewind.execution.tables import intents, orders
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

        async def has_bought() -> bool:
            return "FILLED" in (await place.fan(opened["id"]))["counts"]["states"]

        await place.until(has_bought)
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
        person = await place.one_linked()
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
        await place.one_linked()
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["skip_reasons"] == {"nothing_held": 1}


async def test_stop_when_price_falls_then_sold_by_the_venue_and_booked(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        person = await place.one_linked()
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
        person = await _held_in_two_markets(place)
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


async def test_close_in_two_markets_when_tried_again_then_only_the_market_that_was_not_sold_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """order-protocol.md section 9: a retry takes the account up where it stands; what was sold stays sold."""
    _list_btc_against_fdusd(monkeypatch)
    async with world(tmp_path) as place:
        person = await _held_in_two_markets(place)
        await place.control("POST", "symbols/BTCFDUSD/status", {"status": "BREAK"})
        _, closed = await place.alert(close_alert())

        async def has_one_market_sold() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["halted"]

        await place.until(has_one_market_sold)
        status, answer = await place.call("POST", f"/signals/{closed['id']}/retry", place.operator, {})
        assert status == 200, answer
        assert [(each["is_done"], each["text"]) for each in answer["accounts"]] == [(False, "its order is on its way")]

        await _give_up_the_waiting_exit(place)
        await place.control("POST", "symbols/BTCFDUSD/status", {"status": "TRADING"})
        _, answer = await place.call("POST", f"/signals/{closed['id']}/retry", place.operator, {})
        assert [(each["is_done"], each["text"]) for each in answer["accounts"]] == [(True, "decided again: placed")]

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat)
        found = await place.venue_orders(person.uid)
        sold = [each["symbol"] for each in found if each["side"] == "SELL" and each["status"] == "FILLED"]
        assert sorted(sold) == ["BTCFDUSD", "BTCUSDT"]


async def _held_in_two_markets(place: World) -> Person:
    """Let one person hold lots of one source in BTCUSDT and in BTCFDUSD."""
    person = await place.one_linked(balances={"USDT": "1000", "FDUSD": "1000"}, allows_adding=True)
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
    return person


async def _give_up_the_waiting_exit(place: World) -> None:
    """Let the close end in the market that stands still, as one does whose key was refused for good."""
    assert place.app is not None
    now = place.app.clock.now()
    waiting = update(orders).where(orders.c.leg == "exit", orders.c.state == "INTENDED")
    ended = waiting.values(state="DENIED", reason="credential_refused", ended_at=now)
    done = update(intents).where(intents.c.is_done.is_(False)).values(is_done=True)
    await place.app.db.write(lambda tx: (tx.execute(ended), tx.execute(done)))


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
