"""What the venue lists and at which prices: exchangeInfo, kept, and tickers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tradewind.core.instrument import BINANCE, Instrument
from tradewind.infra.clock import from_ms
from tradewind.infra.log import logger
from tradewind.venues.base import Ticker
from tradewind.venues.binance import codec_market
from tradewind.venues.binance.codec import NotUnderstood
from tradewind.venues.binance.codes import Reason
from tradewind.venues.binance.rest import Rest
from tradewind.venues.errors import SymbolUnknown, VenueDown
from tradewind.venues.ratelimit import Lane

_log = logger(__name__)

# exchangeInfo of the live venue is some 10 MB for 3,000 symbols.
_BYTES_MAX = 64 * 1024 * 1024
_WHOLE_S = 60.0
_RULE_REASONS = frozenset(
    {
        Reason.PRICE_NOT_ALLOWED,
        Reason.QUANTITY_NOT_ALLOWED,
        Reason.NOTIONAL_NOT_ALLOWED,
        Reason.FILTER_FAILED,
        Reason.SYMBOL_UNKNOWN,
        Reason.TYPE_NOT_SUPPORTED,
        Reason.MARKET_CLOSED,
    }
)


class Catalogue:
    """The instruments of one venue; loading it also sets the limits the venue publishes."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._instruments: tuple[Instrument, ...] = ()
        self._without_stop_market: frozenset[str] = frozenset()
        self.loaded_at: float | None = None
        self.is_doubted = False

    async def load(self) -> None:
        """Ask the venue. Raises VenueDown, RateLimited."""
        body = await self._rest.read(
            codec_market.INSTRUMENTS_CALL,
            lambda reply: reply.body,
            body_bytes_max=_BYTES_MAX,
            whole_s=_WHOLE_S,
        )
        try:
            # Thousands of symbols take longer to read than an order may wait for the loop.
            info = await asyncio.to_thread(codec_market.read_exchange_info, body)
        except NotUnderstood as error:
            raise VenueDown("not_understood", f"The venue's answer cannot be read: {error}.") from None
        self._instruments = info.instruments
        self._without_stop_market = info.without_stop_market
        self.loaded_at = self._rest.clock.monotonic()
        self.is_doubted = False
        if info.weight_limits:
            self._rest.budget.set_limits(info.weight_limits)
        if info.order_limits:
            self._rest.counts.set_limits(info.order_limits)
        if info.left_out:
            _log.warning("venues.instruments.left_out", venue=BINANCE, count=info.left_out)

    async def instruments(self) -> tuple[Instrument, ...]:
        """Return what is listed; asks the venue where nothing is known yet."""
        if self.loaded_at is None:
            await self.load()
        return self._instruments

    async def ask(self, symbol: str) -> tuple[Instrument, ...]:
        """Ask for one symbol as it is now; empty where the venue does not list it. Raises VenueDown, RateLimited."""
        try:
            return await self._rest.read(
                codec_market.instrument_call(symbol),
                lambda reply: codec_market.read_exchange_info(reply.body).instruments,
                lane=Lane.EXIT,
            )
        except SymbolUnknown:
            return ()

    def doubt(self, reason: str) -> None:
        """An order was refused; by a rule of the symbol means that ours may be out of date."""
        if reason in _RULE_REASONS:
            self.is_doubted = True

    def has_stop_market(self, instrument: Instrument) -> bool:
        """Whether the symbol takes STOP_LOSS; where it does not, a stop-limit stands in."""
        return instrument.symbol not in self._without_stop_market

    async def tickers(self, symbols: Sequence[str]) -> Sequence[Ticker]:
        """Return prices of these symbols; one that never traded is left out."""
        wanted = list(dict.fromkeys(symbols))
        size = codec_market.TICKERS_PER_CALL
        if len(wanted) > 2 * size:
            return await self._all_tickers(frozenset(wanted))
        found: list[Ticker] = []
        for first in range(0, len(wanted), size):
            call = codec_market.tickers_call(wanted[first : first + size])
            found += await self._rest.read(call, lambda reply: codec_market.read_tickers(reply.body))
        return found

    async def _all_tickers(self, wanted: frozenset[str]) -> list[Ticker]:
        prices = await self._rest.read(codec_market.ALL_PRICES_CALL, lambda reply: reply.body)
        books = await self._rest.read(codec_market.ALL_BOOKS_CALL, lambda reply: reply.body)
        try:
            at = from_ms(self._rest.venue_clock.now_ms())
            return codec_market.read_all_tickers(prices, books, wanted, at)
        except NotUnderstood as error:
            raise VenueDown("not_understood", f"The venue's answer cannot be read: {error}.") from None
