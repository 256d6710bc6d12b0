"""The bench's venue answers questions about its orders as a venue would; one wrong answer opens the breaker."""

from __future__ import annotations

import json

from tradewind.bench.keys import key_of
from tradewind.bench.responder import Venue
from tradewind.venues.binance.codec_reports import read_fills, read_orders

KEY = key_of(1).api_key.encode("ascii")
OCO = (
    "symbol={symbol}&quantity=0.002&listClientOrderId=L{n}&aboveClientOrderId=A{n}&belowClientOrderId=B{n}"
    "&abovePrice=60000&belowType=STOP_LOSS&belowStopPrice=40000&signature=x"
)


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def _bought(venue: Venue, symbol: str, name: str) -> None:
    query = f"symbol={symbol}&side=BUY&quoteOrderQty=100&newClientOrderId={name}&signature=x"
    venue.answer(b"POST", b"/api/v3/order", KEY, query.encode("ascii"))


def _protected(venue: Venue, symbol: str, number: int) -> None:
    body = OCO.format(symbol=symbol, n=number).encode("ascii")
    venue.answer(b"POST", b"/api/v3/orderList/oco", KEY, body)


def test_open_orders_when_asked_for_one_market_then_only_its_own_are_listed() -> None:
    venue = Venue(0.0)
    for number, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        _bought(venue, symbol, f"E{number}")
        _protected(venue, symbol, number)
    body = _body(venue.answer(b"GET", b"/api/v3/openOrders?symbol=ETHUSDT", KEY, b""))
    assert [each.client_order_id for each in read_orders(body, "ETHUSDT")] == ["A1", "B1"]
    every = json.loads(_body(venue.answer(b"GET", b"/api/v3/openOrders?timestamp=1", KEY, b"")))
    assert [each["clientOrderId"] for each in every] == ["A0", "B0", "A1", "B1"]


def test_order_when_asked_by_name_or_number_then_told_with_its_execution() -> None:
    venue = Venue(0.0)
    _bought(venue, "BTCUSDT", "E1")
    by_name = json.loads(_body(venue.answer(b"GET", b"/api/v3/order?symbol=BTCUSDT&origClientOrderId=E1", KEY, b"")))
    number = str(by_name["orderId"]).encode("ascii")
    assert by_name["status"] == "FILLED"
    by_number = venue.answer(b"GET", b"/api/v3/order?symbol=BTCUSDT&orderId=" + number, KEY, b"")
    assert json.loads(_body(by_number)) == by_name
    trades = venue.answer(b"GET", b"/api/v3/myTrades?symbol=BTCUSDT&orderId=" + number, KEY, b"")
    assert str(read_fills(_body(trades), "BTCUSDT")[0].quantity.value) == by_name["executedQty"]
    unknown = venue.answer(b"GET", b"/api/v3/order?symbol=BTCUSDT&origClientOrderId=other", KEY, b"")
    assert json.loads(_body(unknown))["code"] == -2013
