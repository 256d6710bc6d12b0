"""Order lists: one leg ends the other, and both hold the money once."""

from decimal import Decimal

import pytest
from tests.support.exchange import SYMBOL, UID, balance, funded, oco, order, refused, tick, told

from tradewind.sim.exchange import Exchange
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import (
    ExpiryReason,
    ListOrderStatus,
    NewOco,
    OcoLeg,
    Order,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)

D = Decimal


@pytest.fixture
def exchange() -> Exchange:
    return funded()


def now(exchange: Exchange, known: Order) -> Order:
    current = exchange.find_order(UID, SYMBOL, order_id=known.order_id)
    assert current is not None
    return current


def test_oco_when_placed_locks_once_and_tells_both_legs_and_the_list(exchange: Exchange) -> None:
    placed = exchange.place_oco(UID, oco(quantity="2", list_client_order_id="l"), 10)
    stop, profit = placed.orders
    assert (stop.type, profit.type, stop.is_working, profit.is_working) == ("STOP_LOSS", "LIMIT_MAKER", False, True)
    assert balance(exchange, "ABC") == (D(98), D(2))
    assert told(placed.events) == ["NEW NEW", "NEW NEW", "LIST EXECUTING", "BalanceChange"]
    assert (placed.order_list.contingency_type, placed.order_list.list_client_order_id) == ("OCO", "l")
    assert [member.order_id for member in placed.order_list.members] == [stop.order_id, profit.order_id]
    assert exchange.open_lists(UID) == [placed.order_list]


def test_oco_when_target_is_reached_fills_it_and_expires_the_stop(exchange: Exchange) -> None:
    stop, profit = exchange.place_oco(UID, oco(quantity="2"), 10).orders
    events = exchange.on_print(tick("107"), 20)
    assert told(events) == ["EXPIRED EXPIRED", "TRADE FILLED", "LIST ALL_DONE", "BalanceChange"]
    assert (now(exchange, stop).expiry_reason, now(exchange, profit).status) == (ExpiryReason.OCO_TRIGGER, "FILLED")
    assert exchange.fills_of(profit.order_id)[0].price == D(105)
    assert balance(exchange, "ABC") == (D(98), 0)
    assert (exchange.open_orders(UID), exchange.open_lists(UID)) == ([], [])


def test_oco_when_stop_is_reached_expires_the_target_and_sells(exchange: Exchange) -> None:
    stop, profit = exchange.place_oco(UID, oco(quantity="2"), 10).orders
    events = exchange.on_print(tick("95"), 20)
    assert told(events) == ["EXPIRED EXPIRED", "NEW NEW", "TRADE FILLED", "LIST ALL_DONE", "BalanceChange"]
    assert (now(exchange, stop).status, now(exchange, profit).expiry_reason) == ("FILLED", "OCO_TRIGGER")
    assert balance(exchange, "ABC") == (D(98), 0)
    assert exchange.on_print(tick("110"), 30) == ()


def test_oco_when_stop_limit_rests_after_firing_stays_executing_until_it_fills(exchange: Exchange) -> None:
    below = OcoLeg(OrderType.STOP_LOSS_LIMIT, price=D("94.5"), stop_price=D(95), time_in_force=TimeInForce.GTC)
    new = NewOco(SYMBOL, Side.SELL, D(2), OcoLeg(OrderType.LIMIT_MAKER, price=D(105)), below)
    listed = exchange.place_oco(UID, new, 10)
    assert told(exchange.on_print(tick("95"), 20)) == ["EXPIRED EXPIRED", "NEW NEW"]
    assert exchange.open_lists(UID) == [listed.order_list]
    assert told(exchange.on_print(tick("96"), 30)) == ["TRADE FILLED", "LIST ALL_DONE", "BalanceChange"]


def test_oco_when_target_fills_in_parts_expires_the_stop_at_the_first_one() -> None:
    exchange = funded(ABC="200")
    stop, profit = exchange.place_oco(UID, oco(quantity="150"), 10).orders
    assert told(exchange.on_print(tick("107"), 20)) == ["EXPIRED EXPIRED", "TRADE PARTIALLY_FILLED", "BalanceChange"]
    assert (now(exchange, stop).status, now(exchange, profit).executed) == ("EXPIRED", D("95.345"))
    assert balance(exchange, "ABC") == (D(50), D(150) - D("95.345"))
    assert exchange.on_print(tick("90"), 30) == ()
    assert told(exchange.on_print(tick("107"), 40)) == ["TRADE FILLED", "LIST ALL_DONE", "BalanceChange"]


def test_buy_oco_when_placed_holds_the_dearer_leg_and_gives_back_the_rest(exchange: Exchange) -> None:
    stop, profit = exchange.place_oco(UID, oco("BUY", "2"), 10).orders
    # stop-loss at 105 is dearer than the limit at 95
    assert balance(exchange, "USDT") == (D(100_000) - 210, D(210))
    exchange.on_print(tick("94"), 20)
    assert (now(exchange, profit).status, now(exchange, stop).status) == ("FILLED", "EXPIRED")
    assert balance(exchange, "USDT") == (D(100_000) - 190, 0)


def test_take_profit_leg_when_price_rises_fires(exchange: Exchange) -> None:
    above = OcoLeg(OrderType.TAKE_PROFIT, stop_price=D(105))
    new = NewOco(SYMBOL, Side.SELL, D(2), above, OcoLeg(OrderType.STOP_LOSS, stop_price=D(95)))
    exchange.place_oco(UID, new, 10)
    events = exchange.on_print(tick("105"), 20)
    assert told(events) == ["EXPIRED EXPIRED", "NEW NEW", "TRADE FILLED", "LIST ALL_DONE", "BalanceChange"]


