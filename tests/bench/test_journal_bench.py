"""`tradewind bench journal` in small: every part of every signal has its figures. Time itself is never asserted."""

from __future__ import annotations

from pathlib import Path

from tests.support.database import address

from tradewind.bench.journal import PARTS, run


def test_bench_journal_when_two_signals_are_carried_then_every_part_of_both_is_told(tmp_path: Path) -> None:
    result = run(5, 2, database=address(tmp_path / "bench.db"), profiled="decide")
    assert [row["signal"] for row in result["rows"]] == [1, 2]
    for row in result["rows"]:
        assert set(row["cpu_us"]) == set(row["wall_us"]) == set(PARTS)
        assert row["cpu_us_all"] > 0
    assert "function calls" in result["profile"]
