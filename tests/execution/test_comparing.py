"""How often accounts are compared by the clock: as wanted, else as the venue's own limits allow (product.md E8)."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tradewind.execution.comparing import Comparing
from tradewind.venues.base import CallCosts, VenueClient

_COSTS = CallCosts(find_order=4, open_orders=6, open_orders_all=80, orders_since=20, fills_of_order=5, account=20)


@dataclass(eq=False)
class _Venue:
    limit: int | None

    @property
    def capabilities(self) -> Any:
        return SimpleNamespace(costs=_COSTS)

    def health(self) -> Any:
        return SimpleNamespace(weight_a_minute=self.limit)


def _comparing(limit: int | None, *, quiet: int = 0, busy: int = 0) -> tuple[Comparing, VenueClient]:
    comparing, client = Comparing(900.0, 50.0), cast(VenueClient, _Venue(limit))
    for number in range(quiet + busy):
        comparing.entered(client, markets=int(number >= quiet))
    return comparing, client


def test_periods_when_the_budget_carries_them_then_as_wanted() -> None:
    comparing, client = _comparing(5_400, quiet=500, busy=100)
    found = comparing.periods(client)
    assert (found.whole_s, found.orders_s) == (900.0, 50.0)


@pytest.mark.parametrize(("quiet", "busy"), [(1_000, 0), (0, 1_000), (4_000, 1_000)])
def test_periods_when_accounts_are_many_then_both_rounds_fit_their_share_of_what_reads_may_use(
    quiet: int, busy: int
) -> None:
    comparing, client = _comparing(5_400, quiet=quiet, busy=busy)
    found = comparing.periods(client)
    whole = (quiet * 20 + busy * 26) * 60 / found.whole_s
    orders = busy * 6 * 60 / found.orders_s
    assert whole <= 5_400 * 0.25 + 1
    assert orders <= 5_400 * 0.15 + 1


def test_periods_when_a_thousand_are_busy_at_binance_then_a_deaf_stream_is_found_within_minutes() -> None:
    """reliability.md L-5 asks for a minute, which the venue's limits forbid: the bound is computed from them."""
    comparing, client = _comparing(5_400, busy=1_000)
    assert round(comparing.periods(client).orders_s) == 444


def test_periods_when_an_account_leaves_or_falls_quiet_then_the_others_come_round_sooner() -> None:
    comparing, client = _comparing(5_400, busy=1_000)
    before = comparing.periods(client).orders_s
    comparing.left(client, markets=1)
    comparing.entered(client, markets=0)
    assert comparing.periods(client).orders_s < before


def test_pace_when_the_venue_states_no_limit_then_none_is_kept() -> None:
    comparing, client = _comparing(None, busy=1_000)
    assert comparing.pace_s(client, 26) == 0.0
    assert comparing.periods(client).orders_s == 50.0
