"""A run of the bench ends when everything that can come has come: nobody has to get an order."""

from __future__ import annotations

from decimal import Decimal

from tests.support.core_builders import NOW, order

from tradewind.bench.watcher import Watcher
from tradewind.core.ids import AccountId, OrderId, SignalId
from tradewind.core.money import Quantity
from tradewind.core.order import Leg, Order, OrderState
from tradewind.execution.outcomes import Moved

SIGNAL = SignalId("s1")


def _entry(number: int, **changes: object) -> Order:
    ids = {"id": OrderId(f"o{number}"), "account_id": AccountId(f"a{number}"), "signal_id": SIGNAL}
    return order(**{**ids, **changes})


def _tell(watcher: Watcher, *orders: Order) -> None:
    watcher.on_moved([Moved(each, each) for each in orders])


def _filled(number: int) -> Order:
    return _entry(number, state=OrderState.FILLED, executed=Quantity(Decimal("0.1")), acknowledged_at=NOW)


def _stop(number: int, symbol: str = "BTCUSDT") -> Order:
    return _entry(number, id=OrderId(f"s{number}"), leg=Leg.STOP, state=OrderState.ACCEPTED, symbol=symbol)


def test_watcher_when_one_order_is_denied_then_the_run_ends_with_the_others_protected() -> None:
    watcher = Watcher("BTC", SIGNAL)
    _tell(watcher, _entry(1), _entry(2))
    assert watcher.placed == 2
    _tell(watcher, _filled(1))
    assert not watcher.all_acknowledged.is_set()
    _tell(watcher, _entry(2, state=OrderState.DENIED, reason="venue_unhealthy", ended_at=NOW))
    assert watcher.all_acknowledged.is_set()
    assert not watcher.all_protected.is_set()
    _tell(watcher, _stop(1))
    assert watcher.all_protected.is_set()


def test_watcher_when_a_stop_of_another_market_is_accepted_then_the_account_is_still_bare() -> None:
    watcher = Watcher("ETH", SIGNAL)
    _tell(watcher, _entry(1, symbol="ETHUSDT"))
    _tell(watcher, _filled(1))
    _tell(watcher, _stop(1, "BTCUSDT"))
    assert not watcher.all_protected.is_set()
    _tell(watcher, _stop(1, "ETHUSDT"))
    assert watcher.all_protected.is_set()


def test_watcher_when_the_stop_is_there_before_the_last_answer_then_the_run_ends_with_that_answer() -> None:
    watcher = Watcher("BTC", SIGNAL)
    _tell(watcher, _entry(1), _entry(2))
    _tell(watcher, _filled(1), _stop(1))
    assert not watcher.all_protected.is_set()
    _tell(watcher, _entry(2, state=OrderState.DENIED, reason="stopped", ended_at=NOW))
    assert watcher.all_protected.is_set()
