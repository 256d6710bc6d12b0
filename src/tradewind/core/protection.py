"""Protection: what a lot wants at the venue, what state it is in, and when a watch fires.

Rules of this file (order-protocol.md section 5):
1. A position wants protection from its first fill. The ladder is native, else watched, else market.
2. A price that is already beyond stop or target is no place for a resting order: sell at market now.
3. A remainder that the venue would not take at the stop is DUST: shown, told, neither protected nor not.
4. A watch protects only while its own venue's price was confirmed within 5 s.
5. A position is always exactly one of the states below; `classify` decides which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from tradewind.core.instrument import Instrument
from tradewind.core.money import BPS, EXACT, ONE, Price, Quantity
from tradewind.core.position import Lot

# order-protocol.md section 10: a watch whose price is older than this protects nothing.
WATCH_PRICE_AGE_MS_MAX = 5_000


class Native(StrEnum):
    """The strongest protection the venue itself can hold for a spot lot."""

    OCO = "oco"
    STOP = "stop"
    WATCHED = "watched"


class ExitCause(StrEnum):
    """Why the engine ends a lot by itself."""

    STOP = "stop"
    TARGET = "target"
    TIME = "time"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class OcoWanted:
    """One native list: target above, stop below."""

    quantity: Quantity
    stop: Price
    target: Price


@dataclass(frozen=True, slots=True)
class StopOnly:
    """A native stop; a target, if there is one, is watched."""

    quantity: Quantity
    stop: Price
    target: Price | None


@dataclass(frozen=True, slots=True)
class WatchOnly:
    """The engine watches the price: the venue cannot hold the protection."""

    quantity: Quantity
    stop: Price | None
    target: Price | None


@dataclass(frozen=True, slots=True)
class MarketNow:
    """The price is already beyond: sell at market."""

    quantity: Quantity
    cause: ExitCause


@dataclass(frozen=True, slots=True)
class DustLeft:
    """Too little to sell or to protect at this venue."""

    quantity: Quantity


@dataclass(frozen=True, slots=True)
class NothingWanted:
    """Nothing is held, or nobody set a level."""


Wanted = OcoWanted | StopOnly | WatchOnly | MarketNow | DustLeft | NothingWanted


@dataclass(frozen=True, slots=True)
class Means:
    """What the venue can hold for this symbol now; `free_slots` None means not limited."""

    native: Native = Native.OCO
    free_slots: int | None = None


def wanted_protection(lot: Lot, instrument: Instrument, price_now: Price | None, means: Means) -> Wanted:
    """Say what protection an open lot wants now; the quantity is rounded down to the step.

    `price_now` None (unknown) never makes a market sale.

    >>> from datetime import UTC
    >>> from decimal import Decimal as D
    >>> from tradewind.core.ids import AccountId, LotId, OrderId
    >>> from tradewind.core.instrument import BINANCE
    >>> from tradewind.core.money import Asset
    >>> btc, usdt = Asset("BTC"), Asset("USDT")
    >>> spec = Instrument(BINANCE, "BTCUSDT", btc, usdt, D("0.01"), D("0.00001"), D("0.00001"), D(9000), D(5))
    >>> lot = Lot(id=LotId("l"), account_id=AccountId("a"), symbol="BTCUSDT", base=btc, quote=usdt,
    ...           entry_order_id=OrderId("o"), opened_at=datetime(2026, 1, 1, tzinfo=UTC),
    ...           quantity=Quantity(D("0.010304")), stop=Price(D(48500)), target=Price(D(53000)))
    >>> wanted = wanted_protection(lot, spec, Price(D(50100)), Means(Native.OCO))
    >>> type(wanted).__name__, str(wanted.quantity)
    ('OcoWanted', '0.0103')
    >>> wanted_protection(lot, spec, Price(D(48400)), Means(Native.OCO)).cause   # already below the stop
    <ExitCause.STOP: 'stop'>
    """
    lowest = lot.stop or lot.target
    if not lot.is_open or lowest is None:
        return NothingWanted()
    quantity = instrument.floor_quantity(lot.quantity)
    if not instrument.is_sellable(quantity, lowest):
        return DustLeft(lot.quantity)
    cause = None if price_now is None else level_hit(lot, price_now)
    if cause is not None:
        return MarketNow(quantity, cause)
    return _resting(lot, instrument, quantity, means)


def _resting(lot: Lot, instrument: Instrument, quantity: Quantity, means: Means) -> Wanted:
    has_slot = means.free_slots is None or means.free_slots > 0
    if lot.stop is None or means.native is Native.WATCHED or not has_slot:
        return WatchOnly(quantity, lot.stop, lot.target)
    if lot.target is not None and means.native is Native.OCO and instrument.has_oco:
        return OcoWanted(quantity, lot.stop, lot.target)
    return StopOnly(quantity, lot.stop, lot.target)


# --- triggers --------------------------------------------------------------------------------------


def is_stop_hit(lot: Lot, price: Price) -> bool:
    """Say whether the price is at or below the lot's stop."""
    return lot.stop is not None and price <= lot.stop


