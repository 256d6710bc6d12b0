"""`tradewind bench restart` in small: every account is found in order, and the figures add up. Time is not asserted."""

from __future__ import annotations

import pytest

from tradewind.bench.limited import LimitedVenue
from tradewind.bench.restart import Wanted, run
from tradewind.core.errors import InvalidInput


def test_bench_restart_when_ten_accounts_have_twenty_four_orders_open_then_all_compared_within_the_limits() -> None:
    result = run(Wanted(accounts=10, orders=24, latency_ms=0))
    assert (result["green"], result["waiting"], result["open_orders"]) == (10, 0, 24)
    assert (result["orders_compared"], result["positions_compared"], result["differences"]) == (24, 12, 0)
    assert result["first_green_s"] <= result["half_green_s"] <= result["all_green_s"]
    # 20 for balances, 6 for each of its markets; 2 for a stream that is not up yet.
    looks = 10 * 20 + 12 * 6
    assert looks <= result["weight_computed"] <= looks + 10 * 2
    assert result["weight_of_looks"] == looks
    assert result["weight_used"]["at_most"] <= 6_000
    assert result["weight_used"]["refused"] == 0


@pytest.mark.parametrize("orders", [1, 61])
def test_bench_restart_when_so_many_orders_cannot_be_then_refused(orders: int) -> None:
    with pytest.raises(InvalidInput):
        run(Wanted(accounts=10, orders=orders))


def test_limited_venue_when_the_minute_is_used_up_then_refused_and_counted() -> None:
    venue = LimitedVenue(0.0)
    venue.answer(b"GET", b"/bench/weight?12", b"", b"")
    answers = [venue.answer(b"GET", b"/api/v3/openOrders?symbol=BTCUSDT", b"key", b"") for _ in range(3)]
    assert [each.partition(b"\r\n")[0] for each in answers] == [b"HTTP/1.1 200 OK"] * 2 + [b"HTTP/1.1 429 Too Many"]
    assert b"x-mbx-used-weight-1m: 12\r\n" in answers[1]
