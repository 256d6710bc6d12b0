"""One signal, every account: through the webhook, the real engine and the simulated venue."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.support.platform import open_alert, world

from tradewind.core.plan import PlanName
from tradewind.demo.evidence import read_journal


async def test_open_alert_when_three_accounts_then_each_is_filled_once_and_protected(tmp_path: Path) -> None:
    """order-protocol.md section 5."""
    async with world(tmp_path) as place:
        people = place.people([PlanName.PRO, PlanName.FLEX, PlanName.ENTERPRISE])
        await place.start_platform()
        for person in people:
            await place.link(person)
        status, answer = await place.alert(open_alert())
        assert status == 202, answer
        board = await place.settled(answer["id"])
        assert board["counts"]["placed"] == 3
        assert board["counts"]["states"] == {"FILLED": 3}
        for person in people:
            positions = await place.protected(person)
            assert len(positions) == 1
            entries = [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
            assert len(entries) == 1
        # The demonstration's referee reads the database past all of our code; it must find the same.
        journal = read_journal(place.settings.database_url)
        assert {order.state for order in journal.orders if order.leg == "entry"} == {"FILLED"}
        assert sum(fill.quantity for fill in journal.fills) > Decimal(0)
        assert {lot.is_open for lot in journal.lots} == {True}
        assert set(journal.accounts.values()) == {person.uid for person in people}
        assert all(order.release_ms <= order.claimed_ms[0] for order in journal.orders)
