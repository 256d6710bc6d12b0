"""What the other rooms ask of the market: instruments, prices, health.

Reading is immediate and never waits for a venue; what had to be asked for is asked for by `confirm_prices`.
Instruments are read hourly, and at once after a venue refused an order for its steps or minimums; the newest
list is kept on disk for a start while the venue is away.
"""

from __future__ import annotations

import asyncio
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from tradewind.core.errors import NotFound
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Asset
from tradewind.infra.bus import Bus
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db
from tradewind.infra.db_errors import PASSING_KINDS, is_passing
from tradewind.infra.log import logger
from tradewind.market import store
from tradewind.market.catalogue import InstrumentIndex
from tradewind.market.feed import Feed
from tradewind.market.prices import MarketKey, PricePoint
from tradewind.market.statuses import StatusBoard
from tradewind.market.store import Catalogue
from tradewind.market.ticks import TickBoard
from tradewind.venues.base import VenueClient, VenueHealth
from tradewind.venues.errors import VenueError

Place = tuple[VenueName, Environment]
Listener = Callable[[MarketKey, PricePoint], None]

_log = logger("market")
# How late a refresh may begin.
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """How often things are looked at, in seconds."""

    refresh_s: float = 3_600.0
    # A refused order asks for a refresh; this keeps a row of refusals from asking again and again.
    refresh_gap_s: float = 60.0
    # A venue whose list could not be read is tried again this soon.
    retry_s: float = 30.0
    tick_every_s: float = 0.5
    # How long one list may take: 2,000 symbols are some megabytes.
    catalogue_timeout_s: float = 30.0


