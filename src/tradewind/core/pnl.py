"""Realised profit and loss by lot, fees in quote, base or a third asset.

Rules of this file:
1. Fees in quote and base are inside a Sale already (core.position). A fee in a third asset is valued at a
   price given by the caller; without one it is reported apart as unvalued, never guessed and never dropped.
2. Amounts are exact. Rounding (half-even, 2 decimals) happens for display alone.
3. Percentages are of cost, which is printed with them.
4. Different quote assets are never added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from tradewind.core.money import EXACT, ZERO, Asset, Money, Price
from tradewind.core.position import Sale, add_fees

_CENT = Decimal("0.01")
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Pnl:
    """What sales gained: `amount` after every fee that could be valued, `cost_quote` its base.

    `cost_quote` includes quote fees of the entry but no third-asset fee.
    """

    amount: Money
    cost_quote: Decimal
    unvalued_fees: tuple[Money, ...] = ()

    @property
    def percent(self) -> Decimal | None:
        """Percent of cost, exact to 50 digits; None where nothing was paid."""
        return percent_of(self.amount.amount, self.cost_quote)

    @property
    def is_winner(self) -> bool:
        return self.amount.is_positive


@dataclass(frozen=True, slots=True)
class Tally:
    """Closed trades counted: `win_rate` in percent of trades that won, None without trades."""

    trades: int
    winners: int
    losers: int
    amount: Money

    @property
    def win_rate(self) -> Decimal | None:
        return percent_of(Decimal(self.winners), Decimal(self.trades))


def realised(sale: Sale, fee_prices: Mapping[Asset, Price] | None = None) -> Pnl:
    """Return what one sale gained; `fee_prices` are quote prices of third assets at that time.

    >>> from datetime import UTC, datetime
    >>> from tradewind.core.ids import FillId, LotId
    >>> from tradewind.core.money import Quantity
    >>> usdt, bnb, d = Asset("USDT"), Asset("BNB"), Decimal
    >>> sale = Sale(LotId("l"), FillId("f"), Quantity(d("0.1")), d(5300), d(5000), usdt,
    ...             (Money(d("0.01"), bnb),), datetime(2026, 1, 1, tzinfo=UTC))
    >>> str(realised(sale, {bnb: Price(d(600))}).amount)          # 300 - 0.01 BNB x 600
    '294 USDT'
    >>> unvalued = realised(sale)
    >>> str(unvalued.amount), [str(fee) for fee in unvalued.unvalued_fees]
    ('300 USDT', ['0.01 BNB'])
    """
    prices = fee_prices or {}
    gain = sale.gain_quote
    unvalued: list[Money] = []
    for fee in sale.fees_other:
        price = prices.get(fee.asset)
        if price is None:
            unvalued.append(fee)
        else:
            gain = EXACT.subtract(gain, EXACT.multiply(fee.amount, price.value))
    return Pnl(Money(gain, sale.quote), sale.cost_quote, tuple(unvalued))


def total(parts: Iterable[Pnl], quote: Asset) -> Pnl:
    """Add profits of one quote asset up. Raises ValueError where quotes differ (Money does)."""
    amount, cost, unvalued = Money(ZERO, quote), ZERO, ()  # type: Money, Decimal, tuple[Money, ...]
    for part in parts:
        amount = amount + part.amount
        cost = EXACT.add(cost, part.cost_quote)
        unvalued = add_fees(unvalued, part.unvalued_fees)
    return Pnl(amount, cost, unvalued)


def tally(trades: Iterable[Pnl], quote: Asset) -> Tally:
    """Count closed trades; one that gained exactly nothing is neither won nor lost."""
    closed = tuple(trades)
    winners = sum(trade.is_winner for trade in closed)
    losers = sum(trade.amount.amount < ZERO for trade in closed)
    return Tally(len(closed), winners, losers, total(closed, quote).amount)


def percent_of(part: Decimal, whole: Decimal) -> Decimal | None:
    """Return part / whole in percent, to 50 digits; None where the whole is not above zero."""
    if whole <= ZERO:
        return None
    return EXACT.multiply(EXACT.divide(part, whole), _HUNDRED)


def display(value: Decimal) -> str:
    """Write an amount or percentage for people: two decimals, half to even, with its sign.

    >>> display(Decimal("1.005")), display(Decimal("-2.5")), display(Decimal("-0.001"))
    ('+1.00', '-2.50', '0.00')
    """
    rounded = value.quantize(_CENT, rounding=ROUND_HALF_EVEN, context=EXACT)
    if rounded == ZERO:
        return "0.00"
    return f"{rounded:+f}"
