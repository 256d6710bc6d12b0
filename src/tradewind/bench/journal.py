"""The database's side of a fan-out, part by part: what each costs in CPU of the thread that does it, an order.

The same verbs the platform calls, one after the other and in batches of its own sizes, on a real database and
without a network: the answers of a venue are made up. Signal after signal, so that what grows with history shows.
A part's CPU is this thread's; what the database server spends for it at PostgreSQL is not in it, wall time is.
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import os
import pstats
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tradewind.accounts.mandates import Mandates
from tradewind.accounts.service import Accounts
from tradewind.app.roster import PlatformRoster, PlatformSwitches
from tradewind.audit.service import Audit
from tradewind.bench.keys import key_of
from tradewind.bench.now import CLOCK
from tradewind.bench.population import Population, populate
from tradewind.billing.service import Billing
from tradewind.core.ids import FillId, OrderId, VenueOrderId
from tradewind.core.instrument import BINANCE, Environment, Instrument, VenueName
from tradewind.core.money import NOTHING, ZERO, Asset, Price
from tradewind.core.order import Order, OrderState, VenueReport
from tradewind.core.plan import PlanName
from tradewind.core.protection import OcoWanted
from tradewind.core.signal import Action, DraftSignal
from tradewind.execution import service as execution
from tradewind.execution.apply import Applier
from tradewind.execution.deciding import Decider
from tradewind.execution.journal import Journal
from tradewind.execution.native import draw_up
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.outlook import Outlook
from tradewind.identity.service import Identity
from tradewind.infra.bus import InProcessBus
from tradewind.infra.db import Db, Tx
from tradewind.infra.heap import settle_heap
from tradewind.infra.ids import RandomIds
from tradewind.infra.outbox import Outbox
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import Portfolio, record_balances
from tradewind.signals import service as signals
from tradewind.signals.service import Alert
from tradewind.vault.opening import KekPlace, open_vault
from tradewind.venues.base import AssetBalance, VenueFill, VenueHealth

T = TypeVar("T")

PARTS = ("facts", "decide", "record", "claim", "outcomes", "protect", "outbox")
# As the dispatcher claims, the recorder commits and the protector puts up.
_CLAIM, _OUTCOMES, _LISTS = 500, 500, 50
_LINES = 40
_PRICE = Price(Decimal(50_000))


@dataclass(slots=True)
class Meter:
    """Adds up what each part took, in seconds: CPU of this thread, and wall time; one part may be profiled."""

    profiled: str | None = None
    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)
    profile: cProfile.Profile = field(default_factory=cProfile.Profile)

    @contextmanager
    def part(self, name: str, *, of_process: bool = False) -> Iterator[None]:
        """Time one part; the same name again adds to it. `of_process`: it works on other threads as well."""
        clock = time.process_time if of_process else time.thread_time
        if name == self.profiled:
            self.profile.enable()
        cpu, wall = clock(), time.perf_counter()
        try:
            yield
        finally:
            self.cpu[name] = self.cpu.get(name, 0.0) + clock() - cpu
            self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
            if name == self.profiled:
                self.profile.disable()

    def row(self, signal: int, accounts: int) -> dict[str, Any]:
        """Return one signal's figures in us an order and begin anew."""
        cpu = {name: round(seconds / accounts * 1e6, 1) for name, seconds in self.cpu.items()}
        wall = {name: round(seconds / accounts * 1e6, 1) for name, seconds in self.wall.items()}
        self.cpu.clear()
        self.wall.clear()
        return {"signal": signal, "cpu_us": cpu, "wall_us": wall, "cpu_us_all": round(sum(cpu.values()), 1)}

    def stats(self, lines: int) -> str:
        """Return where the profiled part spends its time."""
        out = io.StringIO()
        pstats.Stats(self.profile, stream=out).sort_stats("tottime").print_stats(lines)
        return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Quotes:
    """Every market at one price."""

    def find(
        self,
        venue: VenueName,
        environment: Environment,  # noqa: ARG002 - the port's signature, here and below
        base: Asset,
        preference: Asset | None,  # noqa: ARG002
        signal_quote: Asset | None,  # noqa: ARG002
    ) -> Instrument:
        return _instrument(venue, base)

    def has_list(self, venue: VenueName, environment: Environment) -> bool:  # noqa: ARG002
        return True

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument:  # noqa: ARG002
        return _instrument(venue, Asset(symbol.removesuffix("USDT")))

    def fresh_price(self, venue: VenueName, environment: Environment, symbol: str) -> Price:  # noqa: ARG002
        return _PRICE


_MARKETS: dict[Asset, Instrument] = {}


