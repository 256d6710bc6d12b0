"""The object of --json: counts that add up, from the journal alone."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.support.demo_case import OPEN, expected, journal, venue

from tradewind.demo.check import check
from tradewind.demo.figures import percentile
from tradewind.demo.story import Market, Story
from tradewind.demo.summary import Run, build_object, latenesses, summary_lines, verdict_lines

MARKET = Market("VVVUSDT", "VVV", "USDT")
STORY = Story(
    tape="t",
    source="s",
    is_recorded=True,
    first=MARKET,
    second=MARKET,
    earlier=(),
    offset_ms=5_000,
    speed=Decimal(8),
    prices={},
    stops=1,
    targets=1,
)
RUN = Run(seed=1, story=STORY, first_signal=OPEN, users=4, refused=1, duration_s=50.04, repeat_had_same_id=True)


def test_object_when_built_adds_up() -> None:
    told = build_object(RUN, journal(), venue(), check(journal(), venue(), expected()), expected())
    assert told["users"] == told["accounts"] + told["refused_keys"]
    assert told["accounts"] == told["placed"] + told["skipped"]
    assert told["placed"] == sum(told["states"].values())
    assert told["skipped"] == sum(told["skip_reasons"].values())
    assert told["states"] == {"FILLED": 2}
    assert told["found_out"] == 1
    assert (told["unknown"], told["duplicates"], told["lost"], told["unprotected"]) == (0, 0, 0, 0)
    assert told["dust_left"] == 1
    assert told["positions"] == {"protected_native": 1, "protected_watched": 1}


def test_latenesses_when_an_order_was_sent_again_count_from_the_first_release() -> None:
    assert latenesses(journal(), OPEN) == {"acc1": 110, "acc2": 15_000}
    told = build_object(RUN, journal(), venue(), check(journal(), venue(), expected()), expected())
    assert (told["p50_ms"], told["p99_ms"]) == (110, 15_000)
    assert (told["p50_unbroken_ms"], told["p99_unbroken_ms"]) == (110, 110)


def test_percentile_of_nothing_is_none() -> None:
    assert percentile([], 99) is None
    assert percentile([5], 50) == 5


def test_lines_when_both_sides_agree_or_not_say_so() -> None:
    good = check(journal(), venue(), expected())
    assert verdict_lines(good) == ["The exchange's own log and the journal agree on every order, fill and position."]
    wrong = check(journal(), venue(), [replace(expected()[2], skip_reason=None)])
    assert any("should get an order, got paused" in line for line in verdict_lines(wrong))
    told = build_object(RUN, journal(), venue(), good, expected())
    assert any("4 = 3 accounts + 1 refused keys" in line for line in summary_lines(told))
