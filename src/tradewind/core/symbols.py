"""Every form in which people write a symbol, and ours (product.md V13).

Rules of this file:
1. Text is read after NFKC, and only if the result is plain ASCII: look-alike letters are refused, not guessed
   (reliability.md case 21).
2. Spot only. A derivative is refused BY NAME with the spot symbol to send instead; it is never traded as if
   it were spot.
3. `/` and `_` mean base then quote. `-` does too, except Upbit's reversed markets (KRW-BTC, USDT-SOL, BTC-ETH).
4. Without a separator the longest known quote asset at the end is the quote; a text without one is a bare
   base asset. Coins whose names look like a pair (WBTC) and quotes that are rare by now are in tables below.
5. The exchange is a remark: it does not limit the accounts unless the source says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from tradewind.core.errors import InvalidInput
from tradewind.core.instrument import Instrument, VenueName
from tradewind.core.money import Asset

UPBIT = VenueName("upbit")
# Venues that write a pair without a separator; all others take ccxt's BASE/QUOTE.
_JOINED_VENUES = frozenset({"binance", "binanceus", "bybit"})

USD_LIKE = frozenset(Asset(a) for a in ("USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USDP", "USD1", "PYUSD", "DAI"))


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_FIAT = _words("USD KRW EUR GBP TRY BRL JPY AUD MXN ARS PLN ZAR UAH IDR COP CZK RON VND THB")
_STABLE = frozenset(str(a) for a in USD_LIKE) - {"USD"}
_MONEY = _FIAT | _STABLE
# Quotes read off the end of a joined text, longest first. Rare fiat is left out: MARS is a coin, not M/ARS.
_QUOTES = tuple(sorted(_STABLE | _words("USD KRW EUR GBP TRY BRL JPY AUD BTC ETH BNB"), key=lambda q: (-len(q), q)))

# Coins that end like a quote asset: written alone they are coins, not pairs.
_COINS_LIKE_PAIRS = _words("WBTC CBBTC SOLVBTC WETH STETH WSTETH CBETH RETH WBETH EZETH WEETH CMETH BFUSD RLUSD")
# BUSD and TUSD are nearly gone, and many coins end in B or T: DOTUSD is DOT/USD, ARBUSD is ARB/USD. Only these
# coins are read as quoted in them.
_RARE_QUOTES = _words("BUSD TUSD")
_COINS_WITH_RARE_QUOTE = _words(
    "BTC ETH BNB SOL XRP DOGE ADA LTC LINK MATIC POL AVAX DOT ATOM TRX SHIB EOS BCH XLM ETC UNI FIL NEAR APT ARB OP",
    "USDC USDT PAXG SAND MANA AAVE ALGO FTM VET ICP AXS PEPE",
)

_EXCHANGE = re.compile(r"([A-Z][A-Z0-9]{1,19})(_DLY?)?")
_TOKEN = re.compile(r"[A-Z0-9]{1,20}")
_MAX_CHARS = 40

# TradingView writes .P (older feeds PERP), OKX -SWAP, Deribit -PERPETUAL, ccxt a settlement after a colon
# (BTC/USDT:USDT), dated contracts a number or a futures month code.
_DERIVATIVES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(?P<spot>[A-Z0-9]+[/_-]?[A-Z0-9]*):[A-Z0-9]+-\d{6}(-\d+-[CP])?$"), "a dated contract"),
    (re.compile(r"^(?P<spot>[A-Z0-9]+[/_-]?[A-Z0-9]*):[A-Z0-9]+$"), "a perpetual future"),
    (re.compile(r"^(?P<spot>[A-Z0-9/_-]+)\.(P|PERP)$"), "a perpetual future"),
    (re.compile(r"^(?P<spot>(?!KRW-)[A-Z0-9/_-]+?)[-_](PERP|PERPETUAL|SWAP)$"), "a perpetual future"),
    (re.compile(r"^(?P<spot>[A-Z0-9]{2,})PERP$"), "a perpetual future"),
    (re.compile(r"^(?P<spot>[A-Z0-9/_-]+?)[-_](\d{6}|\d{1,2}[A-Z]{3}\d{2})(-\d+-[CP])?$"), "a dated contract"),
    (re.compile(r"^(?P<spot>[A-Z0-9]{2,})[FGHJKMNQUVXZ]20\d\d$"), "a dated contract"),
    (re.compile(r"^(?P<spot>[A-Z0-9]*[A-Z])[1-9]!$"), "a futures contract"),
)


@dataclass(frozen=True, slots=True)
class SymbolRef:
    """What a symbol text names. `exchange` is upper case without a delayed-feed suffix."""

    base: Asset
    quote: Asset | None = None
    exchange: str | None = None


def parse_symbol(text: str) -> SymbolRef:
    """Read a symbol in any of the usual forms.

    Raises InvalidInput with code `symbol_missing`, `symbol_not_ascii`, `unknown_symbol` or
    `derivative_symbol`; the message quotes the text and says what to send.

    >>> parse_symbol("UPBIT:BTCKRW")
    SymbolRef(base='BTC', quote='KRW', exchange='UPBIT')
    """
    plain = _to_ascii(text)
    exchange, pair = _split_exchange(plain)
    _refuse_derivative(plain, pair)
    separator = next((c for c in "/-_" if c in pair), None)
    if separator is None:
        base, quote = _split_joined(pair, text)
    else:
        base, quote = _split_written(pair, separator, exchange, text)
    # Nobody prices won in coins: KRW first is always the Upbit way, whatever stands between.
    if base == "KRW" and quote is not None:
        base, quote = quote, base
    if quote is None and base in _FIAT:
        _refuse(text, f"{base} is money, not a coin.")
    if base == quote:
        _refuse(text, "Base and quote are the same asset.")
    return SymbolRef(Asset(base), None if quote is None else Asset(quote), exchange)


def format_symbol(base: Asset, quote: Asset, venue: VenueName) -> str:
    """Write a pair as the venue spells it: BTCUSDT, Upbit KRW-BTC, elsewhere BTC/USDT."""
    if venue == UPBIT:
        return f"{quote}-{base}"
    return f"{base}{quote}" if venue in _JOINED_VENUES else f"{base}/{quote}"


def pair_text(base: Asset, quote: Asset | None) -> str:
    """Write a pair for people: BTC/USDT, or BTC where no quote was named."""
    return base if quote is None else f"{base}/{quote}"


def quote_order(venue: VenueName, preference: Asset | None, signal_quote: Asset | None = None) -> tuple[Asset, ...]:
    """Return the quote assets to try at a venue, best first.

    The mandate's preference, else the venue's main one (KRW at Upbit, USDT elsewhere), else USD, else the
    signal's own.
    """
    main = Asset("KRW") if venue == UPBIT else Asset("USDT")
    wanted = (preference, main, Asset("USD"), signal_quote)
    return tuple(dict.fromkeys(asset for asset in wanted if asset is not None))


def choose_instrument(candidates: Sequence[Instrument], base: Asset, quotes: Sequence[Asset]) -> Instrument | None:
    """Return the instrument of `base` in the first of `quotes` that one venue's `candidates` offer.

    A halted instrument is chosen all the same: the decision says so instead of trading another pair.
    """
    by_quote: dict[Asset, Instrument] = {}
    for candidate in candidates:
        if candidate.base == base:
            by_quote.setdefault(candidate.quote, candidate)
    return next((by_quote[quote] for quote in quotes if quote in by_quote), None)


def _to_ascii(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise InvalidInput("symbol_missing", "The symbol is missing. Send one such as BTC/USDT or BTCUSDT.")
    if len(stripped) > _MAX_CHARS:
        raise InvalidInput("unknown_symbol", f"A symbol of {len(stripped)} characters is too long.")
    plain = unicodedata.normalize("NFKC", stripped)
    if not plain.isascii():
        raise InvalidInput(
            "symbol_not_ascii",
            f"{stripped!a} contains characters that are not plain letters or digits. Type the symbol again.",
        )
    return plain.upper()


def _split_exchange(plain: str) -> tuple[str | None, str]:
    head, colon, rest = plain.partition(":")
    match = _EXCHANGE.fullmatch(head)
    # BTC/USDT:USDT has a colon too, but a pair before it: that is ccxt's way to write a derivative.
    settlement = rest.partition("-")[0]
    is_settled = settlement in _MONEY and head.endswith(settlement)
    if not colon or match is None or not rest or is_settled:
        return None, plain
    return match[1], rest


def _refuse_derivative(plain: str, pair: str) -> None:
    for pattern, kind in _DERIVATIVES:
        match = pattern.match(pair)
        if match is None:
            continue
        prefix = plain[: len(plain) - len(pair)]
        raise InvalidInput(
            "derivative_symbol",
            f"{plain} is {kind}; Tradewind trades spot only. Send {prefix}{match['spot']}.",
        )


def _split_written(pair: str, separator: str, exchange: str | None, text: str) -> tuple[str, str]:
    parts = pair.split(separator)
    if len(parts) != 2 or not all(_is_asset(part) for part in parts):
        _refuse(text, "Send one such as BTC/USDT, BTCUSDT or KRW-BTC.")
    left, right = parts
    return (right, left) if separator == "-" and _is_reversed(left, right, exchange) else (left, right)


def _is_reversed(left: str, right: str, exchange: str | None) -> bool:
    """Say whether LEFT-RIGHT is written the Upbit way, quote first."""
    if "KRW" in (left, right) or exchange not in (None, "UPBIT"):
        return False
    # Upbit quotes in KRW, USDT and BTC; anybody else's USDT-USD or BTC-USDT has its money on the right.
    if exchange is None and right in _MONEY:
        return False
    return left == "USDT" or (left == "BTC" and right not in _MONEY)


def _split_joined(pair: str, text: str) -> tuple[str, str | None]:
    if not _is_asset(pair):
        _refuse(text, "Send one such as BTC/USDT, BTCUSDT or KRW-BTC.")
    if pair in _COINS_LIKE_PAIRS or pair in _MONEY:
        return pair, None
    for quote in _QUOTES:
        base = pair.removesuffix(quote)
        if base and base != pair and (quote not in _RARE_QUOTES or base in _COINS_WITH_RARE_QUOTE):
            return base, quote
    return pair, None


def _is_asset(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None and any(c.isalpha() for c in text)


def _refuse(text: str, advice: str) -> NoReturn:
    raise InvalidInput("unknown_symbol", f"{text.strip()!r} is not a symbol we know. {advice}")