def _instrument(venue: VenueName, base: Asset) -> Instrument:
    if base not in _MARKETS:
        _MARKETS[base] = Instrument(
            venue,
            f"{base}USDT",
            base,
            Asset("USDT"),
            tick=Decimal("0.01"),
            step=Decimal("0.00001"),
            min_quantity=Decimal("0.00001"),
            max_quantity=Decimal(9_000),
            min_notional=Decimal(5),
        )
    return _MARKETS[base]


@dataclass(slots=True)
class _Bench:
    """One platform's database side, and where its time goes."""

    db: Db
    population: Population
    roster: PlatformRoster
    meter: Meter
    ids: RandomIds = field(default_factory=lambda: RandomIds(CLOCK))
    decider: Decider = field(init=False)
    journal: Journal = field(init=False)
    applier: Applier = field(init=False)
    _fills: int = 0

    def __post_init__(self) -> None:
        self.decider = Decider(self.ids, self.roster, _Quotes(), 600)
        self.journal = Journal(self.ids, 2_000)
        self.applier = Applier(self.ids, Portfolio(self.ids), lambda order: _instrument(order.venue, order.base))

    def prepare(self, tx: Tx) -> None:
        """Let everybody own another amount, and hold as many positions as there are signals."""
        for number, mandate in enumerate(self.roster.mandates(tx, self.population.source_id)):
            terms = {"max_open_positions": 1_000}
            self.roster.mandates_room.change(tx, mandate.user_id, mandate.id, terms, actor="bench")
            balance = AssetBalance(Asset("USDT"), Decimal(10_000) + Decimal(number) / 100, ZERO)
            record_balances(tx, mandate.user_id, mandate.account_id, [balance], CLOCK.now())

    async def publish(self) -> None:
        """Publish what the outbox holds, to one listener that reads along."""
        bus = InProcessBus()
        outbox, heard = Outbox(self.db, bus, CLOCK), bus.subscribe()
        with self.meter.part("outbox", of_process=True):
            while await outbox.drain_once():
                pass
        bus.unsubscribe(heard)

    def carry(self, number: int) -> None:
        """Carry one signal from its acceptance to native protection of every position."""
        draft = DraftSignal(
            action=Action.OPEN,
            base=Asset(f"B{number}"),
            quote=Asset("USDT"),
            symbol_text=f"B{number}USDT",
            alert_at=CLOCK.now(),
        )
        alert = Alert(draft, f"bench-{number}", f"bench-{number}", "{}")
        source_id = self.population.source_id
        self.db.write_now(lambda tx: signals.accept(tx, self.ids, source_id, [alert], CLOCK.now()))
        token = self.ids.new()
        claimed = self.db.write_now(lambda tx: signals.claim_next(tx, token, CLOCK.now(), 600))
        assert claimed is not None, "it was accepted just now"
        outlook = self._outlook(claimed)
        with self.meter.part("record"):
            orders = self.db.write_now(lambda tx: self._record(tx, claimed, outlook))
        assert len(orders) == self.population.accounts, "every account has its order"
        sent = self._claimed(orders)
        lots = self._filled(sent)
        self._protected(lots)

    def _outlook(self, claimed: signals.Claimed) -> Outlook:
        now, signal = CLOCK.now(), claimed.signal
        with self.meter.part("facts"):
            facts = self.db.read_now(lambda tx: self.decider.load(tx, signal, now, is_source_bound=False))
        with self.meter.part("decide"):
            judged = self.decider.decide_all(facts, CLOCK.now())
        return Outlook(signal, facts, judged, {}, decided=judged)

    def _record(self, tx: Tx, claimed: signals.Claimed, outlook: Outlook) -> list[Order]:
        now = CLOCK.now()
        assert not self.journal.moved_accounts(tx, outlook.facts.versions)
        orders = self.journal.record(tx, outlook.decided, now)
        signals.mark_decided(tx, claimed.signal.id, claimed.lease_token, now)
        return orders

    def _claimed(self, orders: Sequence[Order]) -> list[Order]:
        sent: list[Order] = []
        for batch in _batches([order.id for order in orders], _CLAIM):
            with self.meter.part("claim"):
                claim = self.db.write_now(partial(self._claim, ids=batch))
            assert not claim.denied, claim.denied[:1]
            sent += claim.sent
        return sent

    def _claim(self, tx: Tx, ids: Sequence[OrderId]) -> Any:
        return self.journal.claim_entries(tx, ids, self.roster.entry_gate, _venue_now, CLOCK.now())

    def _filled(self, sent: Sequence[Order]) -> list[Holding]:
        lots: list[Holding] = []
        for batch in _batches(sent, _OUTCOMES):
            answers = [self._answer(order) for order in batch]
            with self.meter.part("outcomes"):
                moved = self._applied(answers)
            lots += [lot for move in moved for lot in move.new_lots]
        return lots

    def _applied(self, outcomes: Sequence[Outcome]) -> list[Moved]:
        return self.db.write_now(lambda tx: self.applier.apply_all(tx, outcomes, CLOCK.now()))

    def _answer(self, order: Order) -> Outcome:
        assert order.spend is not None
        self._fills += 1
        market = _instrument(order.venue, order.base)
        quantity = market.floor_quantity(replace(NOTHING, value=order.spend.amount / _PRICE.value))
        name, amount, at = VenueOrderId(f"v{self._fills}"), _PRICE.cost(quantity), CLOCK.now()
        fill = VenueFill(FillId(f"f{self._fills}"), name, order.symbol, order.side, quantity, _PRICE, amount, None, at)
        report = VenueReport(at, OrderState.FILLED, quantity, amount, name, None, order.send_by_ms)
        return Outcome(order.id, report, (fill,), order.attempt)

    def _protected(self, lots: Sequence[Holding]) -> None:
        """Put the native list of every lot on record, claimed and accepted: its rows are what later signals meet."""
        for batch in _batches(lots, _LISTS):
            with self.meter.part("protect"):
                legs = self.db.write_now(partial(self._put_up, lots=batch))
            answers = [
                Outcome(leg.id, VenueReport(CLOCK.now(), OrderState.ACCEPTED, NOTHING, ZERO, VenueOrderId(leg.id)))
                for leg in legs
            ]
            with self.meter.part("protect"):
                self._applied(answers)

    def _put_up(self, tx: Tx, lots: Collection[Holding]) -> Sequence[Order]:
        now = CLOCK.now()
        drawn = []
        for holding in lots:
            lot = holding.lot
            assert lot.stop is not None
            assert lot.target is not None
            wanted = OcoWanted(lot.quantity, lot.stop, lot.target)
            market = _instrument(holding.venue, lot.base)
            drawn.append(draw_up(self.journal, holding, market, wanted, (), now))
        orders = [order for _, legs in drawn for order in legs]
        self.journal.intend_all(tx, [intent for intent, _ in drawn if intent is not None], orders, now)
        groups = [[order.id for order in legs] for _, legs in drawn]
        return self.journal.claim_protective(tx, groups, _venue_now, now).sent


