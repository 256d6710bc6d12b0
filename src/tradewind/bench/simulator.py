"""The built-in simulator as a venue of the bench, in a process of its own: `python -m tradewind.bench.simulator`.

Its tape stands still and its request weight is as good as endless, so that the platform is what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tradewind.bench.responder import until_input_ends
from tradewind.sim.server import SimServer
from tradewind.sim.settings import SimSettings

_ENDLESS = 100_000_000


async def run() -> None:
    """Serve on a free port of loopback until standard input ends."""
    server = SimServer(SimSettings(paused=True, weight_per_minute=_ENDLESS))
    addresses = await server.start()
    sys.stdout.write(json.dumps(addresses.as_dict()) + "\n")
    sys.stdout.flush()
    try:
        await until_input_ends()
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(run())
