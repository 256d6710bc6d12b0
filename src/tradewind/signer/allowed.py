"""What may be signed: per venue and purpose, which calls, and which parameters a call may carry.

At Binance a signature covers the parameters, not the path (rest-api.md "SIGNED endpoint security",
2026-07-21): a signature over harmless-looking parameters would be just as valid for another call that
takes them. So a list of paths alone proves nothing; the parameter names are checked in the very bytes
that get signed. No list has `coin`, `address`, `amount`, `asset`, `network` or an e-mail address, without
one of which no withdrawal and no transfer exists (wallet endpoints, "Withdraw" and "User Universal
Transfer", 2026-11).

What is not listed is refused, and so is every venue that is not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from tradewind.core.instrument import BINANCE, VenueName
from tradewind.venues.base import SignPurpose, SignRequest

_WINDOW = frozenset({"timestamp", "recvWindow"})
_ORDER = frozenset(
    {
        "symbol",
        "side",
        "type",
        "timeInForce",
        "quantity",
        "quoteOrderQty",
        "price",
        "stopPrice",
        "newClientOrderId",
        "newOrderRespType",
        "selfTradePreventionMode",
    }
)
_OCO = frozenset(
    {"listClientOrderId"}
    | {
        f"{leg}{name}"
        for leg in ("above", "below")
        for name in ("Type", "ClientOrderId", "Price", "StopPrice", "TimeInForce")
    }
)
_REFERENCE = frozenset({"symbol", "orderId", "origClientOrderId", "orderListId", "listClientOrderId"})
_RANGE = frozenset({"symbol", "orderId", "fromId", "startTime", "endTime", "limit"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call that may be signed, with the parameters it may carry."""

    purpose: SignPurpose
    method: str
    path: str
    parameters: frozenset[str]


_BINANCE = (
    Call(SignPurpose.ORDER, "POST", "/api/v3/order", _WINDOW | _ORDER),
    Call(SignPurpose.ORDER, "POST", "/api/v3/orderList/oco", _WINDOW | _ORDER | _OCO),
    Call(SignPurpose.CANCEL, "DELETE", "/api/v3/order", _WINDOW | _REFERENCE | {"newClientOrderId"}),
    Call(SignPurpose.CANCEL, "DELETE", "/api/v3/orderList", _WINDOW | _REFERENCE | {"newClientOrderId"}),
    Call(SignPurpose.READ, "GET", "/api/v3/account", _WINDOW | {"omitZeroBalances"}),
    Call(SignPurpose.READ, "GET", "/api/v3/order", _WINDOW | _REFERENCE),
    Call(SignPurpose.READ, "GET", "/api/v3/orderList", _WINDOW | {"orderListId", "origClientOrderId"}),
    Call(SignPurpose.READ, "GET", "/api/v3/openOrders", _WINDOW | {"symbol"}),
    Call(SignPurpose.READ, "GET", "/api/v3/allOrders", _WINDOW | _RANGE),
    Call(SignPurpose.READ, "GET", "/api/v3/myTrades", _WINDOW | _RANGE),
    Call(SignPurpose.READ, "GET", "/sapi/v1/account/apiRestrictions", _WINDOW),
    # Validated and thrown away by the venue; the only way to see a trade right where rights cannot be read.
    Call(SignPurpose.READ, "POST", "/api/v3/order/test", _WINDOW | _ORDER | {"computeCommissionRates"}),
    Call(SignPurpose.STREAM, "WS", "userDataStream.subscribe.signature", _WINDOW | {"apiKey"}),
)

CALLS: Mapping[VenueName, Mapping[tuple[SignPurpose, str, str], Call]] = {
    BINANCE: {(call.purpose, call.method, call.path): call for call in _BINANCE},
}


def refusal(venue: VenueName, request: SignRequest) -> str | None:
    """Say why these bytes are not signed; None if they may be. Never quotes a value."""
    call = CALLS.get(venue, {}).get((request.purpose, request.method, request.path))
    if call is None:
        return f"{request.method} {request.path} is not on the list for {request.purpose.value} at {venue}"
    names = _names(request.payload)
    if names is None:
        return "the parameters cannot be read"
    beyond = names - call.parameters
    if beyond:
        return f"{request.path} does not take {', '.join(sorted(beyond))[:80]}"
    return None


def _names(payload: bytes) -> frozenset[str] | None:
    """Read the parameter names as the venue would; None where two readers could disagree."""
    try:
        text = payload.decode("ascii")
    except UnicodeDecodeError:
        return None
    pairs = [part.partition("=") for part in text.split("&")] if text else []
    names = [name for name, _, _ in pairs]
    # A name that is encoded, or given twice, may be read one way here and another way there.
    if any(unquote_plus(name) != name or not name for name in names) or len(set(names)) != len(names):
        return None
    return frozenset(names)
