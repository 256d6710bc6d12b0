"""The market's doors: health for anyone, venues, instruments and prices for those who are signed in."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from tradewind.core.errors import InvalidInput
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import plain
from tradewind.core.symbols import parse_symbol
from tradewind.infra.clock import Clock, from_ms
from tradewind.market.prices import PricePoint
from tradewind.market.service import Market
from tradewind.venues.base import VenueHealth
from tradewind.web.principal import Reader

_SYMBOLS_MAX = 200
_MARKETS_MAX = 5_000


class HealthView(BaseModel):
    """Whether this process serves; venues that are away do not make it unhealthy."""

    status: str
    time: datetime
    # ok; full: the disk takes no writes, so nothing new is sent; away: the server cannot be reached.
    database: str
    venues_healthy: int
    venues: int


class VenueView(BaseModel):
    """How a venue looks from here (V12). Offsets are venue clock minus ours."""

    venue: str
    environment: Environment
    is_healthy: bool
    checked_at: datetime | None
    clock_offset_ms: int | None
    latency_p50_ms: str | None
    latency_p99_ms: str | None
    banned_until: datetime | None
    used_weight: int | None
    last_error: str | None
    instruments: int
    protection: str


class MarketView(BaseModel):
    """One instrument with its steps and minimums, as decimal strings."""

    symbol: str
    base: str
    quote: str
    status: str
    tick: str
    step: str
    min_quantity: str
    max_quantity: str
    min_notional: str


class PriceView(BaseModel):
    """The last known price; `age_s` says how long ago it was certain."""

    symbol: str
    price: str
    bid: str | None
    ask: str | None
    at: datetime
    age_s: str
    source: str


def _nothing() -> str | None:
    return None


def build_router(market: Market, clock: Clock, database_trouble: Callable[[], str | None] = _nothing) -> APIRouter:
    """Build the room's router. `database_trouble` says in a word what keeps writes away, None if nothing does."""
    router = APIRouter(tags=["market"])

    @router.get("/health")
    async def health() -> HealthView:
        """Say that this process answers. No sign-in needed, nothing about users in it."""
        venues, trouble = market.health(), database_trouble()
        return HealthView(
            status="ok" if trouble is None else "degraded",
            time=clock.now(),
            database=trouble or "ok",
            venues_healthy=sum(venue.is_healthy for venue in venues),
            venues=len(venues),
        )

    @router.get("/venues")
    async def venues(_reader: Reader) -> list[VenueView]:
        """Health, clock and limits of every venue."""
        return [_venue_view(market, item) for item in market.health()]

    @router.get("/markets/{venue}")
    async def markets(
        venue: str,
        _reader: Reader,
        environment: Environment = Environment.PAPER,
        base: Annotated[str | None, Query(max_length=40)] = None,
        quote: Annotated[str | None, Query(max_length=40)] = None,
        limit: Annotated[int, Query(ge=1, le=_MARKETS_MAX)] = 1_000,
    ) -> list[MarketView]:
        """List a venue's instruments, by base or quote asset if named."""
        listed = market.instruments(VenueName(venue), environment)
        chosen = [item for item in listed if _fits(item.base, base) and _fits(item.quote, quote)]
        return [_market_view(item) for item in chosen[:limit]]

    @router.get("/prices")
    async def prices(
        _reader: Reader,
        venue: Annotated[str, Query(max_length=40)],
        symbols: Annotated[str, Query(max_length=8_000, description="comma separated, any usual form")],
        environment: Environment = Environment.PAPER,
    ) -> list[PriceView]:
        """Prices no older than 5 s; a symbol the venue says nothing about is missing from the answer."""
        wanted = _listed(market, VenueName(venue), environment, symbols)
        points = await market.confirm_prices(VenueName(venue), environment, wanted)
        now = clock.now()
        return [_price_view(symbol, point, now) for symbol, point in points.items()]

    return router


def _listed(market: Market, venue: VenueName, environment: Environment, symbols: str) -> list[str]:
    """Turn what people write into the venue's own symbols. Raises InvalidInput for an unknown one."""
    market.load_client(venue, environment)
    texts = [text.strip() for text in symbols.split(",") if text.strip()]
    if not 0 < len(texts) <= _SYMBOLS_MAX:
        raise InvalidInput("symbols_out_of_bounds", f"Name 1 to {_SYMBOLS_MAX} symbols, separated by commas.")
    return [_listed_one(market, venue, environment, text) for text in dict.fromkeys(texts)]


def _listed_one(market: Market, venue: VenueName, environment: Environment, text: str) -> str:
    exact = market.instrument(venue, environment, text)
    if exact is not None:
        return exact.symbol
    ref = parse_symbol(text)
    found = market.find(venue, environment, ref.base, ref.quote)
    if found is None or (ref.quote is not None and found.quote != ref.quote):
        raise InvalidInput("unknown_symbol", f"{venue} ({environment}) lists no market {text!r}.")
    return found.symbol


def _fits(asset: str, wanted: str | None) -> bool:
    return wanted is None or asset == wanted.upper()


def _venue_view(market: Market, health: VenueHealth) -> VenueView:
    client = market.load_client(health.venue, health.environment)
    return VenueView(
        venue=health.venue,
        environment=health.environment,
        is_healthy=health.is_healthy,
        checked_at=health.checked_at,
        clock_offset_ms=health.offset_ms,
        latency_p50_ms=_ms(health.latency_p50_ms),
        latency_p99_ms=_ms(health.latency_p99_ms),
        banned_until=None if health.banned_until_ms is None else from_ms(health.banned_until_ms),
        used_weight=health.used_weight,
        last_error=health.last_error,
        instruments=len(market.instruments(health.venue, health.environment)),
        protection=client.capabilities.protection.value,
    )


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _market_view(item: Instrument) -> MarketView:
    return MarketView(
        symbol=item.symbol,
        base=item.base,
        quote=item.quote,
        status=item.status.value,
        tick=plain(item.tick),
        step=plain(item.step),
        min_quantity=plain(item.min_quantity),
        max_quantity=plain(item.max_quantity),
        min_notional=plain(item.min_notional),
    )


def _price_view(symbol: str, point: PricePoint, now: datetime) -> PriceView:
    return PriceView(
        symbol=symbol,
        price=str(point.price),
        bid=None if point.bid is None else str(point.bid),
        ask=None if point.ask is None else str(point.ask),
        at=point.at,
        age_s=f"{point.age_s(now):.3f}",
        source=point.source.value,
    )
