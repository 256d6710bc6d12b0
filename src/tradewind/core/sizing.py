"""How much one entry spends (product.md E3; order-protocol.md section 5, line 2).

Rules of this file:
1. wanted = available x risk level (1, 2 or 5 %), or the source's own size where the mandate follows it.
2. Caps: 10 % of available, what is left of the mandate's budget, the order cap, what is left of the day, the
   venue's largest order. The spend never exceeds any of them.
3. minimum = the largest of the platform's minimum, the venue's, and what still makes a sellable exit: the
   quantity after the fee in base and rounding, at the stop less 5 %, must meet the venue's minimum.
4. Below the minimum the spend is raised to it only if every cap allows it; else TooSmall.
5. Spends round DOWN to the quote step (0.01 for dollars, 1 for won); a raise to the minimum rounds up, under 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tradewind.core.instrument import Instrument
from tradewind.core.levels import Levels
from tradewind.core.money import (
    BPS,
    EXACT,
    ONE,
    ZERO,
    Asset,
    Money,
    Price,
    Quantity,
    ceil_to_step,
    floor_to_step,
    plain,
)
from tradewind.core.risk import Caps, day_left
from tradewind.core.symbols import USD_LIKE
from tradewind.core.working import Step, Working, step

# E3: no entry takes more than a tenth of what is free, whatever the risk level.
FREE_SHARE_MAX_BPS = 1_000
# A stop triggers and then sells at market: 5 % below it the exit must still be large enough.
_STOP_SLIP = Decimal("0.95")


class CapName(StrEnum):
    """What bounds a spend."""

    FREE_SHARE = "free_share"
    BUDGET = "budget"
    ORDER = "order"
    DAY = "day"
    VENUE = "venue"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRequest:
    """All that sizing looks at, in the instrument's quote asset.

    `available` is free less the spend of entries on their way; `committed_quote` is what the mandate has
    bound already; `wanted_quote` is the source's size where it is followed; `fee_bps` the taker's fee.
    """

    instrument: Instrument
    price: Price
    available: Money
    risk_bps: int
    caps: Caps
    spent_today_quote: Decimal = ZERO
    budget_quote: Decimal | None = None
    committed_quote: Decimal = ZERO
    wanted_quote: Decimal | None = None
    fee_bps: int = 10


@dataclass(frozen=True, slots=True)
class Sized:
    """An entry's size: `spend` in quote; `order_quantity` is what it buys before fees, rounded down;
    `expected_quantity` what can be sold again after a fee in base, rounded down."""

    spend: Money
    order_quantity: Quantity
    expected_quantity: Quantity
    stop: Price
    target: Price
    working: Working


@dataclass(frozen=True, slots=True)
class TooSmall:
    """The caps do not reach the minimum; `binding` is the tightest of them."""

    minimum: Money
    allowed: Money
    binding: CapName
    working: Working


def size_entry(request: SizeRequest, levels: Levels, least: Decimal | None = None) -> Sized | TooSmall:
    """Size a market buy; `least` is its `least_spend` where it is known already.

    >>> from tradewind.core.instrument import BINANCE
    >>> usdt, btc = Asset("USDT"), Asset("BTC")
    >>> d = Decimal
    >>> i = Instrument(BINANCE, "BTCUSDT", btc, usdt, d("0.01"), d("0.00001"), d("0.00001"), d(9000), d(5))
    >>> at = Levels(Price(d(97000)), Price(d(106000)), step("levels"))
    >>> r = SizeRequest(instrument=i, price=Price(d(100000)), available=Money(d("1204.50"), usdt), risk_bps=200,
    ...                 caps=Caps(min_order_quote=d(10), max_order_quote=d(300)))
    >>> sized = size_entry(r, at)          # 1,204.50 x 2 % = 24.09, nothing caps it
    >>> str(sized.spend), str(sized.order_quantity), str(sized.expected_quantity)
    ('24.09 USDT', '0.00024', '0.00023')
    """
    quote = request.instrument.quote
    if request.available.asset != quote:
        raise ValueError(f"sizing in {quote} needs its balance, got {request.available.asset}")
    grain = spend_step(request.instrument)
    wanted = _wanted(request)
    binding, cap = min(_caps(request), key=lambda each: each[1])
    allowed = floor_to_step(max(cap, ZERO), grain)
    minimum = _least(request, levels.stop) if least is None else least
    spend = floor_to_step(min(wanted, allowed), grain)
    is_raised = spend < minimum <= allowed
    if is_raised:
        spend = minimum
    bought = _bought(request.instrument, spend, request.price)
    working = (
        _wanted_step(request, wanted),
        step("cap", name=binding, amount=f"{plain(allowed)} {quote}"),
        step("minimum", amount=f"{plain(minimum)} {quote}", raised="yes" if is_raised else "no"),
        step("spend", amount=f"{plain(spend)} {quote}", quantity=f"{bought} {request.instrument.base}"),
    )
    if spend < minimum:
        return TooSmall(Money(minimum, quote), Money(allowed, quote), binding, working)
    kept = _after_fee(request.instrument, bought, request.fee_bps)
    return Sized(Money(spend, quote), bought, kept, levels.stop, levels.target, working)


def spend_step(instrument: Instrument) -> Decimal:
    """Return the step of a spend: the venue's quote step, but 0.01 for dollars and 1 for won at least."""
    if instrument.quote in USD_LIKE:
        return max(instrument.quote_step, Decimal("0.01"))
    if instrument.quote == Asset("KRW"):
        return max(instrument.quote_step, ONE)
    return instrument.quote_step


