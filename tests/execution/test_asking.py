"""Asking about many orders: one list where that costs less of the venue's budget than asking each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tests.support.journal import BTCUSDT, Desk, journal_desk
from tests.support.scripted_venue import ScriptedVenue

from tradewind.core.ids import AccountId, VenueOrderId
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import NOTHING, Price, Quantity
from tradewind.core.order import Order, OrderState, OutcomeLost, Side
from tradewind.execution.doubts import DoubtBook
from tradewind.execution.latch import Latch
from tradewind.execution.outcomes import Outcome
from tradewind.execution.reconcile import Reconciler
from tradewind.execution.recorder import Recorder
from tradewind.venues.base import CallCosts, Capabilities, OrderRef, OrderReport, Protection, Signer, VenueFill

_COSTS = CallCosts(find_order=4, open_orders=6, open_orders_all=80, orders_since=20, fills_of_order=5, account=20)


@dataclass
class _Listing(ScriptedVenue):
    """A venue that answers what it is asked about orders, and counts what that costs."""

    reports: dict[str, OrderReport] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        known = super().capabilities
        return Capabilities(**{name: getattr(known, name) for name in Capabilities.__slots__} | {"costs": _COSTS})

    def venue_now_ms(self) -> int:
        return 0

    def confirmed_venue_ms(self) -> int:
        return 0

    async def find_order(self, signer: Signer, ref: OrderRef) -> OrderReport | None:
        self.asked.append("find")
        return self.reports.get(ref.client_order_id)

    async def orders_since(self, signer: Signer, instrument: Instrument, since_ms: int) -> Sequence[OrderReport]:
        self.asked.append("list")
        return list(self.reports.values())

    async def fills(
        self, signer: Signer, instrument: Instrument, *, venue_order_id: VenueOrderId | None, since_ms: int | None
    ) -> Sequence[VenueFill]:
        return ()


@dataclass
class _Place:
    """The desk of an engine that trades at one venue."""

    venue: _Listing

    def client(self, venue: VenueName, environment: Environment) -> _Listing:
        return self.venue

    def signer(self, account_id: AccountId) -> Signer:
        return None  # type: ignore[return-value]  # this venue asks for no signature

    def instrument(self, venue: VenueName, environment: Environment, symbol: str) -> Instrument:
        return BTCUSDT

    def fresh_price(self, venue: VenueName, environment: Environment, symbol: str) -> Price | None:
        return None

    async def confirm_status(self, venue: VenueName, environment: Environment, symbol: str) -> None:
        return None

    def protection(self, venue: VenueName, environment: Environment) -> Protection:
        return Protection.WATCHED

    def is_blind(self, account_id: AccountId) -> bool:
        return False


@contextlib.asynccontextmanager
async def _asking(desk: Desk, venue: _Listing) -> AsyncIterator[Reconciler]:
    recorder = Recorder(desk.db, desk.applier, desk.clock, Latch())
    book = DoubtBook(desk.clock, 5.0)
    reconciler = Reconciler(
        desk.db, desk.journal, recorder, _Place(venue), desk.clock, 15.0, lambda _orders: None, _nobody, book
    )
    recorder.listeners.append(reconciler.on_moved)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(recorder.run()), tasks.create_task(reconciler.run())]
        yield reconciler
        for task in running:
            task.cancel()


def _nobody(_account_id: AccountId, _refusal: str | None) -> None:
    return None


def _lost(desk: Desk, count: int) -> list[Order]:
    sent = desk.claim(*[desk.entry() for _ in range(count)])
    desk.apply(*[Outcome(each.id, OutcomeLost(desk.clock.now(), "timeout", 1)) for each in sent])
    return [desk.order(each) for each in sent]


def _accepted(desk: Desk, order: Order, number: int) -> OrderReport:
    return OrderReport(
        client_order_id=order.client_order_id,
        venue_order_id=VenueOrderId(str(number)),
        symbol="BTCUSDT",
        side=Side.BUY,
        state=OrderState.EXPIRED,
        executed=NOTHING,
        executed_quote=Decimal(0),
        at=desk.clock.now(),
        original_quantity=Quantity(Decimal(1)),
    )


async def _down_to(reconciler: Reconciler, left: int) -> None:
    for _ in range(1_000):
        if len(reconciler.doubts) <= left:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(reconciler.doubts)} doubts are left")


async def _until_settled(reconciler: Reconciler) -> None:
    async with asyncio.timeout(10):
        await _down_to(reconciler, 0)


async def test_orders_when_many_of_one_market_are_in_doubt_then_one_list_answers(tmp_path: Path) -> None:
    """order-protocol.md section 3: one list query per account beats many single ones."""
    with journal_desk(tmp_path) as desk:
        lost = _lost(desk, 6)
        venue = _Listing(reports={each.client_order_id: _accepted(desk, each, n) for n, each in enumerate(lost)})
        async with _asking(desk, venue) as reconciler:
            reconciler.doubt(lost)
            await _until_settled(reconciler)
        assert venue.asked == ["list"]
        assert {desk.order(each).state for each in lost} == {OrderState.EXPIRED}


async def test_orders_when_few_are_in_doubt_then_each_is_asked_because_that_costs_less(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        lost = _lost(desk, 5)
        venue = _Listing(reports={each.client_order_id: _accepted(desk, each, n) for n, each in enumerate(lost)})
        async with _asking(desk, venue) as reconciler:
            reconciler.doubt(lost)
            await _until_settled(reconciler)
        assert venue.asked == ["find"] * 5


async def test_orders_when_absent_from_a_list_before_the_fence_then_still_unknown(tmp_path: Path) -> None:
    """order-protocol.md section 2: "found" counts at once, "not found" only after the fence."""
    with journal_desk(tmp_path) as desk:
        lost = _lost(desk, 6)
        venue = _Listing(reports={lost[0].client_order_id: _accepted(desk, lost[0], 1)})
        async with _asking(desk, venue) as reconciler:
            reconciler.doubt(lost)
            async with asyncio.timeout(10):
                await _down_to(reconciler, 5)
        assert "find" not in venue.asked
        assert [desk.order(each).state for each in lost[1:]] == [OrderState.UNKNOWN] * 5