class Market:
    """Instruments, prices and health of every venue of this process. `start` once, then run `run`."""

    def __init__(
        self,
        venues: Mapping[Place, VenueClient],
        clock: Clock,
        db: Db,
        bus: Bus,
        settings: MarketSettings | None = None,
    ) -> None:
        self._venues = dict(venues)
        self._clock = clock
        self._db = db
        self._settings = settings or MarketSettings()
        self._indexes: dict[Place, InstrumentIndex] = {}
        self._listeners: list[Listener] = []
        self._ticks = TickBoard(bus)
        self._feeds = {place: Feed(client, clock, self._on_price) for place, client in self._venues.items()}
        self._due: dict[Place, float] = {}
        self._read_at: dict[Place, float] = {}
        self._statuses = StatusBoard(self._venues, clock)

    # --- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what is on disk, then ask every venue; a venue that is away keeps its old list."""
        for place in self._venues:
            kept = await self._db.read(partial(store.find_catalogue, venue=place[0], environment=place[1]))
            if kept is not None:
                self._indexes[place] = InstrumentIndex(place[0], kept.instruments)
        async with asyncio.TaskGroup() as tasks:
            for place in self._venues:
                tasks.create_task(self._refresh(place))

    async def run(self) -> None:
        """Keep instruments and prices fresh and publish ticks, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for feed in self._feeds.values():
                tasks.create_task(feed.run())
            tasks.create_task(self._refresh_loop())
            tasks.create_task(self._tick_loop())

    # --- instruments -------------------------------------------------------------------------------

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument | None:
        """Find an instrument by the venue's own spelling; None if it is not listed or no list was ever read."""
        index = self._indexes.get((venue, environment))
        found = None if index is None else index.by_symbol(symbol)
        if found is None:
            return None
        read_at = self._read_at.get((venue, environment), -math.inf)
        return self._statuses.applied(found, MarketKey(venue, environment, symbol), read_at)

    async def confirm_status(self, venue: VenueName, environment: Environment, symbol: str, age_max_s: float) -> None:
        """Make sure that it is known whether a symbol trades; a venue that does not answer leaves it as it was."""
        self.load_client(venue, environment)
        await self._statuses.confirm(MarketKey(venue, environment, symbol), age_max_s)

    def find(
        self,
        venue: VenueName,
        environment: Environment,
        base: Asset,
        quote_preference: Asset | None = None,
        *,
        signal_quote: Asset | None = None,
    ) -> Instrument | None:
        """Find the market in which an account trades a base asset (product.md V13)."""
        index = self._indexes.get((venue, environment))
        return None if index is None else index.choose(base, quote_preference, signal_quote)

    def instruments(self, venue: VenueName, environment: Environment) -> tuple[Instrument, ...]:
        """All instruments of a venue. Raises NotFound for a venue that is not configured."""
        self.load_client(venue, environment)
        index = self._indexes.get((venue, environment))
        return () if index is None else index.instruments

    def has_list(self, venue: VenueName, environment: Environment) -> bool:
        """Say whether a venue's list was ever read, from the venue or from what is kept on disk."""
        return (venue, environment) in self._indexes

    def is_listed(self, base: Asset) -> bool | None:
        """Say whether any venue lists this base asset; None while no venue's list is known."""
        indexes = [index for index in self._indexes.values() if len(index)]
        return any(index.lists(base) for index in indexes) if indexes else None

    def similar_bases(self, base: Asset) -> list[str]:
        """Up to three listed base assets that look like this one, for messages."""
        known = {str(asset) for index in self._indexes.values() for asset in index.bases()}
        return difflib.get_close_matches(str(base), sorted(known), n=3, cutoff=0.6)

    def refresh_soon(self, venue: VenueName, environment: Environment) -> None:
        """Read a venue's instruments again soon: it refused an order for a step or minimum."""
        place = (venue, environment)
        if place not in self._venues:
            return
        now = self._clock.monotonic()
        earliest = max(now, self._read_at.get(place, -math.inf) + self._settings.refresh_gap_s)
        self._due[place] = min(earliest, self._due.get(place, math.inf))

    # --- prices ------------------------------------------------------------------------------------

    def watch(self, venue: VenueName, environment: Environment, symbols: Iterable[str]) -> None:
        """Keep these symbols' prices fresh from now on (idempotent)."""
        self._load_feed(venue, environment).watch(symbols)

    def price(self, venue: VenueName, environment: Environment, symbol: str) -> PricePoint | None:
        """Return the last known price of this venue, however old: look at its age."""
        feed = self._feeds.get((venue, environment))
        return None if feed is None else feed.point(symbol)

    async def confirm_prices(
        self, venue: VenueName, environment: Environment, symbols: Iterable[str], age_max_s: float = 5.0
    ) -> dict[str, PricePoint]:
        """Return prices no older than `age_max_s`, asking the venue where needed; what it does not say is missing."""
        feed = self._load_feed(venue, environment)
        wanted = list(dict.fromkeys(symbols))
        try:
            await feed.confirm(wanted, age_max_s)
        except VenueError as error:
            _log.warning("market.confirm_failed", venue=venue, environment=environment, code=error.code)
        now = self._clock.now()
        points = ((symbol, feed.point(symbol)) for symbol in wanted)
        return {symbol: point for symbol, point in points if point is not None and point.is_fresh(now, age_max_s)}

    def prices(self, venue: VenueName, environment: Environment) -> dict[str, PricePoint]:
        """All last known prices of a venue."""
        return self._load_feed(venue, environment).points()

    def on_price(self, listener: Listener) -> None:
        """Call this on every new price; it must be quick and must not raise."""
        self._listeners.append(listener)

    # --- venues ------------------------------------------------------------------------------------

    def health(self) -> list[VenueHealth]:
        """How every venue looks from here (V12)."""
        return [client.health() for client in self._venues.values()]

    def load_client(self, venue: VenueName, environment: Environment) -> VenueClient:
        """Return the client of a venue. Raises NotFound."""
        client = self._venues.get((venue, environment))
        if client is None:
            known = ", ".join(sorted(f"{name} {where}" for name, where in self._venues))
            raise NotFound("venue_not_found", f"There is no venue {venue} {environment} here. There are: {known}.")
        return client

    def _load_feed(self, venue: VenueName, environment: Environment) -> Feed:
        self.load_client(venue, environment)
        return self._feeds[venue, environment]

    # --- inside ------------------------------------------------------------------------------------

    def _on_price(self, key: MarketKey, point: PricePoint) -> None:
        self._ticks.put(key, point)
        for listener in self._listeners:
            try:
                listener(key, point)
            except Exception:
                # One listener's bug must not cost the others their prices.
                _log.exception("market.listener_failed", venue=key.venue, symbol=key.symbol)

    async def _tick_loop(self) -> None:
        while True:
            await self._clock.sleep(self._settings.tick_every_s)
            await self._ticks.publish()

    async def _refresh_loop(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            now = self._clock.monotonic()
            for place in self._venues:
                if self._due.get(place, now) <= now:
                    await self._refresh(place)

    async def _refresh(self, place: Place) -> None:
        """Read one venue's list; a failure keeps the old one and is tried again soon."""
        try:
            async with asyncio.timeout(self._settings.catalogue_timeout_s):
                instruments = tuple(await self._venues[place].instruments())
        except (VenueError, TimeoutError) as error:
            _log.warning("market.catalogue_failed", venue=place[0], environment=place[1], error=type(error).__name__)
            self._due[place] = self._clock.monotonic() + self._settings.retry_s
            return
        now = self._clock.monotonic()
        self._read_at[place] = now
        self._due[place] = now + self._settings.refresh_s
        known = self._indexes.get(place)
        if not instruments or (known is not None and known.instruments == instruments):
            # An empty list from a venue that listed thousands is an outage, not news.
            return
        self._indexes[place] = InstrumentIndex(place[0], instruments)
        catalogue = Catalogue(instruments, self._clock.now())
        try:
            await self._db.write(lambda tx: store.save_catalogue(tx, place[0], place[1], catalogue))
        except PASSING_KINDS as error:
            if not is_passing(error):
                raise
            # The kept list is for a start without the venue; a busy database is no reason to stop prices.
            _log.warning("market.catalogue_not_kept", venue=place[0], environment=place[1])
