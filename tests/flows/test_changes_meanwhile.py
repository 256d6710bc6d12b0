"""What changes while an order is on its way, or while a position is open."""

from __future__ import annotations

from pathlib import Path

from tests.support.platform import Person, World, close_alert, open_alert, world

from tradewind.audit.service import Audit
from tradewind.billing.service import Billing
from tradewind.core.ids import UserId
from tradewind.core.plan import PlanName
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Tx
from tradewind.infra.ids import RandomIds
from tradewind.vault.opening import KekPlace, open_vault


async def test_fault_62_subscription_when_it_ends_with_a_position_open_then_no_entry_and_the_exit_goes_on(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 6: a lapsed subscription never stops an exit or disarms a watch."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, opened = await place.alert(open_alert())
        await place.settled(opened["id"])
        await place.protected(person)
        await _end_subscription(place, person)
        _, again = await place.alert(open_alert("ETHUSDT"))
        board = await place.settled(again["id"])
        assert [each["reason"] for each in board["cells"]] == ["no_subscription"]
        assert [each["protection"] for each in await place.positions(person)] == ["protected_native"]
        _, closed = await place.alert(close_alert())
        board = await place.settled(closed["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        assert await place.positions(person) == []


async def _end_subscription(place: World, person: Person) -> None:
    assert place.app is not None
    clock = SystemClock()
    where = KekPlace(place.settings.kek_file, place.settings.data_dir)

    def work(tx: Tx) -> None:
        billing = Billing(clock, RandomIds(clock), Audit(open_vault(tx, where, clock, {}), clock))
        billing.end_subscription(tx, UserId(person.id), actor="test")

    await place.app.db.write(work)


async def test_fault_65_mandate_when_changed_between_decision_and_claim_then_the_order_is_the_one_decided(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 3.1: what was recorded is sent; what the gate says is read again."""
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.FLEX])
        await place.start_platform()
        await place.link(person, stop_bps=300)
        _, answer = await place.alert(open_alert())

        async def is_planned() -> bool:
            return "INTENDED" in (await place.fan(answer["id"]))["counts"]["states"]

        await place.until(is_planned)
        _, mandates = await place.call("GET", "/mandates", person)
        status, _ = await place.call("PATCH", f"/mandates/{mandates['items'][0]['id']}", person, {"stop_bps": 1_000})
        assert status == 200
        board = await place.settled(answer["id"])
        assert board["counts"]["states"] == {"FILLED": 1}
        (position,) = await place.protected(person)
        entry, stop = float(position["entry_price"]), float(position["stop"])
        assert 0.96 < stop / entry < 0.975, "the stop of the decision, 3 % below, not the 10 % set meanwhile"
