"""Every symbol form that users have, and the refusals."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.core_builders import BTC, USDC, USDT, btcusdt
from tests.support.shared_data import shared_json

from tradewind.core.errors import InvalidInput
from tradewind.core.instrument import BINANCE, Instrument, InstrumentStatus, VenueName
from tradewind.core.money import Asset
from tradewind.core.symbols import (
    UPBIT,
    SymbolRef,
    choose_instrument,
    format_symbol,
    pair_text,
    parse_symbol,
    quote_order,
)

FORMS = """
BTC/USDT             BTC USDT
BTCUSDT              BTC USDT
BTC-USDT             BTC USDT
BTC_USDT             BTC USDT
btcusdt              BTC USDT
Btc/Usdt             BTC USDT
KRW-BTC              BTC KRW
BTC-KRW              BTC KRW
KRW/BTC              BTC KRW
KRWBTC               BTC KRW
BTC/KRW              BTC KRW
BTCKRW               BTC KRW
USDT-BTC             BTC USDT
BTC-ETH              ETH BTC
ETH-BTC              ETH BTC
BTC-SOL              SOL BTC
USDT-SOL             SOL USDT
KRW-USDT             USDT KRW
USDT-KRW             USDT KRW
USDT-USD             USDT USD
BTC-USD              BTC USD
USDC-USDT            USDC USDT
KRW-PERP             PERP KRW
PERPUSDT             PERP USDT
BTC                  BTC
SOL                  SOL
1INCH                1INCH
1INCHUSDT            1INCH USDT
1000SATSUSDT         1000SATS USDT
1000PEPE             1000PEPE
1000PEPEUSDT         1000PEPE USDT
1MBABYDOGEUSDT       1MBABYDOGE USDT
WBTC                 WBTC
WBTCUSDT             WBTC USDT
WBTCBTC              WBTC BTC
WBTCETH              WBTC ETH
STETH                STETH
USDT                 USDT
FDUSD                FDUSD
BTCFDUSD             BTC FDUSD
FDUSDUSDT            FDUSD USDT
BTCUSD               BTC USD
DOTUSD               DOT USD
ARBUSD               ARB USD
BTCTUSD              BTC TUSD
OXTUSD               OXT USD
CRVUSD               CRV USD
UNIBTC               UNI BTC
TUSD                 TUSD
BTCBUSD              BTC BUSD
USDTUSD              USDT USD
USDCUSDT             USDC USDT
ETHBTC               ETH BTC
BNBBTC               BNB BTC
BNBETH               BNB ETH
ＢＴＣＵＳＤＴ             BTC USDT
"""

WITH_EXCHANGE = """
BINANCE:BTCUSDT      BTC USDT BINANCE
binance:btcusdt      BTC USDT BINANCE
UPBIT:BTCKRW         BTC KRW  UPBIT
UPBIT:KRW-BTC        BTC KRW  UPBIT
UPBIT:USDT-BTC       BTC USDT UPBIT
UPBIT:BTC-ETH        ETH BTC  UPBIT
BYBIT:BTCUSDT        BTC USDT BYBIT
BITHUMB:BTCKRW       BTC KRW  BITHUMB
COINBASE:BTCUSD      BTC USD  COINBASE
BINANCE_DL:BTCUSDT   BTC USDT BINANCE
BINANCE_DLY:BTCUSDT  BTC USDT BINANCE
UPBIT_DL:BTCKRW      BTC KRW  UPBIT
OKX:BTC-ETH          BTC ETH  OKX
BINANCE:BTC          BTC -    BINANCE
"""

DERIVATIVES = """
BTCUSDT.P               perpetual  BTCUSDT
btcusdt.p               perpetual  BTCUSDT
BINANCE:BTCUSDT.P       perpetual  BINANCE:BTCUSDT
BYBIT:BTCUSDT.P         perpetual  BYBIT:BTCUSDT
BTCUSDTPERP             perpetual  BTCUSDT
BINANCE:BTCUSDTPERP     perpetual  BINANCE:BTCUSDT
BTCUSDT_PERP            perpetual  BTCUSDT
BTC-PERP                perpetual  BTC
BTCPERP                 perpetual  BTC
BTC-PERPETUAL           perpetual  BTC
BTC-USDT-SWAP           perpetual  BTC-USDT
BTC/USDT:USDT           perpetual  BTC/USDT
BTC/USD:BTC             perpetual  BTC/USD
BTCUSDT:USDT            perpetual  BTCUSDT
1000PEPEUSDT.P          perpetual  1000PEPEUSDT
BTC/USDT:USDT-261225    dated      BTC/USDT
BTCUSDT_261225          dated      BTCUSDT
BTCUSDT-261225          dated      BTCUSDT
BTCUSDTZ2026            dated      BTCUSDT
BTC-25DEC26             dated      BTC
BTC-25DEC26-90000-C     dated      BTC
CME:BTC1!               futures    CME:BTC
"""

REFUSED = """
BTC/ symbol_of_nothing_after
/USDT base
BTC//USDT double
BTC/USDT/X three
BTC.USDT dot
UPBIT: only_exchange
:BTCUSDT no_exchange
BTC$ dollar
12345 digits
KRW money
USD money
BTC/BTC same
KRW-KRW same
{{ticker}} placeholder
<script> markup
BTC;DROP semicolon
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


