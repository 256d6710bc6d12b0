"""The time without protection, told of all positions that wanted some (reliability.md L-2)."""

from __future__ import annotations

from dataclasses import replace

from tests.support.demo_case import journal

from tradewind.demo.exposure import exposure, exposure_line


def test_exposure_when_positions_stood_differently_then_both_times_and_those_left_by_the_user_not_counted() -> None:
    one = journal().lots[0]
    lots = [
        replace(one, state="protected_native", naked_ms=10, watched_ms=90),
        replace(one, state="closed", naked_ms=0, watched_ms=400),
        replace(one, state="unprotected_by_you", naked_ms=7, watched_ms=9_000),
    ]
    told = exposure(lots)
    assert told["without_stop_ms"] == {"p50": 0, "p99": 10, "longest": 10}
    assert told["without_native_ms"] == {"p50": 100, "p99": 400, "longest": 400}
    assert exposure_line(told) == (
        "without any stop 0 ms (99th percentile 10, longest 10), without one at the exchange 100 ms (400, 400)"
    )


def test_exposure_of_nothing_is_none() -> None:
    assert exposure([])["without_stop_ms"] == {"p50": None, "p99": None, "longest": None}
