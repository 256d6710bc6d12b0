"""Commission: in what was received, in BNB, at the account's own rates."""

from decimal import Decimal

import pytest
from tests.support.exchange import UID, balance, funded, order, small_exchange, tick

from tradewind.sim.exchange import Exchange
from tradewind.sim.exchange_view import ExchangeSettings
from tradewind.sim.fees import FeeSchedule
from tradewind.sim.types import AccountSettings

D = Decimal


@pytest.fixture
def exchange() -> Exchange:
    return funded()


def test_commission_when_account_pays_in_bnb_leaves_the_received_amount_whole() -> None:
    exchange = funded(USDT="1000", BNB="1")
    exchange.configure_account(UID, AccountSettings(pays_fees_in_bnb=True))
    (fill,) = exchange.place(UID, order("BUY MARKET 5"), 10).fills
    # 505 USDT x 0.1 % x 0.75 / 500 USDT = 0.0007575 BNB
    assert (fill.commission, fill.commission_asset) == (D("0.0007575"), "BNB")
    assert (balance(exchange, "ABC"), balance(exchange, "BNB")) == ((D(5), 0), (D("0.9992425"), 0))


def test_commission_when_bnb_suffices_to_the_last_unit_takes_it_all() -> None:
    exchange = funded(USDT="1000", BNB="0.0007575")
    exchange.configure_account(UID, AccountSettings(pays_fees_in_bnb=True))
    exchange.place(UID, order("BUY MARKET 5"), 10)
    assert balance(exchange, "BNB") == (0, 0)


def test_commission_when_bnb_does_not_suffice_is_taken_from_what_was_received() -> None:
    exchange = funded(USDT="1000", BNB="0.0007574")
    exchange.configure_account(UID, AccountSettings(pays_fees_in_bnb=True))
    (fill,) = exchange.place(UID, order("BUY MARKET 5"), 10).fills
    assert (fill.commission, fill.commission_asset) == (D("0.005"), "ABC")


def test_commission_when_no_symbol_prices_bnb_uses_the_declared_price() -> None:
    settings = ExchangeSettings(fees=FeeSchedule(discount_asset="OKB", discount_price=D(1_000)))
    exchange = small_exchange(settings=settings)
    exchange.create_account(UID, AccountSettings(pays_fees_in_bnb=True))
    exchange.deposit(UID, "ABC", D(1), 1)
    exchange.deposit(UID, "OKB", D(1), 1)
    (fill,) = exchange.place(UID, order("SELL MARKET 1"), 10).fills
    # 99 USDT x 0.1 % x 0.75 / 1000 = 0.00007425 OKB
    assert (fill.commission, fill.commission_asset) == (D("0.00007425"), "OKB")


def test_commission_when_account_has_its_own_rates_uses_them(exchange: Exchange) -> None:
    exchange.configure_account(UID, AccountSettings(maker_bps=D(0), taker_bps=D(2)))
    (fill,) = exchange.place(UID, order("BUY MARKET 1"), 10).fills
    assert fill.commission == D("0.0002")
    assert exchange.commission_bps(UID, is_maker=True) == 0
    assert exchange.commission_bps(UID, is_maker=False) == 2
    resting = exchange.place(UID, order("BUY LIMIT 1 @ 95"), 20).order
    exchange.on_print(tick("94"), 30)
    assert exchange.fills_of(resting.order_id)[0].commission == 0
