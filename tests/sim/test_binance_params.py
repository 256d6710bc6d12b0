"""Decoding of parameters and the -11xx family."""

from decimal import Decimal

import pytest

from tradewind.sim.binance_errors import VenueError
from tradewind.sim.binance_order_form import read_new_order, read_oco
from tradewind.sim.binance_params import Params, decode_form, json_text, merge
from tradewind.sim.types import OrderType

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "50000",
}


def code_of(error: pytest.ExceptionInfo[VenueError]) -> int:
    return error.value.code


def test_query_value_wins_over_the_body() -> None:
    assert merge(b"a=1", b"a=2&b=3") == {"a": "1", "b": "3"}


def test_percent_and_plus_are_decoded_once() -> None:
    assert decode_form(b"a=%2541&b=x+y&c=%EF%BC%91") == {"a": "%41", "b": "x y", "c": "１"}


def test_name_sent_twice_is_refused() -> None:
    with pytest.raises(VenueError) as refused:
        decode_form(b"a=1&a=1")
    assert code_of(refused) == -1101


@pytest.mark.parametrize("value", ["-1", "+1", "1e3", "1.", ".5", "1,5", "0x1", " 1", "1" * 21, "NaN"])
def test_decimal_outside_the_syntax_is_illegal(value: str) -> None:
    with pytest.raises(VenueError) as refused:
        Params(quantity=value).decimal("quantity")
    assert code_of(refused) == -1100
    assert "legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'" in refused.value.msg


def test_decimal_keeps_every_digit() -> None:
    assert Params(q="0.10000000000000000001").decimal("q") == Decimal("0.10000000000000000001")


@pytest.mark.parametrize("value", ["a b", "é", "x" * 37, "a.b", "a/b"])
def test_client_id_outside_the_alphabet_is_illegal(value: str) -> None:
    with pytest.raises(VenueError) as refused:
        Params(newClientOrderId=value).client_id("newClientOrderId")
    assert code_of(refused) == -1100
    assert refused.value.msg == (
        "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'."
    )


def test_empty_client_id_has_its_own_code() -> None:
    with pytest.raises(VenueError) as refused:
        Params(newClientOrderId="").client_id("newClientOrderId")
    assert code_of(refused) == -1118


@pytest.mark.parametrize(("value", "legal"), [("BTCUSDT", True), ("１２３", True), ("btcusdt", False), ("A B", False)])
def test_symbol_spelling(value: str, legal: bool) -> None:
    if legal:
        assert Params(symbol=value).symbol() == value
        return
    with pytest.raises(VenueError) as refused:
        Params(symbol=value).symbol()
    assert code_of(refused) == -1100


def test_unknown_parameter_is_counted_in_the_message() -> None:
    with pytest.raises(VenueError) as refused:
        Params(symbol="BTCUSDT", colour="red").refuse_unread(frozenset({"symbol"}))
    assert refused.value.body() == {
        "code": -1104,
        "msg": "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
    }


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (12, "12"), (["BTCUSDT", "ETHUSDT"], '["BTCUSDT","ETHUSDT"]'), ("x", "x")]
)
def test_json_value_is_spelt_as_it_is_signed(value: object, text: str) -> None:
    assert json_text(value) == text


def test_limit_order_is_read() -> None:
    order = read_new_order(Params(LIMIT))
    assert (order.type, order.quantity, order.price) == (OrderType.LIMIT, Decimal("0.01"), Decimal(50000))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": None}, -1102),
        ({"timeInForce": None}, -1102),
        ({"quantity": None}, -1102),
        ({"side": "LONG"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"timeInForce": "GTX"}, -1115),
        ({"stopPrice": "1"}, -1106),
        ({"type": "MARKET", "price": None}, -1106),
        ({"type": "MARKET", "price": None, "timeInForce": None, "quoteOrderQty": "1"}, -1128),
        ({"type": "MARKET", "price": None, "timeInForce": None, "quantity": None}, -1102),
        ({"type": "STOP_LOSS_LIMIT"}, -1102),
        ({"type": "LIMIT_MAKER"}, -1106),
        ({"pegPriceType": "PRIMARY_PEG"}, -1106),
        ({"strategyType": "5"}, -1134),
        ({"timeInForce": "IOC", "icebergQty": "0.001"}, -1106),
        ({"selfTradePreventionMode": "DECREMENT"}, -1013),
        ({"newClientOrderId": "ä"}, -1100),
    ],
)
def test_order_form_is_refused_with_its_code(changes: dict[str, str | None], code: int) -> None:
    merged = {**LIMIT, **changes}
    with pytest.raises(VenueError) as refused:
        read_new_order(Params({name: value for name, value in merged.items() if value is not None}))
    assert code_of(refused) == code


OCO = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "0.01",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "90000",
    "belowType": "STOP_LOSS_LIMIT",
    "belowStopPrice": "70000",
    "belowPrice": "69000",
    "belowTimeInForce": "GTC",
}


def test_oco_is_read_leg_by_leg() -> None:
    oco = read_oco(Params(OCO))
    assert (oco.above.type, oco.above.price) == (OrderType.LIMIT_MAKER, Decimal(90000))
    assert (oco.below.stop_price, oco.below.price) == (Decimal(70000), Decimal(69000))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"abovePrice": None}, -1102),
        ({"belowStopPrice": None}, -1102),
        ({"belowTimeInForce": None}, -1102),
        ({"aboveStopPrice": "1"}, -1106),
        ({"aboveTimeInForce": "GTC"}, -1106),
        ({"belowType": "NONE"}, -1116),
    ],
)
def test_oco_form_is_refused_with_its_code(changes: dict[str, str | None], code: int) -> None:
    merged = {**OCO, **changes}
    with pytest.raises(VenueError) as refused:
        read_oco(Params({name: value for name, value in merged.items() if value is not None}))
    assert code_of(refused) == code
