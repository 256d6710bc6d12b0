"""The packaged recording: what it holds, and cross rates worked by hand."""

import hashlib
import json
import lzma
import runpy
from array import array
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.support.shared_data import shared_data

from tradewind.sim.tape import Tape, TapeError
from tradewind.sim.tape_files import RECORDING, WHOLE, Quotes, cross_to_usdt, load_tape, packaged_tapes

DATA = resources.files("tradewind.sim").joinpath("data")


@pytest.fixture(scope="module")
def whole() -> Tape:
    return load_tape(WHOLE)


def test_packaged_tapes_when_listed_are_the_whole_and_two_windows() -> None:
    assert packaged_tapes() == [WHOLE, f"{WHOLE}-morning", f"{WHOLE}-evening"]


def test_whole_tape_when_loaded_has_every_print_but_those_of_usdt(whole: Tape) -> None:
    # 45,606 recorded prints, 1,118 of them USDT/KRW; 258 markets
    assert (len(whole), len(whole.symbols)) == (45_606 - 1_118, 257)
    assert (whole.is_recorded, whole.licence) == (True, "Apache-2.0")
    assert whole.columns.source_ms[0] == 1_778_570_215_005
    assert list(whole.columns.offset_ms) == sorted(whole.columns.offset_ms)
    assert "USDTUSDT" not in {known.symbol for known in whole.symbols}


def test_whole_tape_when_described_names_holes_source_and_what_is_recorded(whole: Tape) -> None:
    told = whole.describe()
    assert "RECORDED" in told
    assert "JUN-JONG-IL/upbit-trader-master@dcb0e331d4d2" in told
    assert "214 pauses longer than 5 s last 1 s each" in told
    assert "2026-05-12 07:16:55 .. 2026-05-12 16:52:47 UTC" in told
    assert "no side and no order book" in told


def test_whole_tape_before_first_usdt_print_uses_that_first_price(whole: Tape) -> None:
    # 07:16:55.005 SAHARA/KRW 61; first USDT/KRW print 07:16:56.533 at 1478: 61 / 1478 = 0.0412720...
    first = whole.print_at(0, 0)
    assert (first.symbol, first.source_ms, first.price) == ("SAHARAUSDT", 1_778_570_215_005, Decimal("0.041272"))
    assert first.quantity == Decimal("17556.74238256")


def test_whole_tape_after_usdt_print_uses_the_newest_rate(whole: Tape) -> None:
    prints = [one for one in whole.events if one.symbol == "BTCUSDT"]
    # 119,713,000 / 1478 (no USDT/KRW print yet) = 80,996.6171...; 119,714,000 / 1479 = 80,942.5287...
    assert prints[0].price == Decimal("80996.62")
    later = next(one for one in prints if one.source_ms == 1_778_570_217_597)
    assert (later.price, later.quantity) == (Decimal("80942.53"), Decimal("0.00167064"))


def test_whole_tape_when_it_starts_offers_every_symbol_at_its_first_price(whole: Tape) -> None:
    prices = whole.prices_at(0)
    assert set(prices) == {known.symbol for known in whole.symbols}
    assert prices["BTCUSDT"] == Decimal("80996.62")
    assert all(price > 0 for price in prices.values())


def test_prices_on_every_tape_are_on_the_symbols_tick(whole: Tape) -> None:
    rules = whole.rules()
    assert all(one.price % rules[one.symbol].tick == 0 for one in whole.events)


def test_windows_when_put_together_are_the_whole(whole: Tape) -> None:
    parts = [load_tape(f"{WHOLE}-{part}") for part in ("morning", "evening")]
    assert [len(part) for part in parts] == [17_175, 27_313]
    together = [one._replace(at_ms=0) for part in parts for one in part.events]
    assert together == [one._replace(at_ms=0) for one in whole.events]


def test_evening_window_when_it_starts_knows_the_morning_prices() -> None:
    morning, evening = (load_tape(f"{WHOLE}-{part}") for part in ("morning", "evening"))
    known = morning.prices_at(morning.duration_ms)
    assert {symbol: evening.prices_at(-1)[symbol] for symbol in known} == known
    assert len(evening.symbols) == 257


def test_load_tape_when_name_is_unknown_lists_the_packaged_ones() -> None:
    with pytest.raises(TapeError, match="upbit-2026-05-12-morning"):
        load_tape("no-such-tape")


def test_packaged_file_when_read_carries_its_provenance_and_licence() -> None:
    packed = DATA.joinpath(RECORDING).read_bytes()
    header = json.loads(lzma.decompress(packed).split(b"\n", 1)[0])
    assert len(packed) < 300_000
    assert (header["rows"], len(header["markets"]), header["licence"]) == (45_606, 258, "Apache-2.0")
    notice = DATA.joinpath("NOTICE").read_text("utf-8")
    assert header["source_sha256"] in notice
    assert header["source"].split(" ")[0].partition("@")[0] in notice
    assert "Apache License" in DATA.joinpath("LICENSE").read_text("utf-8")


def test_packaged_file_when_built_again_from_the_recording_is_the_same() -> None:
    pytest.importorskip("pyarrow", reason="building the packaged tape needs pyarrow")
    recording = shared_data("market/upbit_krw_ticks_2026_05_12.parquet")
    text = _build_script()["encode"](recording)
    assert text == lzma.decompress(DATA.joinpath(RECORDING).read_bytes())
    digest = hashlib.sha256(recording.read_bytes()).hexdigest()
    assert digest == "702b672365906d0fb8bfaf297e9fc6b82c3ef65d1b252a613d730bef8f01dbbd"


def test_cross_when_worked_by_hand_follows_the_rate_and_rounds_half_up() -> None:
    quotes = Quotes(
        markets=(("USDT/KRW", 1, 8), ("ABC/KRW", 0, 8), ("TINY/KRW", 6, 8)),
        at_ms=array("q", [1, 2, 3, 4, 5]),
        market_index=array("i", [1, 0, 1, 2, 0]),
        price_units=array("q", [150_015, 15_000, 150_015, 1, 14_000]),
        amount_units=array("q", [10, 20, 30, 40, 50]),
    )
    columns, symbols = cross_to_usdt(quotes)
    abc, tiny = symbols
    # 150,015 / 1,500.0 = 100.01 both before and after the first USDT print
    assert (abc.symbol, abc.first_price, abc.tick) == ("ABCUSDT", Decimal("100.01"), Decimal("0.01"))
    # 0.000001 / 1500 is below the eighth decimal: it costs the smallest price there is
    assert (tiny.first_price, tiny.tick) == (Decimal("0.00000001"), Decimal("0.00000001"))
    assert list(columns.price_ticks) == [10_001, 10_001, 1]
    assert list(columns.quantity_units) == [10, 30, 40]
    # half a tick is rounded up: 300,015 / 3,000.0 = 100.005
    half = Quotes(
        markets=quotes.markets,
        at_ms=array("q", [1, 2]),
        market_index=array("i", [0, 1]),
        price_units=array("q", [30_000, 300_015]),
        amount_units=array("q", [1, 1]),
    )
    assert list(cross_to_usdt(half)[0].price_ticks) == [10_001]


def test_cross_when_file_has_no_usdt_market_says_what_to_do() -> None:
    alone = Quotes((("ABC/KRW", 0, 8),), array("q", [1]), array("i", [0]), array("q", [5]), array("q", [1]))
    with pytest.raises(TapeError, match="usdt_krw"):
        cross_to_usdt(alone)


def test_load_tape_when_path_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="no such file"):
        load_tape(tmp_path)


def _build_script() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "build_tape.py"))
