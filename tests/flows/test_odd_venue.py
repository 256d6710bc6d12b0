"""A venue that does what none should: fills both legs, drops a market, sends words that no database takes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.execution.tables import fills, incidents, orders
from tradewind.sim.types import NO_ID, ExpiryReason, OrderStatus

ORDER_CALLS = ["POST /api/v3/order"]
# A NUL, which PostgreSQL takes in no text, and a sequence that a terminal would obey.
_ODD = "INSUFFICIENT\x00\x1b[31mLIQUIDITY"


async def _held(place: World, **balances: str) -> tuple[Person, dict[str, Any]]:
    person = await place.one_linked(balances={"USDT": "1000", **balances})
    _, answer = await place.alert(open_alert())
    await place.settled(answer["id"])
    (position,) = await place.protected(person)
    return person, position


async def _column(place: World, column: Any) -> list[Any]:
    assert place.app is not None
    return await place.app.db.read(lambda tx: list(tx.execute(select(column)).scalars()))


def _untie(place: World, person: Person) -> None:
    """Have the exchange forget that stop and target are one list: each sells on its own, of the user's coins too."""
    exchange = place.sim.spot.exchange
    account = exchange._account(person.uid)
    for order in exchange.open_orders(person.uid):
        account.wallet.hold("BTC", order.remaining - order.held)
        exchange._state.orders[order.order_id] = replace(order, order_list_id=NO_ID, held=order.remaining)


async def test_fault_46_stop_and_target_when_the_exchange_fills_both_then_booked_told_and_nothing_more_is_sold(
    tmp_path: Path,
) -> None:
    """order-protocol.md sections 2 and 11 (I-8): facts are booked in any state; the position is never negative."""
    async with world(tmp_path) as place:
        person, position = await _held(place, BTC="1")
        _untie(place, person)
        # Both at once, before anybody could cancel the other.
        place.sim.spot.set_price("BTCUSDT", Decimal(position["stop"]) * Decimal("0.999"))
        place.sim.spot.set_price("BTCUSDT", Decimal(position["target"]) * Decimal("1.001"))
        sold = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert [each["status"] for each in sold] == ["FILLED", "FILLED"]

        async def is_told() -> bool:
            return "sold_more_than_held" in await _column(place, incidents.c.kind)

        await place.until(is_told)

        async def is_over() -> bool:
            found = await place.positions(person)
            return all(each["protection"] == "dust" for each in found)

        await place.until(is_over)
        at_venue = await place.venue_orders(person.uid)
        expected = sorted(Decimal(each["executedQty"]) for each in at_venue)
        assert sorted(await _column(place, fills.c.quantity)) == expected, "each fill is booked, once"
        assert all(Decimal(each["quantity"]) >= 0 for each in await place.positions(person))
        # Started again it finds the same, and sells or buys nothing to make it even.
        await place.stop_platform()
        await place.start_platform()
        await place.reconciled(person)
        assert len(await place.venue_orders(person.uid)) == len(at_venue)


async def test_fault_48_market_when_delisted_under_a_position_then_frozen_nothing_invented_and_sold_when_listed_again(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 5: HALTED; reliability.md section 3: frozen, reconciliation invents no fills."""
    async with world(tmp_path) as place:
        person, position = await _held(place)
        await place.stop_platform()
        exchange = place.sim.spot.exchange
        # The exchange cancels what rests, and the market is gone from its list and from every answer.
        for order in exchange.open_orders(person.uid):
            if exchange._state.orders[order.order_id].status is OrderStatus.NEW:
                exchange.cancel(person.uid, "BTCUSDT", place.sim.spot.now_ms(), order_id=order.order_id)
        before = await place.venue_orders(person.uid)
        market = exchange._markets.pop("BTCUSDT")
        await place.start_platform()

        async def is_frozen() -> bool:
            found = await place.positions(person)
            return [(each["protection"], each["protection_reason"]) for each in found] == [("halted", "not_listed")]

        await place.until(is_frozen)
        fills_before = await _column(place, fills.c.fill_id)
        status, refused = await place.alert(close_alert())
        assert (status, refused["code"]) == (422, "unknown_symbol"), "its sender is told"
        _, opened = await place.alert(open_alert("ETHUSDT"))
        assert (await place.settled(opened["id"]))["counts"]["states"] == {"FILLED": 1}, "the others go on"
        (frozen,) = [each for each in await place.positions(person) if each["symbol"] == "BTCUSDT"]
        assert frozen["quantity"] == position["quantity"]
        assert [each for each in await _column(place, fills.c.fill_id) if each in fills_before] == fills_before
        exchange._markets["BTCUSDT"] = market
        assert [each for each in await place.venue_orders(person.uid) if each["symbol"] == "BTCUSDT"] == before
        await place.stop_platform()
        await place.start_platform()
        await place.protected(person)
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 1}


async def test_words_of_the_exchange_when_no_database_takes_them_then_kept_without_them_and_everything_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """order-protocol.md section 2: a fact from the venue never raises, whatever words it comes in."""
    monkeypatch.setattr(ExpiryReason.INSUFFICIENT_LIQUIDITY, "_value_", _ODD)
    async with world(tmp_path) as place:
        person = await place.one_linked(balances={"USDT": "1000", "EV\x00IL\x1b": "5"})
        await place.fault("partial_fill", value=0.5, calls=ORDER_CALLS, times=1)
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"EXPIRED": 1}
        await place.protected(person)
        assert "insufficient\ufffd\ufffd[31mliquidity" in await _column(place, orders.c.reason)
        _, shown = await place.call("GET", "/balance", person)
        assert "EV\ufffdIL\ufffd" in str(shown)
