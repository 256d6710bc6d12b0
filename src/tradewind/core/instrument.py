"""Instrument: one tradable symbol at one venue, with its steps and minimums.

The numbers are the venue's own (V14). Quantities go down to the step; sell prices of targets go down and
stops go up to the tick only where a rule says so, so rounding never asks for more than the user allowed.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NewType, Protocol

from tradewind.core.money import ZERO, Asset, Money, Price, Quantity, ceil_to_step, floor_to_step

VenueName = NewType("VenueName", str)

BINANCE = VenueName("binance")


class Environment(StrEnum):
    """Where an account trades; immutable per account and stamped on every order."""

    PAPER = "paper"
    TESTNET = "testnet"
    LIVE = "live"


class InstrumentStatus(StrEnum):
    """Whether the venue matches orders in this symbol now."""

    TRADING = "trading"
    HALTED = "halted"
    CANCEL_ONLY = "cancel_only"


class Traded(Protocol):
    """A market by name: all that an order needs of it before it is claimed."""

    @property
    def venue(self) -> VenueName:
        """Where it is traded."""
        ...

    @property
    def symbol(self) -> str:
        """The venue's own spelling."""
        ...

    @property
    def base(self) -> Asset:
        """What is bought and sold."""
        ...

    @property
    def quote(self) -> Asset:
        """What it is paid with."""
        ...


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol with its rules; `symbol` is the venue's own spelling (BTCUSDT, KRW-BTC)."""

    venue: VenueName
    symbol: str
    base: Asset
    quote: Asset
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    max_notional: Decimal | None = None
    max_market_quantity: Decimal | None = None
    quote_step: Decimal = Decimal("0.00000001")
    status: InstrumentStatus = InstrumentStatus.TRADING
    has_oco: bool = True
    has_market_by_quote: bool = True
    max_algo_orders: int = 5

    @property
    def is_trading(self) -> bool:
        return self.status is InstrumentStatus.TRADING

    def floor_quantity(self, quantity: Quantity) -> Quantity:
        """Round a quantity down to the step."""
        return quantity.floor(self.step)

    def floor_price(self, price: Price) -> Price:
        """Round a price down to the tick, but never to zero."""
        value = floor_to_step(price.value, self.tick)
        return Price(value if value > ZERO else self.tick)

    def ceil_price(self, price: Price) -> Price:
        """Round a price up to the tick."""
        return Price(ceil_to_step(price.value, self.tick))

    def notional(self, quantity: Quantity, price: Price) -> Money:
        """What `quantity` costs at `price`, exact, in the quote asset."""
        return Money(price.cost(quantity), self.quote)

    def is_sellable(self, quantity: Quantity, price: Price) -> bool:
        """Say whether a market or stop sell of `quantity` at `price` passes the venue's minimums."""
        floored = self.floor_quantity(quantity)
        return floored.value >= self.min_quantity and floored.is_positive and price.cost(floored) >= self.min_notional
