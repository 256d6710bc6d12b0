"""All venue clients of this process: one for each (venue, environment) that is switched on.

A new venue is one line in `_BUILDERS`. A venue that is away at start does not keep the others from starting: its
client keeps trying, and its health says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from tradewind.core.errors import NotFound
from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.infra.clock import Clock
from tradewind.infra.log import logger
from tradewind.venues.base import VenueClient, VenueHealth
from tradewind.venues.binance import capabilities as binance_places
from tradewind.venues.binance.client import BinanceClient, BinanceOptions
from tradewind.venues.errors import VenueError
from tradewind.venues.stream_socket import StreamRules

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """One venue in one environment. URLs left out are the venue's own; paper needs at least `rest_url`.

    `profile` chooses among several places of an environment ("demo" counts as testnet at Binance).
    `has_permission_reading` says whether key rights can be read there, where that differs from the profile.
    """

    venue: VenueName
    environment: Environment
    is_enabled: bool = True
    profile: str | None = None
    rest_url: str | None = None
    ws_api_url: str | None = None
    stream_url: str | None = None
    has_permission_reading: bool | None = None
    connections_max: int = 256
    waiters_max: int = 10_000
    accounts_per_connection: int = 200
    request_timeout_s: float = 5.0
    recv_window_ms: int = 3_000
    processing_ms_max: int = 10_000
    clock_every_s: float = 10.0

    @property
    def name(self) -> str:
        """How messages call this setting."""
        return f"{self.venue}/{self.environment}"


class Venues:
    """The clients, by venue and environment."""

    def __init__(self, settings: Sequence[VenueSettings], clock: Clock) -> None:
        self._clients: dict[tuple[VenueName, Environment], VenueClient] = {}
        self._disabled: set[tuple[VenueName, Environment]] = set()
        for each in settings:
            key = (each.venue, each.environment)
            if key in self._clients or key in self._disabled:
                raise ValueError(f"the venue setting {each.name} is given twice")
            builder = _BUILDERS.get(each.venue)
            if builder is None:
                known = ", ".join(sorted(_BUILDERS))
                raise ValueError(f"there is no venue {each.venue!r}; known are: {known}")
            if each.is_enabled:
                self._clients[key] = builder(each, clock)
            else:
                self._disabled.add(key)

    def client(self, venue: VenueName, environment: Environment) -> VenueClient:
        """Return the client. Raises NotFound that names the setting to change."""
        found = self._clients.get((venue, environment))
        if found is not None:
            return found
        if (venue, environment) in self._disabled:
            message = f"{venue} is switched off for {environment}; set is_enabled in its venue settings."
        else:
            message = f"{venue} is not set up for {environment}; add it to the venue settings."
        raise NotFound("venue_not_configured", message)

    def all(self) -> Sequence[VenueClient]:
        """Return every client."""
        return tuple(self._clients.values())

    async def start(self) -> None:
        """Start all clients at the same time; one whose venue is away is left to `run`."""
        await asyncio.gather(*(_start(client) for client in self._clients.values()))

    async def run(self) -> None:
        """Keep all clients fresh until cancelled."""
        async with asyncio.TaskGroup() as group:
            for client in self._clients.values():
                group.create_task(client.run())

    async def close(self) -> None:
        """Close all clients."""
        for client in self._clients.values():
            await client.close()

    def statuses(self) -> list[VenueHealth]:
        """Return how each venue looks from here."""
        return [client.health() for client in self._clients.values()]


async def _start(client: VenueClient) -> None:
    try:
        await client.start()
    except VenueError as error:
        _log.warning(
            "venues.start.failed",
            venue=client.capabilities.venue,
            environment=client.environment,
            code=error.code,
        )


def _build_binance(settings: VenueSettings, clock: Clock) -> VenueClient:
    options = BinanceOptions(
        connections_max=settings.connections_max,
        waiters_max=settings.waiters_max,
        request_timeout_s=settings.request_timeout_s,
        connect_timeout_s=settings.request_timeout_s,
        recv_window_ms=settings.recv_window_ms,
        processing_ms_max=settings.processing_ms_max,
        clock_every_s=settings.clock_every_s,
        streams=StreamRules(accounts_per_connection=settings.accounts_per_connection),
    )
    return BinanceClient(settings.environment, _binance_profile(settings), clock, options)


def _binance_profile(settings: VenueSettings) -> binance_places.Profile:
    if settings.environment is Environment.PAPER:
        if settings.rest_url is None:
            raise ValueError(f"the venue setting {settings.name} needs rest_url: where the paper venue listens")
        profile = binance_places.paper_profile(settings.rest_url)
    elif settings.environment is Environment.LIVE:
        profile = binance_places.LIVE
    else:
        profile = binance_places.DEMO if settings.profile == "demo" else binance_places.TESTNET
    _demand_own_money(settings)
    changes: dict[str, object] = {
        "rest_url": settings.rest_url,
        "ws_api_url": settings.ws_api_url,
        "stream_url": _combined(settings.stream_url),
        "has_sapi": settings.has_permission_reading,
    }
    # The names are the four above, all fields of a profile; mypy cannot see that through a dict.
    return replace(profile, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]


def _combined(stream_url: str | None) -> str | None:
    """The combined stream of a market host; the path may be left out of the setting."""
    if stream_url is None or urlsplit(stream_url).path.strip("/"):
        return stream_url
    return stream_url.rstrip("/") + "/stream"


def _demand_own_money(settings: VenueSettings) -> None:
    """Refuse a paper or testnet setting that points at the live venue: nobody means that."""
    if settings.environment is Environment.LIVE:
        return
    live = urlsplit(binance_places.LIVE.rest_url).hostname or ""
    for url in (settings.rest_url, settings.ws_api_url):
        host = (urlsplit(url).hostname or "") if url is not None else ""
        is_demo = host.startswith("demo-")
        if host.endswith(live.removeprefix("api")) and not is_demo:
            raise ValueError(f"the venue setting {settings.name} points at the live venue ({host})")


_BUILDERS: Mapping[VenueName, Callable[[VenueSettings, Clock], VenueClient]] = {BINANCE: _build_binance}
