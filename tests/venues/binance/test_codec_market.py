"""Catalogue, prices, candles, book; against recorded markets and filters."""

from decimal import Decimal
from typing import Any

import pytest
from tests.support.binance_values import T0, dump
from tests.support.shared_data import shared_cases, shared_data, shared_json

from tradewind.core.instrument import Instrument, InstrumentStatus
from tradewind.core.money import Price, Quantity
from tradewind.infra.clock import from_ms
from tradewind.venues.base import PermissionSource
from tradewind.venues.binance.codec import NotUnderstood
from tradewind.venues.binance.codec_account import read_account, read_permissions
from tradewind.venues.binance.codec_market import (
    ExchangeInfo,
    read_all_tickers,
    read_candles,
    read_depth,
    read_exchange_info,
    read_tickers,
    read_time,
)
from tradewind.venues.ratelimit import WindowLimit


def symbol_body(**changes: Any) -> dict[str, Any]:
    """A symbol as live captures of September 2026 show it."""
    return {
        "symbol": "TSLABUSDT",
        "status": "TRADING",
        "baseAsset": "TSLAB",
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"],
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00100000", "maxQty": "922327.00000000", "stepSize": "0.00100000"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "10.6", "stepSize": "0.00000000"},
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 7},
        ],
        "permissionSets": [["SPOT"]],
        **changes,
    }


def info_of(*symbols: Any) -> ExchangeInfo:
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300000},
        {"rateLimitType": "MOONS", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 1},
    ]
    return read_exchange_info(dump({"timezone": "UTC", "rateLimits": limits, "symbols": list(symbols)}))


def test_exchange_info_when_read_then_the_venues_own_steps_and_minimums() -> None:
    (found,) = info_of(symbol_body()).instruments
    assert (found.base, found.quote) == ("TSLAB", "USDT")
    assert (found.tick, found.step) == (Decimal("0.01"), Decimal("0.001"))
    assert (found.min_quantity, found.max_quantity) == (Decimal("0.001"), Decimal(922327))
    assert (found.min_notional, found.max_notional) == (Decimal(5), Decimal(9000000))
    assert found.max_market_quantity == Decimal("10.6")
    assert found.quote_step == Decimal("0.00000001")
    assert found.max_algo_orders == 7
    assert found.has_oco
    assert found.has_market_by_quote
    assert found.is_trading


def test_exchange_info_when_limits_are_stated_then_taken_and_unknown_ones_left_out() -> None:
    info = info_of(symbol_body())
    assert info.weight_limits == (WindowLimit(60_000, 6000), WindowLimit(300_000, 300000, counts_calls=True))
    assert info.order_limits == (WindowLimit(10_000, 100), WindowLimit(86_400_000, 200000))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("TRADING", InstrumentStatus.TRADING),
        ("CANCEL_ONLY", InstrumentStatus.CANCEL_ONLY),
        ("HALT", InstrumentStatus.HALTED),
        ("BREAK", InstrumentStatus.HALTED),
        ("END_OF_DAY", InstrumentStatus.HALTED),
        ("NEW_IN_2027", InstrumentStatus.HALTED),
    ],
)
def test_exchange_info_when_status_is_not_trading_then_not_trading_here(
    status: str, expected: InstrumentStatus
) -> None:
    assert info_of(symbol_body(status=status)).instruments[0].status is expected


def test_exchange_info_when_symbol_lacks_stop_market_then_said_so() -> None:
    info = info_of(symbol_body(orderTypes=["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT"]))
    assert info.without_stop_market == {"TSLABUSDT"}
    assert info.instruments[0].has_oco


def test_exchange_info_when_symbol_has_no_stop_at_all_then_no_oco() -> None:
    assert not info_of(symbol_body(orderTypes=["LIMIT", "LIMIT_MAKER", "MARKET"])).instruments[0].has_oco
    assert not info_of(symbol_body(ocoAllowed=False)).instruments[0].has_oco


def test_exchange_info_when_one_symbol_is_odd_then_it_alone_is_left_out() -> None:
    info = info_of(symbol_body(), symbol_body(symbol=5), symbol_body(filters="none"), symbol_body(symbol="１２３"))
    assert [each.symbol for each in info.instruments] == ["TSLABUSDT", "１２３"]
    assert info.left_out == 2


def test_exchange_info_when_symbol_is_not_spot_then_not_listed() -> None:
    assert info_of(symbol_body(isSpotTradingAllowed=False)).instruments == ()


