"""Stop and target of an entry, from the signal within the mandate's limits, else the mandate's own.

Rules of this file (product.md S1, E4):
1. The source's stop and nearest target are obeyed; a distance outside the mandate's limits is moved to the limit.
2. A price in another quote than the instrument's (BTCKRW alert, USDT account) is not a price here. Its
   DISTANCE from the signal's own price is used; without such a price the mandate's percentages apply.
3. A source's stop at or above the price, or target at or below it, means the moment has passed: no entry.
4. The stop goes up to the tick and the target down to it: both trigger no later than asked. Stop < price <
   target always holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import NamedTuple

from tradewind.core.instrument import Instrument
from tradewind.core.mandate import Mandate
from tradewind.core.money import BPS, EXACT, ONE, ZERO, Asset, Price
from tradewind.core.signal import Signal
from tradewind.core.skip import SkipReason
from tradewind.core.symbols import USD_LIKE
from tradewind.core.working import Step, step


@dataclass(frozen=True, slots=True)
class Levels:
    """Where the position ends, and who said so."""

    stop: Price
    target: Price
    working: Step


@dataclass(frozen=True, slots=True)
class NoLevels:
    """Why no stop and target can be set: STOP_PASSED, TARGET_PASSED or NO_ROOM_FOR_STOP."""

    reason: SkipReason
    working: Step


class Distances(NamedTuple):
    """What a mandate says about stops and targets, in hundredths of a percent."""

    stop_bps: int
    target_bps: int
    min_stop_bps: int
    max_stop_bps: int
    min_target_bps: int
    max_target_bps: int


def entry_levels(signal: Signal, mandate: Mandate, instrument: Instrument, price: Price) -> Levels | NoLevels:
    """Set stop and target for a buy at `price`."""
    return _levels(signal, distances_of(mandate), instrument, price)


def distances_of(mandate: Mandate) -> Distances:
    """Return what a mandate says about stops and targets."""
    return Distances(
        mandate.stop_bps,
        mandate.target_bps,
        mandate.min_stop_bps,
        mandate.max_stop_bps,
        mandate.min_target_bps,
        mandate.max_target_bps,
    )


# Most mandates say the same: one signal asks for the same levels thousands of times.
@lru_cache(maxsize=256)
def _levels(signal: Signal, mandate: Distances, instrument: Instrument, price: Price) -> Levels | NoLevels:
    stop_bps, stop_by = _stop_distance(signal, mandate, instrument.quote, price)
    if stop_bps <= ZERO:
        said = step("levels", price=_in(price, instrument), stop=stop_by, distance=_percent(stop_bps))
        return NoLevels(SkipReason.STOP_PASSED, said)
    target_bps, target_by = _target_distance(signal, mandate, instrument.quote, price)
    if target_bps <= ZERO:
        said = step("levels", price=_in(price, instrument), target=target_by, distance=_percent(target_bps))
        return NoLevels(SkipReason.TARGET_PASSED, said)
    stop_bps = _within(stop_bps, mandate.min_stop_bps, mandate.max_stop_bps)
    target_bps = _within(target_bps, mandate.min_target_bps, mandate.max_target_bps)
    stop = _stop_on_tick(instrument, price, EXACT.multiply(price.value, ONE - stop_bps / BPS))
    if stop is None:
        return NoLevels(
            SkipReason.NO_ROOM_FOR_STOP,
            step("levels", price=_in(price, instrument), tick=f"{instrument.tick} {instrument.quote}"),
        )
    target = _target_on_tick(instrument, price, EXACT.multiply(price.value, ONE + target_bps / BPS))
    said = step(
        "levels",
        price=_in(price, instrument),
        stop=f"{_in(stop, instrument)} (-{_percent(stop_bps)}, {stop_by})",
        target=f"{_in(target, instrument)} (+{_percent(target_bps)}, {target_by})",
    )
    return Levels(stop, target, said)


def default_levels(mandate: Mandate, instrument: Instrument, price: Price) -> tuple[Price, Price] | None:
    """Set stop and target by the mandate alone; None where the market's tick leaves no room for a stop."""
    stop = _stop_on_tick(instrument, price, EXACT.multiply(price.value, ONE - mandate.stop_bps / BPS))
    if stop is None:
        return None
    target = EXACT.multiply(price.value, ONE + mandate.target_bps / BPS)
    return stop, _target_on_tick(instrument, price, target)


def is_comparable(signal_quote: Asset | None, quote: Asset) -> bool:
    """Say whether a price in the signal's quote is a price in ours; dollars of all kinds are."""
    if signal_quote is None or signal_quote == quote:
        return True
    return signal_quote in USD_LIKE and quote in USD_LIKE


def _stop_distance(signal: Signal, mandate: Distances, quote: Asset, price: Price) -> tuple[Decimal, str]:
    if signal.stop is not None:
        reference = _reference(signal, quote, price)
        if reference is not None:
            return -_distance_bps(signal.stop, reference), "source"
    if signal.stop_bps is not None:
        return Decimal(signal.stop_bps), "source"
    return Decimal(mandate.stop_bps), "mandate"


def _target_distance(signal: Signal, mandate: Distances, quote: Asset, price: Price) -> tuple[Decimal, str]:
    if signal.targets:
        reference = _reference(signal, quote, price)
        if reference is not None:
            return _distance_bps(min(signal.targets), reference), "source"
    if signal.target_bps is not None:
        return Decimal(signal.target_bps), "source"
    return Decimal(mandate.target_bps), "mandate"


def _reference(signal: Signal, quote: Asset, price: Price) -> Price | None:
    """The price that the signal's levels are measured from: ours if comparable, else the signal's own."""
    return price if is_comparable(signal.quote, quote) else signal.price


def _distance_bps(level: Price, price: Price) -> Decimal:
    return EXACT.multiply(EXACT.divide(EXACT.subtract(level.value, price.value), price.value), BPS)


def _within(bps: Decimal, low: int, high: int) -> Decimal:
    return min(max(bps, Decimal(low)), Decimal(high))


def _stop_on_tick(instrument: Instrument, price: Price, value: Decimal) -> Price | None:
    stop = instrument.ceil_price(Price(value))
    if stop < price:
        return stop
    below = instrument.floor_price(price).value
    if below >= price.value:
        below = EXACT.subtract(below, instrument.tick)
    return Price(below) if ZERO < below < price.value else None


def _target_on_tick(instrument: Instrument, price: Price, value: Decimal) -> Price:
    target = instrument.floor_price(Price(value))
    if target > price:
        return target
    above = instrument.ceil_price(price)
    return above if above > price else Price(EXACT.add(above.value, instrument.tick))


def _in(price: Price, instrument: Instrument) -> str:
    return f"{price} {instrument.quote}"


def _percent(bps: Decimal) -> str:
    return f"{EXACT.divide(bps, Decimal(100)).quantize(Decimal('0.01'), rounding=ROUND_HALF_EVEN)} %"
