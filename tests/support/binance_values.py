"""Readable builders for Binance tests: instruments, orders, bodies as the venue writes them."""

import json
from decimal import Decimal
from typing import Any

from tradewind.core.ids import ClientOrderId, OrderId, VenueOrderId
from tradewind.core.instrument import BINANCE, Instrument
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.order import OrderType, Side
from tradewind.venues.base import OrderRef, PlaceList, PlaceOrder

# 2025-10-09T08:53:20Z
T0 = 1_760_000_000_000
OUR_ID = ClientOrderId("twaaaaaaaaaaaaaaaaaaaaaaaaaa")
STOP_ID = ClientOrderId("twbbbbbbbbbbbbbbbbbbbbbbbbbb")
TARGET_ID = ClientOrderId("twcccccccccccccccccccccccccc")


def instrument(symbol: str = "BTCUSDT", base: str = "BTC", quote: str = "USDT", **changes: Any) -> Instrument:
    """A symbol with the steps of BTCUSDT."""
    values: dict[str, Any] = {
        "venue": BINANCE,
        "symbol": symbol,
        "base": Asset(base),
        "quote": Asset(quote),
        "tick": Decimal("0.01"),
        "step": Decimal("0.00001"),
        "min_quantity": Decimal("0.00001"),
        "max_quantity": Decimal(9000),
        "min_notional": Decimal(5),
    }
    return Instrument(**{**values, **changes})


def buy(amount: str = "100", **changes: Any) -> PlaceOrder:
    """A market buy by amount."""
    values: dict[str, Any] = {
        "order_id": OrderId("o1"),
        "instrument": instrument(),
        "client_order_id": OUR_ID,
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "spend": Money(Decimal(amount), Asset("USDT")),
    }
    return PlaceOrder(**{**values, **changes})


def sell(quantity: str = "0.01", **changes: Any) -> PlaceOrder:
    """A market sell by quantity."""
    values: dict[str, Any] = {
        "order_id": OrderId("o2"),
        "instrument": instrument(),
        "client_order_id": OUR_ID,
        "side": Side.SELL,
        "type": OrderType.MARKET,
        "quantity": Quantity(Decimal(quantity)),
    }
    return PlaceOrder(**{**values, **changes})


def oco(quantity: str = "0.01", target: str = "51000", stop: str = "48000", **changes: Any) -> PlaceList:
    """A target above and a stop below."""
    return PlaceList(
        list_client_id="twdddddddddddddddddddddddddd",
        target=sell(
            quantity,
            type=OrderType.TAKE_PROFIT_LIMIT_MAKER,
            client_order_id=TARGET_ID,
            limit_price=Price(Decimal(target)),
            **changes,
        ),
        stop=sell(
            quantity,
            order_id=OrderId("o3"),
            type=OrderType.STOP_LOSS,
            client_order_id=STOP_ID,
            stop_price=Price(Decimal(stop)),
            **changes,
        ),
    )


def ref(venue_order_id: str | None = None, **changes: Any) -> OrderRef:
    """How an order is named when asked about."""
    values: dict[str, Any] = {
        "order_id": OrderId("o1"),
        "instrument": instrument(),
        "client_order_id": OUR_ID,
        "venue_order_id": VenueOrderId(venue_order_id) if venue_order_id is not None else None,
    }
    return OrderRef(**{**values, **changes})


def filled_body(**changes: Any) -> dict[str, Any]:
    """The FULL answer to a market buy that traded at two prices."""
    return {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "orderListId": -1,
        "clientOrderId": OUR_ID,
        "transactTime": T0 + 7,
        "price": "0.00000000",
        "origQty": "0.00200000",
        "executedQty": "0.00200000",
        "origQuoteOrderQty": "100.00000000",
        "cummulativeQuoteQty": "99.90000000",
        "status": "FILLED",
        "timeInForce": "GTC",
        "type": "MARKET",
        "side": "BUY",
        "workingTime": T0 + 7,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "fills": [
            {
                "price": "49900.00000000",
                "qty": "0.00100000",
                "commission": "0.00000100",
                "commissionAsset": "BTC",
                "tradeId": 56,
            },
            {
                "price": "50000.00000000",
                "qty": "0.00100000",
                "commission": "0.00002000",
                "commissionAsset": "BNB",
                "tradeId": 57,
            },
        ],
        **changes,
    }


def order_body(**changes: Any) -> dict[str, Any]:
    """One order as GET order answers it."""
    return {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "orderListId": -1,
        "clientOrderId": OUR_ID,
        "price": "0.00000000",
        "origQty": "0.00200000",
        "executedQty": "0.00200000",
        "cummulativeQuoteQty": "99.90000000",
        "status": "FILLED",
        "timeInForce": "GTC",
        "type": "MARKET",
        "side": "BUY",
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": T0 + 7,
        "updateTime": T0 + 8,
        "isWorking": True,
        "workingTime": T0 + 7,
        "origQuoteOrderQty": "100.00000000",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        **changes,
    }


def leg_body(client_id: str, order_id: int, kind: str, **changes: Any) -> dict[str, Any]:
    """One leg in the answer to an OCO."""
    return {
        "symbol": "BTCUSDT",
        "orderId": order_id,
        "orderListId": 1,
        "clientOrderId": client_id,
        "transactTime": T0 + 7,
        "price": "51000.00000000" if kind == "LIMIT_MAKER" else "0.00000000",
        "origQty": "0.01000000",
        "executedQty": "0.00000000",
        "origQuoteOrderQty": "0.000000",
        "cummulativeQuoteQty": "0.00000000",
        "status": "NEW",
        "timeInForce": "GTC",
        "type": kind,
        "side": "SELL",
        **({"stopPrice": "48000.00000000"} if kind != "LIMIT_MAKER" else {}),
        "workingTime": T0 + 7,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        **changes,
    }


def list_body(**changes: Any) -> dict[str, Any]:
    """The answer to an OCO."""
    return {
        "orderListId": 1,
        "contingencyType": "OCO",
        "listStatusType": "EXEC_STARTED",
        "listOrderStatus": "EXECUTING",
        "listClientOrderId": "twdddddddddddddddddddddddddd",
        "transactionTime": T0 + 7,
        "symbol": "BTCUSDT",
        "orders": [
            {"symbol": "BTCUSDT", "orderId": 10, "clientOrderId": STOP_ID},
            {"symbol": "BTCUSDT", "orderId": 11, "clientOrderId": TARGET_ID},
        ],
        "orderReports": [leg_body(STOP_ID, 10, "STOP_LOSS"), leg_body(TARGET_ID, 11, "LIMIT_MAKER")],
        **changes,
    }


def trade_body(number: int = 56, **changes: Any) -> dict[str, Any]:
    """One row of myTrades."""
    return {
        "symbol": "BTCUSDT",
        "id": number,
        "orderId": 28,
        "orderListId": -1,
        "price": "49900.00000000",
        "qty": "0.00100000",
        "quoteQty": "49.90000000",
        "commission": "0.00000100",
        "commissionAsset": "BTC",
        "time": T0 + 7,
        "isBuyer": True,
        "isMaker": False,
        "isBestMatch": True,
        **changes,
    }


def dump(value: object) -> bytes:
    """Write JSON as bytes."""
    return json.dumps(value).encode("utf-8")
