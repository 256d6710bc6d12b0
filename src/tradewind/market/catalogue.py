"""Which instruments a venue lists, indexed the two ways they are asked for. Immutable: a refresh is a new one."""

from __future__ import annotations

from collections.abc import Sequence

from tradewind.core.instrument import Instrument, VenueName
from tradewind.core.money import Asset
from tradewind.core.symbols import choose_instrument, quote_order


class InstrumentIndex:
    """One venue's instruments in one environment."""

    def __init__(self, venue: VenueName, instruments: Sequence[Instrument]) -> None:
        self._venue = venue
        self.instruments = tuple(instruments)
        self._by_symbol = {item.symbol: item for item in instruments}
        self._by_base: dict[Asset, list[Instrument]] = {}
        for item in instruments:
            self._by_base.setdefault(item.base, []).append(item)

    def __len__(self) -> int:
        return len(self.instruments)

    def by_symbol(self, symbol: str) -> Instrument | None:
        """Find an instrument by the venue's own spelling."""
        return self._by_symbol.get(symbol)

    def lists(self, base: Asset) -> bool:
        """Say whether any market of this base asset exists here."""
        return base in self._by_base

    def bases(self) -> list[Asset]:
        """All base assets."""
        return list(self._by_base)

    def choose(self, base: Asset, preference: Asset | None, signal_quote: Asset | None) -> Instrument | None:
        """Find the market in which an account trades a base asset (product.md V13)."""
        quotes = quote_order(self._venue, preference, signal_quote)
        return choose_instrument(self._by_base.get(base, ()), base, quotes)
