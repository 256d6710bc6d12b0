"""Account calls on the wire: balances, commission, trades, order counts, rights of the key.

`canTrade` and `canWithdraw` of the account are flags of the account; what a key may do stands in
apiRestrictions alone, and that lives under /sapi, which testnet does not serve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tradewind.sim import binance_errors as errors
from tradewind.sim import binance_shapes as shapes
from tradewind.sim.binance_call import Request
from tradewind.sim.binance_errors import VenueError
from tradewind.sim.binance_orders import commission_rates, discount, listed_symbol, read_span
from tradewind.sim.binance_params import Params
from tradewind.sim.binance_shapes import Json
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.types import Fill

_NO_RATE: Final = "0.00000000"

# The documented combinations of selectors of myTrades.
_TRADE_SELECTORS: Final = frozenset(
    {
        frozenset[str](),
        frozenset({"orderId"}),
        frozenset({"startTime"}),
        frozenset({"endTime"}),
        frozenset({"fromId"}),
        frozenset({"startTime", "endTime"}),
        frozenset({"orderId", "fromId"}),
    }
)


def account(spot: BinanceSpot, request: Request) -> Json:
    """GET /api/v3/account."""
    uid = request.uid
    omit_zero = request.params.boolean("omitZeroBalances", default=False)
    maker = spot.exchange.commission_bps(uid, is_maker=True)
    taker = spot.exchange.commission_bps(uid, is_maker=False)
    rates = commission_rates(spot, uid)
    return {
        "makerCommission": int(maker),
        "takerCommission": int(taker),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {**rates, "buyer": _NO_RATE, "seller": _NO_RATE},
        "canTrade": spot.exchange.account_settings(uid).can_trade,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": spot.exchange.account_updated_ms(uid),
        "accountType": "SPOT",
        "balances": [
            shapes.balance_line(asset, balance)
            for asset, balance in sorted(spot.exchange.balances(uid).items())
            if not omit_zero or balance.free or balance.locked
        ],
        "permissions": ["SPOT"],
        "uid": uid,
    }


def commission(spot: BinanceSpot, request: Request) -> Json:
    """GET /api/v3/account/commission."""
    symbol = listed_symbol(spot, request.params)
    zero = {"maker": _NO_RATE, "taker": _NO_RATE, "buyer": _NO_RATE, "seller": _NO_RATE}
    standard = {**commission_rates(spot, request.uid), "buyer": _NO_RATE, "seller": _NO_RATE}
    return {
        "symbol": symbol,
        "standardCommission": standard,
        "specialCommission": zero,
        "taxCommission": zero,
        "discount": discount(spot, request.uid),
    }


def my_trades(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/myTrades."""
    params, now = request.params, spot.now_ms()
    symbol = listed_symbol(spot, params)
    _check_selectors(params)
    limit = params.limit(500, 1000)
    since, until = read_span(params)
    order_id, from_id = params.integer("orderId"), params.integer("fromId")
    tests: Sequence[tuple[int | None, Callable[[Fill, int], bool]]] = (
        (order_id, lambda fill, wanted: fill.order_id == wanted),
        (from_id, lambda fill, first: fill.trade_id >= first),
        (since, lambda fill, start: fill.at_ms >= start),
        (until, lambda fill, end: fill.at_ms <= end),
    )
    fills = [
        fill
        for fill in spot.exchange.my_trades(request.uid, symbol)
        if all(bound is None or test(fill, bound) for bound, test in tests) and not _is_hidden(spot, fill, now)
    ]
    from_oldest = since is not None or from_id is not None
    return [shapes.traded(fill) for fill in (fills[:limit] if from_oldest else fills[-limit:])]


def order_counts(spot: BinanceSpot, request: Request) -> list[Json]:
    """GET /api/v3/rateLimit/order."""
    return spot.orders.as_rate_limits(request.uid, spot.now_ms())


def restrictions(_spot: BinanceSpot, request: Request) -> Json:
    """GET /sapi/v1/account/apiRestrictions: what this key may do."""
    key = request.key
    assert key is not None, "a signed call has a key"
    rights = key.permissions
    shape: Json = {
        "ipRestrict": bool(key.ip_list),
        "createTime": key.created_ms,
        "enableReading": rights.reading,
        "enableWithdrawals": rights.withdraw,
        "enableInternalTransfer": rights.internal_transfer,
        "enableMargin": False,
        "enableFutures": False,
        "permitsUniversalTransfer": rights.universal_transfer,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": rights.trading,
        "enablePortfolioMarginTrading": False,
    }
    if key.expires_ms is not None:
        shape["tradingAuthorityExpirationTime"] = key.expires_ms
    return shape


def trade_weight(params: Params) -> int:
    """Give the weight of myTrades: cheaper for one order."""
    return 5 if params.get("orderId") else 20


def open_orders_weight(params: Params) -> int:
    """Give the weight of openOrders: dear without a symbol."""
    return 6 if params.get("symbol") else 80


def _check_selectors(params: Params) -> None:
    sent = frozenset({"orderId", "startTime", "endTime", "fromId"} & params.keys())
    if sent not in _TRADE_SELECTORS:
        raise VenueError(errors.OPTIONAL_PARAMS_BAD_COMBO, "Combination of optional parameters invalid.")


def _is_hidden(spot: BinanceSpot, fill: Fill, now_ms: int) -> bool:
    hidden_ms = spot.faults.hidden_for_ms(fill.uid, fill.symbol, fill.client_order_id)
    return hidden_ms > 0 and now_ms < fill.at_ms + hidden_ms
