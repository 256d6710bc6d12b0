"""A restart with business open at the venue: how long until each account is in order, beside what its limits allow.

A first platform buys and protects, through signals like any other, until so many orders rest at the venue; then it
ends. A second one is started in a process of its own, at a venue that now limits request weight as Binance does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tradewind.bench import child
from tradewind.bench.fanout import Bed, prepare, running, send_signal
from tradewind.bench.keys import Key
from tradewind.bench.now import CLOCK
from tradewind.bench.population import Population
from tradewind.bench.responder import BASES, loop_factory
from tradewind.core.errors import InvalidInput, Unavailable
from tradewind.core.plan import PlanName

# A stop and a target for each position.
_LEGS = 2
_SIGNAL_S = 600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run. `weight_a_minute`: what the venue takes from one address after the restart."""

    accounts: int = 1_000
    orders: int = 5_000
    latency_ms: int = 20
    weight_a_minute: int = 6_000
    database: str | None = None
    within_s: float = 1_800.0
    log_level: str = "ERROR"


def run(wanted: Wanted) -> dict[str, Any]:
    """Run it; return one JSON object. Raises InvalidInput for more orders than the accounts can have resting."""
    if not _LEGS <= wanted.orders <= wanted.accounts * _LEGS * len(BASES):
        most = wanted.accounts * _LEGS * len(BASES)
        raise InvalidInput("bench_orders", f"Between {_LEGS} and {most:,} orders for {wanted.accounts:,} accounts.")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run(wanted))


async def _run(wanted: Wanted) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as name:
        folder = Path(name)
        bed = Bed(folder, wanted.database or f"sqlite:///{folder / 'data' / 'tradewind.db'}")
        async with child.venue("limited") as place:
            resting = await _trade(wanted, bed, place, await child.issue_keys(place, wanted.accounts))
            await child.set_latency(place, wanted.latency_ms)
            await child.set_weight(place, wanted.weight_a_minute)
            started_at = CLOCK.now()
            found = await _restarted(wanted, bed, place)
            return _figures(wanted, resting, started_at, found, await child.used(place))


async def _trade(wanted: Wanted, bed: Bed, place: child.Place, keys: Sequence[Key]) -> int:
    """Buy and protect until enough rests at the venue; return how many orders do."""
    rounds, rest = divmod(wanted.orders // _LEGS, wanted.accounts)
    population = await asyncio.to_thread(prepare, bed, keys, [PlanName.ENTERPRISE], rest)
    bought = 0
    async with running(bed, place) as app:
        for number, base in enumerate(BASES[: rounds + bool(rest)]):
            source = population if number < rounds else _of_some(population)
            figures = await send_signal(app, source, base, _SIGNAL_S)
            if not figures.is_complete:
                raise Unavailable("bench_business", f"Not everybody bought {base} in time: {figures.states}.")
            bought += figures.placed
    return bought * _LEGS


def _of_some(population: Population) -> Population:
    assert population.source_of_some is not None
    return replace(population, source_id=population.source_of_some)


async def _restarted(wanted: Wanted, bed: Bed, place: child.Place) -> dict[str, Any]:
    asked = {
        "folder": str(bed.folder),
        "database": bed.database,
        "place": asdict(place),
        "accounts": wanted.accounts,
        "within_s": wanted.within_s,
        "log": wanted.log_level,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tradewind.bench.restarted", json.dumps(asked)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise Unavailable("bench_restart", "The platform that was started anew ended badly.")
    return dict(json.loads(output))


def _figures(
    wanted: Wanted, resting: int, started_at: datetime, found: dict[str, Any], used: dict[str, Any]
) -> dict[str, Any]:
    def since(moment: str) -> float:
        return round((datetime.fromisoformat(moment) - started_at).total_seconds(), 2)

    green = [since(each) for each in found["green_at"]]
    last, computed = max(green, default=None), found["computed_s"]
    return {
        "accounts": wanted.accounts,
        "open_orders": resting,
        "database": "postgresql" if (wanted.database or "").startswith("postgresql") else "sqlite",
        "latency_ms": wanted.latency_ms,
        "weight_a_minute": wanted.weight_a_minute,
        "green": len(green),
        "waiting": found["waiting"],
        "ready_s": since(found["ready_at"]),
        "first_green_s": min(green, default=None),
        "half_green_s": sorted(green)[len(green) // 2] if green else None,
        "all_green_s": last,
        "computed_s": computed,
        "ratio": None if last is None or computed is None else round(last / (computed + 1), 2),
        "looks": found["looks"],
        "orders_compared": found["orders"],
        "positions_compared": found["positions"],
        "differences": found["differences"],
        "weight_computed": found["weight_computed"],
        "weight_of_looks": found["weight"],
        "weight_used": used,
        "cpu_until_ready_s": found["cpu_ready_s"],
        "cpu_s": found["cpu_s"],
        "cpu_ms_per_account": round(found["cpu_s"] * 1_000 / wanted.accounts, 2),
    }