def is_exit_possible(instrument: Instrument, kept: Quantity, stop: Price) -> bool:
    """Say whether `kept` could still be sold 5 % below the stop."""
    worst = Price(EXACT.multiply(stop.value, _STOP_SLIP))
    return instrument.is_sellable(kept, worst)


def _wanted(request: SizeRequest) -> Decimal:
    if request.wanted_quote is not None:
        return request.wanted_quote
    return request.available.times(Decimal(request.risk_bps) / BPS).amount


def _caps(request: SizeRequest) -> Sequence[tuple[CapName, Decimal]]:
    caps = [(CapName.FREE_SHARE, request.available.times(Decimal(FREE_SHARE_MAX_BPS) / BPS).amount)]
    if request.budget_quote is not None:
        caps.append((CapName.BUDGET, EXACT.subtract(request.budget_quote, request.committed_quote)))
    if request.caps.max_order_quote is not None:
        caps.append((CapName.ORDER, request.caps.max_order_quote))
    left = day_left(request.caps, request.spent_today_quote)
    if left is not None:
        caps.append((CapName.DAY, left))
    instrument = request.instrument
    largest = instrument.max_market_quantity or instrument.max_quantity
    if largest > ZERO:
        caps.append((CapName.VENUE, EXACT.multiply(largest, request.price.value)))
    if instrument.max_notional is not None:
        caps.append((CapName.VENUE, instrument.max_notional))
    return caps


def _least(request: SizeRequest, stop: Price) -> Decimal:
    return least_spend(request.instrument, request.price, stop, request.caps.min_order_quote, request.fee_bps)


def least_spend(instrument: Instrument, price: Price, stop: Price, min_order_quote: Decimal, fee_bps: int) -> Decimal:
    """Return the smallest spend that still makes a sellable exit and meets every minimum, rounded up to its step."""
    # The kept quantity that can be sold 5 % below the stop ...
    worst = EXACT.multiply(stop.value, _STOP_SLIP)
    kept = max(instrument.min_quantity, EXACT.divide(instrument.min_notional, worst))
    kept = ceil_to_step(kept, instrument.step)
    # ... was this much before the fee took its part in base ...
    bought = ceil_to_step(EXACT.divide(kept, ONE - Decimal(fee_bps) / BPS), instrument.step)
    # ... and costs this much now.
    for_exit = EXACT.multiply(bought, price.value)
    return ceil_to_step(max(min_order_quote, instrument.min_notional, for_exit), spend_step(instrument))


def _bought(instrument: Instrument, spend: Decimal, price: Price) -> Quantity:
    return instrument.floor_quantity(Quantity(EXACT.divide(spend, price.value)))


def _after_fee(instrument: Instrument, bought: Quantity, fee_bps: int) -> Quantity:
    return instrument.floor_quantity(Quantity(EXACT.multiply(bought.value, ONE - Decimal(fee_bps) / BPS)))


def _wanted_step(request: SizeRequest, wanted: Decimal) -> Step:
    share = "source's size" if request.wanted_quote is not None else f"{plain(Decimal(request.risk_bps) / 100)} %"
    amount = f"{plain(wanted)} {request.instrument.quote}"
    return step("wanted", available=str(request.available), share=share, amount=amount)
