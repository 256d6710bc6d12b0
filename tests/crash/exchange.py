"""The simulated exchange as a process outside: durable, never killed, with its own log for the referee."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from pathlib import Path
from typing import Any

from tradewind.sim.server import SimServer
from tradewind.sim.settings import SimSettings

# A node a second reads rules and opens sockets far more often than any client may.
_GENEROUS = {
    "weight_per_minute": 10_000_000,
    "orders_per_10s": 100_000,
    "connections_per_5_minutes": 1_000_000,
    "calls_before_ban": 1_000_000,
}
# And the client keeps within the 6,000 a minute that it knows of: what was used is forgotten this often.
_FORGET_S = 0.2


def main(spec: dict[str, Any]) -> None:
    """Serve until SIGTERM."""
    # Half-open and reset connections are the harness' daily bread; the log is for mistakes.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    asyncio.run(_serve(spec))


async def _serve(spec: dict[str, Any]) -> None:
    server = SimServer(
        SimSettings(
            store=Path(spec["store"]),
            paused=True,
            seed=spec["seed"],
            processing_timeout_ms=spec["processing_ms"],
        )
    )
    addresses = await server.start()
    for name, value in _GENEROUS.items():
        setattr(server.spot.limits, name, value)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    reader, writer = await asyncio.open_unix_connection(spec["control"])
    writer.write(json.dumps({"hello": spec["id"], **addresses.as_dict()}).encode() + b"\n")
    await writer.drain()
    # The end of this connection is the end of whoever drives us.
    end = asyncio.create_task(reader.read())
    halt = asyncio.create_task(stopped.wait())
    forget = asyncio.create_task(_forget_weight(server))
    await asyncio.wait({end, halt}, return_when=asyncio.FIRST_COMPLETED)
    for task in (end, halt, forget):
        task.cancel()
    await server.stop()


async def _forget_weight(server: SimServer) -> None:
    while True:
        spot = server.spot
        spot.weight.set_used("127.0.0.1", 0, spot.now_ms())
        await asyncio.sleep(_FORGET_S)
