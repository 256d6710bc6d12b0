"""Order requests, parameter by parameter, and against requests recorded from another client."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.binance_values import OUR_ID, STOP_ID, TARGET_ID, buy, instrument, oco, ref, sell
from tests.support.shared_data import shared_cases

from tradewind.core.ids import ClientOrderId, VenueOrderId
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import OrderType, Side
from tradewind.venues.base import PlaceList, PlaceOrder
from tradewind.venues.binance.codec import WireCall, query_of, wire_number
from tradewind.venues.binance.codec_market import candles_call, depth_call, tickers_call
from tradewind.venues.binance.codec_orders import (
    all_orders_call,
    cancel_call,
    fills_call,
    find_call,
    oco_call,
    open_orders_call,
    place_call,
)
from tradewind.venues.binance.signing import sign_hmac


def params(call: WireCall) -> dict[str, str]:
    return dict(parse_qsl(call.query, keep_blank_values=True, strict_parsing=True)) if call.query else {}


def test_place_call_when_market_buy_by_amount_then_quote_order_qty() -> None:
    call = place_call(buy("100.50"))
    assert (call.method, call.path) == ("POST", "/api/v3/order")
    assert params(call) == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quoteOrderQty": "100.5",
        "newClientOrderId": OUR_ID,
        "newOrderRespType": "FULL",
    }


def test_place_call_when_market_sell_then_quantity() -> None:
    assert params(place_call(sell("0.01000")))["quantity"] == "0.01"


def test_place_call_when_limit_then_good_till_cancelled() -> None:
    order = sell("1E-2", type=OrderType.LIMIT, limit_price=Price(Decimal("50000.10")))
    found = params(place_call(order))
    assert (found["type"], found["timeInForce"], found["quantity"], found["price"]) == (
        "LIMIT",
        "GTC",
        "0.01",
        "50000.1",
    )


def test_place_call_when_stop_then_market_when_triggered() -> None:
    order = sell("0.01", type=OrderType.STOP_LOSS, stop_price=Price(Decimal(48000)))
    found = params(place_call(order))
    assert (found["type"], found["stopPrice"]) == ("STOP_LOSS", "48000")
    assert "price" not in found
    assert "timeInForce" not in found


def test_place_call_when_symbol_has_no_stop_market_then_stop_limit_five_percent_below() -> None:
    order = sell("0.01", type=OrderType.STOP_LOSS, stop_price=Price(Decimal("48000.37")))
    found = params(place_call(order, has_stop_market=False))
    assert (found["type"], found["timeInForce"]) == ("STOP_LOSS_LIMIT", "GTC")
    assert found["price"] == "45600.35"  # 45600.3515 down to the tick


def test_place_call_when_test_then_only_the_path_differs() -> None:
    real, probe = place_call(buy()), place_call(buy(), is_test=True)
    assert (probe.path, probe.query) == ("/api/v3/order/test", real.query)


@pytest.mark.parametrize(
    "order",
    [
        buy(spend=None),
        buy(quantity=Quantity(Decimal(1))),
        buy(spend=Money(Decimal(1), Asset("BTC"))),
        sell("0"),
        sell("0.01", type=OrderType.LIMIT),
        sell("0.01", type=OrderType.STOP_LOSS),
        sell("0.01", type=OrderType.TAKE_PROFIT_LIMIT_MAKER),
        buy("-1"),
        buy("123456789012345678901"),
    ],
)
def test_place_call_when_order_lacks_what_its_type_needs_then_value_error(order: PlaceOrder) -> None:
    with pytest.raises(ValueError, match=r"order|number|quantity|price"):
        place_call(order)


def test_oco_call_when_built_then_target_above_and_stop_below_with_our_ids() -> None:
    call = oco_call(oco())
    assert (call.method, call.path) == ("POST", "/api/v3/orderList/oco")
    assert params(call) == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.01",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "51000",
        "aboveClientOrderId": TARGET_ID,
        "belowType": "STOP_LOSS",
        "belowStopPrice": "48000",
        "belowClientOrderId": STOP_ID,
        "listClientOrderId": "twdddddddddddddddddddddddddd",
        "newOrderRespType": "FULL",
    }


def test_oco_call_when_symbol_has_no_stop_market_then_stop_limit_below() -> None:
    found = params(oco_call(oco(), has_stop_market=False))
    assert found["belowType"] == "STOP_LOSS_LIMIT"
    assert (found["belowPrice"], found["belowTimeInForce"]) == ("45600", "GTC")


@pytest.mark.parametrize(
    "orders",
    [
        oco(side=Side.BUY),
        PlaceList("twl", oco("0.01").target, oco("0.02").stop),
        PlaceList("twl", oco().target, oco(instrument=instrument("ETHUSDT", "ETH")).stop),
        PlaceList("twl", replace(oco().target, quantity=None), oco().stop),
    ],
)
def test_oco_call_when_legs_do_not_belong_together_then_value_error(orders: PlaceList) -> None:
    with pytest.raises(ValueError, match="leg"):
        oco_call(orders)


def test_cancel_call_when_venue_id_is_known_then_by_it() -> None:
    """order-protocol.md section 2."""
    call = cancel_call(ref("28"))
    assert (call.method, call.path, params(call)) == ("DELETE", "/api/v3/order", {"symbol": "BTCUSDT", "orderId": "28"})


def test_cancel_call_when_only_our_id_is_known_then_by_it() -> None:
    assert params(cancel_call(ref())) == {"symbol": "BTCUSDT", "origClientOrderId": OUR_ID}


def test_cancel_call_when_leg_of_a_list_then_cancels_the_list() -> None:
    call = cancel_call(ref("28", list_client_id="twl"))
    assert (call.path, params(call)) == ("/api/v3/orderList", {"symbol": "BTCUSDT", "listClientOrderId": "twl"})


def test_list_calls_when_built_then_weights_of_the_documents() -> None:
    order_id = VenueOrderId("28")
    assert find_call(ref("28")).weight == 4
    assert open_orders_call("BTCUSDT").weight == 6
    assert open_orders_call(None) == WireCall("GET", "/api/v3/openOrders", "", 80)
    assert all_orders_call("BTCUSDT", since_ms=5, from_id=None).query == "symbol=BTCUSDT&startTime=5&limit=1000"
    assert all_orders_call("BTCUSDT", since_ms=5, from_id=9).query == "symbol=BTCUSDT&orderId=9&limit=1000"
    by_order = fills_call("BTCUSDT", venue_order_id=order_id, since_ms=5, from_id=None)
    assert (by_order.query, by_order.weight) == ("symbol=BTCUSDT&orderId=28&limit=1000", 5)
    since = fills_call("BTCUSDT", venue_order_id=None, since_ms=5, from_id=None)
    assert (since.query, since.weight) == ("symbol=BTCUSDT&startTime=5&limit=1000", 20)
    assert (
        fills_call("BTCUSDT", venue_order_id=None, since_ms=5, from_id=7).query == "symbol=BTCUSDT&fromId=7&limit=1000"
    )


def test_market_calls_when_built_then_weights_of_the_documents() -> None:
    assert [depth_call("X", limit).weight for limit in (1, 100, 101, 500, 1000, 5000, 9999)] == [
        5,
        5,
        25,
        25,
        50,
        250,
        250,
    ]
    assert tickers_call(["BTCUSDT"]).query == "symbols=%5B%22BTCUSDT%22%5D"
    with pytest.raises(ValueError, match="2m"):
        candles_call("X", "2m", 5)


@given(st.decimals(min_value=0, max_value=10**19, places=8, allow_nan=False, allow_infinity=False))
def test_wire_number_when_written_then_reads_back_the_same(value: Decimal) -> None:
    text = wire_number(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert not text.startswith("-")


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.text(max_size=12)), max_size=5))
def test_query_of_when_decoded_then_gives_the_parameters_back(pairs: list[tuple[str, str]]) -> None:
    query = query_of(pairs)
    assert query.isascii()
    assert parse_qsl(query, keep_blank_values=True) == pairs


# --- against recorded requests -----------------------------------------------------------------------

# Another client's choices, not the order's: times and ids, and the answer type it asks for.
_NOT_COMPARED = {"timestamp", "recvWindow", "signature", "newClientOrderId", "newOrderRespType"}
_SECRET = b"testSecret0123456789"


def recorded(case: dict[str, Any]) -> tuple[str, dict[str, str]]:
    text = case.get("output") or urlsplit(case["url"]).query
    return text, dict(parse_qsl(text, strict_parsing=True))


def kind_of_order(wanted: dict[str, str]) -> OrderType | None:
    if wanted["type"] == "LIMIT" and wanted["timeInForce"] != "GTC":
        return None
    if wanted["type"] == "STOP_LOSS_LIMIT":
        return OrderType.STOP_LOSS
    kinds = {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT, "LIMIT_MAKER": OrderType.TAKE_PROFIT_LIMIT_MAKER}
    return kinds.get(wanted["type"])


def order_like(wanted: dict[str, str], kind: OrderType) -> PlaceOrder:
    def price(name: str) -> Price | None:
        return Price(Decimal(wanted[name])) if name in wanted else None

    quote = Asset("USDT")
    return buy(
        instrument=instrument(wanted["symbol"], quote=quote),
        side=Side.BUY if wanted["side"] == "BUY" else Side.SELL,
        type=kind,
        quantity=Quantity(Decimal(wanted["quantity"])) if "quantity" in wanted else None,
        spend=Money(Decimal(wanted["quoteOrderQty"]), quote) if "quoteOrderQty" in wanted else None,
        limit_price=price("price"),
        stop_price=price("stopPrice"),
    )


def test_place_call_when_same_order_was_recorded_then_same_parameters() -> None:
    compared = 0
    cases = shared_cases("payloads/binance/request_createOrder.json")
    cases += shared_cases("payloads/binance/request_createMarketBuyOrderWithCost.json")
    for case in cases:
        if "output" not in case:  # refused before sending
            continue
        text, wanted = recorded(case)
        unsigned, _, signature = text.rpartition("&signature=")
        assert sign_hmac(_SECRET, unsigned.encode("ascii")) == signature, case["id"]
        kind = kind_of_order(wanted)
        if kind is None:  # IOC, take-profit and other kinds this product does not place
            continue
        call = place_call(order_like(wanted, kind), has_stop_market=wanted["type"] != "STOP_LOSS_LIMIT")
        expected = {name: value for name, value in wanted.items() if name not in _NOT_COMPARED}
        ours = {name: value for name, value in params(call).items() if name not in _NOT_COMPARED}
        assert ours == expected, case["id"]
        assert (call.method, call.path) == (case["httpMethod"], urlsplit(case["url"]).path)
        compared += 1
    assert compared > 25


def test_cancel_and_find_calls_when_recorded_then_same_parameters() -> None:
    for name, build in (("request_cancelOrder", cancel_call), ("request_fetchOrder", find_call)):
        for case in shared_cases(f"payloads/binance/{name}.json"):
            _, wanted = recorded(case)
            order_id = wanted.get("orderId")
            named = ref(
                order_id,
                instrument=instrument(wanted["symbol"]),
                client_order_id=ClientOrderId(wanted.get("origClientOrderId", "")),
            )
            call = build(named)
            expected = {key: value for key, value in wanted.items() if key not in _NOT_COMPARED}
            assert params(call) == expected, case["id"]
            assert (call.method, call.path) == (case["httpMethod"], urlsplit(case["url"]).path)


def test_list_calls_when_recorded_then_same_parameters_but_for_the_page_size() -> None:
    for case in shared_cases("payloads/binance/request_fetchMyTrades.json"):
        _, wanted = recorded(case)
        since = int(wanted["startTime"]) if "startTime" in wanted else None
        call = fills_call(wanted["symbol"], venue_order_id=None, since_ms=since, from_id=None)
        expected = {key: value for key, value in wanted.items() if key not in _NOT_COMPARED}
        assert params(call) == {**expected, "limit": "1000"}, case["id"]
        assert call.path == urlsplit(case["url"]).path
    for case in shared_cases("payloads/binance/request_fetchOpenOrders.json"):
        _, wanted = recorded(case)
        assert params(open_orders_call(wanted["symbol"])) == {"symbol": wanted["symbol"]}


def test_market_calls_when_recorded_then_same_parameters() -> None:
    for case in shared_cases("payloads/binance/request_fetchOHLCV.json"):
        _, wanted = recorded(case)
        if "startTime" not in wanted:  # the newest candles, which is what we ask for
            assert params(candles_call(wanted["symbol"], wanted["interval"], int(wanted["limit"]))) == wanted
    for case in shared_cases("payloads/binance/request_fetchOrderBook.json"):
        _, wanted = recorded(case)
        assert params(depth_call(wanted["symbol"], int(wanted["limit"]))) == wanted