@pytest.mark.parametrize("row", rows(FORMS), ids=lambda row: row[0])
def test_parse_symbol_for_each_form_finds_base_and_quote(row: list[str]) -> None:
    text, base, *quote = row
    assert parse_symbol(text) == SymbolRef(Asset(base), Asset(quote[0]) if quote else None, None)


@pytest.mark.parametrize("row", rows(WITH_EXCHANGE), ids=lambda row: row[0])
def test_parse_symbol_with_exchange_keeps_its_name(row: list[str]) -> None:
    text, base, quote, exchange = row
    assert parse_symbol(text) == SymbolRef(Asset(base), None if quote == "-" else Asset(quote), exchange)


@pytest.mark.parametrize("row", rows(DERIVATIVES), ids=lambda row: row[0])
def test_parse_symbol_of_derivative_refuses_by_name_and_says_what_to_send(row: list[str]) -> None:
    text, kind, spot = row
    with pytest.raises(InvalidInput) as refused:
        parse_symbol(text)
    assert refused.value.code == "derivative_symbol"
    assert refused.value.message.startswith(f"{text.upper()} is a {kind}")
    assert refused.value.message.endswith(f"Tradewind trades spot only. Send {spot}.")
    parse_symbol(spot)  # what it says to send is understood


def test_parse_symbol_of_perpetual_says_the_documented_sentence() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_symbol("BTCUSDT.P")
    assert str(refused.value) == "BTCUSDT.P is a perpetual future; Tradewind trades spot only. Send BTCUSDT."


