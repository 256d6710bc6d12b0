"""Loading tapes: the packaged recording with its time windows, and candle files by path.

How USDT prices come about (all in whole-number arithmetic, no rounding but the last):
- price(X/USDT) at a print of X/KRW = its KRW price / the last USDT/KRW print before it in the file (before the
  first one: the first one), rounded half up to the tick of X;
- a USDT/KRW print changes the cross rate of later X prints only, it makes no print of its own, and USDT is not offered.
"""

from __future__ import annotations

import json
import lzma
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path

from tradewind.sim.instruments import tick_for
from tradewind.sim.tape import Holes, Tape, TapeColumns, TapeError, TapeSymbol, set_played_time
from tradewind.sim.tape_candles import load_candles

RECORDING = "upbit_krw_ticks_2026_05_12.txt.xz"
WHOLE = "upbit-2026-05-12"
# The recording has a hole from 09:54 to 10:50 UTC; it separates the two windows.
_NOON = datetime(2026, 5, 12, 10, 30, tzinfo=UTC)
_WINDOWS: dict[str, tuple[datetime | None, datetime | None]] = {
    WHOLE: (None, None),
    f"{WHOLE}-morning": (None, _NOON),
    f"{WHOLE}-evening": (_NOON, None),
}
_CROSS_NOTE = "USDT prices are the recorded cross rates: KRW price / last USDT/KRW print, rounded to the tick"


@dataclass(frozen=True, slots=True)
class Quotes:
    """Prints in one quote currency, sorted by time; a market has a name and the decimals of its price and amount."""

    markets: tuple[tuple[str, int, int], ...]
    at_ms: array[int]
    market_index: array[int]
    price_units: array[int]
    amount_units: array[int]


def packaged_tapes() -> list[str]:
    """Names of the tapes that ship inside the package, the whole recording first."""
    return list(_WINDOWS)


def load_tape(name_or_path: str | Path, *, usdt_krw: Decimal | None = None, holes: Holes | None = None) -> Tape:
    """Load a packaged tape by name or a candle file by path.

    `usdt_krw` is a fixed KRW price of one USDT for KRW files that hold no USDT/KRW market; it is said in the notes.
    Raises TapeError with what to do.
    """
    name = str(name_or_path)
    if name in _WINDOWS:
        return _load_packaged(name, holes or Holes())
    path = Path(name_or_path)
    if not path.is_file():
        raise TapeError(f"no tape named {name!r} and no such file; packaged tapes: {', '.join(_WINDOWS)}")
    return load_candles(path, usdt_krw=usdt_krw, holes=holes)


def cross_to_usdt(quotes: Quotes, start: int = 0, end: int | None = None) -> tuple[TapeColumns, tuple[TapeSymbol, ...]]:
    """Turn KRW prints [start:end) into USDT prints by the file's own USDT/KRW market; played time is not yet set.

    A symbol's first price is its last print before the window, else its first one in it; without either it is left out.
    """
    cross = _Cross(quotes)
    end = len(quotes.at_ms) if end is None else end
    known = cross.symbols(start, end)
    numbers = {market: number for number, market in enumerate(known)}
    scales = {market: cross.scale(market, one.tick) for market, one in known.items()}
    columns = TapeColumns(array("q"), array("q"), array("i"), array("q"), array("q"))
    rate = cross.first_rate
    for row in range(end):
        market = quotes.market_index[row]
        if market == cross.usdt:
            rate = quotes.price_units[row]
        elif row >= start:
            columns.source_ms.append(quotes.at_ms[row])
            columns.symbol_index.append(numbers[market])
            columns.price_ticks.append(_ticks(quotes.price_units[row], rate, scales[market]))
            columns.quantity_units.append(quotes.amount_units[row])
    return columns, tuple(known.values())


