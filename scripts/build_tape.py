"""Make the packaged tape from the recorded prints.

Usage: python scripts/build_tape.py RECORDING.parquet OUTPUT.txt.xz

The recording is a trade file (columns venue, symbol, ts_ms, price, amount). Nothing is dropped, filled or computed: the
output holds the same prints, delta-coded, as text under xz. Format, one line each:
 1. JSON header: format, rows, first_ms, where it comes from, and per market
    [name, decimals of price, decimals of amount]
 2. milliseconds since the print before          3. index of the market in the header
 4. price minus the market's price before, in units of its last decimal        5. amount in units of its last decimal
"""

from __future__ import annotations

import hashlib
import json
import lzma
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

SOURCE = "JUN-JONG-IL/upbit-trader-master@dcb0e331d4d2 stager_isolated/failed_chunk_*.jsonl"
LICENCE = "Apache-2.0"


def decimals(values: list[Decimal]) -> int:
    """Decimals needed to write all values exactly."""
    return max(0, *(-int(value.normalize().as_tuple().exponent) for value in values))


def units(value: Decimal, places: int) -> int:
    """A value in units of its last decimal; exact by construction."""
    scaled = value.scaleb(places)
    if scaled != int(scaled):
        raise ValueError(f"{value} does not fit {places} decimals")
    return int(scaled)


def encode(recording: Path) -> bytes:
    """The packaged form of a recording, before compression."""
    table = pq.read_table(recording).to_pydict()
    prices = [Decimal(repr(price)) for price in table["price"]]
    amounts = [Decimal(repr(amount)) for amount in table["amount"]]
    by_market: dict[str, list[int]] = defaultdict(list)
    for row, market in enumerate(table["symbol"]):
        by_market[market].append(row)
    markets = sorted(by_market)
    places = {
        market: (decimals([prices[r] for r in rows]), decimals([amounts[r] for r in rows]))
        for market, rows in by_market.items()
    }
    index = {market: number for number, market in enumerate(markets)}
    order = sorted(range(len(prices)), key=lambda row: table["ts_ms"][row])
    gaps, which, moves, sizes = [], [], [], []
    last_ms, last_price = table["ts_ms"][order[0]], dict.fromkeys(markets, 0)
    first_ms = last_ms
    for row in order:
        market = table["symbol"][row]
        price = units(prices[row], places[market][0])
        gaps.append(table["ts_ms"][row] - last_ms)
        which.append(index[market])
        moves.append(price - last_price[market])
        sizes.append(units(amounts[row], places[market][1]))
        last_ms, last_price[market] = table["ts_ms"][row], price
    header = {
        "format": 1,
        "rows": len(order),
        "first_ms": first_ms,
        "venue": "upbit",
        "source": SOURCE,
        "source_sha256": hashlib.sha256(recording.read_bytes()).hexdigest(),
        "licence": LICENCE,
        "markets": [[market, *places[market]] for market in markets],
    }
    columns = (",".join(map(str, column)) for column in (gaps, which, moves, sizes))
    return "\n".join([json.dumps(header, separators=(",", ":")), *columns, ""]).encode()


def main(recording: Path, output: Path) -> None:
    """Write the packaged tape and say how large it became."""
    text = encode(recording)
    output.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    print(f"{output}: {len(text):,} bytes of text, {output.stat().st_size:,} bytes packed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
