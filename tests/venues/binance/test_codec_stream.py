"""Frames of private and public streams, documented and recorded."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.binance_values import OUR_ID, T0, dump
from tests.support.shared_data import shared_cases

from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import OrderState, Side
from tradewind.infra.clock import from_ms
from tradewind.venues.binance.codec import NotUnderstood
from tradewind.venues.binance.codec_stream import (
    Answer,
    BalanceEvent,
    BookTop,
    Ended,
    LastPrice,
    OrderEvent,
    Other,
    Reply,
    Shutdown,
    UnreadableEvent,
    market_frame,
    read_market_frame,
    read_user_event,
    read_user_frame,
    subscribe_frame,
    time_frame,
    unsubscribe_frame,
)


def execution(**changes: Any) -> dict[str, Any]:
    """An executionReport of a fill."""
    return {
        "e": "executionReport", "E": T0 + 9, "s": "BTCUSDT", "c": OUR_ID, "S": "SELL", "o": "STOP_LOSS", "f": "GTC",
        "q": "0.01000000", "p": "0.00000000", "P": "48000.00000000", "F": "0.00000000", "g": 1, "C": "",
        "x": "TRADE", "X": "FILLED", "r": "NONE", "i": 10, "l": "0.01000000", "z": "0.01000000",
        "L": "47990.00000000", "n": "0.47990000", "N": "USDT", "T": T0 + 8, "t": 77, "I": 4644480641, "w": False,
        "m": False, "M": False, "O": T0, "Z": "479.90000000", "Y": "479.90000000", "Q": "0.00000000", "V": "NONE",
        **changes,
    }  # fmt: skip


def event(body: dict[str, Any], subscription: int | None = 3) -> Any:
    return read_user_frame(dump({"subscriptionId": subscription, "event": body}))


def test_user_frame_when_order_filled_then_report_and_fill() -> None:
    found = event(execution())
    assert isinstance(found, OrderEvent)
    assert (found.subscription_id, found.original_client_id, found.stated_ms) == (3, OUR_ID, T0 + 9)
    assert found.report.state is OrderState.FILLED
    assert found.report.stop_price == Decimal(48000)
    assert found.fill is not None
    assert (found.fill.fill_id, found.fill.venue_order_id, found.fill.side) == ("77", "10", Side.SELL)
    assert found.fill.price == Price(Decimal(47990))
    assert found.fill.quote_amount == Decimal("479.9")
    assert found.fill.fee == Money(Decimal("0.4799"), Asset("USDT"))
    assert found.fill.at == from_ms(T0 + 8)


def test_user_frame_when_order_is_cancelled_then_known_by_its_own_id() -> None:
    body = execution(
        x="CANCELED", X="CANCELED", c="cancel-id", C=OUR_ID, l="0.00000000", z="0.00000000", t=-1, n="0", N=None
    )
    found = event(body)
    assert isinstance(found, OrderEvent)
    assert (found.original_client_id, found.report.client_order_id) == (OUR_ID, OUR_ID)
    assert (found.report.state, found.fill) == (OrderState.CANCELED, None)


def test_user_frame_when_expired_then_the_venues_reason() -> None:
    body = execution(x="EXPIRED", X="EXPIRED", eR="OCO_TRIGGER", l="0", z="0", t=-1, n="0", N=None)
    found = event(body)
    assert isinstance(found, OrderEvent)
    assert found.report.reason == "oco_trigger"


def test_user_frame_when_rejected_then_the_reject_reason() -> None:
    body = execution(x="REJECTED", X="REJECTED", r="INSUFFICIENT_BALANCES", l="0", z="0", t=-1, n="0", N=None)
    assert event(body).report.reason == "insufficient_balances"


def test_user_frame_when_balances_change_then_those_told() -> None:
    body = {"e": "outboundAccountPosition", "E": T0, "u": T0, "B": [{"a": "ETH", "f": "1.5", "l": "0"}]}
    found = event(body)
    assert isinstance(found, BalanceEvent)
    assert (found.balances[0].asset, found.balances[0].free) == ("ETH", Decimal("1.5"))


def test_user_frame_when_server_shuts_down_then_said_for_the_connection() -> None:
    assert read_user_frame(dump({"event": {"e": "serverShutdown", "E": T0}})) == Shutdown()


def test_user_frame_when_answer_then_id_status_and_subscription() -> None:
    found = read_user_frame(dump({"id": "r1", "status": 200, "result": {"subscriptionId": 4}, "rateLimits": []}))
    assert isinstance(found, Answer)
    assert (found.id, found.status, found.subscription_id) == ("r1", 200, 4)


def test_user_frame_when_refused_then_code_and_when_to_come_back() -> None:
    error = {"code": -1003, "msg": "Too much", "data": {"serverTime": T0, "retryAfter": T0 + 60_000}}
    found = read_user_frame(dump({"id": 7, "status": 429, "error": error}))
    assert isinstance(found, Answer)
    assert (found.id, found.code, found.retry_at_ms) == ("7", -1003, T0 + 60_000)


@pytest.mark.parametrize("result", [[], None, "x", 5])
def test_user_frame_when_result_is_of_another_method_then_an_answer_all_the_same(result: Any) -> None:
    assert isinstance(read_user_frame(dump({"id": "r1", "status": 200, "result": result})), Answer)


@pytest.mark.parametrize("changes", [{"X": "NEW_IN_2027"}, {"z": "NaN"}, {"T": -1}, {"l": 0.01}, {"t": -1}])
def test_user_frame_when_event_about_our_order_cannot_be_read_then_gap_of_its_account(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        event(execution(**changes))
    assert caught.value.subscription_id == 3


def test_user_frame_when_event_about_a_foreign_order_cannot_be_read_then_nothing() -> None:
    assert event(execution(X="NEW_IN_2027", c="web_1")) == Other()


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", b"<html>", b'{"event":5}', b'{"event":{"e":"executionReport"}}']
)
def test_user_frame_when_anything_else_then_not_understood(text: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_user_frame(text)


@given(st.binary(max_size=100))
def test_frames_when_any_bytes_then_not_understood_or_a_value(text: bytes) -> None:
    for reader in (read_user_frame, read_market_frame):
        try:
            reader(text)
        except NotUnderstood:
            continue


def test_user_events_when_recorded_are_played_then_all_are_read() -> None:
    kinds: dict[str, int] = {}
    for case in shared_cases("payloads/binance/wsUserData.json"):
        raw = case["httpResponse"]
        body = raw.get("event") or raw.get("data") or raw
        found = read_user_event(dump(body), 0)
        kinds[type(found).__name__] = kinds.get(type(found).__name__, 0) + 1
        if isinstance(found, OrderEvent):
            assert found.report.executed == Quantity(Decimal(body["z"]))
            assert found.original_client_id == (body["C"] or body["c"] if body["x"] == "CANCELED" else body["c"])
            assert (found.fill is not None) == (body["x"] == "TRADE" and Decimal(body["l"]) > 0), case["id"]
    assert kinds == {"OrderEvent": 13, "BalanceEvent": 1, "Ended": 1, "Other": 1}


def test_user_event_when_subscription_ended_then_told() -> None:
    assert event({"e": "eventStreamTerminated", "E": T0}) == Ended(3)


def test_market_frames_when_recorded_are_played_then_books_and_nothing_else() -> None:
    books = 0
    for case in shared_cases("payloads/binance/wsMarket.json"):
        raw = case["httpResponse"]
        if "stream" not in raw:
            continue  # a raw stream; we use combined ones
        found = read_market_frame(dump(raw))
        if raw["stream"].endswith("@bookTicker"):
            assert isinstance(found, BookTop)
            assert found.bid == Price(Decimal(raw["data"]["b"]))
            books += 1
        else:
            assert found == Other()
    assert books >= 5


def test_market_frame_when_mini_ticker_then_last_price_with_the_venues_time() -> None:
    data = {
        "e": "24hrMiniTicker",
        "E": T0,
        "s": "BTCUSDT",
        "c": "50000.1",
        "o": "1",
        "h": "1",
        "l": "1",
        "v": "1",
        "q": "1",
    }
    found = read_market_frame(dump({"stream": "btcusdt@miniTicker", "data": data}))
    assert found == LastPrice("BTCUSDT", Price(Decimal("50000.1")), from_ms(T0))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"result": None, "id": 1}, Reply(1, is_error=False)),
        ({"error": {"code": 2, "msg": "Invalid request"}, "id": 1}, Reply(1, is_error=True)),
        ({"code": 3, "msg": "Invalid JSON"}, Reply(None, is_error=True)),
        ({"e": "serverShutdown", "E": T0}, Shutdown()),
        ({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": T0}}, Shutdown()),
    ],
)
def test_market_frame_when_control_then_told_apart(body: dict[str, Any], expected: object) -> None:
    assert read_market_frame(dump(body)) == expected


def test_frames_when_written_then_as_documented() -> None:
    assert json.loads(subscribe_frame("r1", {"apiKey": "k", "timestamp": 5, "signature": "s"})) == {
        "id": "r1",
        "method": "userDataStream.subscribe.signature",
        "params": {"apiKey": "k", "timestamp": 5, "signature": "s"},
    }
    assert json.loads(unsubscribe_frame("r2", 0))["params"] == {"subscriptionId": 0}
    assert json.loads(time_frame("r3")) == {"id": "r3", "method": "time"}
    assert json.loads(market_frame(1, "SUBSCRIBE", ["a@bookTicker"])) == {
        "method": "SUBSCRIBE",
        "params": ["a@bookTicker"],
        "id": 1,
    }
    assert "params" not in json.loads(market_frame(2, "LIST_SUBSCRIPTIONS", []))