def is_target_hit(lot: Lot, price: Price) -> bool:
    """Say whether the price is at or above the lot's target."""
    return lot.target is not None and price >= lot.target


def is_time_up(lot: Lot, now: datetime) -> bool:
    """Say whether the lot's time exit has come."""
    return lot.time_exit_at is not None and now >= lot.time_exit_at


def level_hit(lot: Lot, price: Price) -> ExitCause | None:
    """Return which level the price has reached; the stop counts first."""
    if is_stop_hit(lot, price):
        return ExitCause.STOP
    return ExitCause.TARGET if is_target_hit(lot, price) else None


def trailed(lot: Lot, instrument: Instrument, price: Price) -> Lot:
    """Return the lot with its peak and trailing stop raised by a price; a stop is never lowered.

    The stop goes up to the tick. A lot without trailing distance comes back unchanged, and so does the stop
    where the tick is so coarse that the new one would not lie below the price.
    """
    if lot.trailing_bps is None:
        return lot
    peak = price if lot.peak is None else max(lot.peak, price)
    wanted = instrument.ceil_price(peak.shifted_bps(-lot.trailing_bps))
    if wanted >= peak:
        return replace(lot, peak=peak)
    return replace(lot, peak=peak, stop=wanted if lot.stop is None else max(lot.stop, wanted))


def raise_price(lot: Lot, instrument: Instrument, step_bps: int) -> Price | None:
    """Return the price at which the trailing stop has gone up by at least `step_bps`; None without trailing.

    Rounded up to the tick. Below it the stop stays where it is, so it lags its peak by less than a step.

    >>> from datetime import UTC
    >>> from decimal import Decimal as D
    >>> from tradewind.core.ids import AccountId, LotId, OrderId
    >>> from tradewind.core.instrument import BINANCE
    >>> from tradewind.core.money import Asset
    >>> btc, usdt = Asset("BTC"), Asset("USDT")
    >>> spec = Instrument(BINANCE, "BTCUSDT", btc, usdt, D("0.01"), D("0.00001"), D("0.00001"), D(9000), D(5))
    >>> lot = Lot(id=LotId("l"), account_id=AccountId("a"), symbol="BTCUSDT", base=btc, quote=usdt,
    ...           entry_order_id=OrderId("o"), opened_at=datetime(2026, 1, 1, tzinfo=UTC),
    ...           quantity=Quantity(D(1)), stop=Price(D(49500)), peak=Price(D(50000)), trailing_bps=100)
    >>> str(raise_price(lot, spec, 10))   # 49549.50 is 1 % below it
    '50050'
    """
    if lot.trailing_bps is None:
        return None
    if lot.stop is None:
        return Price(instrument.tick)
    raised = EXACT.multiply(lot.stop.value, ONE + Decimal(step_bps) / BPS)
    needed = EXACT.divide(raised, ONE - Decimal(lot.trailing_bps) / BPS)
    at = instrument.ceil_price(Price(needed))
    return at if lot.peak is None or at > lot.peak else Price(EXACT.add(lot.peak.value, instrument.tick))


