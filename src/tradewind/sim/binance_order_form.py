"""Reading an order from its parameters: what each type must have and must not have.

The table below is rest-api.md's (2026-07-21), section "New order". Filters and balances are the exchange's
business; here only the form counts: -1102 for what is missing, -1106 for what does not belong, -1115 to
-1117 for words outside the closed sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradewind.sim import binance_errors as errors
from tradewind.sim.binance_errors import VenueError, missing, not_required
from tradewind.sim.binance_params import Params
from tradewind.sim.binance_shapes import ResponseType
from tradewind.sim.types import NewOco, NewOrder, OcoLeg, OrderType, Side, TimeInForce

ALLOWED_STP: Final = frozenset({"EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "NONE"})
_STRATEGY_TYPE_LEAST: Final = 1_000_000

ORDER_FIELDS: Final = frozenset(
    {
        "symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId",
        "strategyId", "strategyType", "stopPrice", "trailingDelta", "icebergQty", "newOrderRespType",
        "selfTradePreventionMode", "pegPriceType", "pegOffsetValue", "pegOffsetType",
    }
)  # fmt: skip
_LEG_FIELDS: Final = (
    "Type", "ClientOrderId", "Price", "StopPrice", "TrailingDelta", "TimeInForce", "IcebergQty", "StrategyId",
    "StrategyType",
)  # fmt: skip
OCO_FIELDS: Final = frozenset(
    {"symbol", "side", "quantity", "listClientOrderId", "newOrderRespType", "selfTradePreventionMode"}
    | {prefix + name for prefix in ("above", "below") for name in _LEG_FIELDS}
)
LEGACY_OCO_FIELDS: Final = frozenset(
    {
        "symbol", "side", "quantity", "listClientOrderId", "limitClientOrderId", "limitIcebergQty", "price",
        "stopClientOrderId", "stopPrice", "trailingDelta", "stopLimitPrice", "stopIcebergQty",
        "stopLimitTimeInForce", "newOrderRespType", "selfTradePreventionMode",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Form:
    """Which optional fields a type needs, and which it may carry."""

    needs: frozenset[str]
    may: frozenset[str] = frozenset()
    has_trigger: bool = False


_TRIGGER: Final = frozenset({"stopPrice", "trailingDelta"})
_FORMS: Final[dict[OrderType, _Form]] = {
    OrderType.LIMIT: _Form(frozenset({"timeInForce", "quantity", "price"}), frozenset({"icebergQty"})),
    OrderType.MARKET: _Form(frozenset(), frozenset({"quantity", "quoteOrderQty"})),
    OrderType.LIMIT_MAKER: _Form(frozenset({"quantity", "price"}), frozenset({"icebergQty"})),
    OrderType.STOP_LOSS: _Form(frozenset({"quantity"}), _TRIGGER, has_trigger=True),
    OrderType.TAKE_PROFIT: _Form(frozenset({"quantity"}), _TRIGGER, has_trigger=True),
    OrderType.STOP_LOSS_LIMIT: _Form(
        frozenset({"timeInForce", "quantity", "price"}), _TRIGGER | {"icebergQty"}, has_trigger=True
    ),
    OrderType.TAKE_PROFIT_LIMIT: _Form(
        frozenset({"timeInForce", "quantity", "price"}), _TRIGGER | {"icebergQty"}, has_trigger=True
    ),
}
_FORM_FIELDS: Final = (
    "timeInForce", "quantity", "quoteOrderQty", "price", "stopPrice", "trailingDelta", "icebergQty",
    "pegPriceType", "pegOffsetValue", "pegOffsetType",
)  # fmt: skip


def read_new_order(params: Params) -> NewOrder:
    """Read a single order; raises VenueError with the venue's code."""
    symbol = params.symbol()
    side = read_side(params)
    order_type = read_type(params, "type")
    _check_form(params, _FORMS[order_type], order_type)
    return NewOrder(
        symbol=symbol,
        side=side,
        type=order_type,
        quantity=params.decimal("quantity"),
        quote_quantity=params.decimal("quoteOrderQty"),
        price=params.decimal("price"),
        stop_price=params.decimal("stopPrice"),
        trailing_delta=params.integer("trailingDelta"),
        time_in_force=read_tif(params, "timeInForce"),
        client_order_id=params.client_id("newClientOrderId"),
        iceberg_quantity=params.decimal("icebergQty"),
        strategy_id=params.integer("strategyId"),
        strategy_type=_strategy_type(params, "strategyType"),
        stp_mode=_stp(params),
    )


def read_oco(params: Params) -> NewOco:
    """Read an OCO in the current form (above and below legs)."""
    quantity = params.decimal("quantity")
    assert quantity is not None, "quantity is mandatory and was checked"
    return NewOco(
        symbol=params.symbol(),
        side=read_side(params),
        quantity=quantity,
        above=_read_leg(params, "above"),
        below=_read_leg(params, "below"),
        list_client_order_id=params.client_id("listClientOrderId"),
        stp_mode=_stp(params),
    )