@pytest.mark.parametrize("by_leg", [True, False])
def test_cancel_when_a_leg_or_the_list_is_named_ends_both(exchange: Exchange, by_leg: bool) -> None:
    placed = exchange.place_oco(UID, oco(quantity="2", list_client_order_id="l"), 10)
    if by_leg:
        cancelled = exchange.cancel(UID, SYMBOL, 20, order_id=placed.orders[1].order_id, new_client_order_id="c")
    else:
        cancelled = exchange.cancel_list(UID, SYMBOL, 20, list_client_order_id="l", new_client_order_id="c")
    assert [ended.order_id for ended in cancelled.orders] == [one.order_id for one in placed.orders]
    assert {ended.client_order_id for ended in cancelled.orders} == {"c"}
    assert [one.order_status for one in cancelled.order_lists] == [ListOrderStatus.ALL_DONE]
    assert told(cancelled.events) == ["CANCELED CANCELED", "CANCELED CANCELED", "LIST ALL_DONE", "BalanceChange"]
    assert balance(exchange, "ABC") == (D(100), 0)
    with refused(RefusalReason.UNKNOWN_ORDER):
        exchange.cancel_list(UID, SYMBOL, 30, order_list_id=placed.order_list.order_list_id)


def test_cancel_all_when_a_list_is_open_ends_it_once(exchange: Exchange) -> None:
    exchange.place_oco(UID, oco(quantity="2"), 10)
    exchange.place(UID, order("BUY LIMIT 1 @ 95"), 10)
    cancelled = exchange.cancel_all(UID, SYMBOL, 20)
    assert (len(cancelled.orders), len(cancelled.order_lists)) == (3, 1)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (oco(above="100", below="95"), RefusalReason.OCO_PRICES),
        (oco(above="105", below="100"), RefusalReason.OCO_PRICES),
        (oco("BUY", above="100", below="95"), RefusalReason.OCO_PRICES),
        (oco(quantity="100.001"), RefusalReason.INSUFFICIENT_BALANCE),
        (oco(quantity="0.04"), RefusalReason.FILTER),
        (oco(above="105.001"), RefusalReason.FILTER),
        (oco(above="105.0000000001"), RefusalReason.PRECISION),
        (oco(profit_id="same", stop_id="same"), RefusalReason.DUPLICATE_ORDER),
        (
            NewOco(SYMBOL, Side.SELL, D(1), OcoLeg(OrderType.STOP_LOSS, stop_price=D(105)), oco().below),
            RefusalReason.OCO_LAYOUT,
        ),
        (NewOco(SYMBOL, Side.SELL, D(1), oco().below, oco().above), RefusalReason.OCO_LAYOUT),
        (
            NewOco(SYMBOL, Side.SELL, D(1), oco().above, OcoLeg(OrderType.STOP_LOSS_LIMIT, stop_price=D(95))),
            RefusalReason.UNSUPPORTED_COMBINATION,
        ),
    ],
)
def test_refused_list_when_placed_changes_nothing(exchange: Exchange, new: NewOco, reason: RefusalReason) -> None:
    log = exchange.read_log()
    with refused(reason):
        exchange.place_oco(UID, new, 10)
    assert (balance(exchange, "ABC"), exchange.read_log(), exchange.all_lists(UID)) == ((D(100), 0), log, [])


def test_list_and_leg_ids_when_still_open_are_refused(exchange: Exchange) -> None:
    exchange.place_oco(UID, oco(list_client_order_id="l", profit_id="p", stop_id="s"), 10)
    for again in (oco(list_client_order_id="l"), oco(profit_id="s"), oco(stop_id="p")):
        with refused(RefusalReason.DUPLICATE_ORDER):
            exchange.place_oco(UID, again, 20)
    exchange.cancel_list(UID, SYMBOL, 30, list_client_order_id="l")
    second = exchange.place_oco(UID, oco(list_client_order_id="l", profit_id="p", stop_id="s"), 40)
    assert exchange.find_list(UID, list_client_order_id="l") == second.order_list
    assert exchange.find_list(UID, order_list_id=101) != second.order_list
    assert exchange.find_list(UID, order_list_id=99) is None


def test_lists_when_an_accounts_algo_orders_are_used_up_are_refused(exchange: Exchange) -> None:
    for _ in range(5):
        exchange.place_oco(UID, oco(), 10)
    with pytest.raises(ExchangeRefusal, match="MAX_NUM_ALGO_ORDERS"):
        exchange.place_oco(UID, oco(), 20)


def test_list_member_when_amended_is_refused(exchange: Exchange) -> None:
    (_, profit) = exchange.place_oco(UID, oco(quantity="2"), 10).orders
    with refused(RefusalReason.AMEND_UNKNOWN):
        exchange.amend(UID, SYMBOL, 20, order_id=profit.order_id, new_quantity=D(1))


def test_fired_market_stop_when_book_runs_dry_expires_and_ends_the_list() -> None:
    exchange = funded(ABC="1000")
    stop, _ = exchange.place_oco(UID, oco(quantity="500"), 10).orders
    events = exchange.on_print(tick("95"), 20)
    assert told(events)[-3:] == ["EXPIRED EXPIRED", "LIST ALL_DONE", "BalanceChange"]
    ended = now(exchange, stop)
    assert (ended.status, ended.expiry_reason) == (OrderStatus.EXPIRED, ExpiryReason.INSUFFICIENT_LIQUIDITY)
    assert balance(exchange, "ABC") == (D(1000) - ended.executed, 0)
