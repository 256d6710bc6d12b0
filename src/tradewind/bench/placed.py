"""The responder's memory: what each key has placed, so that questions about it are answered as a venue would."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

_PRICE = "50000.00000000"


@dataclass(slots=True)
class PlacedOrders:
    """Orders of one key, by the venue's number and by the client's name; a list rests until it is cancelled."""

    _by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def keep(self, order: dict[str, Any]) -> None:
        """Remember an order as the venue's lists show it."""
        self._by_name[str(order["orderId"])] = self._by_name[order["clientOrderId"]] = order

    def keep_list(self, name: str, legs: list[dict[str, Any]]) -> None:
        """Remember the legs of a list, together."""
        self._lists[name] = legs
        for leg in legs:
            self.keep(leg)

    def cancel_list(self, name: str) -> list[dict[str, Any]]:
        """Cancel what rests of a list and return its legs; empty where there is nothing to cancel."""
        legs = [leg for leg in self._lists.get(name, ()) if leg["status"] == "NEW"]
        for leg in legs:
            leg["status"] = "CANCELED"
        # As the venue tells it: the name it was placed under, and a new one of the cancel.
        return [{**leg, "origClientOrderId": leg["clientOrderId"]} for leg in legs]

    def find(self, params: dict[str, str]) -> bytes | None:
        """Answer a question about one order; None where there is none of that name."""
        order = self._by_name.get(params.get("orderId") or params.get("origClientOrderId", ""))
        return None if order is None else json.dumps(order).encode("ascii")

    def resting(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """Return what rests, in one market or in all, oldest first."""
        return [each for each in self._distinct() if each["status"] == "NEW" and symbol in (None, each["symbol"])]

    def trades(self, params: dict[str, str]) -> bytes:
        """Answer the executions in a market, of all orders or of one: each order was filled at once."""
        filled = [each for each in self._distinct() if each["status"] == "FILLED"]
        wanted = [each for each in filled if params.get("orderId") in (None, str(each["orderId"]))]
        rows = [_trade(each) for each in wanted if each["symbol"] == params["symbol"]]
        return json.dumps(rows).encode("ascii")

    def _distinct(self) -> list[dict[str, Any]]:
        # Each stands there under two names.
        return list({each["orderId"]: each for each in self._by_name.values()}.values())


def filled_order(params: dict[str, str], order_id: int, quantity: bytes, spent: bytes, now_ms: int) -> dict[str, Any]:
    """Return a market order as the venue's lists show it."""
    return {
        "symbol": params["symbol"],
        "orderId": order_id,
        "orderListId": -1,
        "clientOrderId": params["newClientOrderId"],
        "price": "0.00000000",
        "origQty": quantity.decode("ascii"),
        "executedQty": quantity.decode("ascii"),
        "cummulativeQuoteQty": spent.decode("ascii"),
        "status": "FILLED",
        "type": "MARKET",
        "side": params["side"],
        "time": now_ms,
        "updateTime": now_ms,
    }


def list_answer(params: dict[str, str], legs: list[dict[str, Any]], status: str, state: str) -> bytes:
    """Write the answer about a list, placed or cancelled."""
    answer = {
        "orderListId": legs[0]["orderListId"],
        "contingencyType": "OCO",
        "listStatusType": status,
        "listOrderStatus": state,
        "listClientOrderId": params["listClientOrderId"],
        "transactionTime": legs[0]["time"],
        "symbol": params["symbol"],
        "orderReports": legs,
    }
    return json.dumps(answer).encode("ascii")


def _trade(order: dict[str, Any]) -> dict[str, Any]:
    """The one execution of a filled order; it has the order's number."""
    return {
        "symbol": order["symbol"],
        "id": order["orderId"],
        "orderId": order["orderId"],
        "price": _PRICE,
        "qty": order["executedQty"],
        "quoteQty": order["cummulativeQuoteQty"],
        "commission": "0.00000000",
        "commissionAsset": "BNB",
        "time": order["time"],
        "isBuyer": order["side"] == "BUY",
        "isMaker": False,
    }