def test_exchange_info_when_nothing_can_be_read_then_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        info_of({"symbol": "X"})
    with pytest.raises(NotUnderstood):
        read_exchange_info(b"{}")


# --- recorded markets --------------------------------------------------------------------------------


def recorded_instruments() -> dict[str, Instrument]:
    body = shared_data("payloads/binance/markets_exchangeInfo.json").read_bytes()
    info = read_exchange_info(body)
    assert info.left_out == 0
    # Recorded in 2021, when no symbol had STOP_LOSS yet.
    assert len(info.without_stop_market) == len(info.instruments) == 64
    return {each.symbol: each for each in info.instruments}


def test_exchange_info_when_recorded_markets_are_read_then_as_another_client_reads_them() -> None:
    found = recorded_instruments()
    oracle = shared_json("payloads/binance/markets_ccxt.json")
    listed = [market for market in oracle.values() if market["id"] in found]
    assert len(listed) == 18  # the two files name different symbols beside these
    for market in listed:
        ours = found[market["id"]]
        limits = market["limits"]
        assert (ours.base, ours.quote) == (market["base"], market["quote"])
        assert float(ours.step) == pytest.approx(market["precision"]["amount"])
        assert float(ours.tick) == pytest.approx(market["precision"]["price"])
        assert float(ours.min_quantity) == pytest.approx(limits["amount"]["min"])
        assert float(ours.max_quantity) == pytest.approx(limits["amount"]["max"])
        assert float(ours.min_notional) == pytest.approx(limits["cost"]["min"])
        assert float(ours.max_market_quantity or 0) == pytest.approx(limits["market"]["max"])


def first_failure(instrument: Instrument, price: Price, quantity: Quantity) -> str | None:
    """Which filter an order would fail by what the instrument carries."""
    if instrument.floor_price(price) != price:
        return "PRICE_FILTER"
    in_range = instrument.min_quantity <= quantity.value <= instrument.max_quantity
    if instrument.floor_quantity(quantity) != quantity or not in_range:
        return "LOT_SIZE"
    return "MIN_NOTIONAL" if price.cost(quantity) < instrument.min_notional else None


def test_instruments_when_recorded_filter_cases_are_played_then_same_filter_fails() -> None:
    found = recorded_instruments()
    for case in shared_json("payloads/binance/filter_cases.json")["cases"]:
        if case["id"].endswith("-maxprice"):
            continue  # An Instrument carries no highest price: the venue refuses (price_not_allowed).
        price, quantity = Price(Decimal(case["price"])), Quantity(Decimal(case["quantity"]))
        failure = first_failure(found[case["symbol"]], price, quantity)
        expected = case["error"]["msg"].removeprefix("Filter failure: ") if case["error"] else None
        assert failure == expected, case["id"]


# --- prices ------------------------------------------------------------------------------------------


def test_tickers_when_recorded_are_read_then_last_bid_and_ask() -> None:
    full = [c for c in shared_cases("payloads/binance/fetchTickers.json") if "bidPrice" in c["httpResponse"][0]]
    (case,) = full
    tickers = read_tickers(dump(case["httpResponse"]))
    assert tickers[0].symbol == "BTCUSDT"
    assert tickers[0].last == Price(Decimal("69383.06"))
    assert tickers[0].bid == Price(Decimal("69383.05"))
    assert tickers[0].at == from_ms(1770531549007)


def test_tickers_when_symbol_never_traded_then_left_out() -> None:
    row = {"symbol": "X", "lastPrice": "0.00000000", "closeTime": T0, "bidPrice": "0.00000000", "askPrice": "1.0"}
    assert read_tickers(dump([row])) == []
    (only_ask,) = read_tickers(dump([{**row, "lastPrice": "2"}]))
    assert (only_ask.bid, only_ask.ask) == (None, Price(Decimal(1)))


def test_all_tickers_when_joined_then_only_those_wanted() -> None:
    prices = dump([{"symbol": "A", "price": "2"}, {"symbol": "B", "price": "3"}, {"symbol": "C", "price": "0"}])
    books = dump([{"symbol": "A", "bidPrice": "1", "bidQty": "1", "askPrice": "3", "askQty": "1"}])
    found = read_all_tickers(prices, books, frozenset({"A", "C"}), from_ms(T0))
    assert [(each.symbol, each.last.value, each.bid, each.at) for each in found] == [
        ("A", Decimal(2), Price(Decimal(1)), from_ms(T0))
    ]


