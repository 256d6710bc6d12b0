"""JSON from strangers, read strictly (reliability.md 2.9 and case 20).

What is ambiguous or hostile is refused instead of interpreted: repeated keys, NaN and Infinity, nesting over
8 levels, integers over 2^53, numbers of absurd length, half surrogates. Numbers are read as Decimal. The
depth is checked before parsing, so no input can exhaust the stack.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import msgspec

from tradewind.core.errors import InvalidInput
from tradewind.signals.refusal import refused

DEPTH_MAX = 8
# JavaScript's largest exact integer; beyond it senders and readers disagree about the number.
INTEGER_MAX = 2**53
_NUMBER_CHARS_MAX = 40
# No price, quantity or time needs more; 1e400000 would take megabytes when written out.
_EXPONENT_MAX = 30
_EXCERPT_CHARS = 12

_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")


def loads(text: str) -> Any:
    """Read JSON text. Raises InvalidInput (`malformed_json` for syntax) that says where and what."""
    _demand_shallow(text)
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - _EXCERPT_CHARS) : error.pos + _EXCERPT_CHARS]
        raise InvalidInput(
            "malformed_json",
            f"The body begins like JSON but is not valid: {error.msg} at line {error.lineno}, column {error.colno}, "
            f"near {near!r}. Nothing was stored. Correct the alert's message.",
        ) from None
    _demand_text(value)
    return value


def canonical(value: Any) -> str:
    """Write a value with sorted keys and no spaces: the same alert always gives the same text."""
    return _encoder.encode(value).decode("utf-8")


def _demand_shallow(text: str) -> None:
    depth = 0
    is_text = is_escaped = False
    for char in text:
        if is_text:
            if is_escaped:
                is_escaped = False
            elif char == "\\":
                is_escaped = True
            elif char == '"':
                is_text = False
        elif char == '"':
            is_text = True
        elif char in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise refused("json_too_deep", f"The JSON is nested more than {DEPTH_MAX} levels deep.")
        elif char in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise refused(
                "duplicate_key", f"The field {key[:40]!r} occurs twice; which one counts is unclear. Send it once."
            )
        result[key] = value
    return result


def _integer(text: str) -> int:
    # The length first: Python refuses to read thousands of digits with an error of its own.
    if len(text) > _NUMBER_CHARS_MAX or abs(int(text)) > INTEGER_MAX:
        raise refused("number_too_large", f"The number {text[:20]}... is larger than 2^53. Send it as text or shorter.")
    return int(text)


def _number(text: str) -> Decimal:
    if len(text) > _NUMBER_CHARS_MAX:
        raise refused("number_too_long", f"The number {text[:20]}... has {len(text)} characters.")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise refused("not_a_number", f"{text[:20]} is not a number we can read.") from None
    demand_sane(value, text)
    return value


def demand_sane(value: Decimal, text: str) -> None:
    """Raise InvalidInput for a number so large or so small that it can only be a mistake."""
    if value and not -_EXPONENT_MAX <= value.adjusted() <= _EXPONENT_MAX:
        raise refused("number_too_large", f"The number {text[:20]} is out of all bounds.")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and abs(exponent) > _NUMBER_CHARS_MAX:
        raise refused("number_too_long", f"The number {text[:20]} has too many decimal places.")


def _constant(text: str) -> NoReturn:
    raise refused(
        "not_a_number",
        f"The body holds {text}, which is not a number: a plot or placeholder had no value when the alert fired. "
        "Put placeholders that may be empty in quotes, or leave the field out.",
    )


def _demand_text(value: Any) -> None:
    """Refuse half surrogates and NUL: they are no text, and not every database stores them."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str) and not item.isascii() and any("\ud800" <= char <= "\udfff" for char in item):
            raise refused("not_text", "The body holds characters that are no text (half a surrogate pair).")
        elif isinstance(item, str) and "\x00" in item:
            raise refused("not_text", "The body holds a NUL character. Take it out of the alert's message.")