def has_risen(stop: Price, above: Price, step_bps: int) -> bool:
    """Say whether a stop lies at least `step_bps` above another."""
    return stop.value >= EXACT.multiply(above.value, ONE + Decimal(step_bps) / BPS)


# --- the state of a position -----------------------------------------------------------------------


class PositionState(StrEnum):
    """How a position stands; always exactly one."""

    PROTECTED_NATIVE = "protected_native"
    PROTECTED_WATCHED = "protected_watched"
    DUST = "dust"
    BLIND = "blind"
    BLOCKED_BY_YOUR_ORDER = "blocked_by_your_order"
    HALTED = "halted"
    UNPROTECTED = "unprotected"
    UNPROTECTED_BY_YOU = "unprotected_by_you"

    @property
    def is_protected(self) -> bool:
        return self in (PositionState.PROTECTED_NATIVE, PositionState.PROTECTED_WATCHED)

    @property
    def is_alarmed(self) -> bool:
        """The kind that a summary counts as "unprotected"."""
        return self is PositionState.UNPROTECTED


class UnprotectedReason(StrEnum):
    """Why a position is UNPROTECTED."""

    NO_PRICE = "no_price"
    NOT_ARMED = "not_armed"
    NO_LEVELS = "no_levels"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionFacts:
    """What is known of one position's protection.

    `is_native_live`: the venue confirmed protective orders of ours for all that can be sold, and none is in
    doubt. `is_watch_armed`: stop and target stand in the watch, or an exit of ours is under way under it.
    `price_age_ms` None: no price was ever confirmed. `is_removed_by_user`: the user cancelled it twice.
    """

    is_credential_usable: bool
    is_trading: bool
    is_dust: bool
    has_levels: bool
    is_native_live: bool
    is_watch_armed: bool
    price_age_ms: int | None
    is_blocked_by_user: bool = False
    is_removed_by_user: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A position's state; `reason` is set for UNPROTECTED alone."""

    state: PositionState
    reason: UnprotectedReason | None = None


def classify(facts: ProtectionFacts) -> Standing:
    """Say in which one state a position is: the first that applies, in this order.

    BLIND, DUST, HALTED, native, BLOCKED, removed by the user, watched, unprotected. Without a key we cannot
    know what stands at the venue, so BLIND comes first.
    """
    conditions = (
        (not facts.is_credential_usable, PositionState.BLIND),
        (facts.is_dust, PositionState.DUST),
        (not facts.is_trading, PositionState.HALTED),
        (facts.is_native_live, PositionState.PROTECTED_NATIVE),
        (facts.is_blocked_by_user, PositionState.BLOCKED_BY_YOUR_ORDER),
        (facts.is_removed_by_user, PositionState.UNPROTECTED_BY_YOU),
    )
    named = next((state for applies, state in conditions if applies), None)
    return Standing(named) if named is not None else _watched(facts)


def _watched(facts: ProtectionFacts) -> Standing:
    if not facts.has_levels:
        return Standing(PositionState.UNPROTECTED, UnprotectedReason.NO_LEVELS)
    if not facts.is_watch_armed:
        return Standing(PositionState.UNPROTECTED, UnprotectedReason.NOT_ARMED)
    if facts.price_age_ms is None or facts.price_age_ms > WATCH_PRICE_AGE_MS_MAX:
        return Standing(PositionState.UNPROTECTED, UnprotectedReason.NO_PRICE)
    return Standing(PositionState.PROTECTED_WATCHED)
