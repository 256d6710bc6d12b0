"""Asking the venues of the settings whether they answer and how far their clocks are off."""

from __future__ import annotations

import asyncio

from tradewind.app.platform import venue_settings
from tradewind.config import Settings
from tradewind.core.instrument import Environment, VenueName
from tradewind.infra.clock import Clock, SystemClock, to_ms
from tradewind.venues.base import VenueClient
from tradewind.venues.errors import VenueError
from tradewind.venues.registry import Venues

# Venues refuse a timestamp more than a second ahead; the offset is corrected, but this much means no NTP.
_OFFSET_MS_MAX = 1_000
_TIMEOUT_S = 15

Answer = tuple[str, bool, str]


async def check_venues(settings: Settings) -> list[Answer]:
    """Ask every enabled venue; return (name, is well, what was found)."""
    return list(await asyncio.gather(*(_check(settings, *key) for key in settings.venues if settings.is_enabled(*key))))


async def _check(settings: Settings, venue: VenueName, environment: Environment) -> Answer:
    name = f"{venue} {environment}"
    section = settings.venues[venue, environment]
    if environment is Environment.PAPER and section.rest_url is None:
        return name, True, "the built-in simulated exchange; it runs inside `tradewind serve`"
    clock = SystemClock()
    wanted = [each for each in venue_settings(settings, None) if (each.venue, each.environment) == (venue, environment)]
    try:
        venues = Venues(wanted, clock)
    except ValueError as error:
        return name, False, f"{error}."
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return _judged(name, *await _offset_ms(venues.client(venue, environment), clock))
    except (VenueError, TimeoutError) as error:
        return (
            name,
            False,
            f"does not answer ({str(error) or 'no answer in time'}). Is the network there?",
        )
    finally:
        await venues.close()


async def _offset_ms(client: VenueClient, clock: Clock) -> tuple[int, int]:
    """Return (offset, round trip) of the quickest of three questions; the quickest is the most exact."""
    best: tuple[int, int] | None = None
    for _ in range(3):
        asked = to_ms(clock.now())
        venue_ms = await client.server_time()
        answered = to_ms(clock.now())
        round_trip = answered - asked
        if best is None or round_trip < best[1]:
            best = venue_ms - (asked + answered) // 2, round_trip
    assert best is not None, "asked three times"
    return best


def _judged(name: str, offset_ms: int, round_trip_ms: int) -> Answer:
    text = f"answers in {round_trip_ms} ms, its clock is {offset_ms:+d} ms from ours"
    if abs(offset_ms) > _OFFSET_MS_MAX:
        return name, False, f"{text}. Let NTP keep this machine's clock."
    return name, True, text
