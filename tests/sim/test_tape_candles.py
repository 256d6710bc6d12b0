"""Candle files: four prints a candle, in the declared order."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.shared_data import shared_data

from tradewind.sim.tape import TapeError
from tradewind.sim.tape_files import load_tape

pyarrow = pytest.importorskip("pyarrow", reason="candle files need pyarrow")

MINUTE = 60_000
RISING = (100.0, 104.0, 98.0, 103.0, 8.0)
FALLING = (103.0, 105.0, 99.0, 99.5, None)


def write(path: Path, *rows: tuple[str, int, tuple[Any, ...]], interval: str = "1m") -> Path:
    """A candle file of (symbol, minute, (open, high, low, close, volume))."""
    from pyarrow import parquet as pq

    names = ("open", "high", "low", "close", "base_volume")
    columns: dict[str, list[Any]] = {
        "venue": ["test" for _ in rows],
        "symbol": [symbol for symbol, _, _ in rows],
        "interval": [interval for _ in rows],
        "ts_ms": [minute * MINUTE for _, minute, _ in rows],
    }
    for place, name in enumerate(names):
        columns[name] = [row[2][place] for row in rows]
    pq.write_table(pyarrow.table(columns), path)
    return path


def test_candle_when_rising_plays_open_low_high_close(tmp_path: Path) -> None:
    tape = load_tape(write(tmp_path / "a.parquet", ("ABC/USDT", 1, RISING)))
    assert [(known.symbol, known.first_price) for known in tape.symbols] == [("ABCUSDT", Decimal(100))]
    assert [(one.at_ms, one.price, one.quantity) for one in tape.events] == [
        (0, Decimal(100), Decimal(2)),
        (15_000, Decimal(98), Decimal(2)),
        (30_000, Decimal(104), Decimal(2)),
        (45_000, Decimal(103), Decimal(2)),
    ]


def test_candle_when_it_ends_where_it_began_counts_as_rising(tmp_path: Path) -> None:
    tape = load_tape(write(tmp_path / "a.parquet", ("ABC/USDT", 1, (100.0, 104.0, 98.0, 100.0, 8.0))))
    assert [one.price for one in tape.events] == [Decimal(100), Decimal(98), Decimal(104), Decimal(100)]


def test_candle_when_falling_and_without_volume_plays_open_high_low_close_of_nothing(tmp_path: Path) -> None:
    tape = load_tape(write(tmp_path / "a.parquet", ("ABC/USDT", 1, FALLING)))
    assert [one.price for one in tape.events] == [Decimal(103), Decimal(105), Decimal(99), Decimal("99.5")]
    assert {one.quantity for one in tape.events} == {Decimal(0)}


def test_candles_of_several_markets_when_played_are_in_the_order_of_time(tmp_path: Path) -> None:
    rows = [("ABC/USDT", 1, RISING), ("ABC/USDT", 2, FALLING), ("XYZ/USDT", 1, RISING)]
    tape = load_tape(write(tmp_path / "a.parquet", *rows))
    assert [one.symbol for one in tape.events] == ["ABCUSDT", "XYZUSDT"] * 4 + ["ABCUSDT"] * 4
    assert [one.source_ms for one in tape.events] == sorted(one.source_ms for one in tape.events)


def test_candles_of_five_minutes_when_played_spread_their_prints_over_it(tmp_path: Path) -> None:
    tape = load_tape(write(tmp_path / "a.parquet", ("ABC/USDT", 1, RISING), interval="5m"))
    assert [one.at_ms for one in tape.events] == [0, 75_000, 150_000, 225_000]


def test_candles_when_minutes_are_missing_skip_the_silence(tmp_path: Path) -> None:
    tape = load_tape(write(tmp_path / "a.parquet", ("ABC/USDT", 1, RISING), ("ABC/USDT", 60, FALLING)))
    assert (tape.hole_count, tape.duration_ms) == (1, 105_000)


def test_krw_candles_when_file_has_usdt_are_divided_by_its_price(tmp_path: Path) -> None:
    flat = (1_500.0, 1_500.0, 1_500.0, 1_500.0, 1.0)
    rows = [("ABC/KRW", 1, (150_000.0, 150_000.0, 150_000.0, 150_000.0, 4.0)), ("USDT/KRW", 1, flat)]
    tape = load_tape(write(tmp_path / "a.parquet", *rows))
    assert [known.symbol for known in tape.symbols] == ["ABCUSDT"]
    assert {one.price for one in tape.events} == {Decimal(100)}


def test_krw_candles_when_file_has_no_usdt_need_a_fixed_price_and_say_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ("ABC/KRW", 1, (150_000.0, 150_000.0, 150_000.0, 150_000.0, 4.0)))
    with pytest.raises(TapeError, match="usdt_krw"):
        load_tape(path)
    tape = load_tape(path, usdt_krw=Decimal(1_200))
    assert {one.price for one in tape.events} == {Decimal(125)}
    assert "FIXED 1200 KRW per USDT" in tape.describe()


def test_candle_file_when_described_says_that_the_path_is_not_recorded(tmp_path: Path) -> None:
    told = load_tape(write(tmp_path / "a.parquet", ("ABC/USDT", 1, RISING))).describe()
    assert "the path between them is not recorded" in told
    assert "open, high, low, close and volume" in told


@pytest.mark.parametrize(
    ("rows", "interval", "message"),
    [
        ([("ABC/EUR", 1, RISING)], "1m", "no market quoted in USDT or KRW"),
        ([("BTC/USDT:USDT", 1, RISING)], "1m", "no market quoted in USDT or KRW"),
        ([("ABC/USDT", 1, RISING)], "tick", "unknown interval"),
        ([("ABC/USDT", 1, RISING)], "xm", "unknown interval"),
        ([("ABC/USDT", 1, RISING)], "5y", "unknown interval"),
    ],
)
def test_candle_file_when_it_cannot_be_played_says_why(
    tmp_path: Path, rows: list[tuple[str, int, tuple[Any, ...]]], interval: str, message: str
) -> None:
    with pytest.raises(TapeError, match=message):
        load_tape(write(tmp_path / "a.parquet", *rows, interval=interval))


def test_load_tape_when_file_is_not_parquet_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("not parquet")
    with pytest.raises(TapeError, match="is not a candle file"):
        load_tape(path)


def test_load_tape_when_pyarrow_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.parquet", ("ABC/USDT", 1, RISING))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TapeError, match=r"pip install pyarrow"):
        load_tape(path)


@pytest.mark.parametrize(
    ("name", "markets", "prints"),
    [
        ("upbit_krw_5m_2026_05_multi", 128, 7_756),
        ("binance_usdt_1d_2023_multi", 25, 19_892),
    ],
)
def test_recorded_candles_when_loaded_play_four_prints_each(name: str, markets: int, prints: int) -> None:
    tape = load_tape(shared_data(f"market/{name}.parquet"))
    assert (len(tape.symbols), len(tape)) == (markets, prints)
    assert all(one.price > 0 for one in tape.events)
