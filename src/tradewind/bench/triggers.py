"""Watched stops and targets against a tape of ticks: the index, and three other ways of doing the same.

The tape moves every symbol inside the band where nothing is reached (a tick that hits nothing is what a
watch sees nearly always), then a second tape crashes through the levels and back. The peers do the same
comparison: every position one by one as Python objects, one symbol's arrays with numpy where it is
installed, and two bare comparisons with nothing around them, which is the ceiling.
"""

from __future__ import annotations

import gc
import importlib
import os
import platform
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter_ns
from typing import Any

from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import Price
from tradewind.execution.watch import Armed, Place, Watch

SIZES = (1_000, 10_000, 100_000)
_SYMBOLS = 200
_TICKS = 200_000
_CRASH_TICKS = 20_000
_BASE = 10_000
# Stops lie 1-6 % below and targets 1-9 % above; the quiet tape stays within 0.8 %.
_QUIET_TICKS_MAX = 80
_CRASH_TICKS_MAX = 1_000
_NAIVE_S_MAX = 2.0
_CENT = Decimal("0.01")
_ROUNDS = 3

Tick = tuple[Place, Price]
Armings = Sequence[tuple[Place, Armed]]


@dataclass(slots=True)
class _Held:
    """A position as a program that simply loops keeps it."""

    symbol: str
    stop: Decimal
    target: Decimal


def run(positions_max: int, *, seed: int = 1) -> dict[str, Any]:
    """Time everything for 1,000, 10,000 and 100,000 positions, up to `positions_max`."""
    sizes = sorted({size for size in SIZES if size < positions_max} | {positions_max})
    rows = [_row(size, random.Random(seed)) for size in sizes]  # noqa: S311 - a tape, not a secret
    first, last = rows[0]["ticks_per_s"], rows[-1]["ticks_per_s"]
    return {
        "bench": "triggers",
        "seed": seed,
        "machine": {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.platform()},
        "symbols": _SYMBOLS,
        "rows": rows,
        "rate_at_most_to_fewest_positions": round(last / first, 2),
    }


def _row(positions: int, rng: random.Random) -> dict[str, Any]:
    places: list[Place] = [(BINANCE, Environment.PAPER, f"COIN{number:04}USDT") for number in range(_SYMBOLS)]
    armings = _armings(positions, places, rng)
    quiet, crash = _tape(places, rng, _TICKS, _QUIET_TICKS_MAX), _tape(places, rng, _CRASH_TICKS, _CRASH_TICKS_MAX)
    watch = Watch()
    arm_ns = _time_once(lambda: _arm_all(watch, armings)) / positions
    index_ns = _best(lambda: _ticks(watch.on_price, quiet)) / len(quiet)
    ceiling = _ceiling(armings)
    ceiling_ns = _best(lambda: _ticks(ceiling, quiet)) / len(quiet)
    crossings = 0

    def crashing() -> None:
        nonlocal crossings
        crossings = sum(len(watch.on_price(place, price)) for place, price in crash)

    crash_ns = _time_once(crashing)
    disarm_ns = _time_once(lambda: _disarm_all(watch, armings)) / positions
    naive_ns, numpy_ns = _naive(armings, quiet), _numpy(armings, quiet)
    return {
        "positions": positions,
        "ticks": len(quiet),
        "ticks_per_s": round(1e9 / index_ns),
        "ns_per_tick": round(index_ns, 1),
        "crash": {
            "ticks": len(crash),
            "levels_crossed": crossings,
            "ns_per_level": round(crash_ns / max(1, crossings), 1),
            "ticks_per_s": round(1e9 * len(crash) / crash_ns),
        },
        "arm_ns": round(arm_ns),
        "disarm_ns": round(disarm_ns),
        "peers": {
            "two_comparisons_ns": round(ceiling_ns, 1),
            "python_objects_ns": round(naive_ns, 1),
            "numpy_one_symbol_ns": None if numpy_ns is None else round(numpy_ns, 1),
        },
        "times_the_ceiling": round(index_ns / ceiling_ns, 2),
        "times_faster_than_objects": round(naive_ns / index_ns, 1),
        "times_faster_than_numpy": None if numpy_ns is None else round(numpy_ns / index_ns, 1),
    }


