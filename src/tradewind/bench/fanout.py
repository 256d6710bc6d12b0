"""One signal to N accounts through the real platform, timed from its acceptance to the last acknowledgement recorded.

The platform runs whole in this process but for its web server: inbox, worker, journal, fan-out, recorder, outbox,
streams, protection. The venue is another process. CPU is this process's own, user and system.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tradewind.app import App, build
from tradewind.bench.child import Place
from tradewind.bench.keys import Key
from tradewind.bench.now import CLOCK
from tradewind.bench.population import Population, populate
from tradewind.bench.profile import Profile
from tradewind.bench.watcher import Watcher, cpu_s
from tradewind.config import Settings
from tradewind.config.settings import DepthSettings, VenueSection
from tradewind.core.errors import Unavailable
from tradewind.core.ids import OrderId, SignalId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import Asset
from tradewind.core.order import Order, OrderState
from tradewind.core.plan import DEFAULT_PLANS, PlanName
from tradewind.core.signal import Action, DraftSignal
from tradewind.infra.heap import settle_heap
from tradewind.infra.ids import RandomIds
from tradewind.signals import service as signals
from tradewind.signals.service import Alert

_READY_S = 600.0
# Quiet is when nothing was written for this long: the first look at every account is over.
_QUIET_S = 1.0


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late a plan's entries were signed, and acknowledged, after their release time; ms."""

    plan: str
    accounts: int
    signed_p50_ms: float
    signed_p99_ms: float
    acknowledged_p99_ms: float


@dataclass(frozen=True, slots=True)
class FanoutFigures:
    """One signal's figures. Times in ms from the commit of its acceptance; CPU in microseconds per order.

    `is_complete` is False where the time allowed was over before everything was answered and protected: the times
    are then of what was. Rates and CPU count the orders that were answered by the venue, `denied` ones do not.
    """

    accounts: int
    placed: int
    states: dict[str, int]
    skipped: dict[str, int]
    denied: dict[str, int]
    is_complete: bool
    intents_durable_ms: float
    decide_ms: float
    record_ms: float
    last_acknowledged_ms: float
    recorded_p50_ms: float
    recorded_p99_ms: float
    orders_per_s: float
    cpu_us_per_order: float
    all_protected_ms: float | None
    lateness: tuple[Lateness, ...]


@dataclass(frozen=True, slots=True)
class Bed:
    """Where a platform of the bench keeps its files."""

    folder: Path
    database: str

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def kek(self) -> Path:
        return self.folder / "kek"


def prepare(bed: Bed, keys: Sequence[Key], plans: Sequence[PlanName], some: int = 0) -> Population:
    """Make the database and everybody in it; blocks."""
    bed.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return populate(bed.database, bed.kek, bed.data, keys, plans, some)


@asynccontextmanager
async def running(bed: Bed, place: Place) -> AsyncIterator[App]:
    """Run the platform on a venue; every account is followed and has been looked at when it is handed over."""
    app = build(settings_of(bed, place))
    platform = asyncio.create_task(app.run(), name="platform")
    try:
        await _until_ready(app, platform)
        yield app
    finally:
        platform.cancel()
        await asyncio.gather(platform, return_exceptions=True)


def settings_of(bed: Bed, place: Place) -> Settings:
    """Return the settings of a platform of the bench."""
    section = VenueSection(rest_url=place.rest_url, ws_api_url=place.ws_api_url, stream_url=place.stream_url)
    # The depth check would slice the fan-out by a book that is modelled: waiting would be timed, not work.
    off = DepthSettings(enabled=False)
    base = Settings(data_dir=bed.data, kek_file=bed.kek, database=bed.database, depth=off)
    return replace(
        base,
        venues={
            (BINANCE, Environment.PAPER): section,
            (BINANCE, Environment.TESTNET): VenueSection(enabled=False),
            (BINANCE, Environment.LIVE): VenueSection(enabled=False),
        },
    )


