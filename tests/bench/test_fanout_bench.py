"""`tradewind bench fanout` in small: every figure is there and the counts add up. Time itself is never asserted."""

from __future__ import annotations

import hmac

from tradewind.bench.keys import is_signed, key_of
from tradewind.bench.suite import Wanted, run

_FIGURES = ("intents_durable_ms", "last_acknowledged_ms", "recorded_p50_ms", "orders_per_s", "cpu_us_per_order")


def test_bench_fanout_when_ten_accounts_obey_then_every_order_is_answered_signed_and_counted() -> None:
    wanted = Wanted(10, simulator_accounts=0, latencies_ms=[0], idle_accounts=0, with_peers=False, with_mixed=False)
    result = run(wanted)
    (row,) = result["runs"]
    assert (row["venue"], row["accounts"], row["latency_ms"]) == ("responder", 10, 0)
    for warmth in ("cold", "warm"):
        figures = row[warmth]
        assert (figures["placed"], figures["states"]) == (10, {"FILLED": 10})
        assert all(figures[name] > 0 for name in _FIGURES)
        assert figures["recorded_p50_ms"] <= figures["recorded_p99_ms"] <= figures["last_acknowledged_ms"]
        assert figures["all_protected_ms"] is not None
        assert [late["accounts"] for late in figures["lateness"]] == [10]
    counted = row["venue_counts"]
    assert (counted["entries"], counted["lists"], counted["refused"]) == (20, 20, 0)


def test_is_signed_when_one_byte_differs_then_it_is_not() -> None:
    key = key_of(1)
    body = b"symbol=BTCUSDT&timestamp=1"
    signature = hmac.digest(key.secret.encode(), body, "sha256").hex().encode()
    assert is_signed(key.api_key.encode(), body + b"&signature=" + signature)
    assert not is_signed(key.api_key.encode(), body + b"2&signature=" + signature)
