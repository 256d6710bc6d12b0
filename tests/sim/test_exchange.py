"""Placing orders: what fills, what rests, what it costs, what is told."""

from decimal import Decimal
from typing import Any

import pytest
from tests.support.exchange import SYMBOL, UID, balance, funded, order, refused, small_exchange, tick, told

from tradewind.sim.exchange import Exchange
from tradewind.sim.refusals import RefusalReason
from tradewind.sim.types import (
    AccountSettings,
    BalanceChange,
    ExpiryReason,
    NewOrder,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Side,
    TimeInForce,
    Transfer,
)

D = Decimal


@pytest.fixture
def exchange() -> Exchange:
    return funded()


def test_market_buy_when_small_fills_at_the_best_ask_less_commission_in_base(exchange: Exchange) -> None:
    placed = exchange.place(UID, order("BUY MARKET 2"), 10)
    assert (placed.order.status, placed.order.executed, placed.order.quote_executed) == ("FILLED", D(2), D(202))
    (fill,) = placed.fills
    assert (fill.price, fill.commission, fill.commission_asset, fill.is_maker) == (D(101), D("0.002"), "ABC", False)
    assert balance(exchange, "USDT") == (D(100_000) - 202, 0)
    assert balance(exchange, "ABC") == (D("101.998"), 0)


def test_market_sell_when_small_fills_at_the_best_bid_less_commission_in_quote(exchange: Exchange) -> None:
    exchange.place(UID, order("SELL MARKET 2"), 10)
    assert balance(exchange, "USDT") == (D(100_000) + D(198) - D("0.198"), 0)
    assert balance(exchange, "ABC") == (D(98), 0)


def test_market_order_when_larger_than_a_level_walks_the_book_in_several_fills(exchange: Exchange) -> None:
    placed = exchange.place(UID, order("BUY MARKET 150"), 10)
    assert [(fill.price, fill.quantity) for fill in placed.fills] == [(D(101), D(100)), (D(102), D(50))]
    assert placed.order.quote_executed == D(100) * 101 + D(50) * 102
    assert told(placed.events) == ["NEW NEW", "TRADE PARTIALLY_FILLED", "TRADE FILLED", "BalanceChange"]


def test_market_order_when_larger_than_the_book_expires_with_what_it_got() -> None:
    exchange = funded(USDT="1000000")
    placed = exchange.place(UID, order("BUY MARKET 300"), 10)
    assert placed.order.status is OrderStatus.EXPIRED
    assert placed.order.expiry_reason is ExpiryReason.INSUFFICIENT_LIQUIDITY
    assert placed.order.executed == D("297.077") == sum(fill.quantity for fill in placed.fills)
    assert balance(exchange, "USDT")[1] == 0
    assert told(placed.events)[-2:] == ["EXPIRED EXPIRED", "BalanceChange"]


def test_market_buy_by_quote_when_placed_spends_at_most_that_much(exchange: Exchange) -> None:
    new = NewOrder(SYMBOL, Side.BUY, OrderType.MARKET, quote_quantity=D(1_000))
    placed = exchange.place(UID, new, 10)
    # 1000 / 101 = 9.90099 -> 9.900 on the step
    assert (placed.order.quantity, placed.order.executed, placed.order.status) == (D("9.900"), D("9.900"), "FILLED")
    assert (placed.order.quote_quantity, placed.order.quote_executed) == (D(1_000), D("999.9"))


def test_market_sell_by_quote_when_placed_receives_at_most_that_much(exchange: Exchange) -> None:
    new = NewOrder(SYMBOL, Side.SELL, OrderType.MARKET, quote_quantity=D(1_000))
    placed = exchange.place(UID, new, 10)
    assert (placed.order.executed, placed.order.quote_executed) == (D("10.101"), D("999.999"))


def test_market_buy_by_quote_when_book_runs_dry_expires() -> None:
    exchange = funded(USDT="1000000")
    placed = exchange.place(UID, NewOrder(SYMBOL, Side.BUY, OrderType.MARKET, quote_quantity=D(50_000)), 10)
    assert (placed.order.status, placed.order.expiry_reason) == ("EXPIRED", "INSUFFICIENT_LIQUIDITY")
    # 50,000 - 30,299.912 spent = 19,700.088, which would buy 191.262 more at the last level of 103
    assert (placed.order.executed, placed.order.quantity) == (D("297.077"), D("488.339"))


def test_limit_buy_when_it_crosses_takes_at_the_books_price_and_rests_with_the_remainder(exchange: Exchange) -> None:
    placed = exchange.place(UID, order("BUY LIMIT 150 @ 101.5"), 10)
    assert [(fill.price, fill.quantity) for fill in placed.fills] == [(D(101), D(100))]
    assert (placed.order.status, placed.order.is_working, placed.order.held) == (
        "PARTIALLY_FILLED",
        True,
        D(50) * D("101.5"),
    )
    assert balance(exchange, "USDT") == (D(100_000) - 10_100 - 5_075, D(5_075))


