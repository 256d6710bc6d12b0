"""Markets and prices as a decision asks for them, and what one deciding has looked up already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tradewind.core.decision import Shared
from tradewind.core.gate import GateInputs
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Asset, Price

# What the choice of a market depends on: venue, environment, base, preferred quote, the signal's quote.
MarketKey = tuple[VenueName, Environment, Asset, Asset | None, Asset | None]


class Quotes(Protocol):
    """Instruments and prices, already in memory."""

    def find(
        self,
        venue: VenueName,
        environment: Environment,
        base: Asset,
        preference: Asset | None,
        signal_quote: Asset | None,
    ) -> Instrument | None:
        """Choose the market in which an account trades a base asset."""
        ...

    def has_list(self, venue: VenueName, environment: Environment) -> bool:
        """Say whether it is known what a venue lists."""
        ...

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument:
        """Return an instrument by the venue's spelling. Raises NotFound."""
        ...

    def fresh_price(self, venue: VenueName, environment: Environment, symbol: str) -> Price | None:
        """Return a fresh price or None."""
        ...


@dataclass(slots=True)
class Run:
    """One deciding of one signal: what many of its accounts have in common is looked up and worked out once.

    Prices and markets are those of its first look, so that no two accounts of a signal are decided by different ones.
    """

    shared: Shared = field(default_factory=Shared)
    markets: dict[MarketKey, Instrument | None] = field(default_factory=dict)
    prices: dict[tuple[VenueName, Environment, str], Price | None] = field(default_factory=dict)
    # By the object that was read (kept here, so that no other takes its place), with what the market adds to it.
    gates: dict[tuple[object, ...], tuple[GateInputs, GateInputs]] = field(default_factory=dict)
