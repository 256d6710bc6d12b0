"""Request parameters: decoding and the -11xx family of checks.

Order of the checks (the venue publishes none): mandatory parameters first, long before the key is looked
at; the syntax of every value only after the signature has been accepted. So this file has two doors:
`require` (names) and the typed readers (values).
Number syntax as printed in the venue's own -1100 texts: no sign, no exponent, at most 20 digits a side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar
from urllib.parse import unquote_plus

from tradewind.sim import binance_errors as errors
from tradewind.sim.binance_errors import VenueError, illegal_characters, missing

DECIMAL_PATTERN = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
ORDER_ID_PATTERN = r"^[0-9]{1,20}$"
CLIENT_ID_PATTERN = r"^[a-zA-Z0-9-_]{1,36}$"
SYMBOL_PATTERN = r"^[A-Z0-9-_.]{1,20}$"

_DECIMAL = re.compile(r"([0-9]{1,20})(\.[0-9]{1,20})?", re.ASCII)
_INTEGER = re.compile(r"[0-9]{1,20}", re.ASCII)
_CLIENT_ID = re.compile(r"[a-zA-Z0-9\-_]{1,36}", re.ASCII)
# Since 2025-12-02 a symbol may hold non-ASCII letters; only the ASCII part is restricted.
_SYMBOL = re.compile(r"(?:[A-Z0-9\-_.]|[^\x00-\x7f]){1,20}")

# An id is a signed 64-bit number at the venue.
_ID_MAX = 2**63 - 1

E = TypeVar("E", bound=StrEnum)


class Params(dict[str, str]):
    """Decoded parameters of one request; the query wins over the body where both carry a name."""

    __slots__ = ()

    def text(self, name: str) -> str | None:
        """Give the value, None when absent or empty."""
        return self.get(name) or None

    def require(self, names: Iterable[str]) -> None:
        """Refuse with -1102 when one of the names is absent or empty."""
        for name in names:
            if not self.get(name):
                raise missing(name)

    def decimal(self, name: str) -> Decimal | None:
        """Read a positive decimal; None when absent. Refuses signs and exponents (-1100)."""
        value = self.get(name)
        if value is None:
            return None
        if value == "":
            raise VenueError(errors.PARAM_EMPTY, f"Parameter '{name}' was empty.")
        if _DECIMAL.fullmatch(value) is None:
            raise illegal_characters(name, DECIMAL_PATTERN)
        return Decimal(value)

    def integer(self, name: str) -> int | None:
        """Read a non-negative integer; None when absent."""
        value = self.get(name)
        if value is None:
            return None
        if value == "":
            raise VenueError(errors.PARAM_EMPTY, f"Parameter '{name}' was empty.")
        if _INTEGER.fullmatch(value) is None:
            raise illegal_characters(name, ORDER_ID_PATTERN)
        number = int(value)
        if number > _ID_MAX:
            raise VenueError(errors.INVALID_PARAMETER, f"Data sent for parameter '{name}' is not valid.")
        return number

    def limit(self, default: int, most: int, name: str = "limit") -> int:
        """Read a page size, clamped to what the endpoint gives at most."""
        number = self.integer(name)
        if number is None:
            return default
        if number < 1:
            raise VenueError(errors.INVALID_PARAMETER, f"Data sent for parameter '{name}' is not valid.")
        return min(number, most)

    def boolean(self, name: str, default: bool) -> bool:
        """Read `true` or `false` in any case."""
        value = self.get(name)
        if value is None:
            return default
        if value.lower() not in {"true", "false"}:
            raise VenueError(errors.INVALID_PARAMETER, f"Data sent for parameter '{name}' is not valid.")
        return value.lower() == "true"

    def client_id(self, name: str) -> str | None:
        """Read a client id: 1-36 characters of the documented alphabet; empty is -1118."""
        value = self.get(name)
        if value is None:
            return None
        if value == "":
            raise VenueError(errors.EMPTY_NEW_CLIENT_ID, "New client order ID was empty.")
        if _CLIENT_ID.fullmatch(value) is None:
            raise illegal_characters(name, CLIENT_ID_PATTERN)
        return value

    def symbol(self, name: str = "symbol") -> str:
        """Read a symbol's spelling; whether it is listed is another question (-1121)."""
        value = self.get(name)
        if not value:
            raise missing(name)
        return checked_symbol(value, name)

    def choice(self, name: str, kind: type[E], refusal: VenueError | None = None) -> E | None:
        """Read one of a closed set; None when absent."""
        value = self.get(name)
        if value is None:
            return None
        try:
            return kind(value)
        except ValueError:
            legal = VenueError(errors.INVALID_PARAMETER, f"Data sent for parameter '{name}' is not valid.")
            raise (refusal or legal) from None

    def refuse_unread(self, allowed: frozenset[str]) -> None:
        """Refuse parameters the call does not know (-1104)."""
        unknown = [name for name in self if name not in allowed]
        if unknown:
            read = len(self) - len(unknown)
            raise VenueError(
                errors.UNREAD_PARAMETERS,
                f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(self)}'.",
            )


def checked_symbol(value: str, name: str = "symbol") -> str:
    """Refuse the spelling of a symbol with -1100, lower case included."""
    if _SYMBOL.fullmatch(value) is None:
        raise illegal_characters(name, SYMBOL_PATTERN)
    return value


def decode_form(raw: bytes) -> dict[str, str]:
    """Decode `a=1&b=2` once; a name sent twice in one part is -1101."""
    decoded: dict[str, str] = {}
    if not raw:
        return decoded
    for pair in raw.decode("utf-8", "replace").split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        if name in decoded:
            raise VenueError(errors.TOO_MANY_PARAMETERS, "Duplicate values for a parameter detected.")
        decoded[name] = value
    return decoded


def merge(query: bytes, body: bytes) -> Params:
    """Join query and form body into one set; the query's value wins."""
    merged = Params(decode_form(body))
    merged.update(decode_form(query))
    return merged


def from_json(params: Mapping[str, object]) -> Params:
    """Read WebSocket API params; numbers arrive as their own text, so nothing is rounded."""
    return Params({name: json_text(value) for name, value in params.items() if value is not None})


def json_text(value: object) -> str:
    """Spell a JSON value the way it is signed: `true`, `12`, `["A","B"]`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(f'"{item}"' if isinstance(item, str) else json_text(item) for item in value) + "]"
    return str(value)