async def _until_ready(app: App, platform: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(app.is_ready.wait())
    done, _ = await asyncio.wait({ready, platform}, timeout=_READY_S, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if platform in done:
        await platform
    if ready not in done:
        raise Unavailable("bench_platform", f"The platform was not ready within {_READY_S:.0f} s.")
    await _until_reconciled(app)
    # As `serve` does it.
    settle_heap()


async def _until_reconciled(app: App) -> None:
    """Wait until every account was looked at and may enter, and the venue is asked nothing more."""
    client = app.venues.all()[0]
    quiet_since, used = CLOCK.monotonic(), -1
    async with asyncio.timeout(_READY_S):
        while CLOCK.monotonic() - quiet_since < _QUIET_S:
            await asyncio.sleep(0.1)
            now_used = client.health().used_weight or 0
            if now_used != used or any(each.weight for each in app.engine.recovery.outstanding()):
                quiet_since, used = CLOCK.monotonic(), now_used


async def send_signal(
    app: App, population: Population, base: str, within_s: float, *, profile: Profile | None = None
) -> FanoutFigures:
    """Accept one open signal and follow it to the end, or for so long; nobody has to get an order.

    `profile` takes what each thread does until the last acknowledgement is recorded.
    """
    watcher = Watcher(base)
    app.engine.recorder.listeners.append(watcher.on_moved)
    try:
        return await _timed(app, population, watcher, within_s, profile)
    finally:
        app.engine.recorder.listeners.remove(watcher.on_moved)


async def _timed(
    app: App, population: Population, watcher: Watcher, within_s: float, profile: Profile | None
) -> FanoutFigures:
    now, base = app.clock.now(), watcher.base
    draft = DraftSignal(
        action=Action.OPEN, base=Asset(base), quote=Asset("USDT"), symbol_text=f"{base}USDT", alert_at=now
    )
    alert = Alert(draft, f"bench-{base}-{now.timestamp()}", "bench", "{}")
    ids = RandomIds(app.clock)
    cpu = cpu_s()

    def note(accepted: signals.Accepted) -> None:
        watcher.signal_id = SignalId(accepted.ids[0])

    sampling = nullcontext() if profile is None else profile.running()
    # What came through is told, and what did not is told with it.
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            with sampling:
                started = CLOCK.monotonic()
                note(await app.db.write(lambda tx: signals.accept(tx, ids, population.source_id, [alert], now)))
                await watcher.all_acknowledged.wait()
            await watcher.all_protected.wait()
    assert watcher.signal_id is not None
    board = await app.engine.boards.snapshot(watcher.signal_id)
    return _figures(app, watcher, started, cpu, dict(board.counts()["skip_reasons"]))


def _figures(app: App, watcher: Watcher, started: float, cpu: float, skipped: dict[str, int]) -> FanoutFigures:
    entries = watcher.entries.values()
    denied = Counter(each.reason or "" for each in entries if each.state is OrderState.DENIED)
    times = sorted(at - started for order_id, at in watcher.recorded.items() if not _is_denied(watcher, order_id))
    whole = max(times, default=0.0)
    timing = app.engine.worker.last_timing
    return FanoutFigures(
        accounts=watcher.placed + sum(skipped.values()),
        placed=watcher.placed,
        states=dict(Counter(each.state.value for each in entries)),
        skipped=skipped,
        denied=dict(denied),
        is_complete=watcher.all_protected.is_set(),
        intents_durable_ms=_ms((watcher.intended_at or started) - started),
        decide_ms=_ms(timing.load_s + timing.decide_s),
        record_ms=_ms(timing.record_s),
        last_acknowledged_ms=_ms(whole),
        recorded_p50_ms=_ms(percentile(times, 50)),
        recorded_p99_ms=_ms(percentile(times, 99)),
        orders_per_s=round(len(times) / whole, 1) if times else 0.0,
        cpu_us_per_order=round((watcher.acknowledged_cpu - cpu) / len(times) * 1e6, 1) if times else 0.0,
        all_protected_ms=_ms(watcher.protected_at - started) if watcher.all_protected.is_set() else None,
        lateness=_lateness(list(entries)),
    )


def _is_denied(watcher: Watcher, order_id: OrderId) -> bool:
    return watcher.entries[order_id].state is OrderState.DENIED


def _lateness(orders: Sequence[Order]) -> tuple[Lateness, ...]:
    by_delay: dict[float, list[Order]] = {}
    for order in orders:
        if order.state is not OrderState.DENIED and order.signed_at_ms is not None:
            by_delay.setdefault(round((order.release_at - order.created_at).total_seconds()), []).append(order)
    return tuple(_late(delay, found) for delay, found in sorted(by_delay.items()))


def _late(delay_s: float, orders: Sequence[Order]) -> Lateness:
    names = [plan.name.value for plan in DEFAULT_PLANS.values() if round(plan.release_delay_ms / 1_000) == delay_s]
    signed = sorted((each.signed_at_ms or 0) / 1_000 - each.release_at.timestamp() for each in orders)
    heard = sorted(
        (each.acknowledged_at - each.release_at).total_seconds() for each in orders if each.acknowledged_at is not None
    )
    return Lateness(
        plan=" and ".join(names) or f"{delay_s} s",
        accounts=len(orders),
        signed_p50_ms=_ms(percentile(signed, 50)),
        signed_p99_ms=_ms(percentile(signed, 99)),
        acknowledged_p99_ms=_ms(percentile(heard, 99)),
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of the ordered values do not exceed; 0 where there are none."""
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 1)
