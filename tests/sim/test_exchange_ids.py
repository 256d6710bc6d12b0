"""Client ids, cancelling, amending: who is found by which id, and when an id is free again."""

from decimal import Decimal

import pytest
from tests.support.exchange import SYMBOL, UID, balance, funded, order, refused, small_exchange, tick, told

from tradewind.sim.exchange import Exchange
from tradewind.sim.exchange_view import ExchangeSettings
from tradewind.sim.refusals import ExchangeRefusal, RefusalReason
from tradewind.sim.types import CancelRestriction, OrderStatus, OrderUpdate

D = Decimal


@pytest.fixture
def exchange() -> Exchange:
    return funded()


def found(exchange: Exchange, client_id: str) -> int | None:
    known = exchange.find_order(UID, SYMBOL, client_order_id=client_id)
    return None if known is None else known.order_id


def test_client_id_when_its_order_is_open_is_refused(exchange: Exchange) -> None:
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 10)
    with pytest.raises(ExchangeRefusal) as caught:
        exchange.place(UID, order("BUY MARKET 1", client_order_id="a"), 20)
    assert (caught.value.code, caught.value.message) == (-2010, "Duplicate order sent.")


def test_client_id_when_its_order_was_filled_makes_a_second_order(exchange: Exchange) -> None:
    first, second = (exchange.place(UID, order("BUY MARKET 1", client_order_id="a"), 10).order for _ in range(2))
    assert first.order_id < second.order_id
    assert found(exchange, "a") == second.order_id
    assert balance(exchange, "USDT")[0] == D(100_000) - 202


def test_client_id_when_its_order_expired_or_was_cancelled_is_free_again(exchange: Exchange) -> None:
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 10)
    exchange.cancel(UID, SYMBOL, 20, client_order_id="a")
    exchange.limit_fills(D(0), orders=1)
    assert exchange.place(UID, order("BUY MARKET 1", client_order_id="a"), 30).order.status is OrderStatus.EXPIRED
    third = exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 40).order
    assert found(exchange, "a") == third.order_id


def test_client_id_on_another_symbol_or_account_does_not_clash(exchange: Exchange) -> None:
    exchange.create_account(UID + 1)
    exchange.deposit(UID + 1, "USDT", D(1_000), 5)
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 10)
    exchange.place(UID, order("BUY LIMIT 10 @ 1.9", "XYZUSDT", client_order_id="a"), 10)
    exchange.place(UID + 1, order("BUY LIMIT 1 @ 95", client_order_id="a"), 10)
    assert exchange.find_order(UID + 1, SYMBOL, order_id=1_000_001) is None
    assert exchange.find_order(UID, "XYZUSDT", order_id=1_000_001) is None


def test_client_id_when_not_given_is_made_by_the_exchange(exchange: Exchange) -> None:
    first, second = (exchange.place(UID, order("BUY LIMIT 1 @ 95"), 10).order.client_order_id for _ in range(2))
    assert first != second
    assert len(first) == 22
    assert first.isalnum()


def test_cancel_when_order_rests_releases_its_hold_and_replaces_its_id(exchange: Exchange) -> None:
    exchange.place(UID, order("BUY LIMIT 2 @ 95", client_order_id="a"), 10)
    cancelled = exchange.cancel(UID, SYMBOL, 20, client_order_id="a", new_client_order_id="c")
    (ended,) = cancelled.orders
    assert (ended.status, ended.client_order_id, ended.orig_client_order_id) == ("CANCELED", "c", "a")
    assert told(cancelled.events) == ["CANCELED CANCELED", "BalanceChange"]
    assert balance(exchange, "USDT") == (D(100_000), 0)
    assert found(exchange, "c") == found(exchange, "a") == ended.order_id
    assert exchange.on_print(tick("90"), 30) == ()


def test_cancelled_order_when_originals_do_not_resolve_is_found_by_the_cancels_id_only() -> None:
    exchange = small_exchange(settings=ExchangeSettings(finds_original_id_after_cancel=False))
    exchange.create_account(UID)
    exchange.deposit(UID, "USDT", D(1_000), 1)
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 10)
    exchange.cancel(UID, SYMBOL, 20, client_order_id="a", new_client_order_id="c")
    assert found(exchange, "a") is None
    assert found(exchange, "c") == 1_000_001


