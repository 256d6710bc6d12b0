"""Readable literals for the values of core: `money("10 USDT")`, `fill("buy 0.1 BTC @ 50000")`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tradewind.core.decision import Candidate, Exposure
from tradewind.core.gate import CredentialState, GateInputs
from tradewind.core.ids import (
    AccountId,
    ClientOrderId,
    FillId,
    IntentId,
    LotId,
    MandateId,
    OrderId,
    SignalId,
    SourceId,
    UserId,
)
from tradewind.core.instrument import BINANCE, Environment, Instrument
from tradewind.core.mandate import Mandate
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import IntentKind, Leg, Order, OrderType, Side
from tradewind.core.plan import DEFAULT_PLANS, PlanName
from tradewind.core.position import Fill, Lot, apply_fill
from tradewind.core.risk import Caps
from tradewind.core.signal import Action, Signal

D = Decimal
BTC, ETH, BNB, USDT, USDC, KRW = (Asset(a) for a in ("BTC", "ETH", "BNB", "USDT", "USDC", "KRW"))
NOW = datetime(2026, 11, 20, 5, 0, 0, tzinfo=UTC)


def after(seconds: int = 0, *, ms: int = 0) -> datetime:
    """A time that many seconds after NOW."""
    return NOW + timedelta(seconds=seconds, milliseconds=ms)


def money(text: str) -> Money:
    """Read "10.5 USDT"."""
    amount, asset = text.split()
    return Money(D(amount), Asset(asset))


def price(text: str | int) -> Price:
    return Price(D(text))


def quantity(text: str | int) -> Quantity:
    return Quantity(D(text))


def btcusdt() -> Instrument:
    """BTCUSDT with Binance's live steps."""
    return Instrument(
        BINANCE,
        "BTCUSDT",
        BTC,
        USDT,
        tick=D("0.01"),
        step=D("0.00001"),
        min_quantity=D("0.00001"),
        max_quantity=D(9000),
        min_notional=D(5),
        max_notional=D(9_000_000),
    )


def fill(text: str, *, fee: str | None = None, fill_id: str = "f1", at: datetime = NOW) -> Fill:
    """Read "buy 0.1 BTC @ 50000"; `fee` like "0.0001 BTC"."""
    side, amount, _asset, _at, each = text.split()
    cost = D(amount) * D(each)
    return Fill(
        FillId(fill_id),
        OrderId("o1"),
        Side(side),
        Quantity(D(amount)),
        Price(D(each)),
        cost,
        None if fee is None else money(fee),
        at,
    )


def empty_lot(lot_id: str = "lot1", *, at: datetime = NOW, account: str = "acc1") -> Lot:
    return Lot(
        id=LotId(lot_id),
        account_id=AccountId(account),
        symbol="BTCUSDT",
        base=BTC,
        quote=USDT,
        entry_order_id=OrderId(f"entry-{lot_id}"),
        opened_at=at,
        source_id=SourceId("src1"),
    )


def lot_of(
    text: str, *, stop: str | None = None, target: str | None = None, lot_id: str = "lot1", at: datetime = NOW
) -> Lot:
    """Read "0.1 BTC @ 50000" as a lot bought without fees."""
    bought = apply_fill(empty_lot(lot_id, at=at), fill(f"buy {text}")).lot
    return replace(
        bought,
        stop=None if stop is None else Price(D(stop)),
        target=None if target is None else Price(D(target)),
    )


def order(**changes: object) -> Order:
    """An entry order of 0.1 BTC, INTENDED; fields by name."""
    base = Order(
        id=OrderId("o1"),
        intent_id=IntentId("i1"),
        intent_kind=IntentKind.SIGNAL,
        user_id=UserId("u1"),
        account_id=AccountId("acc1"),
        venue=BINANCE,
        environment=Environment.PAPER,
        symbol="BTCUSDT",
        base=BTC,
        quote=USDT,
        leg=Leg.ENTRY,
        side=Side.BUY,
        type=OrderType.MARKET,
        client_order_id=ClientOrderId("tw" + "a" * 26),
        created_at=NOW,
        release_at=NOW,
        quantity=Quantity(D("0.1")),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def signal(**changes: object) -> Signal:
    """An open-BTC signal received NOW; fields by name."""
    base = Signal(
        id=SignalId("sig1"),
        source_id=SourceId("src1"),
        action=Action.OPEN,
        base=BTC,
        quote=USDT,
        symbol_text="BTCUSDT",
        received_at=NOW,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def mandate(**changes: object) -> Mandate:
    """A medium-risk mandate with the default levels; fields by name."""
    base = Mandate(id=MandateId("m1"), user_id=UserId("u1"), account_id=AccountId("acc1"), source_id=SourceId("src1"))
    return replace(base, **changes)  # type: ignore[arg-type]


def open_gate(environment: Environment = Environment.LIVE, /, **changes: object) -> GateInputs:
    """Gate inputs with nothing against an order; fields by name."""
    base = GateInputs(
        environment=environment,
        venue_label="Binance",
        allow_live=True,
        trading_enabled=True,
        has_live_token=True,
        has_confirmed_live=True,
        credential=CredentialState.VERIFIED,
        is_venue_healthy=True,
        has_subscription=True,
        has_second_factor=True,
        has_funds=True,
        quote=USDT,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def candidate(**changes: object) -> Candidate:
    """A PRO paper account at Binance that may trade BTCUSDT at 100,000; fields by name."""
    base = Candidate(
        account_id=AccountId("acc1"),
        user_id=UserId("u1"),
        venue=BINANCE,
        plan=DEFAULT_PLANS[PlanName.PRO],
        gate=open_gate(Environment.PAPER),
        caps=Caps(min_order_quote=D(10)),
        instrument=btcusdt(),
        price=Price(D(100_000)),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def exposure(**changes: object) -> Exposure:
    """Nothing bound, 1,000 USDT free; fields by name."""
    return replace(Exposure(free_quote=money("1000 USDT"), free_quote_at=NOW), **changes)  # type: ignore[arg-type]
