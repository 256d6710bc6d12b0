"""How often accounts that nothing calls for are compared with their venue, computed from the venue's own limits.

Two comparisons go round by the clock. The whole one (orders, fills, balances) reaches every account, every
`quiet_s` at best. The one of open orders alone reaches accounts with business on a live stream, every
`cross_check_s` at best: it finds out a stream that is up and deaf. Both together may use a fixed share of the
request weight that reads may use; with more accounts than that share carries they take longer, and that is told.
What is left of the budget is for what is called for: doubts, accounts that are held, exits and entries.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tradewind.execution.account_look import weight_of
from tradewind.venues.base import VenueClient

# A live stream that says nothing may be dead: accounts with business are compared this often at best.
CROSS_CHECK_S = 50.0
# Shares, in percent, of the weight a minute that reads may use. A thousand quiet accounts of Binance, 20 each, fit
# into 15 minutes; the comparison of open orders, 6 each, then reaches a thousand busy ones in seven and a half.
_WHOLE_PERCENT = 25
_ORDERS_PERCENT = 15
_NO_WAIT_S = 0.0


@dataclass(slots=True)
class _Tally:
    """What one round costs at a venue: of everything, and of the open orders of accounts with business."""

    whole: int = 0
    orders: int = 0


@dataclass(frozen=True, slots=True)
class Periods:
    """How long the two comparisons take to go round at one venue, in seconds."""

    whole_s: float
    orders_s: float


@dataclass(slots=True)
class Comparing:
    """Counts the accounts of each venue and computes what its limits allow."""

    quiet_s: float
    cross_check_s: float
    _tallies: dict[VenueClient, _Tally] = field(default_factory=dict)

    def entered(self, client: VenueClient, *, markets: int) -> None:
        """An account with business in so many markets is followed from now on."""
        self._count(client, markets, 1)

    def left(self, client: VenueClient, *, markets: int) -> None:
        """An account with business in so many markets is followed no more."""
        self._count(client, markets, -1)

    def _count(self, client: VenueClient, markets: int, sign: int) -> None:
        tally, costs = self._tallies.setdefault(client, _Tally()), client.capabilities.costs
        whole = weight_of(costs, markets)
        tally.whole += sign * whole
        tally.orders += sign * (whole - costs.account)

    def periods(self, client: VenueClient) -> Periods:
        """Return how often a venue's accounts are compared: at best as wanted, else as its limits allow."""
        limit, tally = client.health().weight_a_minute, self._tallies[client]
        if limit is None:
            return Periods(self.quiet_s, self.cross_check_s)
        return Periods(
            max(self.quiet_s, _seconds(tally.whole, limit, _WHOLE_PERCENT)),
            max(self.cross_check_s, _seconds(tally.orders, limit, _ORDERS_PERCENT)),
        )

    @staticmethod
    def pace_s(client: VenueClient, weight: int) -> float:
        """Return for how long the share of both comparisons is used up by so much weight."""
        limit = client.health().weight_a_minute
        return _NO_WAIT_S if limit is None else _seconds(weight, limit, _WHOLE_PERCENT + _ORDERS_PERCENT)


def _seconds(weight: int, limit_a_minute: int, percent: int) -> float:
    return weight * 6_000 / (max(1, limit_a_minute) * percent)
