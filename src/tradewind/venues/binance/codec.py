"""What every part of Binance's wire format shares, pure: queries out, JSON in, numbers, errors.

Rules of this file: a query is percent-encoded once, here, and those bytes are signed and sent; numbers are the
plain decimals the venue documents, anything else (NaN, sign, exponent, JSON number in place of a string) is not
understood; what is not understood raises NotUnderstood and nothing else, so no answer however odd can end in a
KeyError. The caller decides what that means: doubt for an order, VenueDown for a read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar
from urllib.parse import quote

import msgspec

from tradewind.core.errors import InvalidInput
from tradewind.core.money import ZERO, Price, Quantity, plain
from tradewind.venues.binance.codes import ApiError
from tradewind.venues.text import without_controls

T = TypeVar("T")

# What needs no percent-encoding: all our parameters but symbols in other scripts (allowed since 2025-12-02).
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9._~-]*")
# The decimals Binance accepts and sends (text of its -1100 answers).
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_MS_MAX = 4_102_444_800_000  # 2100


class NotUnderstood(Exception):
    """An answer that is not what the venue documents; the text holds no part of it."""


@dataclass(frozen=True, slots=True)
class WireCall:
    """A request as it goes over the wire, before timestamp and signature; `weight` is its cost when it fails."""

    method: str
    path: str
    query: str
    weight: int


def query_of(params: Sequence[tuple[str, str]]) -> str:
    """Write parameters as a query: UTF-8, percent-encoded with upper-case hex, in the order given."""
    return "&".join(
        f"{name}={value}" if _PLAIN_VALUE.fullmatch(value) else f"{name}={quote(value, safe='')}"
        for name, value in params
    )


def timed(query: str, timestamp_ms: int, recv_window_ms: int) -> str:
    """Add the two parameters every signed call carries."""
    tail = f"recvWindow={recv_window_ms}&timestamp={timestamp_ms}"
    return f"{query}&{tail}" if query else tail


def signed(query: str, signature: str) -> str:
    """Append the signature, percent-encoded (base64 has characters a query must not hold)."""
    return f"{query}&signature={quote(signature, safe='')}"


def wire_number(value: Decimal) -> str:
    """Write a number as Binance accepts it. Raises ValueError for a negative or over-long one."""
    text = plain(value)
    if not _NUMBER.fullmatch(text):
        raise ValueError("the number cannot be written for Binance: negative, or more than 20 digits on a side")
    return text


def symbols_param(symbols: Sequence[str]) -> str:
    """Write a list of symbols as the JSON array Binance wants."""
    return msgspec.json.encode(list(symbols)).decode("utf-8")


# --- reading ---------------------------------------------------------------------------------------


def read(body: bytes, shape: type[T]) -> T:
    """Decode JSON into a typed shape, its texts without control characters. Raises NotUnderstood."""
    try:
        return msgspec.json.decode(without_controls(body), type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        raise NotUnderstood(f"not the documented {shape.__name__.strip('_')}") from None


def number(text: str) -> Decimal:
    """Read a decimal that is not negative. Raises NotUnderstood."""
    if not _NUMBER.fullmatch(text):
        raise NotUnderstood("not a number")
    return Decimal(text)


def quantity(text: str) -> Quantity:
    """Read a quantity, zero or more. Raises NotUnderstood."""
    return Quantity(number(text))


def price(text: str) -> Price:
    """Read a price above zero. Raises NotUnderstood."""
    try:
        return Price(number(text))
    except InvalidInput:
        raise NotUnderstood("a price of zero") from None


def price_or_none(text: str | None) -> Price | None:
    """Read a price; zero or absent means none. Raises NotUnderstood."""
    if text is None:
        return None
    value = number(text)
    return Price(value) if value > ZERO else None


def moment(ms: int) -> datetime:
    """Read a time in ms. Raises NotUnderstood for one no venue can mean."""
    if not 0 <= ms <= _MS_MAX:
        raise NotUnderstood("not a time")
    return datetime.fromtimestamp(ms // 1_000, UTC).replace(microsecond=ms % 1_000 * 1_000)


class _Anything(msgspec.Struct):
    """Any JSON object."""


def read_object(body: bytes) -> None:
    """Demand a JSON object, whatever it holds. Raises NotUnderstood: a page of HTML is no answer of the venue."""
    read(body, _Anything)


class _ErrorBody(msgspec.Struct):
    code: int
    msg: str


def read_error(status: int, body: bytes) -> ApiError:
    """Read an error answer; a body that is not the documented JSON has no code."""
    try:
        found = read(body, _ErrorBody)
    except NotUnderstood:
        return ApiError(status, None, "")
    return ApiError(status, found.code, found.msg)


def retry_after_s(text: str | None) -> int | None:
    """Read a Retry-After header in seconds; None where it is absent or odd."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 7:
        return None
    return int(text)


def count_header(text: str | None) -> int | None:
    """Read a counter header; None where it is absent or odd."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 12 else None
