"""Orders over the wire: shapes, ids, holds, lists, queries."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from tests.support.sim_binance import Reply, Sim, Trader, running_sim

LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
ACK = ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime"]
RESULT_ONLY = """price origQty executedQty origQuoteOrderQty cummulativeQuoteQty status timeInForce type side
    workingTime selfTradePreventionMode"""
RESULT = RESULT_ONLY.split()
QUERY_FIELDS = """symbol orderId orderListId clientOrderId price origQty executedQty cummulativeQuoteQty status
    timeInForce type side stopPrice icebergQty time updateTime isWorking workingTime origQuoteOrderQty
    selfTradePreventionMode"""
QUERY = QUERY_FIELDS.split()
LIST_FIELDS = """orderListId contingencyType listStatusType listOrderStatus listClientOrderId transactionTime symbol
    orders orderReports"""


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        await running.price("BTCUSDT", "80000")
        yield running


@pytest.fixture
async def trader(sim: Sim) -> Trader:
    return await sim.trader()


async def balance(trader: Trader, asset: str) -> tuple[Decimal, Decimal]:
    account = (await trader.call("GET", "/api/v3/account")).json
    for line in account["balances"]:
        if line["asset"] == asset:
            return Decimal(line["free"]), Decimal(line["locked"])
    return Decimal(0), Decimal(0)


async def cancel(trader: Trader, **params: object) -> Reply:
    return await trader.call("DELETE", "/api/v3/order", symbol="BTCUSDT", **params)


async def query(trader: Trader, **params: object) -> Reply:
    return await trader.call("GET", "/api/v3/order", symbol="BTCUSDT", **params)


async def test_market_order_answers_in_full_by_default(trader: Trader) -> None:
    placed = (await trader.market_buy(client_id="tw-first")).json
    assert list(placed) == [*ACK, *RESULT, "fills"]
    assert (placed["status"], placed["price"], placed["timeInForce"]) == ("FILLED", "0.00000000", "GTC")
    assert (placed["orderListId"], placed["clientOrderId"]) == (-1, "tw-first")
    spent = sum(Decimal(fill["price"]) * Decimal(fill["qty"]) for fill in placed["fills"])
    assert Decimal(placed["cummulativeQuoteQty"]) == spent <= 100
    assert list(placed["fills"][0]) == ["price", "qty", "commission", "commissionAsset", "tradeId"]
    assert placed["fills"][0]["commissionAsset"] == "BTC"
    assert Decimal(placed["fills"][0]["commission"]) == (Decimal(placed["fills"][0]["qty"]) / 1000).quantize(
        Decimal("1e-8"), rounding="ROUND_DOWN"
    )


@pytest.mark.parametrize(
    ("asked", "fields"), [("ACK", ACK), ("RESULT", [*ACK, *RESULT]), ("FULL", [*ACK, *RESULT, "fills"])]
)
async def test_response_type_decides_the_shape(trader: Trader, asked: str, fields: list[str]) -> None:
    placed = await trader.order(**LIMIT, price="70000", newOrderRespType=asked)
    assert list(placed.json) == fields


async def test_limit_maker_answers_with_an_ack_by_default(trader: Trader) -> None:
    placed = await trader.order(symbol="BTCUSDT", side="BUY", type="LIMIT_MAKER", quantity="0.01", price="70000")
    assert list(placed.json) == ACK


async def test_large_market_order_walks_several_levels(sim: Sim) -> None:
    rich = await sim.trader(usdt="1000000")
    placed = (await rich.market_buy(quote="60000")).json
    assert placed["status"] == "FILLED"
    prices = [Decimal(fill["price"]) for fill in placed["fills"]]
    assert len(prices) > 2
    assert prices == sorted(prices)
    assert sum(Decimal(fill["qty"]) for fill in placed["fills"]) == Decimal(placed["executedQty"])


async def test_resting_buy_holds_quote_and_cancel_releases_it(trader: Trader) -> None:
    placed = (await trader.order(**LIMIT, price="70000", newClientOrderId="mine")).json
    assert placed["status"] == "NEW"
    assert await balance(trader, "USDT") == (Decimal(9300), Decimal(700))
    answer = (await cancel(trader, origClientOrderId="mine", newClientOrderId="undo")).json
    assert (answer["origClientOrderId"], answer["clientOrderId"], answer["status"]) == ("mine", "undo", "CANCELED")
    assert list(answer)[:6] == [
        "symbol",
        "origClientOrderId",
        "orderId",
        "orderListId",
        "clientOrderId",
        "transactTime",
    ]
    assert await balance(trader, "USDT") == (Decimal(10000), Decimal(0))


async def test_client_id_is_unique_among_open_orders_and_free_afterwards(trader: Trader) -> None:
    first = (await trader.order(**LIMIT, price="70000", newClientOrderId="same")).json
    again = await trader.order(**LIMIT, price="70000", newClientOrderId="same")
    assert (again.status, again.json) == (400, {"code": -2010, "msg": "Duplicate order sent."})
    await cancel(trader, orderId=first["orderId"])
    assert (await trader.order(**LIMIT, price="70000", newClientOrderId="same")).status == 200


async def test_filled_order_id_is_accepted_again_and_buys_twice(sim: Sim, trader: Trader) -> None:
    assert (await trader.market_buy(client_id="twice")).status == 200
    assert (await trader.market_buy(client_id="twice")).status == 200
    assert [order["clientOrderId"] for order in await sim.orders_of(trader)] == ["twice", "twice"]


async def test_query_finds_by_either_id_and_compares_both(trader: Trader) -> None:
    placed = (await trader.order(**LIMIT, price="70000", newClientOrderId="mine")).json
    by_id = (await query(trader, orderId=placed["orderId"])).json
    assert list(by_id) == QUERY
    assert (await query(trader, origClientOrderId="mine")).json == by_id
    assert (await query(trader, orderId=placed["orderId"], origClientOrderId="other")).code == -2039
    missing = await query(trader, origClientOrderId="nobody")
    assert (missing.status, missing.json) == (400, {"code": -2013, "msg": "Order does not exist."})
    assert (await query(trader)).code == -1102


async def test_order_of_another_account_is_not_found(sim: Sim, trader: Trader) -> None:
    placed = (await trader.order(**LIMIT, price="70000")).json
    stranger = await sim.trader()
    assert (await query(stranger, orderId=placed["orderId"])).code == -2013
    assert (await cancel(stranger, orderId=placed["orderId"])).code == -2011


async def test_cancel_of_a_closed_order_is_2011(trader: Trader) -> None:
    placed = (await trader.market_buy()).json
    reply = await cancel(trader, orderId=placed["orderId"])
    assert (reply.status, reply.json) == (400, {"code": -2011, "msg": "Unknown order sent."})


@pytest.mark.parametrize(
    ("changes", "code", "msg"),
    [
        ({"price": "70000.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.00001"}, -1013, "Filter failure: NOTIONAL"),
        ({"price": "10000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "0.0000000001"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"quantity": "10"}, -2010, "Account has insufficient balance for requested action."),
        ({"symbol": "NOPEUSDT"}, -1121, "Invalid symbol."),
        (
            {"type": "LIMIT_MAKER", "timeInForce": None, "price": "90000"},
            -2010,
            "Order would immediately match and take.",
        ),
        (
            {"type": "STOP_LOSS_LIMIT", "stopPrice": "70000", "price": "70000"},
            -2010,
            "Order would trigger immediately.",
        ),
    ],
)
async def test_order_is_refused_with_code_and_text(
    sim: Sim, trader: Trader, changes: dict[str, str | None], code: int, msg: str
) -> None:
    reply = await trader.order(**{**LIMIT, "price": "70000", **changes})
    assert (reply.status, reply.json) == (400, {"code": code, "msg": msg})
    assert await sim.orders_of(trader) == []


async def test_ioc_remainder_and_unfillable_fok_expire_with_their_reason(sim: Sim) -> None:
    rich = await sim.trader(usdt="10000000")
    ask = Decimal((await sim.public("/api/v3/ticker/bookTicker", symbol="BTCUSDT")).json["askPrice"])
    base = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": str(ask)}
    ioc = (await rich.order(**base, timeInForce="IOC")).json
    assert (ioc["status"], ioc["expiryReason"]) == ("EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED")
    assert 0 < Decimal(ioc["executedQty"]) < 1
    fok = (await rich.order(**base, timeInForce="FOK")).json
    assert (fok["status"], fok["expiryReason"]) == ("EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED")
    assert (fok["executedQty"], fok["fills"]) == ("0.00000000", [])


async def test_order_test_validates_and_never_reaches_the_engine(sim: Sim, trader: Trader) -> None:
    good = await trader.call("POST", "/api/v3/order/test", **LIMIT, price="70000")
    assert (good.status, good.json) == (200, {})
    rates = await trader.call("POST", "/api/v3/order/test", **LIMIT, price="70000", computeCommissionRates="true")
    assert rates.json["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    bad = await trader.call("POST", "/api/v3/order/test", **LIMIT, price="70000.001")
    assert bad.code == -1013
    assert await sim.orders_of(trader) == []


async def buy_btc(trader: Trader) -> str:
    await trader.market_buy(quote="2000")
    return "0.02"


OCO = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "0.02",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "90000",
    "belowType": "STOP_LOSS",
    "belowStopPrice": "75000",
}


async def place_oco(trader: Trader, **changes: object) -> Reply:
    return await trader.call("POST", "/api/v3/orderList/oco", **{**OCO, **changes})


async def test_oco_is_placed_with_ids_of_ours(trader: Trader) -> None:
    await buy_btc(trader)
    placed = (
        await place_oco(trader, listClientOrderId="list", aboveClientOrderId="up", belowClientOrderId="down")
    ).json
    assert list(placed) == LIST_FIELDS.split()
    assert (placed["contingencyType"], placed["listStatusType"]) == ("OCO", "EXEC_STARTED")
    assert (placed["listOrderStatus"], placed["listClientOrderId"]) == ("EXECUTING", "list")
    assert {order["clientOrderId"] for order in placed["orders"]} == {"up", "down"}
    assert {report["status"] for report in placed["orderReports"]} == {"NEW"}
    found = (await trader.call("GET", "/api/v3/orderList", orderListId=placed["orderListId"])).json
    assert found["listOrderStatus"] == "EXECUTING"
    assert (await trader.call("GET", "/api/v3/orderList", origClientOrderId="list")).json == found
    assert (await trader.call("GET", "/api/v3/openOrderList")).json == [found]
    assert (await trader.call("GET", "/api/v3/allOrderList")).json == [found]
    assert (await balance(trader, "BTC"))[1] == Decimal("0.02")


async def test_oco_stop_hit_sells_and_expires_the_target(sim: Sim, trader: Trader) -> None:
    await buy_btc(trader)
    placed = (await place_oco(trader, aboveClientOrderId="up", belowClientOrderId="down")).json
    await sim.price("BTCUSDT", "74000")
    stop = (await query(trader, origClientOrderId="down")).json
    target = (await query(trader, origClientOrderId="up")).json
    assert (stop["status"], stop["executedQty"]) == ("FILLED", "0.02000000")
    assert (target["status"], target["expiryReason"]) == ("EXPIRED", "OCO_TRIGGER")
    done = (await trader.call("GET", "/api/v3/orderList", orderListId=placed["orderListId"])).json
    assert (done["listStatusType"], done["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    assert (await trader.call("GET", "/api/v3/openOrderList")).json == []


async def test_oco_target_hit_fills_at_its_price(sim: Sim, trader: Trader) -> None:
    await buy_btc(trader)
    await place_oco(trader, aboveClientOrderId="up", belowClientOrderId="down")
    await sim.price("BTCUSDT", "91000")
    target = (await query(trader, origClientOrderId="up")).json
    assert (target["status"], target["price"]) == ("FILLED", "90000.00000000")
    assert (await query(trader, origClientOrderId="down")).json["status"] == "EXPIRED"


async def test_cancel_of_one_leg_or_of_the_list_ends_both(trader: Trader) -> None:
    await buy_btc(trader)
    await place_oco(trader, aboveClientOrderId="up", belowClientOrderId="down")
    one = await cancel(trader, origClientOrderId="up")
    assert one.json["origClientOrderId"] == "up"
    assert (await trader.call("GET", "/api/v3/openOrders", symbol="BTCUSDT")).json == []
    placed = (await place_oco(trader)).json
    both = await trader.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=placed["orderListId"])
    assert (both.json["listStatusType"], both.json["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    assert [report["status"] for report in both.json["orderReports"]] == ["CANCELED", "CANCELED"]
    again = await trader.call("DELETE", "/api/v3/orderList", symbol="BTCUSDT", orderListId=placed["orderListId"])
    assert again.code == -2011
    assert (await balance(trader, "BTC"))[1] == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"abovePrice": "76000"}, -2010),
        ({"belowStopPrice": "85000"}, -2010),
        ({"quantity": "5"}, -2010),
        ({"aboveType": "STOP_LOSS", "abovePrice": None, "aboveStopPrice": "90000"}, -1158),
        ({"abovePrice": "90000.001"}, -1013),
    ],
)
async def test_oco_is_refused_with_its_code(trader: Trader, changes: dict[str, str | None], code: int) -> None:
    await buy_btc(trader)
    reply = await place_oco(trader, **changes)
    assert (reply.status, reply.code) == (400, code)
    assert (await trader.call("GET", "/api/v3/openOrders")).json == []


async def test_deprecated_oco_form_still_works(trader: Trader) -> None:
    await buy_btc(trader)
    placed = await trader.call(
        "POST",
        "/api/v3/order/oco",
        symbol="BTCUSDT",
        side="SELL",
        quantity="0.02",
        price="90000",
        stopPrice="75000",
        stopLimitPrice="74900",
        stopLimitTimeInForce="GTC",
    )
    assert {report["type"] for report in placed.json["orderReports"]} == {"LIMIT_MAKER", "STOP_LOSS_LIMIT"}


async def test_cancel_all_lists_single_orders_and_order_lists(trader: Trader) -> None:
    await buy_btc(trader)
    await trader.order(**LIMIT, price="70000")
    await place_oco(trader)
    answer = (await trader.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")).json
    assert [("orderReports" in item) for item in answer] == [False, True]
    assert (await trader.call("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")).code == -2011


async def test_all_orders_and_trades_are_selected_by_id_and_time(sim: Sim, trader: Trader) -> None:
    placed = [(await trader.market_buy()).json for _ in range(3)]
    ids = [order["orderId"] for order in placed]

    async def orders(**params: object) -> list[int]:
        reply = await trader.call("GET", "/api/v3/allOrders", symbol="BTCUSDT", **params)
        return [order["orderId"] for order in reply.json]

    async def trades(**params: object) -> list[int]:
        reply = await trader.call("GET", "/api/v3/myTrades", symbol="BTCUSDT", **params)
        return [trade["orderId"] for trade in reply.json]

    assert await orders() == ids
    assert await orders(orderId=ids[1]) == ids[1:]
    assert await orders(limit=2) == ids[1:]
    assert await orders(startTime=1, limit=2) == ids[:2]
    assert await orders(endTime=1) == []
    assert await trades() == ids
    assert await trades(orderId=ids[1]) == [ids[1]]
    first_trade = placed[1]["fills"][0]["tradeId"]
    assert await trades(fromId=first_trade) == ids[1:]
    day = 86_400_000
    wide = await trader.call("GET", "/api/v3/allOrders", symbol="BTCUSDT", startTime=1, endTime=day + 2)
    assert wide.code == -1127
    assert (await trader.call("GET", "/api/v3/myTrades", symbol="BTCUSDT", orderId=1, startTime=1)).code == -1128


async def test_amend_lowers_the_quantity_and_keeps_the_order(trader: Trader) -> None:
    placed = (await trader.order(**LIMIT, price="70000")).json
    change = await trader.call(
        "PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", orderId=placed["orderId"], newQty="0.005"
    )
    assert change.json["amendedOrder"]["qty"] == "0.00500000"
    assert "cumulativeQuoteQty" in change.json["amendedOrder"]
    assert await balance(trader, "USDT") == (Decimal(9650), Decimal(350))
    more = await trader.call(
        "PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", orderId=placed["orderId"], newQty="1"
    )
    assert more.code == -2038


async def replace(trader: Trader, **params: object) -> Reply:
    merged = {**LIMIT, "price": "71000", "cancelReplaceMode": "STOP_ON_FAILURE", **params}
    return await trader.call("POST", "/api/v3/order/cancelReplace", **merged)


async def test_cancel_replace_reports_both_halves(trader: Trader) -> None:
    placed = (await trader.order(**LIMIT, price="70000")).json
    done = await replace(trader, cancelOrderId=placed["orderId"])
    assert done.status == 200
    assert (done.json["cancelResult"], done.json["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    failed = await replace(trader, cancelOrderId=1)
    assert (failed.status, failed.code) == (400, -2022)
    assert failed.json["data"]["newOrderResult"] == "NOT_ATTEMPTED"
    assert failed.json["data"]["newOrderResponse"] is None
    partly = await replace(trader, cancelOrderId=1, cancelReplaceMode="ALLOW_FAILURE")
    assert (partly.status, partly.code) == (409, -2021)
    assert partly.json["data"]["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}
    both = await replace(trader, cancelOrderId=1, cancelReplaceMode="ALLOW_FAILURE", quantity="10")
    assert (both.status, both.code) == (400, -2022)


async def test_halted_symbol_takes_no_order(sim: Sim, trader: Trader) -> None:
    await sim.control("POST", "/symbols/BTCUSDT/status", {"status": "HALT"})
    reply = await trader.market_buy()
    assert (reply.code, reply.json["msg"]) == (-2010, "Market is closed.")
    assert (await sim.public("/api/v3/exchangeInfo", symbol="BTCUSDT")).json["symbols"][0]["status"] == "HALT"
