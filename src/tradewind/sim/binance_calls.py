"""The table of calls: what the venue answers, at what weight, with which right.

Weights and counts of rest-api.md and web-socket-api.md, 2026-07-21; calls marked free cost nothing when they
succeed (CHANGELOG 2026-03-27) and their listed weight when they fail. Anything not in this table is a 404,
and the paths retired in 2026 are a 410 with an HTML page.
"""

from __future__ import annotations

from typing import Final

from tradewind.sim import binance_account as account
from tradewind.sim import binance_lists as lists
from tradewind.sim import binance_orders as orders
from tradewind.sim import binance_public as public
from tradewind.sim import binance_session as session
from tradewind.sim.binance_call import Call, Security
from tradewind.sim.binance_order_form import LEGACY_OCO_FIELDS, OCO_FIELDS, ORDER_FIELDS
from tradewind.sim.binance_params import Params

SIGNED_FIELDS: Final = frozenset({"timestamp", "signature", "recvWindow", "apiKey"})
# On the WebSocket API any call may say whether its answer shall carry the limits.
_ANY: Final = frozenset({"returnRateLimits"})
_SELECTORS: Final = frozenset({"symbol", "symbols", "symbolStatus"})
_SPAN: Final = frozenset({"startTime", "endTime", "limit"})
_IDS: Final = frozenset({"symbol", "orderId", "origClientOrderId"})


def _test_weight(params: Params) -> int:
    return 20 if params.get("computeCommissionRates", "").lower() == "true" else 1


def _v3(path: str, method: str = "GET") -> tuple[str, str]:
    return method, f"/api/v3/{path}"


_PUBLIC: Final = (
    Call("ping", public.ping, route=_v3("ping")),
    Call("time", public.time, route=_v3("time")),
    Call(
        "exchangeInfo",
        public.exchange_info,
        weight=20,
        route=_v3("exchangeInfo"),
        optional=_SELECTORS | {"permissions", "showPermissionSets"},
    ),
    Call(
        "depth",
        public.depth,
        weight=public.depth_weight,
        route=_v3("depth"),
        mandatory=("symbol",),
        optional=frozenset({"limit", "symbolStatus"}),
    ),
    Call(
        "trades.recent",
        public.trades,
        weight=25,
        route=_v3("trades"),
        mandatory=("symbol",),
        optional=frozenset({"limit"}),
    ),
    Call(
        "trades.aggregate",
        public.aggregate_trades,
        weight=4,
        route=_v3("aggTrades"),
        mandatory=("symbol",),
        optional=_SPAN | {"fromId"},
    ),
    Call(
        "klines",
        public.klines,
        weight=2,
        route=_v3("klines"),
        mandatory=("symbol", "interval"),
        optional=_SPAN | {"timeZone"},
    ),
    Call(
        "uiKlines",
        public.klines,
        weight=2,
        route=_v3("uiKlines"),
        mandatory=("symbol", "interval"),
        optional=_SPAN | {"timeZone"},
    ),
    Call("avgPrice", public.average_price, weight=2, route=_v3("avgPrice"), mandatory=("symbol",)),
    Call(
        "ticker.24hr",
        public.day_tickers,
        weight=public.day_weight,
        route=_v3("ticker/24hr"),
        optional=_SELECTORS | {"type"},
    ),
    Call(
        "ticker.price",
        public.price_tickers,
        weight=public.ticker_weight,
        route=_v3("ticker/price"),
        optional=_SELECTORS,
    ),
    Call(
        "ticker.book",
        public.book_tickers,
        weight=public.ticker_weight,
        route=_v3("ticker/bookTicker"),
        optional=_SELECTORS,
    ),
    Call(
        "systemStatus",
        public.system_status,
        route=("GET", "/sapi/v1/system/status"),
        is_on_ws=False,
        needs_sapi=True,
    ),
)

_TRADING: Final = (
    Call(
        "order.place",
        orders.place,
        security=Security.TRADE,
        route=_v3("order", "POST"),
        mandatory=("symbol", "side", "type"),
        optional=ORDER_FIELDS,
        orders=1,
        is_free_on_success=True,
        vet=orders.vet,
    ),
    Call(
        "order.test",
        orders.test,
        weight=_test_weight,
        security=Security.TRADE,
        route=_v3("order/test", "POST"),
        mandatory=("symbol", "side", "type"),
        optional=ORDER_FIELDS | {"computeCommissionRates"},
    ),
    Call(
        "order.cancel",
        orders.cancel,
        security=Security.TRADE,
        route=_v3("order", "DELETE"),
        mandatory=("symbol",),
        optional=orders.CANCEL_FIELDS,
        is_free_on_success=True,
    ),
    Call(
        "openOrders.cancelAll",
        orders.cancel_all,
        security=Security.TRADE,
        route=_v3("openOrders", "DELETE"),
        mandatory=("symbol",),
        is_free_on_success=True,
    ),
    Call(
        "order.cancelReplace",
        orders.cancel_replace,
        security=Security.TRADE,
        route=_v3("order/cancelReplace", "POST"),
        mandatory=("symbol", "side", "type", "cancelReplaceMode"),
        optional=orders.REPLACE_FIELDS,
        is_free_on_success=True,
    ),
    Call(
        "order.amend.keepPriority",
        orders.amend,
        weight=4,
        security=Security.TRADE,
        route=_v3("order/amend/keepPriority", "PUT"),
        mandatory=("symbol", "newQty"),
        optional=_IDS | {"newClientOrderId"},
    ),
    Call(
        "orderList.place.oco",
        lists.place_oco,
        security=Security.TRADE,
        route=_v3("orderList/oco", "POST"),
        mandatory=("symbol", "side", "quantity", "aboveType", "belowType"),
        optional=OCO_FIELDS,
        orders=lists.OCO_ORDERS,
        is_free_on_success=True,
        vet=lists.vet_oco,
    ),
    Call(
        "orderList.place",
        lists.place_legacy_oco,
        security=Security.TRADE,
        route=_v3("order/oco", "POST"),
        mandatory=("symbol", "side", "quantity", "price"),
        optional=LEGACY_OCO_FIELDS,
        orders=lists.OCO_ORDERS,
        is_free_on_success=True,
        vet=lists.vet_legacy_oco,
    ),
    Call(
        "orderList.cancel",
        lists.cancel,
        security=Security.TRADE,
        route=_v3("orderList", "DELETE"),
        mandatory=("symbol",),
        optional=frozenset({"orderListId", "listClientOrderId", "newClientOrderId"}),
        is_free_on_success=True,
    ),
)

