"""The account's own caps: the last look at an amount before it becomes an order (product.md G7).

Sizing keeps within these caps already; `check` stands behind it, and alone before orders by hand. Caps are
in the quote asset of the instrument. A cap of None is no cap. Exits are never capped.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tradewind.core.money import EXACT, ZERO, Money


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of one account, in one quote asset. `min_order_quote` is the platform's own minimum."""

    min_order_quote: Decimal
    max_order_quote: Decimal | None = None
    max_day_quote: Decimal | None = None


class RiskCode(StrEnum):
    """Which cap an amount breaks."""

    NOT_POSITIVE = "not_positive"
    BELOW_MINIMUM = "below_minimum"
    OVER_FREE = "over_free_balance"
    OVER_ORDER = "over_order_limit"
    OVER_DAY = "over_day_limit"


@dataclass(frozen=True, slots=True)
class Approved:
    """The amount keeps within every cap."""

    spend: Money


@dataclass(frozen=True, slots=True)
class Refused:
    """The amount breaks a cap: which, how much was asked, how much is allowed."""

    code: RiskCode
    asked: Money
    limit: Money

    def text(self) -> str:
        """Say it in one sentence."""
        return _TEXTS[self.code].format(asked=self.asked, limit=self.limit)


_TEXTS = {
    RiskCode.NOT_POSITIVE: "An order needs an amount above zero.",
    RiskCode.BELOW_MINIMUM: "{asked} is below the minimum order of {limit}.",
    RiskCode.OVER_FREE: "{asked} is more than the {limit} that is free.",
    RiskCode.OVER_ORDER: "{asked} is over the limit of {limit} per order. Raise max_order_quote in the account.",
    RiskCode.OVER_DAY: "{asked} is over the {limit} left of today's limit. Raise max_day_quote in the account.",
}


def day_left(caps: Caps, spent_today_quote: Decimal) -> Decimal | None:
    """Return what may still be spent today, never below zero; None without a daily cap."""
    if caps.max_day_quote is None:
        return None
    return max(ZERO, EXACT.subtract(caps.max_day_quote, spent_today_quote))


def check(spend: Money, caps: Caps, spent_today_quote: Decimal, free: Money | None = None) -> Approved | Refused:
    """Hold an amount against the caps; `free` None leaves the balance to the caller.

    `spent_today_quote` counts every entry not ended and everything filled since 00:00 Seoul time.
    """
    left = day_left(caps, spent_today_quote)
    bounds = (
        (RiskCode.OVER_FREE, None if free is None else free.amount),
        (RiskCode.OVER_ORDER, caps.max_order_quote),
        (RiskCode.OVER_DAY, left),
    )
    if not spend.is_positive:
        return Refused(RiskCode.NOT_POSITIVE, spend, Money(ZERO, spend.asset))
    if spend.amount < caps.min_order_quote:
        return Refused(RiskCode.BELOW_MINIMUM, spend, Money(caps.min_order_quote, spend.asset))
    for code, limit in bounds:
        if limit is not None and spend.amount > limit:
            return Refused(code, spend, Money(limit, spend.asset))
    return Approved(spend)
