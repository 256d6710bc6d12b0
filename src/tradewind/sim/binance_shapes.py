"""Orders, lists, fills and balances in the venue's JSON.

Numbers that are money, price or quantity are strings with 8 decimals (every asset here has precision 8);
ids and times are integers. Field spelling is the venue's, `cummulativeQuoteQty` included (rest-api.md,
2026-07-21). ACK, RESULT and FULL grow from one another; the query shape differs in names and order.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

from tradewind.sim.instruments import SymbolRules
from tradewind.sim.types import (
    NO_ID,
    Amended,
    AssetBalance,
    ExpiryReason,
    Fill,
    Order,
    OrderList,
    OrderType,
    SymbolStatus,
)

Json = dict[str, object]


class ResponseType(StrEnum):
    """How much of a placed order the answer tells."""

    ACK = "ACK"
    RESULT = "RESULT"
    FULL = "FULL"


def number(value: Decimal) -> str:
    """Spell an amount with 8 decimals."""
    return f"{value:.8f}"


def default_response(order_type: OrderType) -> ResponseType:
    """Give the response type used when the client names none."""
    full = order_type in {OrderType.MARKET, OrderType.LIMIT}
    return ResponseType.FULL if full else ResponseType.ACK


def ack(order: Order) -> Json:
    """Shape the shortest placement answer."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.order_list_id,
        "clientOrderId": order.client_order_id,
        "transactTime": order.updated_ms,
    }


def result(order: Order) -> Json:
    """Shape the placement answer without fills."""
    shape = ack(order)
    shape.update(_amounts(order))
    shape["workingTime"] = order.working_time_ms
    shape["selfTradePreventionMode"] = order.stp_mode
    shape.update(_conditional(order))
    return shape


def placed(order: Order, fills: Iterable[Fill], response: ResponseType) -> Json:
    """Shape a placement answer as the client asked for it."""
    if response is ResponseType.ACK:
        return ack(order)
    shape = result(order)
    if response is ResponseType.FULL:
        shape["fills"] = [_fill_line(fill) for fill in fills]
    return shape


def cancelled(order: Order) -> Json:
    """Shape a cancel's answer: the old id as `origClientOrderId`, the cancel's as `clientOrderId`."""
    shape: Json = {
        "symbol": order.symbol,
        "origClientOrderId": order.orig_client_order_id,
        "orderId": order.order_id,
        "orderListId": order.order_list_id,
        "clientOrderId": order.client_order_id,
        "transactTime": order.updated_ms,
    }
    shape.update(_amounts(order))
    shape["selfTradePreventionMode"] = order.stp_mode
    shape.update(_conditional(order))
    return shape


def queried(order: Order) -> Json:
    """Shape an order as GET order and the lists show it."""
    shape: Json = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": order.order_list_id,
        "clientOrderId": order.client_order_id,
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.executed),
        "cummulativeQuoteQty": number(order.quote_executed),
        "status": order.status.value,
        "timeInForce": order.time_in_force.value,
        "type": order.type.value,
        "side": order.side.value,
        "stopPrice": number(order.stop_price),
        "icebergQty": number(order.iceberg_quantity),
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": order.is_working,
        "workingTime": order.working_time_ms,
        "origQuoteOrderQty": number(order.quote_quantity),
        "selfTradePreventionMode": order.stp_mode,
    }
    shape.update(_rare(order))
    return shape


def amended(change: Amended) -> Json:
    """Shape an amend's answer, whose order part is spelt differently from everywhere else."""
    order = change.order
    return {
        "transactTime": order.updated_ms,
        "executionId": change.execution_id,
        "amendedOrder": {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": order.order_list_id,
            "origClientOrderId": order.orig_client_order_id or order.client_order_id,
            "clientOrderId": order.client_order_id,
            "price": number(order.price),
            "qty": number(order.quantity),
            "executedQty": number(order.executed),
            "preventedQty": "0.00000000",
            "quoteOrderQty": number(order.quote_quantity),
            "cumulativeQuoteQty": number(order.quote_executed),
            "status": order.status.value,
            "timeInForce": order.time_in_force.value,
            "type": order.type.value,
            "side": order.side.value,
            "workingTime": order.working_time_ms,
            "selfTradePreventionMode": order.stp_mode,
        },
    }


