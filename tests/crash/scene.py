"""The scene of an episode: the exchange, the nodes that come and go, and what people and prices do meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self

import aiohttp
from tests.crash.killer import Strike
from tests.crash.numbers import PROCESSING_MS
from tests.crash.referee import Finding
from tests.crash.schedule import Schedule
from tests.crash.stage import Child, ChildEnded, Stage
from tests.crash.worlds import World

from tradewind.audit.service import Audit
from tradewind.demo.calls import Door, Exchange
from tradewind.demo.facts import JournalLot
from tradewind.execution import emergency_store
from tradewind.execution.emergency import Emergency, StopRequest
from tradewind.execution.emergency_store import PLATFORM, EpochName, Policy
from tradewind.execution.journal import Journal
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import RandomIds
from tradewind.infra.points import Point
from tradewind.vault.opening import KekPlace, open_vault

LOOK_S = 0.05
# A start takes a twentieth of a second; a busy machine takes its time.
_READY_S = 30.0


class NodeEnded(Exception):
    """The node ended, or failed, by itself: it was not killed."""


@dataclass(slots=True)
class Alert:
    """An alert as its sender sees it: sent again until it is answered."""

    body: dict[str, Any]
    is_answered: bool = False


@dataclass(slots=True)
class Report:
    """What an episode came to."""

    seed: int
    database: str
    kills: int = 0
    by_point: Counter[str] = field(default_factory=Counter)
    reached: Counter[Point] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    orders: int = 0
    fills: int = 0
    signals: int = 0
    dead_letters: int = 0
    states: Counter[str] = field(default_factory=Counter)
    lots: list[JournalLot] = field(default_factory=list)
    quiet_s: float = 0.0
    # How long positions stood without a stop at the exchange, by its own log, in ms.
    bare_ms: list[int] = field(default_factory=list)
    plant: str | None = None


class Scene:
    """A world with its exchange, and the node that is killed over and over."""

    def __init__(
        self,
        stage: Stage,
        world: World,
        seed: int,
        *,
        plant: str | None = None,
        numbers: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.stage = stage
        self.numbers = dict(numbers)
        self.world = world
        self.schedule = Schedule(seed)
        self.report = Report(seed, world.database.partition(":")[0] or "sqlite", plant=plant)
        self.alerts: list[Alert] = []
        self.signals: set[str] = set()
        # When the platform was stopped for certain, and until when.
        self.stops_us: list[tuple[int, int | None]] = []
        self.takeovers: list[tuple[int, int]] = []
        self.clock_offset_ms = 0
        self.ended_us = 0
        self.started_at = datetime.now(UTC)
        self.opened: set[str] = set()
        # A backup was put back, and no process that took it into use has come up yet.
        self.is_behind = False
        self._exchange: Child | None = None
        self._addresses: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None

    # --- the stage -------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Start the exchange; end it with everything of this episode."""
        processing_ms = self.numbers.get("venue_processing_ms", PROCESSING_MS)
        spec = {
            "store": str(self.world.folder / "venue.db"),
            "seed": self.report.seed,
            "processing_ms": processing_ms,
        }
        self._exchange = self.stage.spawn("exchange", spec, self.world.folder / "exchange.log")
        said = await self._exchange.greeting()
        self._addresses = {name: said[name] for name in ("rest_url", "ws_api_url", "stream_url", "control_url")}
        timeout = aiohttp.ClientTimeout(total=20)
        try:
            async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
                self._session = session
                yield self
        finally:
            if self._exchange.is_alive:
                await self._exchange.kill()

    @property
    def exchange(self) -> Exchange:
        """The exchange's control API."""
        assert self._session is not None
        return Exchange(Door(self._session, self._addresses["control_url"], "exchange"))

    async def start(self, strike: Strike | None = None) -> Child:
        """Start a node; it is ready, or dead already, when this returns."""
        node = self._spawn(strike)
        with contextlib.suppress(ChildEnded):
            await node.ready(_READY_S)
            self.is_behind = False
        return node

    def forget(self) -> None:
        """A backup was put back: what was answered and stopped before may be gone with the rest."""
        self.is_behind = True
        self.alerts.clear()
        self.signals.clear()
        self.stops_us.clear()

    async def take_over(self, strike: Strike) -> Child:
        """Start a second node beside the first; it owns the journal when this returns."""
        node = self._spawn(strike)
        await node.greeting()
        db = Db.open(self.world.database_url)
        try:
            epoch = db.read_now(lambda tx: emergency_store.peek(tx, EpochName.OWNER))
        finally:
            db.close()
        self.takeovers.append((epoch, now_us()))
        return node

    def _spawn(self, strike: Strike | None) -> Child:
        self.started_at = datetime.now(UTC)
        return self.stage.spawn(
            "node",
            {
                **self.world.spec(),
                **self._addresses,
                "is_uvloop": self.schedule.chance(0.5),
                "plant": self.report.plant,
                "after_restore": self.is_behind,
                "numbers": self.numbers,
                "strike": None if strike is None else {**asdict(strike), "point": strike.point.value},
            },
            self.world.log,
        )

    async def kill(self, node: Child, point: Point | None) -> None:
        """End a life, and count how it ended."""
        if node.is_alive:
            await node.kill()
            by = "at random"
        else:
            ended = node.ended.result()
            if ended.signal != signal.SIGKILL:
                raise NodeEnded(f"the node ended by itself: {ended}; see {self.world.log}")
            by = "?" if point is None else point.value
        self.report.kills += 1
        self.report.by_point[by] += 1

    async def end(self, node: Child) -> None:
        """End a life that may have ended by itself: an owner that was taken over does."""
        if node.is_alive:
            await node.kill()

    async def wait_dead(self, node: Child, within_s: float = 5.0) -> None:
        """Wait until a node has died at its point, or for as long as it may take."""
        await asyncio.wait({node.ended}, timeout=within_s)

    # --- people and prices -----------------------------------------------------------------------

    async def alert(self, node: Child, action: str, base: str) -> None:
        """Send a new alert as a strategy would."""
        number = len(self.alerts) + 1
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"ticker": f"{base}USDT", "exchange": "BINANCE", "action": action, "id": f"alert-{number}"}
        alert = Alert({**body, "sent_at": at})
        self.alerts.append(alert)
        (self.opened.add if action == "buy" else self.opened.discard)(base)
        await self.send(node, alert)

    async def attempt_alert(self, node: Child, action: str, base: str) -> None:
        """Send an alert to a node that may die over it; it is sent again later."""
        with contextlib.suppress(ChildEnded):
            await self.alert(node, action, base)

    async def send(self, node: Child, alert: Alert) -> None:
        """Send an alert; what was answered must never be forgotten."""
        answer = await node.ask(do="alert", source=self.world.source_id, body=alert.body)
        if "failed" in answer:
            raise NodeEnded(f"the node failed to take an alert: {answer['failed']}")
        alert.is_answered = True
        self.signals.update(answer.get("signals", ()))

    async def send_unanswered(self, node: Child) -> None:
        """Senders send again what nobody answered."""
        for alert in self.alerts:
            if not alert.is_answered:
                await self.send(node, alert)

    async def sell_by_hand(self, node: Child) -> None:
        """Somebody without coins of their own sells everything of an asset."""
        person = self.world.people[self.schedule.place(len(self.world.people))]
        if not person.has_own_coins:
            symbol = f"{self.schedule.base()}USDT"
            await node.ask(do="sell", user=person.user_id, account=person.account_id, symbol=symbol)

    async def move_price(self, base: str, factor: Decimal) -> None:
        """Let a price move."""
        symbol = f"{base}USDT"
        assert self._session is not None
        url = f"{self._addresses['rest_url']}/api/v3/ticker/price?symbol={symbol}"
        async with self._session.get(url) as answer:
            price = Decimal((await answer.json())["price"])
        # A tick is far below a hundredth of these prices.
        await self.exchange.set_price(symbol, _like(price * factor, price))

    async def fall(self, base: str) -> None:
        """Let a price fall through every stop set at 3 %."""
        await self.move_price(base, Decimal("0.955"))

    async def set_clock(self, offset_ms: int) -> None:
        """Let the exchange's clock differ from ours."""
        await self.exchange.add_fault(kind="clock_offset_ms", value=offset_ms)
        self.clock_offset_ms = offset_ms

    async def wait_stops_at_the_exchange(self, within_s: float = 5.0) -> None:
        """Wait until every account has a stop resting at the exchange, whoever knows of it."""
        until = asyncio.get_running_loop().time() + within_s
        for person in self.world.people:
            while not any(_is_resting_stop(order) for order in await self.exchange.orders(person.uid)):
                if asyncio.get_running_loop().time() > until:
                    return
                await asyncio.sleep(LOOK_S)

    async def cancel_at_the_exchange(self, uid: int) -> None:
        """The user cancels every resting order of theirs by hand."""
        for order in await self.exchange.orders(uid):
            if _is_resting_stop(order):
                body = {"uid": uid, "symbol": order["symbol"], "order_id": order["orderId"]}
                await self.exchange.door.demand("POST", "/external-cancel", body=body)

    async def stop_platform(self, policy: Policy = Policy.LEAVE) -> None:
        """Stop all entries, with the database alone, as the command does; selling everything if asked."""
        wanted = StopRequest(PLATFORM, policy, "operator", "the harness says so")
        await asyncio.to_thread(self._with_emergency, lambda tx, emergency: emergency.stop(tx, wanted))
        self.stops_us.append((now_us(), None))

    async def resume_platform(self) -> None:
        """Lift the stop, if there is one."""
        if not self.is_stopped:
            return
        since, _ = self.stops_us.pop()
        self.stops_us.append((since, now_us()))
        await asyncio.to_thread(
            self._with_emergency,
            lambda tx, emergency: emergency.resume(
                tx, PLATFORM, actor="operator", reason="the harness says so", is_operator=True
            ),
        )

    @property
    def is_stopped(self) -> bool:
        """Whether the platform is stopped at present."""
        return bool(self.stops_us) and self.stops_us[-1][1] is None

    def _with_emergency(self, work: Callable[[Tx, Emergency], object]) -> None:
        db = Db.open(self.world.database_url)
        clock = SystemClock()
        place = KekPlace(self.world.folder / "kek", self.world.folder / "data")
        try:
            vault = db.write_now(lambda tx: open_vault(tx, place, clock, {}))
            emergency = Emergency(Journal(RandomIds(clock), 0), Audit(vault, clock), clock)
            db.write_now(lambda tx: work(tx, emergency))
        finally:
            db.close()

    async def clear_faults(self) -> None:
        """The exchange behaves from now on."""
        await self.exchange.door.demand("DELETE", "/faults")


def _is_resting_stop(order: Mapping[str, Any]) -> bool:
    return order["status"] == "NEW" and order["side"] == "SELL" and str(order["type"]).startswith("STOP")


def now_us() -> int:
    """Read the clock by which the journal is written."""
    return time.time_ns() // 1_000


def _like(value: Decimal, example: Decimal) -> Decimal:
    """Round to the decimals that another price has."""
    exponent = example.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return value.quantize(Decimal(1).scaleb(min(0, exponent)))
