"""Candle files as a tape: every candle plays as four prints.

A candle does not say when its high and low came, so the order is a convention, said in the tape's notes: open at the
start, then low and high (for a falling candle: high and low), then close, a quarter of the interval apart, each with
a quarter of the volume. Prices are the file's own; the path between them is not recorded.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tradewind.sim.instruments import step_for, tick_for
from tradewind.sim.tape import Holes, Tape, TapeColumns, TapeError, TapeSymbol, set_played_time

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_COLUMNS = ("symbol", "interval", "ts_ms", "open", "high", "low", "close", "base_volume")
_PRINTS = 4
_PATH_NOTE = (
    "each candle plays as open, then low and high (rising) or high and low (falling), then close,"
    " a quarter of its interval and volume each; the path between them is not recorded"
)


class _Point(NamedTuple):
    at_ms: int
    market: str
    price: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class _Candles:
    """The columns of a file, rows of other quote currencies left out."""

    file: str
    interval_ms: int
    columns: dict[str, list[Any]]

    def points(self) -> Iterator[_Point]:
        """The prints of all candles in the order of time, then of the file."""
        times = self.columns["ts_ms"]
        quarter_ms = self.interval_ms // _PRINTS
        # whole numbers sort faster and smaller than pairs: time in front, then which row and which of its prints
        count = len(times) * _PRINTS
        order = sorted(
            (at_ms + quarter * quarter_ms) * count + row * _PRINTS + quarter
            for row, at_ms in enumerate(times)
            for quarter in range(_PRINTS)
        )
        for key in order:
            at_ms, place = divmod(key, count)
            row, quarter = divmod(place, _PRINTS)
            volume = Decimal(repr(self.columns["base_volume"][row] or 0)) / _PRINTS
            yield _Point(at_ms, self.columns["symbol"][row], self._price(row, quarter), volume)

    def _price(self, row: int, quarter: int) -> Decimal:
        is_rising = self.columns["close"][row] >= self.columns["open"][row]
        path = ("open", "low", "high", "close") if is_rising else ("open", "high", "low", "close")
        return Decimal(repr(self.columns[path[quarter]][row]))


def load_candles(path: Path, *, usdt_krw: Decimal | None = None, holes: Holes | None = None) -> Tape:
    """Load a candle file (schema: symbol, interval, ts_ms, open, high, low, close, base_volume).

    Markets quoted in USDT are taken as they are; those in KRW at the file's own USDT/KRW price or at `usdt_krw`.
    Raises TapeError with what to do when the file or the optional library does not fit.
    """
    candles = _read(path)
    symbols, columns = _play(_in_usdt(candles, usdt_krw))
    if not symbols:
        raise TapeError(f"{path.name} holds no market that can be quoted in USDT")
    # neighbouring prints of one candle are a quarter of the interval apart: only longer silence is a hole
    own_holes = holes or Holes(longer_than_ms=candles.interval_ms, played_as_ms=candles.interval_ms // _PRINTS)
    hole_count, skipped = set_played_time(columns, own_holes)
    notes: tuple[str, ...] = (_PATH_NOTE,)
    if usdt_krw is not None:
        notes = (_PATH_NOTE, f"KRW prices are divided by a FIXED {usdt_krw} KRW per USDT, which is not recorded")
    return Tape(
        name=path.stem,
        source=f"candle file {path.name}",
        licence="not written in the file",
        is_recorded=True,
        facts="open, high, low, close and volume of every candle",
        symbols=tuple(symbols.values()),
        columns=columns,
        holes=own_holes,
        hole_count=hole_count,
        skipped_ms=skipped,
        notes=notes,
    )


def _read(path: Path) -> _Candles:
    try:
        from pyarrow import ArrowInvalid, compute
        from pyarrow import parquet as pq
    except ImportError as missing:
        raise TapeError("reading a candle file needs pyarrow: .venv/bin/python -m pip install pyarrow") from missing
    try:
        table = pq.read_table(path, columns=list(_COLUMNS))
    except (ArrowInvalid, KeyError) as wrong:
        raise TapeError(f"{path.name} is not a candle file (parquet with {', '.join(_COLUMNS)})") from wrong
    columns: dict[str, list[Any]] = table.filter(
        compute.match_substring_regex(table["symbol"], "/(USDT|KRW)$")
    ).to_pydict()
    return _Candles(path.name, _interval(set(columns["interval"]), path), columns)


def _interval(intervals: set[str], path: Path) -> int:
    if not intervals:
        raise TapeError(f"{path.name} holds no market quoted in USDT or KRW")
    if len(intervals) > 1:
        raise TapeError(f"{path.name} must hold candles of one interval, found {', '.join(sorted(intervals))}")
    text = intervals.pop()
    if text[-1:] not in _UNIT_MS or not text[:-1].isdecimal():
        raise TapeError(f"{path.name} has candles of the unknown interval {text!r}")
    return int(text[:-1]) * _UNIT_MS[text[-1]]


def _in_usdt(candles: _Candles, fixed: Decimal | None) -> Iterator[_Point]:
    """Quote every point in USDT: a KRW price divides by the last USDT/KRW price before it (at first: the first one)."""
    krw = fixed
    if fixed is None and "USDT/KRW" in candles.columns["symbol"]:
        krw = next(point.price for point in candles.points() if point.market == "USDT/KRW")
    for point in candles.points():
        base, _, quote = point.market.partition("/")
        if quote == "USDT":
            yield point._replace(market=base)
        elif base == "USDT":
            krw = point.price if fixed is None else fixed
        elif krw is None:
            raise TapeError(f"{candles.file} has no USDT/KRW market; give the price of one USDT in KRW (usdt_krw)")
        else:
            yield point._replace(market=base, price=point.price / krw)


def _play(points: Iterator[_Point]) -> tuple[dict[str, TapeSymbol], TapeColumns]:
    symbols: dict[str, TapeSymbol] = {}
    numbers: dict[str, int] = {}
    columns = TapeColumns(array("q"), array("q"), array("i"), array("q"), array("q"))
    for at_ms, base, price, volume in points:
        known = symbols.get(base)
        if known is None:
            known = symbols[base] = _symbol(base, price)
            numbers[base] = len(numbers)
        columns.source_ms.append(at_ms)
        columns.symbol_index.append(numbers[base])
        columns.price_ticks.append(_ticks(price, known.tick))
        columns.quantity_units.append(int(volume / known.quantity_unit))
    return symbols, columns


def _symbol(base: str, price: Decimal) -> TapeSymbol:
    tick = tick_for(price)
    return TapeSymbol(f"{base}USDT", base, "USDT", _ticks(price, tick) * tick, price, tick, step_for(price))


def _ticks(price: Decimal, tick: Decimal) -> int:
    return max(int((price / tick).to_integral_value(rounding=ROUND_HALF_UP)), 1)