def listed(order_list: OrderList) -> Json:
    """Shape an order list as the queries show it (no reports)."""
    return {
        "orderListId": order_list.order_list_id,
        "contingencyType": order_list.contingency_type,
        "listStatusType": order_list.status_type.value,
        "listOrderStatus": order_list.order_status.value,
        "listClientOrderId": order_list.list_client_order_id,
        "transactionTime": order_list.updated_ms,
        "symbol": order_list.symbol,
        "orders": [
            {"symbol": order_list.symbol, "orderId": member.order_id, "clientOrderId": member.client_order_id}
            for member in order_list.members
        ],
    }


def listed_with_reports(order_list: OrderList, reports: Iterable[Json]) -> Json:
    """Shape an order list as placing and cancelling answer it."""
    shape = listed(order_list)
    shape["orderReports"] = list(reports)
    return shape


def traded(fill: Fill) -> Json:
    """Shape one line of myTrades."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": fill.order_list_id,
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "quoteQty": number(fill.quote),
        "commission": number(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": fill.at_ms,
        "isBuyer": fill.side.value == "BUY",
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def balance_line(asset: str, balance: AssetBalance) -> Json:
    """Shape one line of an account's balances."""
    return {"asset": asset, "free": number(balance.free), "locked": number(balance.locked)}


def symbol_entry(rules: SymbolRules, status: SymbolStatus, *, with_permission_sets: bool) -> Json:
    """Shape one symbol of exchangeInfo."""
    return {
        "symbol": rules.symbol,
        "status": status.value,
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [kind.value for kind in OrderType],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": symbol_filters(rules),
        "permissions": [],
        "permissionSets": [["SPOT"]] if with_permission_sets else [],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def symbol_filters(rules: SymbolRules) -> list[Json]:
    """Shape the filters of one symbol."""
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": number(rules.min_price),
            "maxPrice": number(rules.max_price),
            "tickSize": number(rules.tick),
        },
        _lot("LOT_SIZE", rules.min_qty, rules.max_qty, rules.step),
        {"filterType": "ICEBERG_PARTS", "limit": rules.iceberg_parts},
        _lot("MARKET_LOT_SIZE", rules.market_min_qty, rules.market_max_qty, rules.market_step),
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": rules.min_trailing_delta,
            "maxTrailingAboveDelta": rules.max_trailing_delta,
            "minTrailingBelowDelta": rules.min_trailing_delta,
            "maxTrailingBelowDelta": rules.max_trailing_delta,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(rules.bid_multiplier_up),
            "bidMultiplierDown": str(rules.bid_multiplier_down),
            "askMultiplierUp": str(rules.ask_multiplier_up),
            "askMultiplierDown": str(rules.ask_multiplier_down),
            "avgPriceMins": rules.avg_price_mins,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": number(rules.min_notional),
            "applyMinToMarket": rules.apply_min_to_market,
            "maxNotional": number(rules.max_notional),
            "applyMaxToMarket": rules.apply_max_to_market,
            "avgPriceMins": rules.avg_price_mins,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_orders},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": rules.max_order_lists},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": rules.max_algo_orders},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": rules.max_amends},
    ]


def _lot(name: str, least: Decimal, most: Decimal, step: Decimal) -> Json:
    return {"filterType": name, "minQty": number(least), "maxQty": number(most), "stepSize": number(step)}


def _amounts(order: Order) -> Json:
    return {
        "price": number(order.price),
        "origQty": number(order.quantity),
        "executedQty": number(order.executed),
        "origQuoteOrderQty": number(order.quote_quantity),
        "cummulativeQuoteQty": number(order.quote_executed),
        "status": order.status.value,
        "timeInForce": order.time_in_force.value,
        "type": order.type.value,
        "side": order.side.value,
    }


def _conditional(order: Order) -> Json:
    """Fields that appear only where they apply."""
    shape: Json = {}
    if order.stop_price:
        shape["stopPrice"] = number(order.stop_price)
    if order.iceberg_quantity:
        shape["icebergQty"] = number(order.iceberg_quantity)
    shape.update(_rare(order))
    return shape


def _rare(order: Order) -> Json:
    shape: Json = {}
    if order.trailing_delta is not None:
        shape["trailingDelta"] = order.trailing_delta
        if order.trailing_time_ms != NO_ID:
            shape["trailingTime"] = order.trailing_time_ms
    if order.strategy_id is not None:
        shape["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        shape["strategyType"] = order.strategy_type
    if order.expiry_reason is not ExpiryReason.NONE:
        shape["expiryReason"] = order.expiry_reason.value
    return shape


def _fill_line(fill: Fill) -> Json:
    return {
        "price": number(fill.price),
        "qty": number(fill.quantity),
        "commission": number(fill.commission),
        "commissionAsset": fill.commission_asset,
        "tradeId": fill.trade_id,
    }