def run(accounts: int, signals_each: int, *, database: str | None, profiled: str | None = None) -> dict[str, Any]:
    """Carry signal after signal and return what each part of each one cost; `database` must be empty."""
    meter = Meter(profiled)
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as name:
        folder = Path(name)
        (folder / "data").mkdir(mode=0o700)
        url = database or f"sqlite:///{folder / 'data' / 'tradewind.db'}"
        keys = [key_of(number) for number in range(accounts)]
        population = populate(url, folder / "kek", folder / "data", keys, (PlanName.ENTERPRISE, PlanName.PRO))
        db = Db.open(url)
        try:
            rows = _carried(_bench(db, folder, population, meter), signals_each)
        finally:
            db.close()
    result = {"bench": "journal", "database": url.split(":", 1)[0], "accounts": accounts, "rows": rows}
    return result if profiled is None else {**result, "profile": meter.stats(_LINES)}


def _carried(bench: _Bench, count: int) -> list[dict[str, Any]]:
    bench.db.write_now(bench.prepare)
    asyncio.run(bench.publish())
    bench.meter.row(0, 1)
    settle_heap()
    rows = []
    for number in range(count):
        bench.carry(number)
        asyncio.run(bench.publish())
        rows.append(bench.meter.row(number + 1, bench.population.accounts))
    return rows


def _bench(db: Db, folder: Path, population: Population, meter: Meter) -> _Bench:
    ids = RandomIds(CLOCK)
    vault = db.write_now(lambda tx: open_vault(tx, KekPlace(folder / "kek", folder / "data"), CLOCK, os.environ))
    audit = Audit(vault, CLOCK)
    healthy = VenueHealth(BINANCE, Environment.PAPER, True, None, None, None, None, None, None, None)
    roster = PlatformRoster(
        Accounts(CLOCK, audit, execution.has_open_business),
        Mandates(CLOCK, ids, audit, lambda _tx, _source_id, _user_id: True),
        Identity(CLOCK, ids, audit),
        Billing(CLOCK, ids, audit),
        PlatformSwitches(True, False, False, None, Decimal(10)),
        CLOCK,
        lambda _row: replace(healthy, checked_at=CLOCK.now()),
        lambda _account_id: False,
    )
    return _Bench(db, population, roster, meter)


def _venue_now(_venue: VenueName, _environment: Environment) -> int:
    return int(CLOCK.now().timestamp() * 1_000)


def _batches(found: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(found), size):
        yield found[start : start + size]
