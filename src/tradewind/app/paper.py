"""The built-in simulated venue: where paper accounts trade when no address for it is set.

Paper is a venue, not a branch in the engine: the same adapter, journal and protection run, only the address
differs (house.md section 1). It runs in this process, on loopback, with its own durable file.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from tradewind.config import Settings
from tradewind.infra.log import logger
from tradewind.sim.server import SimServer
from tradewind.sim.settings import SimSettings

_log = logger("app.paper")


@dataclass(frozen=True, slots=True)
class PaperVenue:
    """The built-in venue and its addresses."""

    server: SimServer
    rest_url: str
    ws_api_url: str
    stream_url: str

    async def start(self) -> None:
        """Start serving. Raises what SimServer.start raises."""
        addresses = await self.server.start()
        assert addresses.rest_url == self.rest_url, "the built-in venue answers where it was announced"
        _log.info("app.paper.started", url=addresses.rest_url, control=addresses.control_url)

    async def stop(self) -> None:
        """Stop serving and close its file."""
        await self.server.stop()


def built_in_paper(settings: Settings) -> PaperVenue:
    """Prepare the built-in venue on a loopback port of its own."""
    port = settings.sim.port or _free_port(settings.sim.host)
    store: Path = settings.sim_database
    store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = SimServer(
        SimSettings(
            host=settings.sim.host,
            port=port,
            store=store,
            tape=settings.sim.tape,
            speed=settings.sim.speed,
            seed=settings.sim.seed,
            loop_tape=settings.sim.loop,
        )
    )
    place = f"{settings.sim.host}:{port}"
    return PaperVenue(server, f"http://{place}", f"ws://{place}/ws-api/v3", f"ws://{place}")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
