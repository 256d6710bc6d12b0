"""Stops, take-profits and trailing stops: when they fire and what they then do."""

from decimal import Decimal

import pytest
from tests.support.exchange import SYMBOL, UID, balance, funded, order, refused, tick, told

from tradewind.sim.exchange import Exchange
from tradewind.sim.refusals import RefusalReason

D = Decimal


@pytest.fixture
def exchange() -> Exchange:
    return funded()


def test_stop_loss_when_price_falls_to_it_sells_at_the_market(exchange: Exchange) -> None:
    stop = exchange.place(UID, order("SELL STOP_LOSS 2 stop 95"), 10).order
    assert (stop.status, stop.is_working, stop.working_time_ms) == ("NEW", False, -1)
    assert balance(exchange, "ABC") == (D(98), D(2))
    assert exchange.on_print(tick("95.01"), 20) == ()
    # a gap: the print jumps past the trigger, the sale happens where the book is then
    events = exchange.on_print(tick("90"), 30)
    assert told(events) == ["NEW NEW", "TRADE FILLED", "BalanceChange"]
    (fill,) = exchange.fills_of(stop.order_id)
    assert (fill.price, fill.is_maker) == (D("89.1"), False)


@pytest.mark.parametrize(
    ("line", "refused_price", "fires_at"),
    [
        ("SELL STOP_LOSS 1 stop {}", "100", "95"),
        ("BUY STOP_LOSS 1 stop {}", "100", "105"),
        ("SELL TAKE_PROFIT 1 stop {}", "100", "105"),
        ("BUY TAKE_PROFIT 1 stop {}", "100", "95"),
    ],
)
def test_trigger_order_by_side_and_type_fires_on_its_side_only(
    exchange: Exchange, line: str, refused_price: str, fires_at: str
) -> None:
    with refused(RefusalReason.WOULD_TRIGGER):
        exchange.place(UID, order(line.format(refused_price)), 10)
    placed = exchange.place(UID, order(line.format(fires_at)), 10).order
    assert exchange.on_print(tick("100"), 20) == ()
    assert "TRADE FILLED" in told(exchange.on_print(tick(fires_at), 30))
    assert exchange.find_order(UID, SYMBOL, order_id=placed.order_id) is not placed


def test_stop_loss_limit_when_fired_rests_at_its_limit(exchange: Exchange) -> None:
    stop = exchange.place(UID, order("SELL STOP_LOSS_LIMIT 2 @ 94.5 stop 95"), 10).order
    events = exchange.on_print(tick("95"), 20)
    # the bid is then 94.05, below the limit: it rests
    assert told(events) == ["NEW NEW"]
    fired = exchange.find_order(UID, SYMBOL, order_id=stop.order_id)
    assert fired is not None
    assert (fired.is_working, fired.working_time_ms, fired.status) == (True, 20, "NEW")
    assert told(exchange.on_print(tick("96"), 30)) == ["TRADE FILLED", "BalanceChange"]


def test_stop_loss_buy_when_price_ran_past_it_pays_from_free_money() -> None:
    exchange = funded(USDT="1000")
    exchange.place(UID, order("BUY STOP_LOSS 5 stop 110"), 10)
    assert balance(exchange, "USDT") == (D(450), D(550))
    exchange.on_print(tick("150"), 20)
    # 5 at 151.50 = 757.50: 550 held and 207.50 more
    assert balance(exchange, "USDT") == (D("242.5"), 0)


def test_stop_loss_buy_when_money_does_not_reach_buys_what_it_can() -> None:
    exchange = funded(USDT="600")
    stop = exchange.place(UID, order("BUY STOP_LOSS 5 stop 110"), 10).order
    exchange.on_print(tick("150"), 20)
    ended = exchange.find_order(UID, SYMBOL, order_id=stop.order_id)
    assert ended is not None
    # 600 / 151.5 = 3.9603 -> 3.960
    assert (ended.status, ended.executed, ended.expiry_reason) == ("EXPIRED", D("3.960"), "REJECTED")
    assert balance(exchange, "USDT") == (D(600) - D("3.960") * D("151.5"), 0)


def test_stop_loss_buy_when_larger_than_a_level_walks_the_book(exchange: Exchange) -> None:
    stop = exchange.place(UID, order("BUY STOP_LOSS 150 stop 105"), 10).order
    exchange.on_print(tick("105"), 20)
    # asks of 106.05 for 95.238 and 107.10 for 94.304
    assert [(fill.price, fill.quantity) for fill in exchange.fills_of(stop.order_id)] == [
        (D("106.05"), D("95.238")),
        (D("107.10"), D("54.762")),
    ]


def test_stop_loss_buy_when_book_runs_dry_expires_for_liquidity_not_for_money() -> None:
    exchange = funded(USDT="1000000")
    stop = exchange.place(UID, order("BUY STOP_LOSS 500 stop 105"), 10).order
    exchange.on_print(tick("105"), 20)
    ended = exchange.find_order(UID, SYMBOL, order_id=stop.order_id)
    assert ended is not None
    assert (ended.status, ended.expiry_reason) == ("EXPIRED", "INSUFFICIENT_LIQUIDITY")
    assert balance(exchange, "USDT") == (D(1_000_000) - ended.quote_executed, 0)


def test_stop_loss_buy_when_money_is_below_one_step_buys_nothing() -> None:
    exchange = funded(USDT="5.5")
    stop = exchange.place(UID, order("BUY STOP_LOSS 0.05 stop 110"), 10).order
    assert told(exchange.on_print(tick("9000"), 20)) == ["NEW NEW", "EXPIRED EXPIRED", "BalanceChange"]
    assert exchange.fills_of(stop.order_id) == ()
    assert balance(exchange, "USDT") == (D("5.5"), 0)


def test_trailing_buy_without_a_price_is_held_for_where_it_would_fire(exchange: Exchange) -> None:
    stop = exchange.place(UID, order("BUY STOP_LOSS 2", trailing_delta=1000), 10).order
    assert stop.held == D(220)
    # 10 % above the lowest 90 is 99; the ask is then 99.99
    assert exchange.on_prints([tick("90"), tick("98.9")], 20) == ()
    exchange.on_print(tick("99"), 30)
    assert balance(exchange, "USDT") == (D(100_000) - 2 * D("99.99"), 0)


def test_trailing_stop_when_price_comes_back_by_the_delta_fires(exchange: Exchange) -> None:
    stop = exchange.place(UID, order("SELL STOP_LOSS 1", trailing_delta=1000), 10).order
    assert stop.trailing_anchor == D(100)
    for price in ("105", "120", "109"):
        assert exchange.on_print(tick(price), 20) == ()
    # 10 % below the highest 120 is 108
    assert "TRADE FILLED" in told(exchange.on_print(tick("108"), 30))


def test_trailing_stop_with_a_stop_price_follows_only_after_it_was_reached(exchange: Exchange) -> None:
    exchange.place(UID, order("SELL STOP_LOSS 1 stop 95", trailing_delta=1000), 10)
    for price in ("120", "96", "95", "97"):
        assert exchange.on_print(tick(price), 20) == ()
    # tracking began at 95, the highest since is 97: it fires at 87.30
    assert exchange.on_print(tick("87.31"), 30) == ()
    assert "TRADE FILLED" in told(exchange.on_print(tick("87.3"), 40))
