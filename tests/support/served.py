"""`tradewind serve` as a process of its own, on the database and the simulator of a world."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator

from tests.support.platform import FAST_ORDERS, World

_START_S = 40.0


def environment_of(place: World) -> dict[str, str]:
    """The settings of a world as `tradewind serve` reads them."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    paper = "TRADEWIND_VENUES__BINANCE__PAPER"
    return {
        **kept,
        "TRADEWIND_DATA_DIR": str(place.settings.data_dir),
        "TRADEWIND_DATABASE": place.settings.database_url,
        "TRADEWIND_KEK_FILE": str(place.settings.kek_file),
        f"{paper}__REST_URL": place.addresses.rest_url,
        f"{paper}__WS_API_URL": place.addresses.ws_api_url,
        f"{paper}__STREAM_URL": place.addresses.stream_url,
        "TRADEWIND_ORDERS__SEND_BY_MS": str(FAST_ORDERS.send_by_ms),
        "TRADEWIND_ORDERS__REQUEST_TIMEOUT_MS": "4000",
        "TRADEWIND_ORDERS__RECV_WINDOW_MS": str(FAST_ORDERS.recv_window_ms),
        "TRADEWIND_ORDERS__VENUE_PROCESSING_MS": str(FAST_ORDERS.venue_processing_ms),
        "TRADEWIND_DISK_RESERVE_MB": str(place.settings.disk_reserve_mb),
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.asynccontextmanager
async def served(place: World, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `tradewind serve` as a process of its own; killed by its id at the end, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tradewind", "serve", "--port", "0", *options),
        env=environment_of(place),
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
