"""A mandate: which account obeys which source, how much, within which limits.

Distances are in basis points of the price (300 = 3 %). The mandate's own stop and target apply where a
signal carries none; a signal's levels are obeyed within the limits given here (product.md S1).

Who follows a source with several accounts trades on all of them, unless they prefer one (E10, D7): a mandate that is
marked preferred, else accounts at their preferred venue. A preference counts inside one environment, so a paper
account never takes a live one's place, and it never moves a trade elsewhere by itself: a preferred account that is
paused or closed is skipped, and so are those beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tradewind.core.errors import InvalidInput
from tradewind.core.ids import AccountId, MandateId, SourceId, UserId
from tradewind.core.instrument import Environment, VenueName
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
    is_preferred: bool = False
    trades_beside_preferred: bool = False
    # Its stored terms cannot be read: these are the defaults, and nothing is bought on them.
    is_damaged: bool = False

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


@dataclass(frozen=True, slots=True)
class Follower:
    """An account under an enabled mandate of a source, with what decides between several of one person."""

    mandate: Mandate
    venue: VenueName
    environment: Environment
    preferred_venue: VenueName | None


def passed_over(followers: Sequence[Follower]) -> frozenset[AccountId]:
    """Return the accounts that leave a source's entries to another account of the same person.

    `followers` are all accounts under enabled mandates of ONE source. Exits are never passed over.
    """
    groups: dict[tuple[UserId, Environment], list[Follower]] = {}
    for each in followers:
        groups.setdefault((each.mandate.user_id, each.environment), []).append(each)
    left_out: set[AccountId] = set()
    for group in groups.values():
        chosen = [each for each in group if each.mandate.is_preferred]
        chosen = chosen or [each for each in group if each.venue == each.preferred_venue]
        if chosen:
            names = {each.mandate.account_id for each in chosen}
            rest = [each.mandate for each in group if each.mandate.account_id not in names]
            left_out |= {mandate.account_id for mandate in rest if not mandate.trades_beside_preferred}
    return frozenset(left_out)
