"""What is a clear acceptance, and that everything else is not understood, never an accident."""

from decimal import Decimal
from typing import Any

import pytest
from tests.support.binance_values import (
    OUR_ID,
    STOP_ID,
    T0,
    TARGET_ID,
    buy,
    dump,
    filled_body,
    instrument,
    leg_body,
    list_body,
    oco,
    order_body,
    ref,
    trade_body,
)
from tests.support.shared_data import shared_cases, shared_json

from tradewind.core.ids import ClientOrderId, VenueOrderId
from tradewind.core.money import Asset, Money, Quantity
from tradewind.core.order import OrderState, Side
from tradewind.infra.clock import from_ms
from tradewind.venues.base import Ack
from tradewind.venues.binance.codec import NotUnderstood
from tradewind.venues.binance.codec_reports import (
    page_of,
    read_ack,
    read_cancel,
    read_fills,
    read_list_ack,
    read_order,
    read_orders,
)


def ack_of(body: object) -> Ack:
    return read_ack(dump(body), buy(), T0)


# --- placements --------------------------------------------------------------------------------------


def test_read_ack_when_filled_then_report_and_fills_with_fees_in_base_and_third_asset() -> None:
    ack = ack_of(filled_body())
    (report,) = ack.reports
    assert report.client_order_id == OUR_ID
    assert report.venue_order_id == "28"
    assert (report.state, report.executed) == (OrderState.FILLED, Quantity(Decimal("0.002")))
    assert report.executed_quote == Decimal("99.90")
    assert report.at == from_ms(T0 + 7)
    assert ack.signed_at_ms == T0
    assert [fill.fill_id for fill in ack.fills] == ["56", "57"]
    assert [fill.fee for fill in ack.fills] == [
        Money(Decimal("0.000001"), Asset("BTC")),
        Money(Decimal("0.00002"), Asset("BNB")),
    ]
    assert sum(fill.quote_amount for fill in ack.fills) == Decimal("99.90")


def test_read_ack_when_market_order_expired_with_fills_then_both_are_told() -> None:
    body = filled_body(status="EXPIRED", expiryReason="INSUFFICIENT_LIQUIDITY")
    (report,) = ack_of(body).reports
    assert (report.state, report.reason) == (OrderState.EXPIRED, "insufficient_liquidity")
    assert report.executed == Quantity(Decimal("0.002"))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NEW", OrderState.ACCEPTED),
        ("PENDING_NEW", OrderState.ACCEPTED),
        ("PARTIALLY_FILLED", OrderState.PARTIALLY_FILLED),
        ("FILLED", OrderState.FILLED),
        ("CANCELED", OrderState.CANCELED),
        ("REJECTED", OrderState.REJECTED),
        ("EXPIRED", OrderState.EXPIRED),
        ("EXPIRED_IN_MATCH", OrderState.EXPIRED),
    ],
)
def test_read_ack_when_status_is_documented_then_translated(status: str, state: OrderState) -> None:
    assert ack_of(filled_body(status=status)).reports[0].state is state


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "ETHUSDT"},
        {"clientOrderId": "twzzzzzzzzzzzzzzzzzzzzzzzzzz"},
        {"side": "SELL"},
        {"status": "SOMETHING_NEW"},
        {"status": None},
        {"orderId": "28"},
        {"orderId": -28},
        {"orderId": 2.5},
        {"executedQty": "NaN"},
        {"executedQty": "-0.002"},
        {"executedQty": "1e-3"},
        {"executedQty": "1_0"},
        {"executedQty": " 1"},
        {"executedQty": "0.003"},
        {"executedQty": 0.002},
        {"executedQty": "0.00000000"},
        {"cummulativeQuoteQty": "Infinity"},
        {"transactTime": -1},
        {"transactTime": 10**18},
        {"transactTime": None, "updateTime": None},
        {"fills": [{"price": "0", "qty": "0.002", "commission": "0", "commissionAsset": "BTC", "tradeId": 1}]},
        {"fills": [{"price": "1", "qty": "0.002", "commission": "0", "commissionAsset": "BTC", "tradeId": -1}]},
        {"fills": [{"price": "1", "qty": "0.002", "commission": "1", "commissionAsset": "", "tradeId": 1}]},
        {"fills": [{"price": "1", "qty": "0.001", "commission": "0", "commissionAsset": "BTC", "tradeId": 1}]},
        {"fills": "none"},
    ],
)  # fmt: skip
def test_read_ack_when_answer_is_not_clearly_ours_then_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        ack_of(filled_body(**changes))


@pytest.mark.parametrize("field", ["symbol", "orderId", "clientOrderId", "status", "side", "executedQty", "origQty"])
def test_read_ack_when_field_is_missing_then_not_understood(field: str) -> None:
    body = filled_body()
    del body[field]
    with pytest.raises(NotUnderstood):
        ack_of(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b"true", b'"ok"', b"<html>502</html>", b"\xff\xfe", b'{"symbol":', b"[" * 100_000],
)
def test_read_ack_when_body_is_anything_else_then_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_ack(body, buy(), T0)


