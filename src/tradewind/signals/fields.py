"""The fields of an alert under one name each, however the sender spells them.

`stopLoss`, `stop-loss` and `stop_loss` are one field; nested objects are flattened (`strategy.order_action` is
`strategy_order_action`), envelopes such as `data` disappear. Readers raise InvalidInput that names the field as
it was written and quotes what it held. Unknown fields are ignored, never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tradewind.core.money import ZERO, Price
from tradewind.signals.refusal import refused
from tradewind.signals.strict_json import demand_sane

_ENVELOPES = frozenset({"data", "payload", "alert", "message", "body"})
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_NAME = re.compile(r"[^a-z0-9]+")
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}|\{\{|\}\}", re.S)
_THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_EMPTY_WORDS = frozenset({"", "null", "none", "nan", "na", "n/a", "undefined"})
_QUOTE_CHARS = 60
_NUMBER_CHARS_MAX = 40
_EARLIEST, _LATEST = datetime(2009, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Field:
    """One value and the name under which the sender wrote it."""

    written: str
    value: Any


class Fields:
    """An alert's fields by their one name. What is wrong with a field matters only when it is asked for."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._fields: dict[str, list[Field]] = {}
        self._add(body, "", "")

    def find(self, names: Sequence[str]) -> Field | None:
        """Find the one field of several spellings.

        Raises InvalidInput where two of them hold different values: which one counts is unclear.
        """
        found = [field for name in names for field in self._fields.get(name, ())]
        for other in found[1:]:
            if str(other.value) != str(found[0].value):
                raise refused(
                    "ambiguous_field",
                    f"{found[0].written!r} and {other.written!r} say different things ({_quoted(found[0].value)} and "
                    f"{_quoted(other.value)}). Send one of them.",
                )
        return found[0] if found else None

    def first(self, names: Sequence[str]) -> Field | None:
        """Find the first of several names, in this order; others may say something else. Raises as `find`."""
        return next((self.find((name,)) for name in names if name in self._fields), None)

    def _add(self, body: Mapping[str, Any], prefix: str, written_prefix: str) -> None:
        for key, value in body.items():
            name = prefix + field_name(key)
            written = written_prefix + key
            if isinstance(value, Mapping):
                inner = prefix if name in _ENVELOPES else f"{name}_"
                self._add(value, inner, f"{written}.")
            else:
                self._fields.setdefault(name, []).append(Field(written[:_QUOTE_CHARS], value))


def field_name(key: str) -> str:
    """Reduce a spelling to the one name: stopLoss, stop-loss and STOP_LOSS are stop_loss."""
    return _NOT_NAME.sub("_", _WORD_START.sub("_", key).lower()).strip("_")


# --- readers ---------------------------------------------------------------------------------------


def read_text(field: Field, chars_max: int = 200) -> str | None:
    """Read a text or number as text; None if it is empty. Raises InvalidInput."""
    value = field.value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise refused("wrong_type", f"The field {field.written!r} must be a text, got {_quoted(value)}.")
    text = str(value).strip()
    _demand_resolved(field, text)
    if len(text) > chars_max:
        raise refused(
            "text_too_long", f"The field {field.written!r} holds {len(text)} characters; at most {chars_max} fit."
        )
    if _CONTROL.search(text):
        raise refused(
            "not_text", f"The field {field.written!r} holds invisible characters: {ascii(text)[:_QUOTE_CHARS]}."
        )
    return text or None


def read_number(field: Field) -> Decimal:
    """Read a number that may be written as text, with thousands separators at most. Raises InvalidInput."""
    value = field.value
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if value is not None and not isinstance(value, str):
        raise refused("not_a_number", f"The field {field.written!r} must be a number, got {_quoted(value)}.")
    text = "" if value is None else value.strip()
    _demand_resolved(field, text)
    if text.lower() in _EMPTY_WORDS:
        raise refused(
            "not_a_number",
            f"The field {field.written!r} is empty ({_quoted(value)}): the plot or placeholder had no value when the "
            "alert fired. Leave the field out where there is nothing to say.",
        )
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    return _decimal(field, text)