def test_cancel_id_when_it_is_a_newer_orders_id_does_not_hide_that_order(exchange: Exchange) -> None:
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 10)
    newer = exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="b"), 20).order
    exchange.cancel(UID, SYMBOL, 30, client_order_id="a", new_client_order_id="b")
    assert found(exchange, "b") == newer.order_id


def test_cancel_when_order_is_partly_filled_keeps_what_it_got(exchange: Exchange) -> None:
    partly = exchange.place(UID, order("BUY LIMIT 150 @ 101"), 10).order
    (ended,) = exchange.cancel(UID, SYMBOL, 20, order_id=partly.order_id).orders
    assert (ended.status, ended.executed) == ("CANCELED", D(100))
    assert balance(exchange, "USDT") == (D(100_000) - 10_100, 0)


@pytest.mark.parametrize(
    ("restriction", "is_partly_filled", "is_allowed"),
    [
        (CancelRestriction.ONLY_NEW, False, True),
        (CancelRestriction.ONLY_NEW, True, False),
        (CancelRestriction.ONLY_PARTIALLY_FILLED, False, False),
        (CancelRestriction.ONLY_PARTIALLY_FILLED, True, True),
    ],
)
def test_cancel_with_restriction_is_allowed_in_that_state_only(
    exchange: Exchange, restriction: CancelRestriction, is_partly_filled: bool, is_allowed: bool
) -> None:
    line = "BUY LIMIT 150 @ 101" if is_partly_filled else "BUY LIMIT 1 @ 95"
    order_id = exchange.place(UID, order(line), 10).order.order_id
    if is_allowed:
        assert exchange.cancel(UID, SYMBOL, 20, order_id=order_id, restriction=restriction).orders
    else:
        with refused(RefusalReason.CANCEL_RESTRICTED):
            exchange.cancel(UID, SYMBOL, 20, order_id=order_id, restriction=restriction)


def test_cancel_when_order_is_unknown_closed_or_anothers_is_refused(exchange: Exchange) -> None:
    filled = exchange.place(UID, order("BUY MARKET 1", client_order_id="a"), 10).order
    exchange.create_account(UID + 1)
    resting = exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="b"), 10).order
    for uid, symbol, order_id, client_id in (
        (UID, SYMBOL, 42, None),
        (UID, SYMBOL, filled.order_id, None),
        (UID, SYMBOL, None, "a"),
        (UID, SYMBOL, None, None),
        (UID, "XYZUSDT", resting.order_id, None),
        (UID + 1, SYMBOL, resting.order_id, None),
    ):
        with refused(RefusalReason.UNKNOWN_ORDER):
            exchange.cancel(uid, symbol, 20, order_id=order_id, client_order_id=client_id)
    with refused(RefusalReason.CANCEL_MISMATCH):
        exchange.cancel(UID, SYMBOL, 20, order_id=resting.order_id, client_order_id="a")


def test_cancel_when_symbol_is_unknown_says_so(exchange: Exchange) -> None:
    with refused(RefusalReason.INVALID_SYMBOL):
        exchange.cancel(UID, "NOPEUSDT", 20, order_id=1)
    with refused(RefusalReason.INVALID_SYMBOL):
        exchange.cancel_all(UID, "NOPEUSDT", 20)
    with refused(RefusalReason.INVALID_SYMBOL):
        exchange.cancel_list(UID, "NOPEUSDT", 20, order_list_id=1)
    with refused(RefusalReason.INVALID_SYMBOL):
        exchange.amend(UID, "NOPEUSDT", 20, order_id=1, new_quantity=D(1))


def test_find_order_when_both_ids_disagree_is_refused(exchange: Exchange) -> None:
    placed = exchange.place(UID, order("BUY MARKET 1", client_order_id="a"), 10).order
    assert exchange.find_order(UID, SYMBOL, order_id=placed.order_id, client_order_id="a") == placed
    with refused(RefusalReason.QUERY_MISMATCH):
        exchange.find_order(UID, SYMBOL, order_id=placed.order_id, client_order_id="b")
    assert exchange.find_order(UID, SYMBOL) is None
    assert found(exchange, "never") is None