def test_read_ack_when_not_understood_then_error_text_holds_nothing_of_the_body() -> None:
    with pytest.raises(NotUnderstood) as caught:
        ack_of(filled_body(executedQty="secret-looking"))
    assert "secret-looking" not in str(caught.value)


# --- lists -------------------------------------------------------------------------------------------


def test_read_list_ack_when_both_legs_rest_then_target_and_stop_in_our_order() -> None:
    ack = read_list_ack(dump(list_body()), oco(), T0)
    assert [report.client_order_id for report in ack.reports] == [TARGET_ID, STOP_ID]
    assert [report.venue_order_id for report in ack.reports] == ["11", "10"]
    assert ack.reports[1].stop_price == Decimal(48000)
    assert ack.fills == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"listClientOrderId": "other"},
        {"orderReports": []},
        {"orderReports": [leg_body(STOP_ID, 10, "STOP_LOSS")]},
        {"orderReports": [leg_body(STOP_ID, 10, "STOP_LOSS"), leg_body(STOP_ID, 11, "LIMIT_MAKER")]},
        {"orderReports": [leg_body(STOP_ID, 10, "STOP_LOSS"), leg_body("other", 11, "LIMIT_MAKER")]},
        {"orderReports": [leg_body(STOP_ID, 10, "STOP_LOSS"), leg_body(TARGET_ID, 11, "LIMIT_MAKER", side="BUY")]},
        {"orderReports": None},
    ],
)
def test_read_list_ack_when_legs_are_not_ours_then_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        read_list_ack(dump(list_body(**changes)), oco(), T0)


# --- cancels and questions ---------------------------------------------------------------------------


def test_read_cancel_when_order_ended_then_it_is_reported_under_its_own_id() -> None:
    body = filled_body(
        status="CANCELED", executedQty="0.00000000", cummulativeQuoteQty="0.00000000", fills=[],
        origClientOrderId=OUR_ID, clientOrderId="cancel-id",
    )  # fmt: skip
    for name in (ref("28"), ref()):
        (report,) = read_cancel(dump(body), name)
        assert (report.client_order_id, report.state) == (OUR_ID, OrderState.CANCELED)


def test_read_cancel_when_list_ended_then_both_legs_are_reported() -> None:
    legs = [
        leg_body("x", 10, "STOP_LOSS", status="CANCELED", origClientOrderId=STOP_ID),
        leg_body("x", 11, "LIMIT_MAKER", status="CANCELED", origClientOrderId=TARGET_ID),
    ]
    body = list_body(listStatusType="ALL_DONE", listOrderStatus="ALL_DONE", orderReports=legs)
    reports = read_cancel(dump(body), ref("10", client_order_id=STOP_ID, list_client_id="twl"))
    assert [report.client_order_id for report in reports] == [STOP_ID, TARGET_ID]


def test_read_cancel_when_it_names_another_order_then_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        read_cancel(dump(filled_body(status="CANCELED", origClientOrderId="other", orderId=99)), ref("28"))
    with pytest.raises(NotUnderstood):
        read_cancel(dump(filled_body(status="CANCELED", symbol="ETHUSDT")), ref("28"))


def test_read_order_when_asked_by_venue_id_then_our_id_stays_though_the_cancel_replaced_it() -> None:
    body = order_body(clientOrderId="cancel-id", status="CANCELED", executedQty="0.00000000")
    assert read_order(dump(body), ref("28")).client_order_id == OUR_ID


def test_read_order_when_asked_by_our_id_and_cancelled_then_found() -> None:
    body = order_body(clientOrderId="cancel-id", status="CANCELED", executedQty="0.00000000")
    assert read_order(dump(body), ref()).client_order_id == OUR_ID


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (order_body(symbol="ETHUSDT"), ref("28")),
        (order_body(orderId=29), ref("28")),
        (order_body(clientOrderId="other"), ref()),
    ],
)
def test_read_order_when_answer_is_about_another_order_then_not_understood(body: Any, name: Any) -> None:
    with pytest.raises(NotUnderstood):
        read_order(dump(body), name)


def test_read_order_when_quote_is_negative_as_for_very_old_orders_then_not_known() -> None:
    report = read_order(dump(order_body(cummulativeQuoteQty="-1.00000000")), ref("28"))
    assert report.executed_quote == 0


def test_read_orders_when_foreign_row_is_odd_then_left_out_but_ours_never() -> None:
    odd = order_body(status="SOMETHING_NEW", clientOrderId="web_1")
    found = read_orders(dump([order_body(), odd]), "BTCUSDT")
    assert [report.client_order_id for report in found] == [OUR_ID]
    assert page_of(dump([order_body(), order_body(orderId=31)])) == (2, 31)
    with pytest.raises(NotUnderstood):
        read_orders(dump([order_body(status="SOMETHING_NEW")]), "BTCUSDT")


