"""Orders that are executed in part, prices that jump over levels, protection that the exchange refuses."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.support.platform import Person, World, open_alert, world

ORDER_CALLS = ["POST /api/v3/order"]
OCO_CALLS = ["POST /api/v3/orderList/oco"]
NEW_ORDER_REJECTED = -2010


async def _opened(place: World) -> Person:
    return await place.one_linked()


async def _is_flat(place: World, person: Person) -> bool:
    return not await place.positions(person)


async def test_fault_43_entry_when_executed_in_part_then_that_part_is_protected_at_once(tmp_path: Path) -> None:
    """order-protocol.md section 5: a position wants protection from its first fill."""
    async with world(tmp_path) as place:
        person = await _opened(place)
        await place.fault("partial_fill", value=0.5, calls=ORDER_CALLS, times=1)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        (entry,) = [each for each in await place.orders(person) if each["leg"] == "entry"]
        assert entry["state"] == "EXPIRED"
        (position,) = await place.protected(person)
        (bought,) = [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
        assert Decimal(0) < Decimal(position["quantity"]) <= Decimal(bought["executedQty"])
        stops = [each for each in await place.venue_orders(person.uid) if str(each["type"]).startswith("STOP")]
        assert [each["status"] for each in stops] == ["NEW"]
        assert Decimal(stops[0]["origQty"]) <= Decimal(position["quantity"])


async def test_fault_44_protection_when_refused_because_the_price_is_beyond_then_sold_at_market(tmp_path: Path) -> None:
    """order-protocol.md section 5: refused because the price is already beyond: market at once."""
    async with world(tmp_path) as place:
        person = await _opened(place)
        await place.fault(
            "refuse", calls=OCO_CALLS, code=NEW_ORDER_REJECTED, msg="Stop price would trigger immediately.", status=400
        )
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.until(lambda: _is_flat(place, person))
        sold = [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"]
        assert [(each["type"], each["status"]) for each in sold] == [("MARKET", "FILLED")]


async def test_fault_45_price_when_it_gaps_through_the_stop_then_flat_and_nothing_is_sold_twice(tmp_path: Path) -> None:
    """order-protocol.md section 11, I-8: sells never exceed the position."""
    async with world(tmp_path) as place:
        person = await _opened(place)
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        (position,) = await place.protected(person)
        gapped = (Decimal(position["entry_price"]) * Decimal("0.8")).quantize(Decimal("0.01"))
        await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(gapped)})
        await place.until(lambda: _is_flat(place, person))
        at_venue = await place.venue_orders(person.uid)
        bought = sum(Decimal(each["executedQty"]) for each in at_venue if each["side"] == "BUY")
        sold = sum(Decimal(each["executedQty"]) for each in at_venue if each["side"] == "SELL")
        assert Decimal(0) < sold <= bought