@pytest.mark.parametrize("row", rows(REFUSED), ids=lambda row: row[1])
def test_parse_symbol_of_nonsense_refuses_and_quotes_it(row: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_symbol(row[0])
    assert refused.value.code == "unknown_symbol"
    assert row[0] in refused.value.message


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_parse_symbol_of_nothing_says_it_is_missing(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_symbol(text)
    assert refused.value.code == "symbol_missing"


@pytest.mark.parametrize(
    "text",
    ["BTC\u200bUSDT", "ВTCUSDT", "\u202eTDSUCTB", "bıtcusdt", "BTCUSDТ", "币安人生USDT", "BTC\u00adUSDT", "₿USDT"],
    ids=["zero-width", "cyrillic-ve", "right-to-left", "dotless-i", "cyrillic-te", "chinese", "soft-hyphen", "sign"],
)
def test_fault_21_parse_symbol_with_look_alikes_refuses(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_symbol(text)
    assert refused.value.code == "symbol_not_ascii"
    assert refused.value.message.isascii()


def test_parse_symbol_when_very_long_then_refused_without_quoting_it() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_symbol("A" * 10_000)
    assert len(refused.value.message) < 200


@given(st.text(max_size=45))
def test_parse_symbol_of_any_text_answers_or_refuses(text: str) -> None:
    try:
        found = parse_symbol(text)
    except InvalidInput:
        return
    assert found.base.isascii()
    assert found.base != found.quote
    assert parse_symbol(pair_text(found.base, found.quote)).base == found.base


bases = st.from_regex(r"[A-Z0-9]{2,8}", fullmatch=True).filter(lambda t: any(c.isalpha() for c in t))
quotes = st.sampled_from(["USDT", "USDC", "FDUSD", "USD", "KRW", "EUR", "BTC", "ETH"])
MONEY = {"KRW", "USD", "EUR", "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "BTC", "ETH", "GBP", "JPY", "TRY"}


@given(bases, quotes)
def test_parse_of_format_with_separator_is_the_same_pair(base: str, quote: str) -> None:
    assume(base != quote)
    text = format_symbol(Asset(base), Asset(quote), VenueName("kraken"))
    assert parse_symbol(text) == SymbolRef(Asset(base), Asset(quote), None)


@given(bases, st.sampled_from(["KRW", "USDT", "BTC"]))
def test_parse_of_format_at_upbit_is_the_same_pair(base: str, quote: str) -> None:
    assume(base not in MONEY and base not in ("PERP", "SWAP", "PERPETUAL") and not base.isdigit())
    # A base that reads as a date (25DEC26) would be taken for a dated contract.
    assume(re.fullmatch(r"\d{1,2}[A-Z]{3}\d{2}", base) is None)
    found = parse_symbol(format_symbol(Asset(base), Asset(quote), UPBIT))
    assert found == SymbolRef(Asset(base), Asset(quote), None)


@pytest.mark.parametrize("venue", ["binance", "binanceus"])
def test_parse_of_every_recorded_spot_symbol_is_its_pair(venue: str) -> None:
    markets = shared_json(f"payloads/{venue}/markets_exchangeInfo.json")
    listed = {(m["baseAsset"], m["quoteAsset"]) for m in _symbols(markets)}
    assert listed
    for base, quote in listed:
        assert parse_symbol(format_symbol(base, quote, BINANCE)) == SymbolRef(base, quote, None)


def _symbols(node: object) -> list[dict[str, Asset]]:
    """Every spot symbol object anywhere in the recorded file."""
    if isinstance(node, dict):
        if {"baseAsset", "quoteAsset", "symbol"} <= node.keys() and node["symbol"] == node["baseAsset"] + node[
            "quoteAsset"
        ]:
            return [node]
        return [found for value in node.values() for found in _symbols(value)]
    return [found for value in node for found in _symbols(value)] if isinstance(node, list) else []


@pytest.mark.parametrize(
    ("venue", "text"),
    [("binance", "BTCKRW"), ("binanceus", "BTCKRW"), ("bybit", "BTCKRW"), ("upbit", "KRW-BTC"), ("kraken", "BTC/KRW")],
)
def test_format_symbol_is_the_venue_spelling(venue: str, text: str) -> None:
    assert format_symbol(BTC, Asset("KRW"), VenueName(venue)) == text


def test_parse_symbol_of_forty_characters_is_read_and_of_one_more_refused() -> None:
    longest = "A" * 20 + ":" + "B" * 19
    assert parse_symbol(longest) == SymbolRef(Asset("B" * 19), None, "A" * 20)
    with pytest.raises(InvalidInput, match="too long"):
        parse_symbol(longest + "B")


def at_quote(quote: Asset, *, status: InstrumentStatus = InstrumentStatus.TRADING, base: Asset = BTC) -> Instrument:
    spec = btcusdt()
    return Instrument(
        spec.venue,
        f"{base}{quote}",
        base,
        quote,
        spec.tick,
        spec.step,
        spec.min_quantity,
        spec.max_quantity,
        spec.min_notional,
        status=status,
    )


def test_quote_order_is_preference_then_main_then_usd_then_the_signal() -> None:
    krw = Asset("KRW")
    assert quote_order(BINANCE, None) == ("USDT", "USD")
    assert quote_order(BINANCE, USDC, krw) == ("USDC", "USDT", "USD", "KRW")
    assert quote_order(UPBIT, None, USDT) == ("KRW", "USD", "USDT")


def test_choose_instrument_takes_the_first_quote_that_is_listed() -> None:
    listed = [at_quote(USDC), at_quote(USDT), at_quote(USDT, base=Asset("ETH"))]
    assert choose_instrument(listed, BTC, [Asset("KRW"), USDT, USDC]) is listed[1]
    assert choose_instrument(listed, BTC, [USDC, USDT]) is listed[0]
    assert choose_instrument(listed, BTC, [Asset("KRW")]) is None
    assert choose_instrument(listed, Asset("XRP"), [USDT]) is None


def test_choose_instrument_when_best_is_halted_then_still_that_one() -> None:
    halted = at_quote(USDT, status=InstrumentStatus.HALTED)
    assert choose_instrument([at_quote(USDC), halted], BTC, [USDT, USDC]) is halted