def read_legacy_oco(params: Params) -> NewOco:
    """Read an OCO in the deprecated form of POST /api/v3/order/oco."""
    side = read_side(params)
    quantity = params.decimal("quantity")
    assert quantity is not None, "quantity is mandatory and was checked"
    limit = OcoLeg(
        OrderType.LIMIT_MAKER,
        price=params.decimal("price"),
        client_order_id=params.client_id("limitClientOrderId"),
        iceberg_quantity=params.decimal("limitIcebergQty"),
    )
    stop_limit = params.decimal("stopLimitPrice")
    stop = OcoLeg(
        OrderType.STOP_LOSS if stop_limit is None else OrderType.STOP_LOSS_LIMIT,
        price=stop_limit,
        stop_price=params.decimal("stopPrice"),
        trailing_delta=params.integer("trailingDelta"),
        time_in_force=read_tif(params, "stopLimitTimeInForce"),
        client_order_id=params.client_id("stopClientOrderId"),
        iceberg_quantity=params.decimal("stopIcebergQty"),
    )
    above, below = (limit, stop) if side is Side.SELL else (stop, limit)
    return NewOco(params.symbol(), side, quantity, above, below, params.client_id("listClientOrderId"), _stp(params))


def read_response_type(params: Params) -> ResponseType | None:
    """Read `newOrderRespType`; None when the client left the choice to the venue."""
    return params.choice("newOrderRespType", ResponseType)


def read_side(params: Params) -> Side:
    """Read BUY or SELL (-1117)."""
    side = params.choice("side", Side, VenueError(errors.INVALID_SIDE, "Invalid side."))
    if side is None:
        raise missing("side")
    return side


def read_type(params: Params, name: str) -> OrderType:
    """Read an order type (-1116)."""
    order_type = params.choice(name, OrderType, VenueError(errors.INVALID_ORDER_TYPE, "Invalid orderType."))
    if order_type is None:
        raise missing(name)
    return order_type


def read_tif(params: Params, name: str) -> TimeInForce | None:
    """Read a time in force (-1115)."""
    return params.choice(name, TimeInForce, VenueError(errors.INVALID_TIF, "Invalid timeInForce."))


def _check_form(params: Params, form: _Form, order_type: OrderType) -> None:
    for name in _FORM_FIELDS:
        if name in params and name not in form.needs and name not in form.may:
            raise not_required(name)
    params.require(sorted(form.needs))
    if form.has_trigger and "stopPrice" not in params and "trailingDelta" not in params:
        raise missing("stopPrice")
    if order_type is OrderType.MARKET:
        _check_market(params)
    if "icebergQty" in params and params.get("timeInForce", "GTC") != TimeInForce.GTC:
        raise not_required("icebergQty")


def _check_market(params: Params) -> None:
    if "quantity" not in params and "quoteOrderQty" not in params:
        raise missing("quantity")
    if "quantity" in params and "quoteOrderQty" in params:
        raise VenueError(errors.OPTIONAL_PARAMS_BAD_COMBO, "Combination of optional parameters invalid.")


def _read_leg(params: Params, prefix: str) -> OcoLeg:
    order_type = read_type(params, f"{prefix}Type")
    leg = OcoLeg(
        type=order_type,
        price=params.decimal(f"{prefix}Price"),
        stop_price=params.decimal(f"{prefix}StopPrice"),
        trailing_delta=params.integer(f"{prefix}TrailingDelta"),
        time_in_force=read_tif(params, f"{prefix}TimeInForce"),
        client_order_id=params.client_id(f"{prefix}ClientOrderId"),
        iceberg_quantity=params.decimal(f"{prefix}IcebergQty"),
        strategy_id=params.integer(f"{prefix}StrategyId"),
        strategy_type=_strategy_type(params, f"{prefix}StrategyType"),
    )
    _check_leg(params, prefix, leg)
    return leg


def _check_leg(params: Params, prefix: str, leg: OcoLeg) -> None:
    """Hold a leg against the form of its type; quantity belongs to the list."""
    form = _FORMS.get(leg.type)
    if form is None or leg.type in {OrderType.MARKET, OrderType.LIMIT}:
        return  # the exchange refuses the layout as a whole
    for name in ("price", "stopPrice", "trailingDelta", "timeInForce"):
        spelt = prefix + name[0].upper() + name[1:]
        if name in form.needs:
            params.require([spelt])
        elif spelt in params and name not in form.may:
            raise not_required(spelt)
    if form.has_trigger and leg.stop_price is None and leg.trailing_delta is None:
        raise missing(f"{prefix}StopPrice")


def _strategy_type(params: Params, name: str) -> int | None:
    kind = params.integer(name)
    if kind is not None and kind < _STRATEGY_TYPE_LEAST:
        raise VenueError(-1134, f"{name} was less than {_STRATEGY_TYPE_LEAST}.")
    return kind


def _stp(params: Params) -> str | None:
    mode = params.text("selfTradePreventionMode")
    if mode is not None and mode not in ALLOWED_STP:
        raise VenueError(errors.INVALID_MESSAGE, "This symbol does not allow the specified self-trade prevention mode.")
    return mode
