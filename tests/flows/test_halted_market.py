"""A market that stands still: nothing is bought, nothing is cancelled, and the exit waits its turn."""

from __future__ import annotations

from pathlib import Path

from tests.support.platform import close_alert, open_alert, world


async def test_fault_47_market_when_halted_then_no_entry_and_the_exit_waits_with_its_stop_in_place(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 4: not trading, nothing is cancelled, the exit waits, the user is told."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        await place.stop_platform()
        await place.control("POST", "symbols/BTCUSDT/status", {"status": "HALT"})
        await place.control("POST", "symbols/ETHUSDT/status", {"status": "HALT"})
        # Started again, the platform knows the markets as they are now.
        await place.start_platform()
        await place.reconciled(person)
        _, refused = await place.alert(open_alert("ETHUSDT"))
        board = await place.settled(refused["id"])
        assert [each["reason"] for each in board["cells"]] == ["instrument_halted"]
        _, closed = await place.alert(close_alert())

        async def is_halted() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["halted"]

        await place.until(is_halted)
        stops = [each for each in await place.venue_orders(person.uid) if str(each["type"]).startswith("STOP")]
        assert [each["status"] for each in stops] == ["NEW"], "the resting stop is all there is"
        await place.stop_platform()
        await place.control("POST", "symbols/BTCUSDT/status", {"status": "TRADING"})
        await place.start_platform()
        board = await place.settled(closed["id"], 30)
        assert board["counts"]["states"] == {"FILLED": 1}
        assert await place.positions(person) == []
