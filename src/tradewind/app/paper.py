"""The built-in simulated venue: where paper accounts trade when no address for it is set.

Paper is a venue, not a branch in the engine: the same adapter, journal and protection run, only the address
differs (house.md section 1). It runs in this process, on loopback, with its own durable file.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path

import aiohttp

from tradewind.config import Settings
from tradewind.core.errors import Unavailable
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


# The paper venue is on this machine; a second is an age.
_ISSUE_TIMEOUT_S = 5.0


class PaperKeys:
    """Asks the paper venue for keys, over its control address beside the exchange's own."""

    def __init__(self, rest_url: str) -> None:
        self._url = f"{rest_url.rstrip('/')}/sim/v1/keys"

    async def issue(self, balance: Decimal) -> tuple[str, str]:
        """Let the venue open an account with this much USDT; return its key and secret. Raises Unavailable."""
        timeout = aiohttp.ClientTimeout(total=_ISSUE_TIMEOUT_S)
        body = {"balances": {"USDT": format(balance, "f")}}
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.post(self._url, json=body) as answer:
                if answer.status != HTTPStatus.OK:
                    raise Unavailable("paper_venue", f"The paper venue answered {answer.status} and issued no key.")
                found = await answer.json()
                return str(found["api_key"]), str(found["secret"])
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
            # The error's own text may hold an address with a key in it; its kind is enough.
            _log.warning("app.paper.no_key", error=type(error).__name__)
            raise Unavailable("paper_venue", "The paper venue does not answer. Try again in a moment.") from None


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
