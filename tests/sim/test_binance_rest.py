"""The REST wire: order of checks, rights, headers, public data, profiles."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import pytest
from tests.support.sim_binance import Sim, Trader, running_sim

from tradewind.sim.settings import Profile


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with running_sim() as running:
        yield running


@pytest.fixture
async def trader(sim: Sim) -> Trader:
    return await sim.trader()


async def test_ping_and_time_answer_without_a_key(sim: Sim) -> None:
    assert (await sim.public("/api/v3/ping")).json == {}
    served = (await sim.public("/api/v3/time")).json["serverTime"]
    assert abs(served - sim.clock()) < 1000


async def test_every_answer_carries_the_used_weight(sim: Sim) -> None:
    first = await sim.public("/api/v3/ping")
    second = await sim.public("/api/v3/exchangeInfo", symbol="BTCUSDT")
    assert first.headers["x-mbx-used-weight-1m"] == "1"
    assert second.headers["x-mbx-used-weight"] == second.headers["x-mbx-used-weight-1m"] == "21"
    assert len(second.headers["x-mbx-uuid"]) == 36


async def test_exchange_info_has_the_documented_symbol_fields(sim: Sim) -> None:
    info = (await sim.public("/api/v3/exchangeInfo", symbol="BTCUSDT")).json
    assert list(info) == ["timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"]
    documented = (
        "symbol,status,baseAsset,baseAssetPrecision,quoteAsset,quotePrecision,quoteAssetPrecision,"
        "baseCommissionPrecision,quoteCommissionPrecision,orderTypes,icebergAllowed,ocoAllowed,otoAllowed,"
        "opoAllowed,quoteOrderQtyMarketAllowed,allowTrailingStop,cancelReplaceAllowed,amendAllowed,"
        "pegInstructionsAllowed,isSpotTradingAllowed,isMarginTradingAllowed,filters,permissions,permissionSets,"
        "defaultSelfTradePreventionMode,allowedSelfTradePreventionModes"
    )
    assert list(info["symbols"][0]) == documented.split(",")
    kinds = {entry["filterType"] for entry in info["symbols"][0]["filters"]}
    assert {"PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "NOTIONAL", "MAX_NUM_ALGO_ORDERS"} <= kinds
    limits = {(rule["rateLimitType"], rule["interval"]): rule["limit"] for rule in info["rateLimits"]}
    assert limits[("REQUEST_WEIGHT", "MINUTE")] == 6000
    assert limits[("ORDERS", "SECOND")] == 100


async def test_exchange_info_without_symbol_lists_the_whole_tape(sim: Sim) -> None:
    info = (await sim.public("/api/v3/exchangeInfo")).json
    assert len(info["symbols"]) == len(sim.server.spot.exchange.symbols()) > 200


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"symbol": "btcusdt"}, -1100),
        ({"symbols": '["BTCUSDT","NOPE"]'}, -1121),
        ({"symbols": "BTCUSDT"}, -1100),
        ({"symbol": "BTCUSDT", "symbols": '["BTCUSDT"]'}, -1128),
        ({"colour": "red"}, -1104),
    ],
)
async def test_exchange_info_refuses_bad_selectors(sim: Sim, params: dict[str, str], code: int) -> None:
    reply = await sim.public("/api/v3/exchangeInfo", **params)
    assert (reply.status, reply.code) == (400, code)
    assert set(reply.json) == {"code", "msg"}


async def test_market_data_of_a_forced_trade(sim: Sim) -> None:
    await sim.price("BTCUSDT", "80000")
    await sim.price("BTCUSDT", "80100")
    trades = (await sim.public("/api/v3/trades", symbol="BTCUSDT")).json
    assert [trade["price"] for trade in trades] == ["80000.00000000", "80100.00000000"]
    assert trades[1]["isBuyerMaker"] is False
    aggregates = (await sim.public("/api/v3/aggTrades", symbol="BTCUSDT", fromId=trades[1]["id"])).json
    assert [item["p"] for item in aggregates] == ["80100.00000000"]
    candles = (await sim.public("/api/v3/klines", symbol="BTCUSDT", interval="1d")).json
    assert [len(candle) for candle in candles] == [12]
    assert candles[0][1:5] == ["80000.00000000", "80100.00000000", "80000.00000000", "80100.00000000"]
    assert candles[0][8] == 2
    assert (await sim.public("/api/v3/ticker/price", symbol="BTCUSDT")).json == {
        "symbol": "BTCUSDT",
        "price": "80100.00000000",
    }
    day = (await sim.public("/api/v3/ticker/24hr", symbol="BTCUSDT")).json
    assert (day["openPrice"], day["lastPrice"], day["count"]) == ("80000.00000000", "80100.00000000", 2)
    assert day["priceChange"] == "100.00000000"
    assert day["priceChangePercent"] == "0.125"


async def test_depth_brackets_the_last_price(sim: Sim) -> None:
    depth = (await sim.public("/api/v3/depth", symbol="BTCUSDT", limit=5)).json
    assert [len(depth["bids"]), len(depth["asks"])] == [5, 5]
    assert float(depth["bids"][0][0]) < float(sim.last()) < float(depth["asks"][0][0])
    best = (await sim.public("/api/v3/ticker/bookTicker", symbol="BTCUSDT")).json
    assert [best["bidPrice"], best["bidQty"]] == depth["bids"][0]


async def test_tickers_of_several_symbols_are_an_array(sim: Sim) -> None:
    prices = (await sim.public("/api/v3/ticker/price", symbols='["BTCUSDT","ETHUSDT"]')).json
    assert [price["symbol"] for price in prices] == ["BTCUSDT", "ETHUSDT"]
    mini = (await sim.public("/api/v3/ticker/24hr", symbols='["BTCUSDT"]', type="MINI")).json
    assert "bidPrice" not in mini[0]
    average = (await sim.public("/api/v3/avgPrice", symbol="BTCUSDT")).json
    assert (average["mins"], set(average)) == (5, {"mins", "price", "closeTime"})


async def test_bad_interval_and_symbol_status_have_their_codes(sim: Sim) -> None:
    assert (await sim.public("/api/v3/klines", symbol="BTCUSDT", interval="7m")).code == -1120
    assert (await sim.public("/api/v3/klines", symbol="BTCUSDT")).code == -1102
    assert (await sim.public("/api/v3/ticker/price", symbol="BTCUSDT", symbolStatus="HALT")).code == -1220


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v3/userDataStream", 410),
        ("GET", "/api/v1/exchangeInfo", 410),
        ("GET", "/api/v3/nothing", 404),
        ("PUT", "/api/v3/order", 404),
    ],
)
async def test_retired_and_unknown_paths_answer_with_a_page(sim: Sim, method: str, path: str, status: int) -> None:
    async with sim.session.request(method, sim.addresses.rest_url + path) as answer:
        assert answer.status == status
        assert answer.content_type == "text/html"
        assert b"nginx" in await answer.read()


async def test_missing_or_malformed_key_is_2014_before_anything_else(sim: Sim, trader: Trader) -> None:
    trader.api_key = "short"
    reply = await trader.send("GET", "/api/v3/account", "")
    assert (reply.status, reply.code, reply.json["msg"]) == (401, -2014, "API-key format invalid.")


async def test_mandatory_parameters_come_before_the_time_window(sim: Sim, trader: Trader) -> None:
    reply = await trader.order(symbol="BTCUSDT", side="BUY", timestamp=1_700_000_000_000)
    assert (reply.code, "'type'" in reply.json["msg"]) == (-1102, True)


async def test_time_window_comes_before_key_and_signature(sim: Sim, trader: Trader) -> None:
    trader.api_key, trader.secret = "A" * 64, "wrong"
    reply = await trader.call("GET", "/api/v3/account", timestamp=sim.clock() - 6000)
    assert (reply.status, reply.code) == (400, -1021)
    assert reply.json["msg"] == "Timestamp for this request is outside of the recvWindow."


async def test_unknown_key_comes_before_the_signature(sim: Sim, trader: Trader) -> None:
    trader.api_key, trader.secret = "A" * 64, "wrong"
    reply = await trader.call("GET", "/api/v3/account")
    assert (reply.status, reply.code) == (401, -2015)
    assert reply.json["msg"] == "Invalid API-key, IP, or permissions for action."


async def test_wrong_secret_is_1022_before_the_syntax_of_values(sim: Sim, trader: Trader) -> None:
    trader.secret = "x" * 64
    reply = await trader.order(symbol="nope", side="UP", type="LIMIT")
    assert (reply.status, reply.code) == (400, -1022)


async def test_signature_before_encoding_fails_and_after_encoding_works(sim: Sim, trader: Trader) -> None:
    raw = f"symbol=１２３&timestamp={sim.clock()}"
    encoded = raw.replace("１２３", quote("１２３"))
    early = hmac.new(trader.secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
    assert (await trader.send("GET", "/api/v3/openOrders", f"{encoded}&signature={early}")).code == -1022
    late = hmac.new(trader.secret.encode(), encoded.encode(), hashlib.sha256).hexdigest()
    assert (await trader.send("GET", "/api/v3/openOrders", f"{encoded}&signature={late}")).code == -1121


async def test_body_and_query_are_signed_together_without_separator(sim: Sim, trader: Trader) -> None:
    query = "symbol=BTCUSDT&side=BUY&type=MARKET"
    body = urlencode({"quoteOrderQty": "20", "timestamp": sim.clock()})
    signature = hmac.new(trader.secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    reply = await trader.send("POST", "/api/v3/order", query, f"{body}&signature={signature}")
    assert (reply.status, reply.json["status"]) == (200, "FILLED")
    wrong = hmac.new(trader.secret.encode(), (query + "&" + body).encode(), hashlib.sha256).hexdigest()
    assert (await trader.send("POST", "/api/v3/order", query, f"{body}&signature={wrong}")).code == -1022


async def test_key_without_trade_right_reads_but_does_not_trade(sim: Sim) -> None:
    reader = await sim.trader(permissions={"trading": False})
    assert (await reader.call("GET", "/api/v3/account")).status == 200
    for path in ("/api/v3/order", "/api/v3/order/test"):
        reply = await reader.call("POST", path, symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="20")
        assert (reply.status, reply.code) == (401, -2015)
    assert await sim.orders_of(reader) == []


async def test_key_bound_to_another_address_is_refused(sim: Sim) -> None:
    elsewhere = await sim.trader(ip_list=["203.0.113.9"])
    assert (await elsewhere.call("GET", "/api/v3/account")).code == -2015
    here = await sim.trader(ip_list=["127.0.0.0/8"])
    assert (await here.call("GET", "/api/v3/account")).status == 200


async def test_api_restrictions_show_the_rights_of_the_key(sim: Sim) -> None:
    plain, withdrawing = await sim.trader(), await sim.trader(permissions={"withdraw": True}, ip_list=["127.0.0.1"])
    rights = (await plain.call("GET", "/sapi/v1/account/apiRestrictions")).json
    assert rights["enableReading"] is rights["enableSpotAndMarginTrading"] is True
    assert rights["enableWithdrawals"] is rights["ipRestrict"] is False
    assert isinstance(rights["createTime"], int)
    rights = (await withdrawing.call("GET", "/sapi/v1/account/apiRestrictions")).json
    assert rights["enableWithdrawals"] is rights["ipRestrict"] is True


@pytest.mark.parametrize(
    ("profile", "status"), [(Profile.PAPER, 200), (Profile.PRODUCTION, 200), (Profile.TESTNET, 404)]
)
async def test_sapi_is_served_by_profile(profile: Profile, status: int) -> None:
    async with running_sim(profile=profile) as sim:
        trader = await sim.trader()
        assert (await trader.call("GET", "/sapi/v1/account/apiRestrictions")).status == status
        assert (await sim.public("/sapi/v1/system/status")).status == status
        assert (await trader.call("GET", "/api/v3/account")).status == 200


async def test_account_shows_balances_and_account_flags(sim: Sim, trader: Trader) -> None:
    account = (await trader.call("GET", "/api/v3/account", omitZeroBalances="true")).json
    assert account["balances"] == [{"asset": "USDT", "free": "10000.00000000", "locked": "0.00000000"}]
    assert (account["canTrade"], account["canWithdraw"], account["accountType"]) == (True, True, "SPOT")
    assert account["uid"] == trader.uid
    assert account["commissionRates"]["taker"] == "0.00100000"
    commission = (await trader.call("GET", "/api/v3/account/commission", symbol="BTCUSDT")).json
    assert commission["standardCommission"]["maker"] == "0.00100000"


async def test_unread_parameter_is_refused(sim: Sim, trader: Trader) -> None:
    reply = await trader.call("GET", "/api/v3/account", colour="red")
    assert reply.code == -1104


async def test_times_come_in_microseconds_when_asked(sim: Sim) -> None:
    async with sim.session.get(
        sim.addresses.rest_url + "/api/v3/time", headers={"X-MBX-TIME-UNIT": "MICROSECOND"}
    ) as answer:
        assert (await answer.json())["serverTime"] > 10**15


async def test_weight_over_the_limit_is_429_then_418(sim: Sim) -> None:
    await sim.control("POST", "/limits", {"weight_per_minute": 20, "calls_before_ban": 2})
    # Begin in a fresh minute so that the window cannot end in between.
    sim.clock.offset_ms += 60_000 - sim.clock() % 60_000
    assert (await sim.public("/api/v3/exchangeInfo", symbol="BTCUSDT")).status == 200
    refused = [await sim.public("/api/v3/ping") for _ in range(3)]
    assert [reply.status for reply in refused] == [429, 429, 418]
    assert {reply.code for reply in refused} == {-1003}
    assert 1 <= int(refused[0].headers["Retry-After"]) <= 60
    assert 1 <= int(refused[2].headers["Retry-After"]) <= 120
    sim.clock.offset_ms += 61_000
    assert (await sim.public("/api/v3/ping")).status == 418
    sim.clock.offset_ms += 60_000
    assert (await sim.public("/api/v3/ping")).status == 200


async def test_successful_order_calls_are_free_and_failed_ones_are_not(sim: Sim, trader: Trader) -> None:
    placed = await trader.order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="500000"
    )
    assert placed.code == -1013
    before = int(placed.headers["x-mbx-used-weight-1m"])
    filled = await trader.market_buy()
    assert int(filled.headers["x-mbx-used-weight-1m"]) == before == 1
    cancelled = await trader.call("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=1)
    assert int(cancelled.headers["x-mbx-used-weight-1m"]) == before + 1


async def test_order_count_headers_and_limit(sim: Sim, trader: Trader) -> None:
    await sim.control("POST", "/limits", {"orders_per_10s": 2})
    sim.clock.offset_ms += 10_000 - sim.clock() % 10_000
    limit = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001"}
    first = await trader.order(**limit, price="40000")
    second = await trader.order(**limit, price="40001")
    assert [r.headers["x-mbx-order-count-10s"] for r in (first, second)] == ["1", "2"]
    third = await trader.order(**limit, price="40002")
    assert (third.status, third.code) == (429, -1015)
    assert "Retry-After" in third.headers
    assert (await trader.order(**{**limit, "quantity": "0.0000001"}, price="40002")).code == -1013
    counts = (await trader.call("GET", "/api/v3/rateLimit/order")).json
    assert [(one["interval"], one["limit"], one["count"]) for one in counts] == [("SECOND", 2, 2), ("DAY", 200_000, 2)]