@pytest.mark.parametrize("body", [b"{}", b"", b"null", b'{"code":-2015,"msg":"x"}', b"<html>", b"[1]", b"[null]"])
def test_read_orders_when_body_is_no_list_of_orders_then_never_an_empty_list(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_orders(body, "BTCUSDT")


def test_read_fills_when_rows_are_whole_then_exact() -> None:
    (fill,) = read_fills(dump([trade_body()]), "BTCUSDT")
    assert (fill.fill_id, fill.venue_order_id, fill.side) == ("56", VenueOrderId("28"), Side.BUY)
    assert fill.quote_amount == Decimal("49.9")
    assert page_of(dump([trade_body(7), trade_body(9)])) == (2, 9)


@pytest.mark.parametrize("changes", [{"symbol": "X"}, {"qty": "0"}, {"price": "0"}, {"commission": "-1"}, {"id": None}])
def test_read_fills_when_one_row_is_odd_then_not_understood(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        read_fills(dump([trade_body(), trade_body(57, **changes)]), "BTCUSDT")


# --- recorded answers --------------------------------------------------------------------------------


def test_read_order_when_recorded_states_are_played_then_state_and_amounts_agree() -> None:
    cases = shared_json("payloads/binance/order_state_matrix.json")["cases"]
    words = {"open", "closed", "canceled", "expired"}
    for case in cases:
        body, oracle = case["httpResponse"], case["parsedResponse"]
        name = ref(
            str(body["orderId"]),
            instrument=instrument(body["symbol"]),
            client_order_id=ClientOrderId(body["clientOrderId"]),
        )
        report = read_order(dump(body), name)
        assert float(report.executed.value) == pytest.approx(oracle["filled"])
        assert float(report.executed_quote) == pytest.approx(oracle["cost"])
        assert oracle["status"] in words
        is_final = report.state not in (OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED)
        assert is_final == (oracle["status"] != "open"), case["id"]
        assert report.side.value == oracle["side"]


def test_read_orders_when_recorded_lists_are_played_then_every_spot_order_is_read() -> None:
    count = 0
    for name in ("fetchOrders", "fetchOpenOrders"):
        for case in shared_cases(f"payloads/binance/{name}.json"):
            rows = case["httpResponse"]
            if case.get("not_spot") or "executedQty" not in rows[0] or "cummulativeQuoteQty" not in rows[0]:
                continue  # options and futures, which this product does not trade
            found = read_orders(dump(rows), rows[0]["symbol"])
            assert [report.venue_order_id for report in found] == [str(row["orderId"]) for row in rows]
            count += 1
    assert count >= 3


def test_read_list_ack_when_documented_sample_is_played_then_both_legs_are_read() -> None:
    (case,) = shared_cases("payloads/binance/createOcoOrder.json")
    body = case["httpResponse"]
    stop, target = body["orderReports"]
    orders = oco(instrument=instrument("LTCBTC", "LTC", "BTC"))
    body["listClientOrderId"] = orders.list_client_id
    stop["clientOrderId"], target["clientOrderId"] = STOP_ID, TARGET_ID
    ack = read_list_ack(dump(body), orders, T0)
    assert [report.type_text for report in ack.reports] == ["LIMIT_MAKER", "STOP_LOSS_LIMIT"]
    assert [report.state for report in ack.reports] == [OrderState.ACCEPTED] * 2


def test_read_cancel_when_recorded_list_cancel_is_played_then_both_legs_are_canceled() -> None:
    (case,) = shared_cases("payloads/binance/cancelOrderList.json")
    body = case["httpResponse"]
    name = ref("2", instrument=instrument("LTCBTC"), list_client_id=body["listClientOrderId"])
    reports = read_cancel(dump(body), name)
    assert [report.client_order_id for report in reports] == ["pO9ufTiFGg3nw2fOdgeOXa", "TXOvglzXuaubXAaENpaRCB"]
    assert {report.state for report in reports} == {OrderState.CANCELED}


def test_read_ack_when_recorded_answer_is_only_an_ack_then_not_understood() -> None:
    # The fixture is a documented ACK answer. We ask for FULL, so a bare ACK is not the answer to our order:
    # by the reference (binance.md 6.3) it says nothing of the order's state.
    bare = [c for c in shared_cases("payloads/binance/createOrder.json") if "status" not in c["httpResponse"]]
    assert bare
    for case in bare:
        body = case["httpResponse"]
        order = buy(instrument=instrument(body["symbol"]), client_order_id=ClientOrderId(body["clientOrderId"]))
        with pytest.raises(NotUnderstood):
            read_ack(dump(body), order, T0)


def test_read_fills_when_recorded_spot_trade_is_played_then_read() -> None:
    rows = [
        case["httpResponse"]
        for case in shared_cases("payloads/binance/fetchMyTrades.json")
        if isinstance(case["httpResponse"], list) and "isBuyer" in case["httpResponse"][0]
    ]
    assert rows
    for trades in rows:
        (fill,) = read_fills(dump(trades), "ADAUSDT")
        assert fill.fee == Money(Decimal("0.005388"), Asset("USDT"))
        assert fill.side is Side.SELL