def test_cancel_all_when_orders_are_open_ends_those_of_the_symbol(exchange: Exchange) -> None:
    exchange.place(UID, order("BUY LIMIT 10 @ 1.9", "XYZUSDT"), 10)
    for _ in range(3):
        exchange.place(UID, order("BUY LIMIT 1 @ 95"), 10)
    assert len(exchange.cancel_all(UID, SYMBOL, 20).orders) == 3
    assert [left.symbol for left in exchange.open_orders(UID)] == ["XYZUSDT"]
    with refused(RefusalReason.UNKNOWN_ORDER):
        exchange.cancel_all(UID, SYMBOL, 30)


def test_queries_when_orders_and_fills_exist_give_them_oldest_first(exchange: Exchange) -> None:
    placed = [exchange.place(UID, order("BUY MARKET 1"), now).order for now in (10, 20, 30)]
    assert exchange.all_orders(UID, SYMBOL) == placed
    assert [fill.order_id for fill in exchange.my_trades(UID, SYMBOL)] == [one.order_id for one in placed]
    assert exchange.all_orders(UID, "XYZUSDT") == []


def test_amend_when_quantity_falls_releases_money_and_takes_the_new_id(exchange: Exchange) -> None:
    exchange.place(UID, order("BUY LIMIT 4 @ 95", client_order_id="a"), 10)
    amended = exchange.amend(UID, SYMBOL, 20, client_order_id="a", new_quantity=D(1), new_client_order_id="b")
    assert (amended.order.quantity, amended.order.client_order_id) == (D(1), "b")
    assert balance(exchange, "USDT") == (D(100_000) - 95, D(95))
    assert (found(exchange, "a"), found(exchange, "b")) == (None, amended.order.order_id)
    update = amended.events[0]
    assert isinstance(update, OrderUpdate)
    assert (update.execution_type, update.execution_id) == ("REPLACED", amended.execution_id)
    exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="a"), 30)
    with refused(RefusalReason.DUPLICATE_ORDER):
        exchange.place(UID, order("BUY LIMIT 1 @ 95", client_order_id="b"), 30)
    assert told(exchange.on_print(tick("94"), 40)).count("TRADE FILLED") == 2


def test_amend_when_new_id_is_another_open_orders_is_refused_but_its_own_is_kept(exchange: Exchange) -> None:
    exchange.place(UID, order("BUY LIMIT 4 @ 95", client_order_id="a"), 10)
    exchange.place(UID, order("BUY LIMIT 4 @ 95", client_order_id="b"), 10)
    with refused(RefusalReason.DUPLICATE_ORDER):
        exchange.amend(UID, SYMBOL, 20, client_order_id="a", new_quantity=D(1), new_client_order_id="b")
    kept = exchange.amend(UID, SYMBOL, 20, client_order_id="a", new_quantity=D(1), new_client_order_id="a").order
    assert (kept.client_order_id, found(exchange, "a")) == ("a", kept.order_id)


def test_amended_orders_old_id_when_an_earlier_order_bore_it_means_that_one_again(exchange: Exchange) -> None:
    first = exchange.place(UID, order("BUY MARKET 1", client_order_id="a"), 10).order
    exchange.place(UID, order("BUY LIMIT 4 @ 95", client_order_id="a"), 20)
    exchange.amend(UID, SYMBOL, 30, client_order_id="a", new_quantity=D(1))
    assert found(exchange, "a") == first.order_id


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        ("5", RefusalReason.AMEND_INCREASE),
        ("4", RefusalReason.AMEND_NO_CHANGE),
        ("0", RefusalReason.AMEND_NO_CHANGE),
        ("0.001", RefusalReason.FILTER),
    ],
)
def test_amend_when_it_makes_no_smaller_order_is_refused(
    exchange: Exchange, quantity: str, reason: RefusalReason
) -> None:
    exchange.place(UID, order("BUY LIMIT 4 @ 95", client_order_id="a"), 10)
    with refused(reason):
        exchange.amend(UID, SYMBOL, 20, client_order_id="a", new_quantity=D(quantity))
    with refused(RefusalReason.AMEND_UNKNOWN):
        exchange.amend(UID, SYMBOL, 20, client_order_id="b", new_quantity=D(1))