def read_price(field: Field) -> Price:
    """Read a price above zero. Raises InvalidInput."""
    value = read_number(field)
    if value <= ZERO:
        raise refused(
            "price_not_positive", f"The field {field.written!r} must be above zero, got {_quoted(field.value)}."
        )
    return Price(value)


def read_percent(field: Field) -> Decimal:
    """Read a percentage, with or without its sign: `2.5` and `2.5%` are two and a half percent."""
    value = field.value
    if isinstance(value, str):
        value = value.strip().removesuffix("%").strip()
    return read_number(Field(field.written, value))


def is_percent(value: object) -> bool:
    """Say whether a value is written with a percent sign."""
    return isinstance(value, str) and value.strip().endswith("%")


def read_time(field: Field) -> datetime | None:
    """Read a time: ISO 8601 (UTC where no zone is named) or Unix seconds or milliseconds. None if empty.

    Raises InvalidInput.
    """
    text = read_text(field)
    if text is None or text.lower() in _EMPTY_WORDS:
        return None
    moment = _unix_time(text) if re.fullmatch(r"\d{9,16}(\.\d+)?", text, re.ASCII) else _iso_time(text)
    if moment is None or not _EARLIEST <= moment <= _LATEST:
        raise refused(
            "bad_time",
            f"The field {field.written!r} is not a time we can read: {_quoted(field.value)}. "
            "Send {{timenow}}, or a time such as 2026-11-20T06:00:00Z.",
        )
    return moment


def _unix_time(text: str) -> datetime | None:
    value = Decimal(text)
    # Eleven digits of seconds are the year 5138; more digits are milliseconds, then microseconds.
    digits = len(text.partition(".")[0])
    scale = 0 if digits <= 11 else 3 if digits <= 14 else 6
    try:
        seconds, micros = divmod(int(value.scaleb(6 - scale)), 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    except (OverflowError, OSError, ValueError):
        return None


def _iso_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _decimal(field: Field, text: str) -> Decimal:
    if len(text) > _NUMBER_CHARS_MAX or not _PLAIN_NUMBER.fullmatch(text):
        raise refused("not_a_number", f"The field {field.written!r} is not a number: {_quoted(field.value)}.")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise refused("not_a_number", f"The field {field.written!r} is not a number: {_quoted(field.value)}.") from None
    demand_sane(value, text)
    return value


# What TradingView fills in (signals reference 1.3). A plot may be named: {{plot("RSI")}}.
_KNOWN_PLACEHOLDERS = re.compile(
    r"\{\{\s*(ticker|exchange|open|high|low|close|volume|time|timenow|interval|syminfo\.(currency|basecurrency)"
    r"|plot_1?\d|plot\(.*\)|strategy\.(order\.(action|contracts|price|id|comment|alert_message)|position_size"
    r"|(prev_)?market_position(_size)?))\s*\}\}",
    re.S,
)


def _demand_resolved(field: Field, text: str) -> None:
    match = _PLACEHOLDER.search(text)
    if match is None:
        return
    held = match.group()[:_QUOTE_CHARS]
    if held.replace(" ", "").startswith("{{strategy."):
        advice = "Strategy placeholders are filled only in alerts created on a strategy; use words in other alerts."
    elif _KNOWN_PLACEHOLDERS.fullmatch(held):
        advice = "TradingView fills it when the alert fires; a test by hand must hold a real value."
    else:
        advice = "TradingView does not know this placeholder: check its spelling."
    raise refused("unresolved_placeholder", f"The field {field.written!r} still holds {held}. {advice}")


def _quoted(value: object) -> str:
    return ascii(value if isinstance(value, str) else str(value))[:_QUOTE_CHARS]
