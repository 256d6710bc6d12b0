"""`tradewind bench fanout`: every run of it, one after the other, as one JSON-able answer."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tradewind.bench import peers
from tradewind.bench.child import Place, counts, issue_keys, set_latency, venue
from tradewind.bench.fanout import Bed, FanoutFigures, prepare, running, send_signal
from tradewind.bench.keys import Key
from tradewind.bench.profile import Profile
from tradewind.bench.responder import BASES, loop_factory
from tradewind.core.plan import PlanName

_ALL_PRO = (PlanName.ENTERPRISE,)
# As a platform in use might look: most are on the plan that waits a second.
_MIXED = (PlanName.FLEX, PlanName.PRO, PlanName.FLEX, PlanName.TRIAL, PlanName.ENTERPRISE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run."""

    accounts: int
    simulator_accounts: int
    latencies_ms: Sequence[int]
    idle_accounts: int
    database: str | None = None
    with_peers: bool = True
    with_mixed: bool = True
    # How long one signal is followed at most.
    within_s: float = 300.0
    # Sample what every thread does, for the costs that are biggest.
    with_profile: bool = False


def run(wanted: Wanted) -> dict[str, Any]:
    """Run everything and return the figures."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run(wanted))


async def _run(wanted: Wanted) -> dict[str, Any]:
    if wanted.database is not None:
        # One empty database serves one platform.
        alone = replace(wanted, latencies_ms=wanted.latencies_ms[-1:], simulator_accounts=0)
        wanted = replace(alone, idle_accounts=0, with_mixed=False)
    result: dict[str, Any] = {
        "bench": "fanout",
        "machine": {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.platform()},
        "database": "sqlite" if wanted.database is None else wanted.database.split(":", 1)[0],
        "runs": [],
    }
    for latency_ms in wanted.latencies_ms:
        result["runs"].append(await _one("responder", wanted, wanted.accounts, latency_ms, _ALL_PRO))
    if wanted.with_mixed and wanted.accounts:
        latency_ms = wanted.latencies_ms[-1]
        result["mixed"] = await _one(
            "responder", replace(wanted, with_peers=False), wanted.accounts, latency_ms, _MIXED
        )
    if wanted.simulator_accounts:
        for latency_ms in wanted.latencies_ms:
            simulated = replace(wanted, with_peers=False)
            result["runs"].append(await _one("simulator", simulated, wanted.simulator_accounts, latency_ms, _ALL_PRO))
    if wanted.idle_accounts:
        result["idle"] = await _idle(wanted)
    return result


async def _one(name: str, wanted: Wanted, accounts: int, latency_ms: int, plans: Sequence[PlanName]) -> dict[str, Any]:
    """A cold and a warm signal through a fresh platform, and the peers on the same venue."""
    async with venue(name) as place:
        keys = await issue_keys(place, accounts)
        with _bed(wanted) as bed:
            profiles = (Profile(), Profile()) if wanted.with_profile else (None, None)
            cold, warm = await _two_signals(bed, place, keys, (latency_ms, wanted.within_s), plans, profiles)
        row: dict[str, Any] = {
            "venue": name,
            "latency_ms": latency_ms,
            "accounts": accounts,
            "cold": asdict(cold),
            "warm": asdict(warm),
        }
        if profiles[1] is not None:
            row["profile"] = profiles[1].rows(warm.placed)
        if name == "responder":
            row["venue_counts"] = await counts(place)
            if wanted.with_peers:
                row["peers"] = await _peers(place, keys, warm)
        return row


async def _two_signals(
    bed: Bed,
    place: Place,
    keys: Sequence[Key],
    times: tuple[int, float],
    plans: Sequence[PlanName],
    profiles: tuple[Profile | None, Profile | None],
) -> tuple[FanoutFigures, FanoutFigures]:
    """`times`: the venue's latency in ms, and for how many seconds a signal is followed at most."""
    latency_ms, within_s = times
    population = await asyncio.to_thread(prepare, bed, keys, plans)
    async with running(bed, place) as app:
        await set_latency(place, latency_ms)
        cold = await send_signal(app, population, BASES[0], within_s, profile=profiles[0])
        return cold, await send_signal(app, population, BASES[1], within_s, profile=profiles[1])


async def _peers(place: Place, keys: Sequence[Key], warm: FanoutFigures) -> dict[str, Any]:
    bare = await peers.bare_client(place, keys, 500)
    ccxt = await peers.ccxt_client(place, keys)
    return {
        "bare_client": asdict(bare),
        "ccxt_async": None if ccxt is None else asdict(ccxt),
        "rate_to_bare_client": round(warm.orders_per_s / bare.orders_per_s, 3),
        "cpu_to_bare_client": round(warm.cpu_us_per_order / bare.cpu_us_per_order, 2),
        "cpu_to_ccxt": None if ccxt is None else round(warm.cpu_us_per_order / ccxt.cpu_us_per_order, 2),
    }


async def _idle(wanted: Wanted) -> dict[str, Any]:
    """Resident memory with one account and with many: the difference is theirs."""
    sizes = []
    async with venue("responder") as place:
        for accounts in (1, 1 + wanted.idle_accounts):
            with _bed(wanted) as bed:
                await asyncio.to_thread(prepare, bed, await issue_keys(place, accounts), _ALL_PRO)
                sizes.append(await _resident(bed, place))
    share = sizes[1] - sizes[0]
    return {
        "accounts": wanted.idle_accounts,
        "platform_mib": round(sizes[0] / 2**20, 1),
        "kib_per_1000_accounts": round(share / 1_024 * 1_000 / wanted.idle_accounts, 1),
        "kib_per_account": round(share / 1_024 / wanted.idle_accounts, 2),
    }


async def _resident(bed: Bed, place: Place) -> int:
    asked = json.dumps({"folder": str(bed.folder), "database": bed.database, "place": asdict(place)})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tradewind.bench.idle", asked, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return int(output)


@contextmanager
def _bed(wanted: Wanted) -> Iterator[Bed]:
    """A folder of its own for one platform; its database goes with it."""
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as name:
        folder = Path(name)
        yield Bed(folder, wanted.database or f"sqlite:///{folder / 'data' / 'tradewind.db'}")