def test_limit_order_when_it_rests_locks_and_fills_at_its_own_price_as_maker(exchange: Exchange) -> None:
    resting = exchange.place(UID, order("BUY LIMIT 2 @ 95"), 10).order
    assert (resting.status, balance(exchange, "USDT")) == ("NEW", (D(99_810), D(190)))
    # the modelled ask lies 1 % above the print: 95 is reached at 94, not at 95
    assert exchange.on_print(tick("95"), 20) == ()
    events = exchange.on_print(tick("94"), 30)
    assert told(events) == ["TRADE FILLED", "BalanceChange"]
    (fill,) = exchange.fills_of(resting.order_id)
    assert (fill.price, fill.is_maker, fill.at_ms) == (D(95), True, 30)
    assert balance(exchange, "USDT") == (D(99_810), 0)


def test_limit_sell_when_price_rises_to_it_fills(exchange: Exchange) -> None:
    exchange.place(UID, order("SELL LIMIT 2 @ 105"), 10)
    assert balance(exchange, "ABC") == (D(98), D(2))
    assert exchange.on_print(tick("105"), 20) == ()
    assert told(exchange.on_print(tick("107"), 30)) == ["TRADE FILLED", "BalanceChange"]
    assert balance(exchange, "ABC") == (D(98), 0)


@pytest.mark.parametrize(
    ("time_in_force", "executed", "reason"),
    [
        (TimeInForce.IOC, D(100), ExpiryReason.UNFILLED_IOC_QUANTITY_EXPIRED),
        (TimeInForce.FOK, D(0), ExpiryReason.UNFILLED_FOK_ORDER_EXPIRED),
    ],
)
def test_limit_order_when_not_to_rest_expires_with_its_reason(
    exchange: Exchange, time_in_force: TimeInForce, executed: Decimal, reason: ExpiryReason
) -> None:
    placed = exchange.place(UID, order("BUY LIMIT 150 @ 101", time_in_force=time_in_force), 10)
    assert (placed.order.status, placed.order.executed, placed.order.expiry_reason) == ("EXPIRED", executed, reason)
    assert balance(exchange, "USDT") == (D(100_000) - executed * 101, 0)
    assert exchange.open_orders(UID) == []


def test_fok_order_when_all_is_there_fills(exchange: Exchange) -> None:
    placed = exchange.place(UID, order("BUY LIMIT 150 @ 102", time_in_force=TimeInForce.FOK), 10)
    assert placed.order.status is OrderStatus.FILLED


def test_limit_maker_when_it_would_take_is_refused(exchange: Exchange) -> None:
    with refused(RefusalReason.WOULD_MATCH):
        exchange.place(UID, order("BUY LIMIT_MAKER 1 @ 101"), 10)
    assert exchange.place(UID, order("BUY LIMIT_MAKER 1 @ 100.99"), 10).order.status is OrderStatus.NEW


def test_resting_order_when_book_offers_less_fills_in_parts() -> None:
    exchange = funded(ABC="500", USDT="100")
    resting = exchange.place(UID, order("SELL LIMIT 250 @ 105"), 10).order
    exchange.on_print(tick("107"), 20)
    # bids of 105.93 for 95.345 ABC reach 105; 104.86 does not
    partly = exchange.find_order(UID, SYMBOL, order_id=resting.order_id)
    assert partly is not None
    assert (partly.status, partly.executed) == ("PARTIALLY_FILLED", D("95.345"))
    assert balance(exchange, "ABC") == (D(250), D(250) - D("95.345"))
    exchange.on_print(tick("107"), 30)
    assert told(exchange.on_print(tick("107"), 40))[0] == "TRADE FILLED"


def test_fill_limit_when_set_for_one_order_cuts_that_one_only(exchange: Exchange) -> None:
    exchange.limit_fills(D("0.25"), uid=UID, orders=1)
    first, second = (exchange.place(UID, order("BUY MARKET 2"), 10).order for _ in range(2))
    assert (first.status, first.executed, first.expiry_reason) == ("EXPIRED", D("0.5"), "INSUFFICIENT_LIQUIDITY")
    assert second.status is OrderStatus.FILLED


def test_fill_limit_when_on_a_limit_order_makes_it_fill_in_steps(exchange: Exchange) -> None:
    exchange.limit_fills(D("0.5"))
    limited = exchange.place(UID, order("BUY LIMIT 2 @ 101"), 10).order
    assert (limited.status, limited.executed) == ("PARTIALLY_FILLED", D(1))
    exchange.clear_fill_limits()
    exchange.on_print(tick("100"), 20)
    stepped = exchange.find_order(UID, SYMBOL, order_id=limited.order_id)
    assert stepped is not None
    assert stepped.executed == D("1.5")
    assert exchange.place(UID, order("BUY LIMIT 2 @ 101"), 30).order.status is OrderStatus.FILLED


