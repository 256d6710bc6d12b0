"""A refused key holds exits back, and no longer than it is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.platform import close_alert, open_alert, world

from tradewind.core.ids import AccountId

KEY_REFUSED = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action.", "status": 401}


async def test_exit_when_the_key_was_refused_and_is_accepted_again_then_sold_at_once_and_asked_for_seldom_before(
    tmp_path: Path,
) -> None:
    """order-protocol.md section 6: an exit is closed only by having no usable credential, and first in line after."""
    async with world(tmp_path) as place:
        person = await place.one_linked()
        _, answer = await place.alert(open_alert())
        await place.settled(answer["id"])
        await place.protected(person)
        calls = ["DELETE /api/v3/orderList", "DELETE /api/v3/order", "GET /api/v3/account"]
        await place.fault("refuse", calls=calls, uid=person.uid, **KEY_REFUSED)
        await place.alert(close_alert())

        async def is_blind() -> bool:
            return [each["protection"] for each in await place.positions(person)] == ["blind"]

        await place.until(is_blind)
        await asyncio.sleep(2)
        log = await place.control("GET", f"log?kind=requests&uid={person.uid}&limit=1000")
        assert len([each for each in log["requests"] if "DELETE" in str(each)]) <= 2
        await place.control("DELETE", "faults")
        # A new key is followed at once; the account is asked about and the exit goes on.
        app = place.app
        assert app is not None
        app.engine.credentials.note(AccountId(person.account_id), None)

        async def is_flat() -> bool:
            return not await place.positions(person)

        await place.until(is_flat, 8)