_ACCOUNT: Final = (
    Call(
        "account.status",
        account.account,
        weight=20,
        security=Security.USER_DATA,
        route=_v3("account"),
        optional=frozenset({"omitZeroBalances"}),
    ),
    Call(
        "account.commission",
        account.commission,
        weight=20,
        security=Security.USER_DATA,
        route=_v3("account/commission"),
        mandatory=("symbol",),
    ),
    Call(
        "account.rateLimits.orders",
        account.order_counts,
        weight=40,
        security=Security.USER_DATA,
        route=_v3("rateLimit/order"),
    ),
    Call(
        "order.status",
        orders.status,
        weight=4,
        security=Security.USER_DATA,
        route=_v3("order"),
        mandatory=("symbol",),
        optional=_IDS,
    ),
    Call(
        "openOrders.status",
        orders.open_orders,
        weight=account.open_orders_weight,
        security=Security.USER_DATA,
        route=_v3("openOrders"),
        optional=frozenset({"symbol"}),
    ),
    Call(
        "allOrders",
        orders.all_orders,
        weight=20,
        security=Security.USER_DATA,
        route=_v3("allOrders"),
        mandatory=("symbol",),
        optional=_SPAN | {"orderId"},
    ),
    Call(
        "myTrades",
        account.my_trades,
        weight=account.trade_weight,
        security=Security.USER_DATA,
        route=_v3("myTrades"),
        mandatory=("symbol",),
        optional=_SPAN | {"orderId", "fromId"},
    ),
    Call(
        "orderList.status",
        lists.status,
        weight=4,
        security=Security.USER_DATA,
        route=_v3("orderList"),
        optional=frozenset({"orderListId", "origClientOrderId"}),
    ),
    Call(
        "allOrderLists",
        lists.all_lists,
        weight=20,
        security=Security.USER_DATA,
        route=_v3("allOrderList"),
        optional=_SPAN | {"fromId"},
    ),
    Call(
        "openOrderLists.status",
        lists.open_lists,
        weight=6,
        security=Security.USER_DATA,
        route=_v3("openOrderList"),
    ),
    Call(
        "apiRestrictions",
        account.restrictions,
        security=Security.USER_DATA,
        route=("GET", "/sapi/v1/account/apiRestrictions"),
        is_on_ws=False,
        needs_sapi=True,
    ),
)

_SESSION: Final = (
    Call("session.logon", session.logon, weight=2, security=Security.USER_DATA),
    Call("session.status", session.status, weight=2),
    Call("session.logout", session.logout, weight=2),
    Call("session.subscriptions", session.subscriptions, weight=2),
    Call("userDataStream.subscribe", session.subscribe, weight=2),
    Call(
        "userDataStream.subscribe.signature",
        session.subscribe_signed,
        weight=2,
        security=Security.USER_DATA,
    ),
    Call(
        "userDataStream.unsubscribe",
        session.unsubscribe,
        weight=2,
        optional=frozenset({"subscriptionId"}),
    ),
)

CALLS: Final = (*_PUBLIC, *_TRADING, *_ACCOUNT, *_SESSION)
BY_ROUTE: Final[dict[tuple[str, str], Call]] = {call.route: call for call in CALLS if call.route is not None}
BY_METHOD: Final[dict[str, Call]] = {call.name: call for call in CALLS if call.is_on_ws}

# Retired with notice: listenKeys on 2026-02-20, every /api/v1 leftover on 2026-03-25. An nginx page answers.
GONE_PATHS: Final = frozenset({"/api/v3/userDataStream"})
GONE_METHODS: Final = frozenset({"userDataStream.start", "userDataStream.ping", "userDataStream.stop"})


def is_gone(path: str) -> bool:
    """Tell whether a path was retired (410)."""
    return path in GONE_PATHS or path.startswith("/api/v1/")


def parameters_of(call: Call) -> frozenset[str]:
    """Give every parameter name a call reads."""
    names = call.optional | frozenset(call.mandatory) | _ANY
    return names | SIGNED_FIELDS if call.is_signed else names
