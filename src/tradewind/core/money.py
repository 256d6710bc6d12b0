"""Money, Price and Quantity on Decimal.

Rules of this file: no float ever enters (a float raises TypeError); quantities round down, never up
into more money (V14); amounts of different assets never meet in one sum; equality ignores trailing
zeros, as Decimal does. All arithmetic uses a context of 50 digits that traps on NaN and infinity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import NewType

from tradewind.core.errors import InvalidInput

Asset = NewType("Asset", str)

ZERO = Decimal(0)
ONE = Decimal(1)
BPS = Decimal(10_000)
EXACT = Context(prec=50, traps=[InvalidOperation, DivisionByZero, Overflow])

# Longest number text any venue or alert may send; more is an attack, not a price.
_MAX_DIGITS = 40
# "1e999999" is eight characters and a megabyte when written out: no amount of anything is that large or small.
_MAX_MAGNITUDE = 40
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def decimal(text: str | int | Decimal) -> Decimal:
    """Read an exact decimal number.

    Raises InvalidInput for anything that is not a plain finite number of at most 40 characters and between
    1e-40 and 1e40 in size, TypeError for a float.
    """
    if isinstance(text, float):
        raise TypeError("floats are not money: pass a string, an int or a Decimal")
    if isinstance(text, Decimal):
        value = text
    else:
        raw = str(text).strip()
        if len(raw) > _MAX_DIGITS:
            raise InvalidInput("number_too_long", f"A number of {len(raw)} characters is too long.")
        if _PLAIN_NUMBER.fullmatch(raw) is None:
            raise InvalidInput("not_a_number", f"{raw!r} is not a number.")
        value = Decimal(raw)
    if not value.is_finite():
        raise InvalidInput("not_a_number", f"{text!s} is not a finite number.")
    if abs(value.adjusted()) > _MAX_MAGNITUDE:
        raise InvalidInput("number_out_of_range", f"{text!s} is too large or too small to be an amount.")
    return value


def floor_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Round down (towards zero) to a multiple of `step`; a step of 0 leaves the value as it is.

    >>> floor_to_step(Decimal("0.123456"), Decimal("0.001"))
    Decimal('0.123')
    """
    if step == ZERO:
        return value
    units = EXACT.divide(value, step).to_integral_value(rounding=ROUND_DOWN)
    return EXACT.multiply(units, step)


def ceil_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Round up (towards plus infinity) to a multiple of `step`.

    >>> ceil_to_step(Decimal("100.001"), Decimal("0.01"))
    Decimal('100.01')
    """
    if step == ZERO:
        return value
    units = EXACT.divide(value, step).to_integral_value(rounding=ROUND_CEILING)
    return EXACT.multiply(units, step)


def plain(value: Decimal) -> str:
    """Write a number without exponent and without trailing zeros.

    >>> plain(Decimal("1E+3")), plain(Decimal("0.5000")), plain(Decimal("0E-8"))
    ('1000', '0.5', '0')
    """
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _demand_decimal(value: object) -> None:
    if not isinstance(value, Decimal):
        raise TypeError(f"expected Decimal, got {type(value).__name__}")
    if not value.is_finite():
        raise ValueError("a value of money must be finite")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one asset."""

    amount: Decimal
    asset: Asset

    def __post_init__(self) -> None:
        _demand_decimal(self.amount)

    def __add__(self, other: Money) -> Money:
        return Money(EXACT.add(self.amount, self._same(other)), self.asset)

    def __sub__(self, other: Money) -> Money:
        return Money(EXACT.subtract(self.amount, self._same(other)), self.asset)

    def __neg__(self) -> Money:
        return Money(EXACT.minus(self.amount), self.asset)

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.amount <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.amount > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.amount >= self._same(other)

    def times(self, ratio: Decimal) -> Money:
        """Multiply by a plain number; nothing is rounded."""
        return Money(EXACT.multiply(self.amount, ratio), self.asset)

    def floor(self, step: Decimal) -> Money:
        """Round down to a multiple of `step`."""
        return Money(floor_to_step(self.amount, step), self.asset)

    @property
    def is_positive(self) -> bool:
        return self.amount > ZERO

    def __str__(self) -> str:
        return f"{plain(self.amount)} {self.asset}"

    def _same(self, other: Money) -> Decimal:
        if other.asset != self.asset:
            raise ValueError(f"cannot combine {self.asset} with {other.asset}")
        return other.amount


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """A quantity of a base asset."""

    value: Decimal

    def __post_init__(self) -> None:
        _demand_decimal(self.value)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(EXACT.add(self.value, other.value))

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(EXACT.subtract(self.value, other.value))

    def floor(self, step: Decimal) -> Quantity:
        """Round down to a multiple of `step`."""
        return Quantity(floor_to_step(self.value, step))

    @property
    def is_positive(self) -> bool:
        return self.value > ZERO

    def __str__(self) -> str:
        return plain(self.value)


@dataclass(frozen=True, slots=True, order=True)
class Price:
    """Units of the quote asset for one unit of the base asset; always above zero."""

    value: Decimal

    def __post_init__(self) -> None:
        _demand_decimal(self.value)
        if self.value <= ZERO:
            raise InvalidInput("price_not_positive", f"A price must be above zero, got {plain(self.value)}.")

    def cost(self, quantity: Quantity) -> Decimal:
        """Quote amount of `quantity` at this price, exact."""
        return EXACT.multiply(self.value, quantity.value)

    def shifted_bps(self, bps: int) -> Price:
        """The price moved by `bps` hundredths of a percent; nothing is rounded.

        >>> Price(Decimal(100)).shifted_bps(-300)
        Price(value=Decimal('97.00'))
        """
        return Price(EXACT.multiply(self.value, ONE + Decimal(bps) / BPS))

    def __str__(self) -> str:
        return plain(self.value)


NOTHING = Quantity(ZERO)
