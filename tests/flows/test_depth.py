"""A fan-out too large for the book is sliced over time or refused, account by account; exits never are (E9)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.config.settings import DepthSettings
from tradewind.core.plan import PlanName

DEPTH_CALL = ["GET /api/v3/depth"]
# 5 % of 10,000 USDT each.
_SPEND = Decimal(500)


async def _asks(place: World) -> Decimal:
    """The quote value of the best ask: all that counts within a hundredth of a percent of it."""
    async with place.http.get(f"{place.addresses.rest_url}/api/v3/depth?symbol=BTCUSDT&limit=5") as answer:
        price, quantity = (await answer.json())["asks"][0]
    return Decimal(price) * Decimal(quantity)


async def _three(place: World, depth: DepthSettings) -> list[Person]:
    people = place.people([PlanName.PRO] * 3)
    place.settings = replace(place.settings, depth=depth)
    await place.start_platform()
    for person in people:
        await place.link(person, balances={"USDT": "10000"}, risk="high")
    return people


async def _book_steps(place: World, signal_id: str) -> list[dict[str, str]]:
    status, answer = await place.call("GET", f"/signals/{signal_id}/decisions", place.operator)
    assert status == 200
    return [step["values"] for each in answer["items"] for step in each["working"] if step["name"] == "book"]


def _releases(board: dict[str, Any]) -> list[datetime]:
    return sorted(datetime.fromisoformat(cell["release_at"]) for cell in board["cells"] if cell["release_at"])


async def test_fault_56_fanout_when_larger_than_a_share_of_the_book_then_sliced_and_the_rest_skipped(
    tmp_path: Path,
) -> None:
    """product.md E9: slices above a share, refuses above a second one."""
    async with world(tmp_path) as place:
        asks = await _asks(place)
        depth = DepthSettings(
            allowance_orders=0,
            within_bps=1,
            # One order of 500 fits into a slice, two do not; two fit into all slices, three do not.
            slice_pct=int(_SPEND * Decimal("1.5") / asks * 100),
            refuse_pct=int(_SPEND * Decimal("2.5") / asks * 100),
            slice_every_ms=400,
        )
        people = await _three(place, depth)
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert (board["counts"]["placed"], board["counts"]["skip_reasons"]) == (2, {"too_large_for_the_book": 1})
        first, second = _releases(board)
        assert (second - first).total_seconds() == 0.4
        steps = await _book_steps(place, answer["id"])
        assert sorted(each["slice"] for each in steps) == ["1 of 2", "2 of 2", "none left"]
        assert {each["all_entries"] for each in steps} == {"1500 USDT"}
        bought = [each for person in people for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
        assert [each["status"] for each in bought] == ["FILLED", "FILLED"]
        # All that was bought is sold at once, whatever the book holds.
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 2}
        assert await _book_steps(place, closed["id"]) == []


async def test_fanout_when_the_book_does_not_answer_then_small_goes_and_large_is_sliced(tmp_path: Path) -> None:
    """docs/adr 0014: with the book unknown the allowance stands for it."""
    async with world(tmp_path) as place:
        # 100 smallest orders of 5 USDT: one order of 500 each slice, 8 slices at most.
        await _three(place, DepthSettings(allowance_orders=100, slice_every_ms=300, timeout_ms=100))
        await place.fault("refuse", calls=DEPTH_CALL, code=-1001, msg="Internal error.")
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert (board["counts"]["placed"], board["counts"]["skipped"]) == (3, 0)
        releases = _releases(board)
        assert [(each - releases[0]).total_seconds() for each in releases] == [0.0, 0.3, 0.6]
        steps = await _book_steps(place, answer["id"])
        assert {each["asks"] for each in steps} == {"unknown"}


async def test_fanout_when_small_or_switched_off_then_nobody_waits_for_the_book(tmp_path: Path) -> None:
    """product.md E9: the check stands before a LARGE fan-out only."""
    async with world(tmp_path) as place:
        await _three(place, DepthSettings())
        _, answer = await place.alert(open_alert())
        board = await place.settled(answer["id"])
        assert len(set(_releases(board))) == 1
        assert await _book_steps(place, answer["id"]) == []
