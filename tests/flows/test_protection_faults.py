"""What can go wrong between a fill and its end: partial fills, gaps, refusals, dust, fees, coins that are gone."""

from __future__ import annotations

import asyncio
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.core.plan import PlanName

ORDER_CALLS = ["POST /api/v3/order"]
OCO_CALLS = ["POST /api/v3/orderList/oco"]
NO_SLOT = {"code": -1013, "msg": "Filter failure: MAX_NUM_ALGO_ORDERS"}
OUT_OF_ORDER = {"code": -2010, "msg": "The relationship of the prices for the orders is not correct."}


async def _linked(place: World, *, balances: dict[str, str] | None = None) -> Person:
    (person,) = place.people([PlanName.PRO])
    await place.start_platform()
    return await place.link(person, balances=balances)


async def _opened(place: World) -> str:
    # With an id of its own: two alerts of one second would be the same alert twice.
    _, answer = await place.alert(open_alert(id=uuid.uuid4().hex))
    await place.settled(answer["id"])
    return str(answer["id"])


async def _in_state(place: World, person: Person, state: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        held = await place.positions(person)
        return held[0] if [each["protection"] for each in held] == [state] else None

    return dict(await place.until(found))


async def _price(place: World, price: Decimal) -> None:
    await place.control("POST", "price", {"symbol": "BTCUSDT", "price": str(price)})


async def _sold(place: World, person: Person) -> list[Decimal]:
    found = await place.venue_orders(person.uid)
    return [Decimal(each["executedQty"]) for each in found if each["side"] == "SELL" and each["status"] == "FILLED"]


async def _asked_for_coins(place: World, person: Person) -> int:
    page = await place.control("GET", f"log?uid={person.uid}&limit=1000")
    return sum(each["call"] in ("account.status", "GET /api/v3/account") for each in page["requests"])


async def test_fault_43_entry_when_only_part_of_it_fills_then_that_part_is_protected(tmp_path: Path) -> None:
    """order-protocol.md section 5: protection from the first fill, for what was filled."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await place.fault("partial_fill", value=0.5, calls=ORDER_CALLS, times=1)
        await _opened(place)
        held = await _in_state(place, person, "protected_native")
        stops = [each for each in await place.venue_orders(person.uid) if each["type"] == "STOP_LOSS"]
        assert len(stops) == 1
        assert Decimal(stops[0]["origQty"]) <= Decimal(held["quantity"]) < Decimal(stops[0]["origQty"]) * 2


async def test_fault_44_list_refused_because_the_price_is_already_beyond_then_sold_at_market_once(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 5, ladder: market at once."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await place.fault("refuse", calls=OCO_CALLS, times=1, **OUT_OF_ORDER)
        await _opened(place)
        await place.flat(person)
        assert len(await _sold(place, person)) == 1


async def test_fault_45_gap_far_below_the_stop_while_the_stream_is_silent_then_found_out_and_sold_once(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 5: triggered and not heard of, so the engine steps in, and sells nothing twice."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await _opened(place)
        held = await _in_state(place, person, "protected_native")
        await place.fault("stream_mute", stream="user")
        await _price(place, Decimal(held["stop"]) * Decimal("0.8"))
        await place.flat(person)
        sold = await _sold(place, person)
        assert len(sold) == 1
        assert sold[0] <= Decimal(held["quantity"])


@pytest.mark.parametrize("part", ["0.4", "one step"])
async def test_fault_52_coins_taken_away_under_a_watched_stop_then_only_the_shortfall_is_closed_and_the_rest_sold(
    tmp_path: Path, part: str
) -> None:
    """order-protocol.md section 4: External only after two readings; the exit is resized, without an error loop."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await place.fault("refuse", calls=OCO_CALLS, **NO_SLOT)
        await _opened(place)
        held = await _in_state(place, person, "protected_watched")
        quantity = Decimal(held["quantity"])
        taken = Decimal("0.00001") if part == "one step" else (quantity * Decimal(part)).quantize(Decimal("0.00001"))
        await place.control("POST", "deposit", {"uid": person.uid, "asset": "BTC", "amount": str(-taken)})
        await _price(place, Decimal(held["stop"]) * Decimal("0.99"))
        await place.flat(person)
        sold = await _sold(place, person)
        assert len(sold) == 1
        assert quantity - taken - Decimal("0.00001") < sold[0] <= quantity - taken
        exits = [each for each in await place.orders(person) if each["leg"] == "exit"]
        assert len(exits) <= 6


async def test_fault_50_balance_one_unit_short_when_protected_then_resized_by_that_unit(tmp_path: Path) -> None:
    """order-protocol.md section 4: the missing unit is closed, and the rest is protected at the venue."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await place.fault("busy_1008", calls=OCO_CALLS)
        await _opened(place)
        held = await _in_state(place, person, "protected_watched")
        unit = Decimal("0.00001")
        # Everything above whole steps first, so that a single step decides.
        spare = Decimal(held["quantity"]) % unit
        await place.control("POST", "deposit", {"uid": person.uid, "asset": "BTC", "amount": str(-spare - unit)})
        await place.control("DELETE", "faults")
        after = await _in_state(place, person, "protected_native")
        assert Decimal(after["quantity"]) == Decimal(held["quantity"]) - spare - unit


async def test_fault_51_user_cancels_the_stop_and_sells_by_hand_then_closed_as_external_and_nothing_is_sold_twice(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: the user's own dealings; never an order of ours for coins that are gone."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await _opened(place)
        held = await _in_state(place, person, "protected_native")
        await place.fault("busy_1008", calls=OCO_CALLS)
        live = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
        body = {"uid": person.uid, "symbol": "BTCUSDT", "order_id": live[0]["orderId"]}
        await place.control("POST", "external-cancel", body)
        quantity = Decimal(live[0]["origQty"])
        sell = {"uid": person.uid, "symbol": "BTCUSDT", "side": "SELL", "quantity": str(quantity)}
        await place.control("POST", "external-order", sell)
        await place.control("DELETE", "faults")

        async def is_over() -> bool:
            found = await place.positions(person)
            return not found or [each["protection"] for each in found] == ["dust"]

        await place.until(is_over)
        assert await _sold(place, person) == [quantity]
        assert Decimal(held["quantity"]) - quantity < Decimal("0.00002")


async def test_fault_51_coins_of_one_position_gone_beside_another_ones_resting_stop_then_closed_and_the_other_kept(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: only the shortfall is closed; a stop that rests and is untouched hides it not."""
    async with world(tmp_path) as place:
        person = await place.one_linked(allows_adding=True)
        for name in ("one", "two"):
            # Two bodies that differ: the same one within a minute is a repeat.
            _, answer = await place.alert(open_alert(sent_by=name))
            await place.settled(answer["id"])
            await place.protected(person)
        kept, gone = sorted(await place.positions(person), key=lambda each: str(each["opened_at"]))
        await place.fault("busy_1008", calls=OCO_CALLS)
        live = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
        stops = [each for each in live if each["type"] == "STOP_LOSS"]
        theirs = {"uid": person.uid, "symbol": "BTCUSDT"}
        await place.control("POST", "external-cancel", {**theirs, "order_id": stops[1]["orderId"]})
        sell = {**theirs, "side": "SELL", "quantity": str(stops[1]["origQty"])}
        await place.control("POST", "external-order", sell)
        await place.control("DELETE", "faults")

        async def is_over() -> bool:
            held = {each["id"]: each for each in await place.positions(person)}
            return kept["id"] in held and (gone["id"] not in held or held[gone["id"]]["protection"] == "dust")

        await place.until(is_over)
        (left,) = [each for each in await place.positions(person) if each["id"] == kept["id"]]
        assert (left["protection"], left["quantity"]) == ("protected_native", kept["quantity"])
        resting = [each["orderId"] for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
        assert stops[0]["orderId"] in resting
        assert len(await _sold(place, person)) == 1


async def test_coins_locked_by_the_users_own_order_then_blocked_and_protected_again_when_it_ends(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: BLOCKED BY YOUR ORDER, told, watch armed; their order is never touched."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await _opened(place)
        held = await _in_state(place, person, "protected_native")
        await place.fault("busy_1008", calls=OCO_CALLS)
        live = [each for each in await place.venue_orders(person.uid) if each["status"] == "NEW"]
        body = {"uid": person.uid, "symbol": "BTCUSDT", "order_id": live[0]["orderId"]}
        await place.control("POST", "external-cancel", body)
        above = (Decimal(held["entry_price"]) * Decimal("1.5")).quantize(Decimal(1))
        limit = {
            "uid": person.uid,
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "LIMIT",
            "time_in_force": "GTC",
            "quantity": live[0]["origQty"],
            "price": str(above),
        }
        placed = await place.control("POST", "external-order", limit)
        await place.control("DELETE", "faults")
        await _in_state(place, person, "blocked_by_your_order")
        theirs = [each for each in await place.venue_orders(person.uid) if each["orderId"] == placed["order_id"]]
        assert [each["status"] for each in theirs] == ["NEW"]
        before = await _asked_for_coins(place, person)
        await asyncio.sleep(4)
        # It may last for days: the venue's budget is everybody's.
        assert await _asked_for_coins(place, person) - before <= 2
        await place.control(
            "POST", "external-cancel", {"uid": person.uid, "symbol": "BTCUSDT", "order_id": placed["order_id"]}
        )
        await _in_state(place, person, "protected_native")


async def test_entry_when_so_little_fills_that_it_cannot_be_sold_then_dust_and_not_unprotected(tmp_path: Path) -> None:
    """order-protocol.md section 5: DUST is shown, and counted neither as protected nor as unprotected."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await place.fault("partial_fill", value=0.1, calls=ORDER_CALLS, times=1)
        await _opened(place)
        held = await _in_state(place, person, "dust")
        assert held["protection_reason"] == "below_venue_minimum"
        await asyncio.sleep(1)
        assert [each for each in await place.venue_orders(person.uid) if each["side"] == "SELL"] == []


async def test_fees_when_paid_in_a_third_asset_then_the_whole_quantity_is_protected(tmp_path: Path) -> None:
    """order-protocol.md section 5, product.md E5: fees in BNB take no coins from the lot."""
    async with world(tmp_path) as place:
        person = await place.one_linked(balances={"USDT": "1000", "BNB": "5"})
        await place.control("POST", f"accounts/{person.uid}", {"pays_fees_in_bnb": True})
        await _opened(place)
        held = await _in_state(place, person, "protected_native")
        bought = [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
        assert Decimal(held["quantity"]) == Decimal(bought[0]["executedQty"])


async def test_exposure_when_protected_then_the_time_without_protection_is_known(tmp_path: Path) -> None:
    """order-protocol.md section 4: the time without protection is measured; reliability.md L-2."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await _opened(place)
        held = await _in_state(place, person, "protected_native")
        await asyncio.sleep(0.3)
        later = await _in_state(place, person, "protected_native")
        assert 0 <= held["naked_ms"] == later["naked_ms"]
        assert held["watched_ms"] == later["watched_ms"]


async def test_fault_47_symbol_halted_while_it_is_to_be_sold_then_nothing_is_cancelled_and_sold_when_it_trades_again(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: the symbol's status is read first; nothing is cancelled, the exit waits."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await _opened(place)
        await _in_state(place, person, "protected_native")
        await place.control("POST", "symbols/BTCUSDT/status", {"status": "BREAK"})
        await place.alert(close_alert())
        await _in_state(place, person, "halted")
        await asyncio.sleep(1)
        stops = [each for each in await place.venue_orders(person.uid) if each["type"] == "STOP_LOSS"]
        assert [each["status"] for each in stops] == ["NEW"]
        await place.control("POST", "symbols/BTCUSDT/status", {"status": "TRADING"})
        await place.flat(person)
        assert len(await _sold(place, person)) == 1


async def test_watch_when_its_venue_says_no_price_for_long_then_unprotected_and_told_until_it_does_again(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 5: stream, else REST ticker; still older: UNPROTECTED(no price) with a notice."""
    async with world(tmp_path) as place:
        person = await _linked(place)
        await place.fault("refuse", calls=OCO_CALLS, **NO_SLOT)
        await _opened(place)
        await _in_state(place, person, "protected_watched")
        await place.fault("stream_mute", stream="market")
        await place.fault("status", calls=["GET /api/v3/ticker/24hr"], status=503, executed=False)
        held = await _in_state(place, person, "unprotected")
        assert held["protection_reason"] == "no_price"
        await place.control("DELETE", "faults")
        after = await _in_state(place, person, "protected_watched")
        assert after["naked_ms"] > 0
