"""kill -9 of the real process, and a second one on the same database: with `tradewind serve` itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.platform import FAST_ORDERS, World, open_alert, world

from tradewind.core.plan import PlanName

ORDER_CALLS = ["POST /api/v3/order"]
_START_S = 40.0


def _environment(place: World) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    paper = "TRADEWIND_VENUES__BINANCE__PAPER"
    return {
        **kept,
        "TRADEWIND_DATA_DIR": str(place.settings.data_dir),
        "TRADEWIND_KEK_FILE": str(place.settings.kek_file),
        f"{paper}__REST_URL": place.addresses.rest_url,
        f"{paper}__WS_API_URL": place.addresses.ws_api_url,
        f"{paper}__STREAM_URL": place.addresses.stream_url,
        "TRADEWIND_ORDERS__SEND_BY_MS": str(FAST_ORDERS.send_by_ms),
        "TRADEWIND_ORDERS__REQUEST_TIMEOUT_MS": "4000",
        "TRADEWIND_ORDERS__RECV_WINDOW_MS": str(FAST_ORDERS.recv_window_ms),
        "TRADEWIND_ORDERS__VENUE_PROCESSING_MS": str(FAST_ORDERS.venue_processing_ms),
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.asynccontextmanager
async def served(place: World) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `tradewind serve` as a process of its own; killed by its id at the end, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tradewind", "serve", "--port", "0"),
        env=_environment(place),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(_START_S):
            while True:
                line = (await process.stderr.readline()).decode()
                assert line, "".join(lines)
                lines.append(line)
                found = re.search(r"listening.*url=(http://[\d.:]+)", line)
                if found is not None:
                    place.url = found.group(1)
                    break
        drain = asyncio.create_task(process.stderr.read())
        yield process
        drain.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


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
                env=_environment(place),
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