def _armings(positions: int, places: Sequence[Place], rng: random.Random) -> Armings:
    return [
        (
            places[number % len(places)],
            Armed(
                f"lot{number}",
                Price((_BASE - rng.randint(100, 600)) * _CENT),
                Price((_BASE + rng.randint(100, 900)) * _CENT),
            ),
        )
        for number in range(positions)
    ]


def _tape(places: Sequence[Place], rng: random.Random, length: int, ticks_max: int) -> list[Tick]:
    """Walk every symbol at random within its band."""
    at = dict.fromkeys(places, 0)
    tape = []
    for _ in range(length):
        place = rng.choice(places)
        step = rng.randint(-ticks_max // 4, ticks_max // 4)
        at[place] = max(-ticks_max, min(ticks_max, at[place] + step))
        tape.append((place, Price((_BASE + at[place]) * _CENT)))
    return tape


def _arm_all(watch: Watch, armings: Armings) -> None:
    for place, armed in armings:
        watch.arm(place, armed)


def _disarm_all(watch: Watch, armings: Armings) -> None:
    for _, armed in armings:
        watch.disarm(armed.lot_id)


def _ticks(on_price: Callable[[Place, Price], Any], tape: Sequence[Tick]) -> None:
    for place, price in tape:
        on_price(place, price)


# --- peers -----------------------------------------------------------------------------------------


def _ceiling(armings: Armings) -> Callable[[Place, Price], bool]:
    """Two comparisons with the best thresholds of the symbol, kept by nobody: what no index can beat."""
    low: dict[Place, Decimal] = {}
    high: dict[Place, Decimal] = {}
    for place, armed in armings:
        assert armed.stop is not None
        assert armed.target is not None
        low[place] = max(low.get(place, armed.stop.value), armed.stop.value)
        high[place] = min(high.get(place, armed.target.value), armed.target.value)
    bands = {place: (low[place], high[place]) for place in low}

    def on_price(place: Place, price: Price) -> bool:
        low_at, high_at = bands[place]
        return low_at < price.value < high_at

    return on_price


def _naive(armings: Armings, tape: Sequence[Tick]) -> float:
    """Every position is looked at on every tick, as freqtrade and most bots do."""
    held = [
        _Held(place[2], armed.stop.value, armed.target.value)
        for place, armed in armings
        if armed.stop is not None and armed.target is not None
    ]

    def on_price(place: Place, price: Price) -> list[_Held]:
        symbol, value = place[2], price.value
        return [each for each in held if each.symbol == symbol and (value <= each.stop or value >= each.target)]

    return _per_tick(on_price, tape)


def _numpy(armings: Armings, tape: Sequence[Tick]) -> float | None:
    """One symbol's stops and targets as two arrays of floats; None where numpy is not installed."""
    try:
        numpy: Any = importlib.import_module("numpy")
    except ImportError:
        return None
    by_place: dict[Place, list[Armed]] = {}
    for place, armed in armings:
        by_place.setdefault(place, []).append(armed)
    arrays = {
        place: (
            numpy.array([float(each.stop.value) for each in found if each.stop is not None]),
            numpy.array([float(each.target.value) for each in found if each.target is not None]),
        )
        for place, found in by_place.items()
    }

    def on_price(place: Place, price: Price) -> bool:
        stops, targets = arrays[place]
        value = float(price.value)
        return bool((value <= stops).any() or (value >= targets).any())

    return _per_tick(on_price, tape)


# --- timing ----------------------------------------------------------------------------------------


def _per_tick(on_price: Callable[[Place, Price], Any], tape: Sequence[Tick]) -> float:
    """Time a slow peer over as much of the tape as fits the time it is given."""
    began, done = perf_counter_ns(), 0
    for place, price in tape:
        on_price(place, price)
        done += 1
        if perf_counter_ns() - began > _NAIVE_S_MAX * 1e9:
            break
    return (perf_counter_ns() - began) / done


def _time_once(work: Callable[[], Any]) -> float:
    gc.collect()
    began = perf_counter_ns()
    work()
    return float(perf_counter_ns() - began)


def _best(work: Callable[[], Any]) -> float:
    """The fastest of a few rounds: the others waited for the machine."""
    return min(_time_once(work) for _ in range(_ROUNDS))
