"""`tradewind bench exits` in small: everything is protected, then everything is sold. Time itself is never asserted."""

from __future__ import annotations

from tradewind.bench.exits import WantedExits, run
from tradewind.bench.keys import key_of
from tradewind.bench.responder import Venue
from tradewind.venues.binance.codec_reports import read_orders

KEY = key_of(1).api_key.encode("ascii")


def test_bench_exits_when_five_accounts_hold_then_each_is_protected_and_sold_once() -> None:
    result = run(WantedExits(accounts=5))
    for name in ("entries", "native_protection", "flatten"):
        assert (result[name]["accounts"], result[name]["is_complete"]) == (5, True)
        assert result[name]["cpu_us_per_account"] > 0
        assert result[name]["p50_ms"] <= result[name]["p99_ms"] <= result[name]["all_ms"]
    assert result["flatten"]["positions_left"] == 0
    assert result["flatten"]["settled_ms"] is not None


def test_list_when_cancelled_then_its_legs_rest_no_more_and_a_second_cancel_finds_nothing() -> None:
    venue = Venue(0.0)
    body = (
        "symbol=BTCUSDT&quantity=0.002&listClientOrderId=L1&aboveClientOrderId=A1&belowClientOrderId=B1"
        "&abovePrice=60000&belowType=STOP_LOSS&belowStopPrice=40000&signature=x"
    )
    venue.answer(b"POST", b"/api/v3/orderList/oco", KEY, body.encode("ascii"))
    cancel = b"/api/v3/orderList?symbol=BTCUSDT&listClientOrderId=L1&signature=x"
    assert venue.answer(b"DELETE", cancel, KEY, b"").startswith(b"HTTP/1.1 200")
    answer = venue.answer(b"GET", b"/api/v3/openOrders?symbol=BTCUSDT", KEY, b"")
    assert read_orders(answer.partition(b"\r\n\r\n")[2], "BTCUSDT") == []
    assert b"-2011" in venue.answer(b"DELETE", cancel, KEY, b"")
