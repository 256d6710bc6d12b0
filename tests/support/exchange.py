"""A small simulated exchange with round numbers, and orders in one line."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tradewind.sim.exchange import Exchange
from tradewind.sim.exchange_store import ExchangeStore
from tradewind.sim.exchange_view import ExchangeSettings
from tradewind.sim.instruments import SymbolRules, rules_for
from tradewind.sim.pricing import BookModel
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import (
    Event,
    ListUpdate,
    NewOco,
    NewOrder,
    OcoLeg,
    OrderType,
    OrderUpdate,
    Print,
    Side,
    TimeInForce,
)

UID = 7
SYMBOL = "ABCUSDT"
# At 100: tick 0.01, step 0.001. Half spread 1 % makes best bid 99, best ask 101; a level of 10,100 USDT = 100 ABC.
FLAT_BOOK = BookModel(
    half_spread_bps=Decimal(100),
    level_step_bps=Decimal(100),
    levels=3,
    level_quote=Decimal(10_100),
    jitter=Decimal(0),
)
PRICES = {SYMBOL: Decimal("100.00"), "XYZUSDT": Decimal("2.0000"), "BNBUSDT": Decimal("500.00")}


_opened: list[Exchange] = []


def close_exchanges() -> None:
    """Close every exchange built here; a fixture of tests/sim/conftest.py calls it after each test."""
    while _opened:
        _opened.pop().close()


def small_rules() -> dict[str, SymbolRules]:
    """Rules of the three symbols."""
    return {symbol: rules_for(symbol, symbol.removesuffix("USDT"), "USDT", price) for symbol, price in PRICES.items()}


def small_exchange(
    path: Path | None = None, *, book: BookModel = FLAT_BOOK, settings: ExchangeSettings | None = None
) -> Exchange:
    """An exchange with three symbols and no accounts."""
    store = ExchangeStore.in_memory() if path is None else ExchangeStore(path)
    exchange = Exchange(small_rules(), PRICES, book_model=book, settings=settings, store=store)
    _opened.append(exchange)
    return exchange


def funded(path: Path | None = None, **balances: str) -> Exchange:
    """The same with account UID holding the balances given (else 100,000 USDT and 100 ABC)."""
    exchange = small_exchange(path)
    exchange.create_account(UID)
    for asset, amount in (balances or {"USDT": "100000", "ABC": "100"}).items():
        exchange.deposit(UID, asset, Decimal(amount), 1)
    return exchange


def order(text: str, symbol: str = SYMBOL, **extra: Any) -> NewOrder:
    """An order from a line such as "BUY MARKET 1", "SELL LIMIT 1 @ 105", "SELL STOP_LOSS_LIMIT 1 @ 94 stop 95"."""
    words = text.split()
    kind = OrderType(words[1])
    price = Decimal(words[words.index("@") + 1]) if "@" in words else None
    is_timed = kind in (OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
    fields: dict[str, Any] = {
        "quantity": Decimal(words[2]),
        "price": price,
        "stop_price": Decimal(words[words.index("stop") + 1]) if "stop" in words else None,
        "time_in_force": TimeInForce.GTC if is_timed else None,
    }
    return NewOrder(symbol, Side(words[0]), kind, **(fields | extra))


def oco(side: str = "SELL", quantity: str = "1", above: str = "105", below: str = "95", **extra: Any) -> NewOco:
    """A sell list: limit maker above, stop-loss below; a buy list: stop-loss above, limit maker below."""
    limit, stop = (above, below) if side == "SELL" else (below, above)
    profit = OcoLeg(OrderType.LIMIT_MAKER, price=Decimal(limit), client_order_id=extra.pop("profit_id", None))
    loss = OcoLeg(OrderType.STOP_LOSS, stop_price=Decimal(stop), client_order_id=extra.pop("stop_id", None))
    legs = (profit, loss) if side == "SELL" else (loss, profit)
    return NewOco(SYMBOL, Side(side), Decimal(quantity), *legs, **extra)


def tick(price: str, symbol: str = SYMBOL, quantity: str = "1") -> Print:
    """A print of now."""
    return Print(0, symbol, Decimal(price), Decimal(quantity), 0)


def balance(exchange: Exchange, asset: str, uid: int = UID) -> tuple[Decimal | int, Decimal | int]:
    """Free and locked; typed so that a plain 0 may be compared with it."""
    held = exchange.balances(uid).get(asset)
    return (held.free, held.locked) if held else (Decimal(0), Decimal(0))


def told(events: tuple[Event, ...]) -> list[str]:
    """Events in short: "NEW NEW", "TRADE FILLED", "LIST ALL_DONE", "BalanceChange"."""
    return [_short(event) for event in events]


def refused(reason: RefusalReason) -> "pytest.RaisesExc[ExchangeRefusal]":
    """Expect a refusal for this reason."""
    return pytest.raises(ExchangeRefusal, check=lambda error: error.reason is reason)


def _short(event: Event) -> str:
    if isinstance(event, OrderUpdate):
        return f"{event.execution_type} {event.order.status}"
    if isinstance(event, ListUpdate):
        return f"LIST {event.order_list.order_status}"
    return type(event).__name__
