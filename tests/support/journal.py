"""A journal on a real database, with builders for orders and fills."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.clock import ManualClock
from tests.support.database import address

from tradewind.core.ids import AccountId, FillId, IntentId, LotId, OrderId, SourceId, UserId, VenueOrderId
from tradewind.core.instrument import BINANCE, Environment, Instrument
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import IntentKind, Leg, Order, OrderState, OrderType, Side, VenueReport
from tradewind.execution import store
from tradewind.execution.apply import Applier
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Claim, Journal, new_order
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.sellable import Market
from tradewind.infra.db import Db
from tradewind.infra.ids import RandomIds
from tradewind.infra.migrate import upgrade_schema
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import Portfolio, open_lots
from tradewind.venues.base import VenueFill

USER = UserId("user-1")
ACCOUNT = AccountId("account-1")
BTCUSDT = Instrument(
    venue=BINANCE,
    symbol="BTCUSDT",
    base=Asset("BTC"),
    quote=Asset("USDT"),
    tick=Decimal("0.01"),
    step=Decimal("0.00001"),
    min_quantity=Decimal("0.00001"),
    max_quantity=Decimal(9000),
    min_notional=Decimal(5),
)


@dataclass(slots=True)
class Desk:
    """Journal and applier over one database."""

    db: Db
    clock: ManualClock
    ids: RandomIds
    journal: Journal
    applier: Applier

    def entry(self, *, source: str | None = None, seq: int | None = None, **detail: Any) -> Order:
        """Record an entry of 20 USDT, INTENDED, with stop and target; of a source's signal where named."""
        plan = {"stop": "48500", "target": "53000", **detail}
        source_id = None if source is None else SourceId(source)
        intent = self._intent(IntentKind.SIGNAL, detail=plan, is_done=True, source_id=source_id, signal_seq=seq)
        order = self._order(intent, Leg.ENTRY, Side.BUY, spend=Money(Decimal(20), Asset("USDT")))
        return self._intend(intent, order)

    def exit(self, *, lot_id: str | None = None, kind: IntentKind = IntentKind.ENGINE_EXIT) -> Order:
        """Record an exit of all that is held, INTENDED."""
        intent = self._intent(kind, lot_id=lot_id)
        return self._intend(intent, self._order(intent, Leg.EXIT, Side.SELL, lot_id=lot_id))

    def close(self, source: str, seq: int) -> Order:
        """Record the exit of a source's close signal, INTENDED."""
        intent = self._intent(IntentKind.SIGNAL, source_id=SourceId(source), signal_seq=seq)
        return self._intend(intent, self._order(intent, Leg.EXIT, Side.SELL))

    def sell_by_hand(self, quantity: str) -> Order:
        """Record a hand sell that may touch what is held for signals, INTENDED."""
        intent = self._intent(IntentKind.HAND, detail={"include_protected": True})
        return self._intend(intent, self._order(intent, Leg.EXIT, Side.SELL, quantity=Quantity(Decimal(quantity))))

    def claim_exit(self, order: Order) -> Claim:
        """Fix an exit's quantity and lots, and claim it."""
        market = Market(BTCUSDT, None)
        return self.db.write_now(
            lambda tx: self.journal.claim_exits(tx, {order.id: market}, venue_now, self.clock.now())
        )

    def leg(self, lot: Holding, leg: Leg, *, list_id: str = "twlist", quantity: str | None = None) -> Order:
        """Record one leg of a protective list, INTENDED."""
        intent = self._intent(IntentKind.PROTECTION, lot_id=lot.lot.id, is_done=True)
        size = Quantity(Decimal(quantity)) if quantity else BTCUSDT.floor_quantity(lot.lot.quantity)
        order = self._order(intent, leg, Side.SELL, quantity=size, lot_id=lot.lot.id, list_client_id=list_id)
        return self._intend(intent, order)

    def claim(self, *orders: Order) -> list[Order]:
        """Claim entries that are due."""
        ids = [order.id for order in orders]
        claim = self.db.write_now(
            lambda tx: self.journal.claim_entries(tx, ids, lambda _tx, _orders: {}, venue_now, self.clock.now())
        )
        return list(claim.sent)

    def apply(self, *outcomes: Outcome) -> list[Moved]:
        """Apply outcomes in one transaction."""
        return self.db.write_now(lambda tx: self.applier.apply_all(tx, outcomes, self.clock.now()))

    def filled(self, order: Order, quantity: str = "0.0004", price: str = "50000", **more: Any) -> Outcome:
        """Say that an order was filled in one execution, with a fee of a thousandth in base on a buy."""
        fill = fill_of(order, quantity, price, **more)
        report = report_of(OrderState.FILLED, quantity, price)
        return Outcome(order.id, report, (fill,))

    def held(self) -> list[Holding]:
        """Read the open lots."""
        return self.db.read_now(open_lots)

    def order(self, order: Order) -> Order:
        """Read an order again."""
        return self.db.read_now(lambda tx: store.find_orders(tx, [order.id]))[order.id].order

    def bought(self, quantity: str = "0.0004", *, source: str | None = None, seq: int | None = None) -> Holding:
        """Bring an entry all the way to a lot."""
        (sent,) = self.claim(self.entry(source=source, seq=seq))
        self.apply(self.filled(sent, quantity))
        return self.held()[-1]

    def _intent(self, kind: IntentKind, **fields: Any) -> Intent:
        return Intent(
            id=IntentId(self.ids.new()),
            kind=kind,
            user_id=USER,
            account_id=ACCOUNT,
            symbol="BTCUSDT",
            created_at=self.clock.now(),
            **fields,
        )

    def _order(self, intent: Intent, leg: Leg, side: Side, **fields: Any) -> Order:
        return new_order(
            self.ids,
            intent,
            BTCUSDT,
            Environment.PAPER,
            self.clock.now(),
            leg=leg,
            side=side,
            type=fields.pop("type", OrderType.MARKET),
            **fields,
        )

    def _intend(self, intent: Intent, order: Order) -> Order:
        self.db.write_now(lambda tx: self.journal.intend(tx, intent, [order], self.clock.now()))
        return order


