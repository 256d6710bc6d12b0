"""kill -9 of the real process, and a second one on the same database: with `tradewind serve` itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.support.platform import open_alert, world
from tests.support.served import environment_of, served

from tradewind.core.plan import PlanName

ORDER_CALLS = ["POST /api/v3/order"]
_START_S = 40.0


async def test_process_when_killed_between_acceptance_and_answer_then_one_order_protected(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        (person,) = place.people([PlanName.PRO])
        async with served(place) as first:
            await place.link(person)
            await place.fault("delay_ms", calls=ORDER_CALLS, times=1, where="after", value=30_000)
            await place.fault("stream_mute", stream="user")
            _, answer = await place.alert(open_alert())

            async def is_executed() -> bool:
                return bool(await place.venue_orders(person.uid))

            await place.until(is_executed)
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
        await place.control("DELETE", "faults")
        async with served(place):
            board = await place.settled(answer["id"])
            assert board["counts"]["states"] == {"FILLED": 1}
            await place.protected(person)
            entries = [each for each in await place.venue_orders(person.uid) if each["side"] == "BUY"]
            rows = [each for each in await place.orders(person) if each["leg"] == "entry"]
            assert len(entries) == len(rows) == 1
            assert rows[0]["client_order_id"] == entries[0]["clientOrderId"]


async def test_serve_when_another_runs_on_the_database_then_refused_in_words(tmp_path: Path) -> None:
    async with world(tmp_path) as place:
        place.people([PlanName.PRO])
        async with served(place):
            second = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tradewind", "serve", "--port", "0"),
                env=environment_of(place),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                _, errors = await asyncio.wait_for(second.communicate(), _START_S)
            finally:
                if second.returncode is None:
                    second.kill()
            assert second.returncode == 1
            assert b"Stop it first" in errors
            assert b"Traceback" not in errors
