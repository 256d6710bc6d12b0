"""What someone wants done: open or close a position in one base asset.

Rules of this file:
1. A dialect parser returns a DraftSignal; only signals/service gives it an id, a source and an arrival time.
2. Only entries age (product.md S2). Age runs from the sender's own time where the alert carries one, else
   from arrival. A sender's clock that runs ahead buys no time: an alert cannot be younger than its arrival.
3. Prices in a signal are in the signal's own quote; core.levels decides what they mean on an account that
   trades another quote.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from tradewind.core.errors import InvalidInput
from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import ZERO, Asset, Price


class Action(StrEnum):
    """Open a position or close what this source opened."""

    OPEN = "open"
    CLOSE = "close"


class SizeKind(StrEnum):
    """The unit of a signal's size: quote amount, base quantity, or percent of free balance."""

    QUOTE = "quote"
    BASE = "base"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSignal:
    """A signal as an alert spelt it, not yet received by us.

    `symbol_text` and `exchange` are as written (exchange in upper case, for people); `targets` are nearest
    first. `stop_bps` and `target_bps` are distances from the price in hundredths of a percent.
    Raises InvalidInput where the parts contradict each other.
    """

    action: Action
    base: Asset
    quote: Asset | None = None
    exchange: str | None = None
    symbol_text: str
    price: Price | None = None
    stop: Price | None = None
    stop_bps: int | None = None
    targets: tuple[Price, ...] = ()
    target_bps: int | None = None
    size: Decimal | None = None
    size_kind: SizeKind | None = None
    alert_at: datetime | None = None
    strategy: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    def received(self, signal_id: SignalId, source_id: SourceId, received_at: datetime) -> Signal:
        """Make it a signal of a source, received at a UTC time."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Signal(id=signal_id, source_id=source_id, received_at=received_at, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A received signal; fields as in DraftSignal, times in UTC."""

    id: SignalId
    source_id: SourceId
    action: Action
    base: Asset
    quote: Asset | None = None
    exchange: str | None = None
    symbol_text: str
    price: Price | None = None
    stop: Price | None = None
    stop_bps: int | None = None
    targets: tuple[Price, ...] = ()
    target_bps: int | None = None
    size: Decimal | None = None
    size_kind: SizeKind | None = None
    alert_at: datetime | None = None
    received_at: datetime
    strategy: str | None = None

    def __post_init__(self) -> None:
        if self.received_at.tzinfo is None:
            raise ValueError("received_at must carry its time zone")
        _check(self)

    @property
    def dated_at(self) -> datetime:
        """The time its age counts from."""
        if self.alert_at is None:
            return self.received_at
        return min(self.alert_at, self.received_at)


def age_s(signal: Signal, now: datetime) -> Decimal:
    """Seconds since the alert was sent, else since it arrived; exact to the microsecond."""
    delta = now - signal.dated_at
    return Decimal(delta.days * 86_400 + delta.seconds) + Decimal(delta.microseconds).scaleb(-6)


def is_stale(signal: Signal, now: datetime, max_age_s: int) -> bool:
    """Say whether an entry is too old to act on; exits never are."""
    return signal.action is Action.OPEN and age_s(signal, now) > max_age_s


# A distance of 100 % or more has no price left below it.
_MAX_STOP_BPS = 9_999
# Ten times the price; more is a typing error, not a target.
_MAX_TARGET_BPS = 100_000


def _check(signal: DraftSignal | Signal) -> None:
    if (signal.size is None) != (signal.size_kind is None):
        raise InvalidInput("size_without_unit", "A size needs its unit: quote, base or percent.")
    if signal.size is not None and (not signal.size.is_finite() or signal.size <= ZERO):
        raise InvalidInput("size_not_positive", f"A size must be above zero, got {signal.size}.")
    if signal.size is not None and signal.size_kind is SizeKind.PERCENT and signal.size > 100:
        raise InvalidInput("size_over_100_percent", f"A size of {signal.size} % is more than everything.")
    if signal.stop_bps is not None and not 0 < signal.stop_bps <= _MAX_STOP_BPS:
        raise InvalidInput("stop_out_of_range", "A stop distance must be above 0 and below 100 %.")
    if signal.target_bps is not None and not 0 < signal.target_bps <= _MAX_TARGET_BPS:
        raise InvalidInput("target_out_of_range", "A target distance must be above 0 and at most 1000 %.")
    if signal.alert_at is not None and signal.alert_at.tzinfo is None:
        raise InvalidInput("time_without_zone", "The alert's time must carry its time zone, for example a final Z.")