def venue_now(_venue: object, _environment: object) -> int:
    """A venue's clock that stands still."""
    return 1_800_000_000_000


def fill_of(order: Order, quantity: str, price: str = "50000", *, fill_id: str = "f1", fee: str = "") -> VenueFill:
    """Build one execution of an order."""
    size, at = Decimal(quantity), Decimal(price)
    asset = order.base if order.side is Side.BUY else order.quote
    amount = Decimal(fee) if fee else (size if order.side is Side.BUY else size * at) / 1_000
    return VenueFill(
        fill_id=FillId(fill_id),
        # Each order has its own at the venue; fills are told apart by it.
        venue_order_id=VenueOrderId(order.client_order_id),
        symbol="BTCUSDT",
        side=order.side,
        quantity=Quantity(size),
        price=Price(at),
        quote_amount=size * at,
        fee=Money(amount, asset),
        at=datetime(2026, 11, 20, 12, 0, 1, tzinfo=UTC),
    )


def report_of(state: OrderState, quantity: str = "0", price: str = "50000") -> VenueReport:
    """Build the venue's word on an order."""
    size = Decimal(quantity)
    at = datetime(2026, 11, 20, 12, 0, 1, tzinfo=UTC)
    return VenueReport(at, state, Quantity(size), size * Decimal(price), VenueOrderId("77"))


def lot_id_of(holding: Holding) -> LotId:
    """Return a holding's lot id."""
    return holding.lot.id


def order_id(text: str) -> OrderId:
    """Make an order id."""
    return OrderId(text)


@contextmanager
def journal_desk(folder: Path) -> Iterator[Desk]:
    """Open a fresh database with the product's own schema and a journal on it."""
    db = Db.open(address(folder / "journal.db", is_migrated=True))
    try:
        upgrade_schema(db)
        clock = ManualClock()
        ids = RandomIds(clock)
        yield Desk(db, clock, ids, Journal(ids, 2_000), Applier(ids, Portfolio(ids), lambda _order: BTCUSDT))
    finally:
        db.close()