def test_fill_limit_when_set_for_another_account_leaves_this_one_alone(exchange: Exchange) -> None:
    exchange.limit_fills(D(0), uid=UID + 1)
    assert exchange.place(UID, order("BUY MARKET 2"), 10).order.status is OrderStatus.FILLED
    with pytest.raises(ValueError, match="fraction"):
        exchange.limit_fills(D(2))


def test_deposit_and_withdrawal_when_made_are_told_and_bounded(exchange: Exchange) -> None:
    events = exchange.deposit(UID, "XYZ", D("2.5"), 10)
    assert isinstance(events[0], Transfer)
    assert (events[0].asset, events[0].delta) == ("XYZ", D("2.5"))
    assert isinstance(events[1], BalanceChange)
    assert events[1].balances == (("XYZ", (D("2.5"), D(0))),)
    exchange.place(UID, order("SELL LIMIT 60 @ 105"), 20)
    with refused(RefusalReason.INSUFFICIENT_BALANCE):
        exchange.withdraw(UID, "ABC", D("40.001"), 30)
    exchange.withdraw(UID, "ABC", D(40), 30)
    assert balance(exchange, "ABC") == (0, D(60))
    for amount in (D(-1), D(0), D("NaN")):
        with pytest.raises(ValueError, match="positive"):
            exchange.deposit(UID, "ABC", amount, 40)


def test_events_when_told_carry_growing_ids_and_the_snapshot_of_their_moment(exchange: Exchange) -> None:
    events = [*exchange.place(UID, order("BUY MARKET 150"), 10).events, *exchange.on_print(tick("100"), 20)]
    updates = [event for event in events if isinstance(event, OrderUpdate)]
    ids = [update.execution_id for update in updates]
    assert ids == sorted(set(ids))
    assert [update.order.executed for update in updates] == [0, D(100), D(150)]


def test_prints_of_one_call_when_several_are_seen_in_order(exchange: Exchange) -> None:
    exchange.place(UID, order("SELL STOP_LOSS 1 stop 95"), 10)
    exchange.on_prints([tick("94"), tick("100")], 20)
    assert exchange.last_price(SYMBOL) == D(100)
    assert exchange.fills_of(1_000_001)[0].price == D("93.06")
    with refused(RefusalReason.INVALID_SYMBOL):
        exchange.on_prints([tick("50"), tick("1", "NOPEUSDT")], 30)
    assert exchange.last_price(SYMBOL) == D(100)


def test_average_price_when_prints_grow_old_falls_back_to_the_last(exchange: Exchange) -> None:
    exchange.on_print(tick("90", quantity="3"), 1_000)
    exchange.on_print(tick("98", quantity="1"), 2_000)
    assert exchange.average_price(SYMBOL, 2_000) == D(92)
    assert exchange.average_price(SYMBOL, 301_500) == D(98)
    assert exchange.average_price(SYMBOL, 900_000) == D(98)
    exchange.set_price(SYMBOL, D("55.559"), 900_001)
    assert exchange.average_price(SYMBOL, 900_001) == D("55.55")


def test_set_price_when_forced_sets_off_orders_and_counts_no_volume(exchange: Exchange) -> None:
    exchange.place(UID, order("SELL STOP_LOSS 1 stop 95"), 10)
    assert "TRADE FILLED" in told(exchange.set_price(SYMBOL, D(94), 20))


def test_order_when_it_names_extras_keeps_them_and_has_the_venues_defaults(exchange: Exchange) -> None:
    extras: dict[str, Any] = {
        "stp_mode": "EXPIRE_BOTH",
        "strategy_id": 3,
        "strategy_type": 1_000_000,
        "iceberg_quantity": D(2),
    }
    kept = exchange.place(UID, order("BUY LIMIT 2 @ 95", **extras), 10).order
    assert (kept.stp_mode, kept.strategy_id, kept.strategy_type) == ("EXPIRE_BOTH", 3, 1_000_000)
    assert kept.iceberg_quantity == D(2)
    plain = exchange.place(UID, order("BUY MARKET 2"), 20).order
    assert (plain.stp_mode, plain.time_in_force) == ("EXPIRE_MAKER", TimeInForce.GTC)
    assert (plain.price, plain.stop_price, plain.order_list_id) == (D(0), D(0), -1)


def test_account_when_created_again_keeps_its_money_and_its_settings_unless_told(exchange: Exchange) -> None:
    slow = AccountSettings(taker_bps=D(3))
    exchange.create_account(UID, slow)
    exchange.create_account(UID)
    assert exchange.account_settings(UID) == slow
    exchange.create_account(UID, AccountSettings(can_trade=False))
    assert exchange.account_settings(UID) == AccountSettings(can_trade=False)
    assert balance(exchange, "USDT") == (D(100_000), 0)


def test_exchange_when_new_is_empty_and_lists_its_symbols() -> None:
    exchange = small_exchange()
    assert exchange.symbols() == (SYMBOL, "XYZUSDT", "BNBUSDT")
    assert (exchange.uids(), exchange.has_account(UID)) == ((), False)
    with refused(RefusalReason.INVALID_SYMBOL):
        exchange.rules("NOPEUSDT")