class _Cross:
    """How KRW prices of one file become ticks of USDT prices."""

    def __init__(self, quotes: Quotes) -> None:
        usdt = next((i for i, market in enumerate(quotes.markets) if market[0] == "USDT/KRW"), None)
        if usdt is None:
            raise TapeError("the file has no USDT/KRW market, so it holds no cross rate; give a fixed one (usdt_krw)")
        self.quotes = quotes
        self.usdt = usdt
        self.first_rate = quotes.price_units[quotes.market_index.index(usdt)]

    def symbols(self, start: int, end: int) -> dict[int, TapeSymbol]:
        """Every market with a print before `end`, by its number."""
        scale_prices: dict[int, Decimal] = {}
        firsts: dict[int, tuple[int, int]] = {}
        rate = self.first_rate
        for row in range(end):
            market, price = self.quotes.market_index[row], self.quotes.price_units[row]
            if market == self.usdt:
                rate = price
                continue
            if market not in scale_prices:
                scale_prices[market] = self._rough(market, price, rate)
            if row < start or market not in firsts:
                firsts[market] = (price, rate)
        return {market: self._symbol(market, scale_prices[market], firsts[market]) for market in sorted(firsts)}

    def scale(self, market: int, tick: Decimal) -> tuple[int, int]:
        """Whole factors (up, down) with ticks = price_units * up / (rate_units * down)."""
        markets = self.quotes.markets
        exponent = markets[self.usdt][1] - markets[market][1] - tick.adjusted()
        return (10**exponent, 1) if exponent >= 0 else (1, 10**-exponent)

    def _rough(self, market: int, price_units: int, rate: int) -> Decimal:
        markets = self.quotes.markets
        return Decimal(price_units).scaleb(-markets[market][1]) / Decimal(rate).scaleb(-markets[self.usdt][1])

    def _symbol(self, market: int, scale_price: Decimal, first: tuple[int, int]) -> TapeSymbol:
        name, _, amount_places = self.quotes.markets[market]
        base = name.partition("/")[0]
        tick = tick_for(scale_price)
        first_price = _ticks(*first, self.scale(market, tick)) * tick
        unit = Decimal(1).scaleb(-amount_places)
        return TapeSymbol(f"{base}USDT", base, "USDT", first_price, scale_price, tick, unit)


def _load_packaged(name: str, holes: Holes) -> Tape:
    header, quotes = _decode(resources.files("tradewind.sim").joinpath("data").joinpath(RECORDING).read_bytes())
    since, until = _WINDOWS[name]
    start = 0 if since is None else bisect_left(quotes.at_ms, _ms(since))
    end = len(quotes.at_ms) if until is None else bisect_left(quotes.at_ms, _ms(until))
    columns, symbols = cross_to_usdt(quotes, start, end)
    hole_count, skipped = set_played_time(columns, holes)
    return Tape(
        name=name,
        source=f"{header['venue']} KRW prints, {header['source']}, sha256 {str(header['source_sha256'])[:16]}...",
        licence=str(header["licence"]),
        is_recorded=True,
        facts="time, KRW price and amount of every print",
        symbols=symbols,
        columns=columns,
        holes=holes,
        hole_count=hole_count,
        skipped_ms=skipped,
        notes=(_CROSS_NOTE, "the recording is known to be incomplete and carries no side and no order book"),
    )


def _decode(packed: bytes) -> tuple[dict[str, object], Quotes]:
    """Unpack the packaged format (written down in scripts/build_tape.py); prices come delta-coded per market."""
    lines = lzma.decompress(packed).decode().split("\n")
    header = json.loads(lines[0])
    gaps, which, moves, amounts = (list(map(int, line.split(","))) for line in lines[1:5])
    if not header["rows"] == len(gaps) == len(which) == len(moves) == len(amounts):
        raise TapeError("the packaged tape is damaged: its columns differ in length; reinstall the package")
    at_ms, prices, last = array("q"), array("q"), [0] * len(header["markets"])
    now_ms = int(header["first_ms"])
    for gap, market, move in zip(gaps, which, moves, strict=True):
        now_ms += gap
        last[market] += move
        at_ms.append(now_ms)
        prices.append(last[market])
    markets = tuple((str(name), int(price), int(amount)) for name, price, amount in header["markets"])
    return header, Quotes(markets, at_ms, array("i", which), prices, array("q", amounts))


def _ticks(price_units: int, rate: int, scale: tuple[int, int]) -> int:
    """Round a cross rate half up to whole ticks; what is too cheap for the venue's eight decimals costs one."""
    up, down = scale
    numerator, denominator = price_units * up, rate * down
    return max((2 * numerator + denominator) // (2 * denominator), 1)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
