"""What may be signed: everything the adapter asks for, and nothing that moves money away."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.scripted_venue import BTCUSDT

from tradewind.core.ids import ClientOrderId, OrderId, VenueOrderId
from tradewind.core.instrument import BINANCE, VenueName
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import OrderType, Side
from tradewind.signer.allowed import CALLS, refusal
from tradewind.venues.base import OrderRef, PlaceList, PlaceOrder, SignPurpose, SignRequest
from tradewind.venues.binance import codec_account, codec_orders, signing
from tradewind.venues.binance.codec import WireCall, timed

_BY_SPENDING = {"spend": Money(Decimal(20), Asset("USDT"))}
_BY_QUANTITY = {"quantity": Quantity(Decimal("0.01"))}


def _order(type_: OrderType, side: Side = Side.SELL, **figures: object) -> PlaceOrder:
    prices = {"limit_price": Price(Decimal(70_000)), "stop_price": Price(Decimal(60_000))}
    ids = {"order_id": OrderId("o1"), "client_order_id": ClientOrderId("c1")}
    return PlaceOrder(instrument=BTCUSDT, side=side, type=type_, **ids, **prices, **(figures or _BY_QUANTITY))  # type: ignore[arg-type]


def _adapter_calls() -> list[tuple[SignPurpose, WireCall]]:
    pair = PlaceList("list1", _order(OrderType.TAKE_PROFIT_LIMIT_MAKER), _order(OrderType.STOP_LOSS))
    by_client_id = OrderRef(OrderId("o1"), BTCUSDT, ClientOrderId("c1"))
    by_venue_id = OrderRef(OrderId("o1"), BTCUSDT, ClientOrderId("c1"), venue_order_id=VenueOrderId("7"))
    of_list = OrderRef(OrderId("o1"), BTCUSDT, ClientOrderId("c1"), list_client_id="list1")
    order, cancel, read = SignPurpose.ORDER, SignPurpose.CANCEL, SignPurpose.READ
    calls = [
        (order, codec_orders.place_call(_order(OrderType.MARKET, Side.BUY, **_BY_SPENDING))),
        (order, codec_orders.oco_call(pair)),
        (order, codec_orders.oco_call(pair, has_stop_market=False)),
        (order, codec_orders.place_call(_order(OrderType.STOP_LOSS), has_stop_market=False)),
        (read, codec_orders.place_call(_order(OrderType.MARKET, Side.BUY, **_BY_SPENDING), is_test=True)),
        (read, codec_orders.open_orders_call(None)),
        (read, codec_orders.open_orders_call("BTCUSDT")),
        (read, codec_orders.all_orders_call("BTCUSDT", since_ms=1, from_id=None)),
        (read, codec_orders.all_orders_call("BTCUSDT", since_ms=None, from_id=1)),
        (read, codec_orders.fills_call("BTCUSDT", venue_order_id=VenueOrderId("7"), since_ms=None, from_id=1)),
        (read, codec_orders.fills_call("BTCUSDT", venue_order_id=None, since_ms=1, from_id=None)),
        (read, codec_account.ACCOUNT_CALL),
        (read, codec_account.PERMISSIONS_CALL),
    ]
    calls += [(order, codec_orders.place_call(_order(type_))) for type_ in OrderType]
    calls += [(cancel, codec_orders.cancel_call(ref)) for ref in (by_client_id, by_venue_id, of_list)]
    calls += [(read, codec_orders.find_call(ref)) for ref in (by_client_id, by_venue_id)]
    return calls


def _request(purpose: SignPurpose, call: WireCall) -> SignRequest:
    return SignRequest(purpose, call.method, call.path, timed(call.query, 1, 3_000).encode("ascii"))


@pytest.mark.parametrize(("purpose", "call"), _adapter_calls())
def test_refusal_when_the_adapter_asks_for_what_it_needs_then_there_is_none(
    purpose: SignPurpose, call: WireCall
) -> None:
    assert refusal(BINANCE, _request(purpose, call)) is None


def test_refusal_when_the_stream_subscribes_then_there_is_none() -> None:
    payload = signing.ws_payload({"apiKey": "k", "timestamp": 1, "recvWindow": 3_000})
    assert refusal(BINANCE, SignRequest(SignPurpose.STREAM, "WS", signing.SUBSCRIBE_METHOD, payload)) is None


def test_lists_when_compared_then_ours_covers_the_adapters_paths() -> None:
    wanted = {(purpose, *path) for purpose, paths in signing.PATHS.items() for path in paths}
    assert wanted <= set(CALLS[BINANCE])


@pytest.mark.parametrize("purpose", list(SignPurpose))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sapi/v1/capital/withdraw/apply"),
        ("POST", "/sapi/v1/asset/transfer"),
        ("POST", "/sapi/v1/sub-account/universalTransfer"),
        ("GET", "/sapi/v1/capital/deposit/address"),
        ("POST", "/sapi/v1/localentity/withdraw/apply"),
        ("DELETE", "/api/v3/openOrders"),
        ("POST", "/api/v3/order/cancelReplace"),
        ("PUT", "/api/v3/order/amend/keepPriority"),
        ("POST", "/api/v3/order/../../../sapi/v1/asset/transfer"),
        ("POST", "/api/v3/order?x=1"),
        ("post", "/api/v3/order"),
        ("GET", "/api/v3/Account"),
        ("WS", "order.place"),
        ("", ""),
    ],
)
def test_refusal_when_the_call_is_not_on_the_list_then_is_refused(purpose: SignPurpose, method: str, path: str) -> None:
    assert refusal(BINANCE, SignRequest(purpose, method, path, b"timestamp=1")) is not None


def test_refusal_when_the_purpose_is_another_then_is_refused() -> None:
    for purpose, call in _adapter_calls():
        for other in SignPurpose:
            if other is not purpose:
                assert refusal(BINANCE, _request(other, call)) is not None


@pytest.mark.parametrize(
    "parameters",
    [
        # POST /sapi/v1/capital/withdraw/apply
        b"coin=USDT&address=T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb&amount=1000&timestamp=1",
        b"coin=USDT&network=TRX&address=x&amount=1&withdrawOrderId=1&timestamp=1",
        # POST /sapi/v1/asset/transfer
        b"type=MAIN_UMFUTURE&asset=USDT&amount=1&timestamp=1",
        # POST /sapi/v1/sub-account/universalTransfer
        b"toEmail=x%40y.z&fromAccountType=SPOT&toAccountType=SPOT&asset=USDT&amount=1&timestamp=1",
        b"email=x&timestamp=1",
    ],
)
def test_refusal_when_harmless_paths_carry_the_parameters_of_a_withdrawal_then_are_refused(parameters: bytes) -> None:
    for purpose, method, path in CALLS[BINANCE]:
        assert refusal(BINANCE, SignRequest(purpose, method, path, parameters)) is not None


@pytest.mark.parametrize(
    "payload",
    [
        b"symbol=BTCUSDT&symbol=ETHUSDT&timestamp=1",
        b"%73ymbol=BTCUSDT&timestamp=1",
        b"sym+bol=BTCUSDT",
        b"=1&timestamp=1",
        b"&timestamp=1",
        b"timestamp=1&",
        "symbol=币安人生USDT".encode(),
        b"\xff\xfe",
    ],
)
def test_refusal_when_two_readers_could_disagree_then_is_refused(payload: bytes) -> None:
    request = SignRequest(SignPurpose.READ, "GET", "/api/v3/openOrders", payload)
    assert refusal(BINANCE, request) is not None


def test_refusal_when_the_venue_is_not_listed_then_is_refused() -> None:
    request = SignRequest(SignPurpose.READ, "GET", "/api/v3/account", b"timestamp=1")
    assert refusal(BINANCE, request) is None
    assert refusal(VenueName("elsewhere"), request) is not None


def test_refusal_when_it_is_written_then_no_value_is_quoted() -> None:
    request = SignRequest(SignPurpose.READ, "GET", "/api/v3/account", b"address=canary-1&timestamp=canary-2")
    text = refusal(BINANCE, request)
    assert text is not None
    assert "canary" not in text


@given(st.binary(max_size=200))
def test_refusal_when_the_bytes_are_any_then_never_fails(payload: bytes) -> None:
    refusal(BINANCE, SignRequest(SignPurpose.READ, "GET", "/api/v3/account", payload))
