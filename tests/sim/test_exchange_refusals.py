"""What the exchange refuses, and that a refusal leaves no trace."""

from decimal import Decimal

import pytest
from tests.support.exchange import SYMBOL, UID, funded, order, refused, tick, told

from tradewind.sim.exchange import Exchange
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import AccountSettings, NewOrder, OrderStatus, OrderType, Side, SymbolStatus

D = Decimal


@pytest.fixture
def exchange() -> Exchange:
    return funded()


REFUSED = [
    (order("BUY MARKET 1", "NOPEUSDT"), RefusalReason.INVALID_SYMBOL),
    (order("BUY MARKET 1", price=D(1)), RefusalReason.UNSUPPORTED_COMBINATION),
    (order("BUY MARKET 1", quote_quantity=D(1)), RefusalReason.UNSUPPORTED_COMBINATION),
    (order("BUY LIMIT 1"), RefusalReason.UNSUPPORTED_COMBINATION),
    (order("BUY LIMIT 1 @ 95", time_in_force=None), RefusalReason.UNSUPPORTED_COMBINATION),
    (order("BUY LIMIT 1 @ 95 stop 96"), RefusalReason.UNSUPPORTED_COMBINATION),
    (order("SELL STOP_LOSS 1"), RefusalReason.UNSUPPORTED_COMBINATION),
    (order("BUY LIMIT 0 @ 95"), RefusalReason.ZERO_NOTIONAL),
    (order("BUY LIMIT 1 @ 95", iceberg_quantity=D(2)), RefusalReason.ICEBERG_EXCEEDS),
    (order("BUY LIMIT 1 @ 95", quote_quantity=D(95)), RefusalReason.UNSUPPORTED_COMBINATION),
    (order("BUY LIMIT 1 @ 95.0000000001"), RefusalReason.PRECISION),
    (order("BUY LIMIT 1 @ 95.001"), RefusalReason.FILTER),
    (order("BUY LIMIT 1053 @ 95"), RefusalReason.INSUFFICIENT_BALANCE),
    (order("SELL LIMIT 100.001 @ 105"), RefusalReason.INSUFFICIENT_BALANCE),
    (order("SELL MARKET 100.001"), RefusalReason.INSUFFICIENT_BALANCE),
    (order("SELL STOP_LOSS 101 stop 95"), RefusalReason.INSUFFICIENT_BALANCE),
]


@pytest.mark.parametrize(("new", "reason"), REFUSED)
def test_refused_order_when_placed_changes_nothing(exchange: Exchange, new: NewOrder, reason: RefusalReason) -> None:
    before, log = exchange.balances(UID), exchange.read_log()
    with refused(reason):
        exchange.place(UID, new, 10)
    assert (exchange.balances(UID), exchange.read_log()) == (before, log)
    assert exchange.all_orders(UID, SYMBOL) == []
    first = exchange.place(UID, order("BUY MARKET 1"), 20)
    assert (first.order.order_id, first.fills[0].trade_id) == (1_000_001, 5_000_001)


def test_refusal_when_raised_carries_the_venues_code_and_text(exchange: Exchange) -> None:
    with pytest.raises(ExchangeRefusal) as caught:
        exchange.place(UID, order("BUY LIMIT 1 @ 95.001"), 10)
    assert (caught.value.code, caught.value.message) == (-1013, "Filter failure: PRICE_FILTER")
    with pytest.raises(ExchangeRefusal) as caught:
        exchange.place(UID, order("BUY LIMIT 1 @ 95.0000000001"), 10)
    assert (caught.value.code, caught.value.message) == (-1111, "Parameter 'price' has too much precision.")


def test_market_buy_when_quote_is_below_one_step_is_refused_for_liquidity() -> None:
    exchange = funded(USDT="100")
    exchange.set_price(SYMBOL, D(9_000), 5)
    with refused(RefusalReason.NO_LIQUIDITY):
        exchange.place(UID, NewOrder(SYMBOL, Side.BUY, OrderType.MARKET, quote_quantity=D(8)), 10)


def test_order_when_account_is_disabled_or_unknown_is_refused(exchange: Exchange) -> None:
    exchange.configure_account(UID, AccountSettings(can_trade=False))
    with refused(RefusalReason.ACCOUNT_DISABLED):
        exchange.place(UID, order("BUY MARKET 1"), 10)
    with refused(RefusalReason.UNKNOWN_ACCOUNT):
        exchange.place(UID + 1, order("BUY MARKET 1"), 10)


def test_halted_symbol_accepts_nothing_executes_nothing_but_cancels(exchange: Exchange) -> None:
    resting = exchange.place(UID, order("SELL STOP_LOSS 1 stop 95"), 10).order
    exchange.set_symbol_status(SYMBOL, SymbolStatus.HALT)
    with refused(RefusalReason.MARKET_CLOSED):
        exchange.place(UID, order("BUY MARKET 1"), 20)
    assert exchange.on_print(tick("90"), 30) == ()
    assert exchange.last_price(SYMBOL) == D(90)
    exchange.set_symbol_status(SYMBOL, SymbolStatus.TRADING)
    assert "TRADE FILLED" in told(exchange.on_print(tick("90"), 40))
    other = exchange.place(UID, order("SELL STOP_LOSS 1 stop 80"), 50).order
    exchange.set_symbol_status(SYMBOL, SymbolStatus.BREAK)
    assert exchange.cancel(UID, SYMBOL, 60, order_id=other.order_id).orders[0].status is OrderStatus.CANCELED
    assert resting.order_id != other.order_id


def test_max_open_orders_when_reached_refuse_one_more(exchange: Exchange) -> None:
    for _ in range(5):
        exchange.place(UID, order("SELL STOP_LOSS 1 stop 95"), 10)
    with pytest.raises(ExchangeRefusal, match="MAX_NUM_ALGO_ORDERS"):
        exchange.place(UID, order("SELL STOP_LOSS 1 stop 95"), 10)
    assert exchange.place(UID, order("BUY MARKET 1"), 10).order.status is OrderStatus.FILLED