def test_candles_when_recorded_are_read_then_exact_numbers() -> None:
    cases = [c for c in shared_cases("payloads/binance/fetchOHLCV.json") if isinstance(c["httpResponse"][0], list)]
    assert len(cases) == 2
    candle = read_candles(dump(cases[0]["httpResponse"]))[0]
    assert candle.open_at == from_ms(1499040000000)
    assert (candle.open, candle.close) == (Decimal("0.01634790"), Decimal("0.01577100"))
    assert (candle.base_volume, candle.quote_volume) == (Decimal("148976.11427815"), Decimal("2434.19055334"))


def test_depth_when_recorded_is_read_then_best_first() -> None:
    for case in shared_cases("payloads/binance/fetchOrderBook.json"):
        book = read_depth(dump(case["httpResponse"]))
        assert book.bids[0].price < book.asks[0].price
        assert list(book.bids) == sorted(book.bids, key=lambda level: level.price, reverse=True)


def test_time_when_read_then_ms_and_nonsense_is_not_understood() -> None:
    assert read_time(b'{"serverTime":1499827319559}') == 1499827319559
    for body in (b"{}", b'{"serverTime":"1499827319559"}', b'{"serverTime":-1}', b'{"serverTime":1e30}', b"<html>"):
        with pytest.raises(NotUnderstood):
            read_time(body)


# --- accounts and keys -------------------------------------------------------------------------------


def account_body(**changes: Any) -> dict[str, Any]:
    return {
        "canTrade": True,
        "canWithdraw": True,
        "accountType": "SPOT",
        "uid": 354937868,
        "balances": [{"asset": "BTC", "free": "1.50000000", "locked": "0.25000000"}],
        **changes,
    }


def test_account_when_read_then_balances_and_uid() -> None:
    snapshot = read_account(dump(account_body()), from_ms(T0))
    assert snapshot.venue_user_id == "354937868"
    assert (snapshot.balances[0].free, snapshot.balances[0].locked) == (Decimal("1.5"), Decimal("0.25"))


def test_account_when_recorded_without_uid_then_not_understood() -> None:
    # Recorded before 2022, without `uid`. The reference lists it, and one account per venue user rests on it.
    old = [c for c in shared_cases("payloads/binance/fetchBalance.json") if "makerCommission" in str(c["httpResponse"])]
    assert old
    for case in old:
        with pytest.raises(NotUnderstood):
            read_account(dump(case["httpResponse"]), from_ms(T0))
        assert read_account(dump({**case["httpResponse"], "uid": 1}), from_ms(T0)).balances


def restrictions(**changes: Any) -> dict[str, Any]:
    return {
        "ipRestrict": True,
        "createTime": T0,
        "enableReading": True,
        "enableSpotAndMarginTrading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "permitsUniversalTransfer": False,
        "enableMargin": False,
        "enableFutures": False,
        **changes,
    }


def test_permissions_when_trade_only_then_so() -> None:
    found = read_permissions(dump(restrictions()))
    assert (found.can_read, found.can_trade, found.can_withdraw) == (True, True, False)
    assert found.source is PermissionSource.VERIFIED
    assert found.is_ip_restricted
    assert found.expires_at is None


@pytest.mark.parametrize("right", ["enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"])
def test_permissions_when_money_can_leave_or_nobody_says_then_can_withdraw(right: str) -> None:
    assert read_permissions(dump(restrictions(**{right: True}))).can_withdraw
    body = restrictions()
    del body[right]
    assert read_permissions(dump(body)).can_withdraw


def test_permissions_when_trading_lapses_then_the_day_is_told() -> None:
    found = read_permissions(dump(restrictions(tradingAuthorityExpirationTime=T0, ipRestrict=False)))
    assert found.expires_at == from_ms(T0)
    assert found.is_ip_restricted is False


@pytest.mark.parametrize("field", ["enableReading", "enableSpotAndMarginTrading"])
def test_permissions_when_right_is_missing_or_no_truth_value_then_not_understood(field: str) -> None:
    body = restrictions()
    del body[field]
    with pytest.raises(NotUnderstood):
        read_permissions(dump(body))
    with pytest.raises(NotUnderstood):
        read_permissions(dump(restrictions(**{field: "true"})))
