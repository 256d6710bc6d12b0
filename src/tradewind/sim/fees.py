"""Commission: on the received asset, or in BNB when the account wants that and has enough.

Source: binance-spot-api-docs `faqs/commission_faq.md` (2026-07-21); base rate 0.1 % each way, the BNB discount is a
factor of 0.75 on the standard part. Rounding to 8 decimals is downwards, our choice: the venue publishes no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

_BPS = Decimal(10_000)
_SMALLEST = Decimal("0.00000001")


class Commission(NamedTuple):
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Rates in basis points; `discount_price` is the declared price of the discount asset where no symbol gives one."""

    maker_bps: Decimal = Decimal(10)
    taker_bps: Decimal = Decimal(10)
    discount_asset: str = "BNB"
    discount: Decimal = Decimal("0.75")
    discount_price: Decimal = Decimal(600)


def commission_on(received_asset: str, received: Decimal, rate_bps: Decimal) -> Commission:
    """Commission taken out of what a fill brought in, rounded down to 8 decimals.

    >>> commission_on("BTC", Decimal("0.01234567"), Decimal(10))
    Commission(asset='BTC', amount=Decimal('0.00001234'))
    """
    return Commission(received_asset, (received * rate_bps / _BPS).quantize(_SMALLEST, rounding=ROUND_DOWN))


def discounted_commission(schedule: FeeSchedule, quote: Decimal, rate_bps: Decimal, price: Decimal) -> Commission:
    """Commission in the discount asset for a fill worth `quote`, at `price` quote units per discount asset."""
    amount = quote * rate_bps / _BPS * schedule.discount / price
    return Commission(schedule.discount_asset, amount.quantize(_SMALLEST, rounding=ROUND_DOWN))
