"""`tradewind bench exits`: native protection for many positions at once, then all of them sold by an emergency stop.

The platform runs whole in this process but for its web server, against the responder in another one. Positions are
opened by one signal first, with their native protection held back, so that each part is timed by itself. CPU is this
process's own, user and system, of all its threads.
"""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tradewind.app import App
from tradewind.bench.child import issue_keys, set_latency, venue
from tradewind.bench.fanout import Bed, percentile, prepare, running
from tradewind.bench.now import CLOCK
from tradewind.bench.population import Population
from tradewind.bench.responder import BASES, loop_factory
from tradewind.bench.watcher import cpu_s
from tradewind.core.ids import AccountId
from tradewind.core.money import Asset
from tradewind.core.order import Leg, OrderState
from tradewind.core.plan import PlanName
from tradewind.core.signal import Action, DraftSignal
from tradewind.execution.emergency import Stopped, StopRequest
from tradewind.execution.emergency_store import PLATFORM, Policy, find_stop
from tradewind.execution.outcomes import Moved
from tradewind.infra.db import Tx
from tradewind.infra.ids import RandomIds
from tradewind.portfolio.service import open_lots
from tradewind.signals import service as signals
from tradewind.signals.service import Alert

_LOOK_S = 0.02
_QUIET_S = 60.0


@dataclass(frozen=True, slots=True)
class WantedExits:
    """What to run; `database`: the address of one empty database, else a SQLite file of its own."""

    accounts: int
    latency_ms: int = 0
    database: str | None = None
    within_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Part:
    """How long one part took for all accounts; p50 and p99 are when an account had it. CPU in us per account."""

    accounts: int
    is_complete: bool
    all_ms: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_account: float


@dataclass(slots=True)
class _Marks:
    """When each account came to some point, as the recorder announced it."""

    wanted: int
    leg: Leg
    state: OrderState
    started: float = field(default_factory=CLOCK.monotonic)
    cpu: float = field(default_factory=cpu_s)
    at: dict[AccountId, float] = field(default_factory=dict)
    is_done: asyncio.Event = field(default_factory=asyncio.Event)
    ended: tuple[float, float] = (0.0, 0.0)

    def on_moved(self, moved: Sequence[Moved]) -> None:
        """Take what the recorder announces, after its commit."""
        for move in moved:
            if (move.after.leg, move.after.state) == (self.leg, self.state):
                self.at.setdefault(move.after.account_id, CLOCK.monotonic())
        if len(self.at) >= self.wanted and not self.is_done.is_set():
            self.ended = (CLOCK.monotonic(), cpu_s())
            self.is_done.set()

    def part(self) -> Part:
        """Say what was measured; where it did not end in its time, up to now."""
        ended, cpu = self.ended if self.is_done.is_set() else (CLOCK.monotonic(), cpu_s())
        times = sorted((at - self.started) * 1_000 for at in self.at.values())
        return Part(
            accounts=len(self.at),
            is_complete=self.is_done.is_set(),
            all_ms=round((ended - self.started) * 1_000, 1),
            p50_ms=round(percentile(times, 50), 1),
            p99_ms=round(percentile(times, 99), 1),
            cpu_us_per_account=round((cpu - self.cpu) / max(1, len(self.at)) * 1e6, 1),
        )


def run(wanted: WantedExits) -> dict[str, Any]:
    """Run it and return the figures."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run(wanted))


async def _run(wanted: WantedExits) -> dict[str, Any]:
    async with venue("responder") as place:
        keys = await issue_keys(place, wanted.accounts)
        with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as name:
            folder = Path(name)
            bed = Bed(folder, wanted.database or f"sqlite:///{folder / 'data' / 'tradewind.db'}")
            population = await asyncio.to_thread(prepare, bed, keys, (PlanName.ENTERPRISE,))
            async with running(bed, place) as app:
                await set_latency(place, wanted.latency_ms)
                figures = await _measure(app, population, wanted)
    return {
        "bench": "exits",
        "machine": {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.platform()},
        "database": "sqlite" if wanted.database is None else wanted.database.split(":", 1)[0],
        "latency_ms": wanted.latency_ms,
        "accounts": wanted.accounts,
        **figures,
    }


async def _measure(app: App, population: Population, wanted: WantedExits) -> dict[str, Any]:
    rounds = app.engine.protector.rounds
    goes_on = rounds.stands_aside
    rounds.stands_aside = lambda _key: True
    bought = _marks(app, wanted.accounts, Leg.ENTRY, OrderState.FILLED)
    await _open(app, population)
    await _wait(app, bought, wanted.within_s)
    held = len(await app.db.read(open_lots))
    protected = _marks(app, held, Leg.STOP, OrderState.ACCEPTED)
    rounds.stands_aside = goes_on
    await _wait(app, protected, wanted.within_s)
    await _quiet(app)
    sold = _marks(app, held, Leg.EXIT, OrderState.FILLED)
    await _flatten(app)
    await _wait(app, sold, wanted.within_s)
    settled_ms = await _settled_ms(app, sold, wanted.within_s)
    left = len(await app.db.read(open_lots))
    return {
        "entries": asdict(bought.part()),
        "native_protection": asdict(protected.part()),
        "flatten": {**asdict(sold.part()), "settled_ms": settled_ms, "positions_left": left},
    }


def _marks(app: App, wanted: int, leg: Leg, state: OrderState) -> _Marks:
    marks = _Marks(wanted, leg, state)
    app.engine.recorder.listeners.append(marks.on_moved)
    return marks


async def _wait(app: App, marks: _Marks, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await marks.is_done.wait()
    except TimeoutError:
        # What came through is told, and that it was not all.
        pass
    finally:
        app.engine.recorder.listeners.remove(marks.on_moved)


async def _quiet(app: App) -> None:
    """Wait until nothing is looked after: what protection leaves to be done is not the exits' cost."""
    async with asyncio.timeout(_QUIET_S):
        while not app.engine.protector.rounds.is_idle:
            await CLOCK.sleep(_LOOK_S)


async def _open(app: App, population: Population) -> None:
    now = app.clock.now()
    draft = DraftSignal(
        action=Action.OPEN, base=Asset(BASES[0]), quote=Asset("USDT"), symbol_text=f"{BASES[0]}USDT", alert_at=now
    )
    alert = Alert(draft, f"bench-exits-{now.timestamp()}", "bench", "{}")
    ids = RandomIds(app.clock)
    await app.db.write(lambda tx: signals.accept(tx, ids, population.source_id, [alert], now))


async def _flatten(app: App) -> None:
    wanted = StopRequest(PLATFORM, Policy.FLATTEN, "bench", "bench")
    desk = app.emergency.desk

    def stop(tx: Tx) -> Stopped:
        return desk.emergency.stop(tx, wanted)

    await desk.stop(wanted, stop)


async def _settled_ms(app: App, sold: _Marks, within_s: float) -> float | None:
    """When the stop said that all is done; None where it did not in time."""
    until = CLOCK.monotonic() + within_s
    while CLOCK.monotonic() < until:
        row = await app.db.read(lambda tx: find_stop(tx, PLATFORM))
        if row is not None and row.is_settled:
            return round((CLOCK.monotonic() - sold.started) * 1_000, 1)
        await CLOCK.sleep(_LOOK_S)
    return None
