"""A mandate: which account obeys which source, how much, within which limits.

Distances are in basis points of the price (300 = 3 %). The mandate's own stop and target apply where a
signal carries none; a signal's levels are obeyed within the limits given here (product.md S1).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tradewind.core.errors import InvalidInput
from tradewind.core.ids import AccountId, MandateId, SourceId, UserId
from tradewind.core.money import ZERO, Asset


class RiskLevel(StrEnum):
    """The share of the free balance that one entry may take."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def bps(self) -> int:
        """Basis points of free balance: 1 %, 2 %, 5 %."""
        return _RISK_BPS[self]


_RISK_BPS = {RiskLevel.LOW: 100, RiskLevel.MEDIUM: 200, RiskLevel.HIGH: 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """One account's standing order about one source. `budget_quote` None means without a budget.

    Raises InvalidInput where the limits contradict each other.
    """

    id: MandateId
    user_id: UserId
    account_id: AccountId
    source_id: SourceId
    is_enabled: bool = True
    risk: RiskLevel = RiskLevel.MEDIUM
    budget_quote: Decimal | None = None
    max_open_positions: int = 3
    stop_bps: int = 300
    target_bps: int = 600
    min_stop_bps: int = 20
    max_stop_bps: int = 2_000
    min_target_bps: int = 20
    max_target_bps: int = 10_000
    trailing_bps: int | None = None
    time_exit_s: int | None = None
    follows_source_size: bool = False
    quote_preference: Asset | None = None
    allows_adding: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_stop_bps <= self.stop_bps <= self.max_stop_bps < 10_000:
            raise InvalidInput("mandate_stop", "The stop must lie within its limits, above 0 and below 100 %.")
        if not 0 < self.min_target_bps <= self.target_bps <= self.max_target_bps:
            raise InvalidInput("mandate_target", "The target must lie within its limits and above 0 %.")
        if self.max_open_positions < 1:
            raise InvalidInput("mandate_positions", "At least one open position must be allowed.")
        if self.budget_quote is not None and self.budget_quote <= ZERO:
            raise InvalidInput("mandate_budget", "A budget must be above zero; leave it out for none.")
        if self.trailing_bps is not None and not 0 < self.trailing_bps < 10_000:
            raise InvalidInput("mandate_trailing", "A trailing distance must be above 0 and below 100 %.")
        if self.time_exit_s is not None and self.time_exit_s <= 0:
            raise InvalidInput("mandate_time_exit", "A time exit must be above zero seconds.")
