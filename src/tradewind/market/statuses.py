"""Whether symbols trade right now, asked for one by one: the catalogue is an hour old at worst, a halt is not.

Asked where something is about to be taken down for a sale (order-protocol.md section 4: the symbol's status is
read first). Many ask for the same symbol at once: one question serves them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from tradewind.core.instrument import Environment, Instrument, InstrumentStatus, VenueName
from tradewind.infra.clock import Clock
from tradewind.infra.log import logger
from tradewind.market.prices import MarketKey
from tradewind.venues.base import VenueClient
from tradewind.venues.errors import VenueError

_log = logger("market.statuses")


class StatusBoard:
    """What venues said of single symbols, and when (monotonic seconds)."""

    def __init__(self, venues: Mapping[tuple[VenueName, Environment], VenueClient], clock: Clock) -> None:
        self._venues = venues
        self._clock = clock
        self._said: dict[MarketKey, tuple[float, InstrumentStatus]] = {}
        self._asking: dict[MarketKey, asyncio.Lock] = {}

    async def confirm(self, key: MarketKey, age_max_s: float) -> None:
        """Ask the venue unless it said so within `age_max_s`; one that does not answer says nothing."""
        async with self._asking.setdefault(key, asyncio.Lock()):
            said = self._said.get(key)
            if said is not None and self._clock.monotonic() - said[0] <= age_max_s:
                return
            try:
                found = await self._venues[key.venue, key.environment].instruments(key.symbol)
            except VenueError as error:
                _log.info("market.status_not_said", venue=key.venue, symbol=key.symbol, code=error.code)
                return
            status = next((each.status for each in found if each.symbol == key.symbol), InstrumentStatus.HALTED)
            self._said[key] = (self._clock.monotonic(), status)

    def applied(self, instrument: Instrument, key: MarketKey, read_at: float) -> Instrument:
        """Return an instrument of a catalogue read at a time with the status that was said since."""
        said = self._said.get(key)
        if said is None or said[0] < read_at or said[1] is instrument.status:
            return instrument
        return replace(instrument, status=said[1])
