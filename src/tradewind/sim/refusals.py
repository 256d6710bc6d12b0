"""Why the simulated exchange says no: one enum, with the venue's code and exact text.

Codes and texts: binance-spot-api-docs `errors.md`, 2026-07-21. A refusal changes nothing: no balance, no id, no order.
"""

from __future__ import annotations

from enum import StrEnum


class RefusalReason(StrEnum):
    INVALID_SYMBOL = "INVALID_SYMBOL"
    FILTER = "FILTER"
    PRECISION = "PRECISION"
    UNSUPPORTED_COMBINATION = "UNSUPPORTED_COMBINATION"
    ZERO_NOTIONAL = "ZERO_NOTIONAL"
    ICEBERG_EXCEEDS = "ICEBERG_EXCEEDS"
    MARKET_CLOSED = "MARKET_CLOSED"
    ACCOUNT_DISABLED = "ACCOUNT_DISABLED"
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    DUPLICATE_ORDER = "DUPLICATE_ORDER"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    WOULD_MATCH = "WOULD_MATCH"
    WOULD_TRIGGER = "WOULD_TRIGGER"
    OCO_PRICES = "OCO_PRICES"
    OCO_LAYOUT = "OCO_LAYOUT"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    CANCEL_RESTRICTED = "CANCEL_RESTRICTED"
    CANCEL_MISMATCH = "CANCEL_MISMATCH"
    QUERY_MISMATCH = "QUERY_MISMATCH"
    AMEND_INCREASE = "AMEND_INCREASE"
    AMEND_UNKNOWN = "AMEND_UNKNOWN"
    AMEND_NO_CHANGE = "AMEND_NO_CHANGE"


_TABLE: dict[RefusalReason, tuple[int, str]] = {
    RefusalReason.INVALID_SYMBOL: (-1121, "Invalid symbol."),
    RefusalReason.FILTER: (-1013, "Filter failure"),
    RefusalReason.PRECISION: (-1111, "Parameter has too much precision."),
    RefusalReason.UNSUPPORTED_COMBINATION: (-2010, "Unsupported order combination"),
    RefusalReason.ZERO_NOTIONAL: (-2010, "Price * QTY is zero or less."),
    RefusalReason.ICEBERG_EXCEEDS: (-2010, "IcebergQty exceeds QTY."),
    RefusalReason.MARKET_CLOSED: (-2010, "Market is closed."),
    RefusalReason.ACCOUNT_DISABLED: (-2010, "This action is disabled on this account."),
    RefusalReason.UNKNOWN_ACCOUNT: (-2010, "This account may not place or cancel orders."),
    RefusalReason.DUPLICATE_ORDER: (-2010, "Duplicate order sent."),
    RefusalReason.INSUFFICIENT_BALANCE: (-2010, "Account has insufficient balance for requested action."),
    RefusalReason.WOULD_MATCH: (-2010, "Order would immediately match and take."),
    RefusalReason.WOULD_TRIGGER: (-2010, "Order would trigger immediately."),
    RefusalReason.OCO_PRICES: (-2010, "The relationship of the prices for the orders is not correct."),
    RefusalReason.OCO_LAYOUT: (-1158, "OCO order type rejected"),
    RefusalReason.NO_LIQUIDITY: (
        -2010,
        "Order book liquidity is less than `LOT_SIZE` filter minimum quantity.",
    ),
    RefusalReason.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    RefusalReason.CANCEL_RESTRICTED: (-2011, "Order was not canceled due to cancel restrictions."),
    RefusalReason.CANCEL_MISMATCH: (-2011, "Cancel order is invalid. Check origClOrdId and orderId."),
    RefusalReason.QUERY_MISMATCH: (-2039, "Client order ID does not match the order ID."),
    RefusalReason.AMEND_INCREASE: (-2038, "Order amend (quantity increase) is not supported."),
    RefusalReason.AMEND_UNKNOWN: (-2038, "Unknown order sent."),
    RefusalReason.AMEND_NO_CHANGE: (-2038, "The requested action would change no state; rejecting"),
}


class ExchangeRefusal(Exception):
    """A definite no of the exchange: nothing was changed. Carries reason, the venue's `code` and its text."""

    def __init__(self, reason: RefusalReason, message: str | None = None) -> None:
        self.reason = reason
        self.code = _TABLE[reason][0]
        self.message = message if message is not None else _TABLE[reason][1]
        super().__init__(f"{self.code} {self.message}")
