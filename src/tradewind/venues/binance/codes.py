"""What Binance's error answers prove about an order (errors.md 2026-07-21).

Rules of this file: a refusal needs positive evidence, that is HTTP 400, JSON, and a code (for the engine's codes
also a text) named here. "Not executed" has its own list. Whatever is not named proves nothing: UNKNOWN.
A 5xx never proves anything, JSON -1008 excepted; "Duplicate order sent." proves that an order with this id
exists, which is the opposite of a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Proof(StrEnum):
    """What an error answer proves."""

    REFUSED = "refused"
    NOT_EXECUTED = "not_executed"
    CREDENTIAL = "credential"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why the venue refused, in words users can look up."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    WOULD_TRIGGER_IMMEDIATELY = "would_trigger_immediately"
    WOULD_MATCH_IMMEDIATELY = "would_match_immediately"
    PRICES_OUT_OF_ORDER = "prices_out_of_order"
    NO_ALGO_SLOT = "no_algo_slot"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    MAX_POSITION = "max_position"
    PRICE_NOT_ALLOWED = "price_not_allowed"
    QUANTITY_NOT_ALLOWED = "quantity_not_allowed"
    NOTIONAL_NOT_ALLOWED = "notional_not_allowed"
    FILTER_FAILED = "filter_failed"
    MARKET_CLOSED = "market_closed"
    NO_LIQUIDITY = "no_liquidity"
    SYMBOL_UNKNOWN = "symbol_unknown"
    SYMBOL_NOT_PERMITTED = "symbol_not_permitted"
    ACCOUNT_DISABLED = "account_disabled"
    TYPE_NOT_SUPPORTED = "type_not_supported"
    NOTHING_TO_CANCEL = "nothing_to_cancel"
    CANCEL_RESTRICTED = "cancel_restricted"
    MALFORMED = "malformed_order"


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error answer: HTTP status and, where the body was the documented JSON, code and text."""

    status: int
    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is proven, under a name that is stable for programs."""

    proof: Proof
    name: str


# Codes 401 is documented for are [OBS] sent with 400 too; 403 with JSON has been seen for IP lists.
_CREDENTIAL: Mapping[int, str] = {
    -1002: "unauthorized",
    # Wrong secret, or a fault of our encoding: the signer's key is what the user can look at.
    -1022: "bad_signature",
    -2008: "key_unknown",
    -2014: "key_malformed",
    -2015: "key_refused",
}

# Request issues: the API itself turned the request away, the engine never saw it (errors.md, 10xx and 11xx).
_REQUEST_ISSUES: Mapping[int, Reason] = {
    -1014: Reason.TYPE_NOT_SUPPORTED,
    -1020: Reason.TYPE_NOT_SUPPORTED,
    **dict.fromkeys((-1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1111, -1114, -1115), Reason.MALFORMED),
    -1112: Reason.NO_LIQUIDITY,
    -1116: Reason.TYPE_NOT_SUPPORTED,
    **dict.fromkeys((-1117, -1118, -1119, -1128, -1130, -1131, -1134, -1145), Reason.MALFORMED),
    -1121: Reason.SYMBOL_UNKNOWN,
    **dict.fromkeys((-1158, -1160, -1165, -1166, -1168, -1196, -1197, -1198, -1199), Reason.MALFORMED),
    -2016: Reason.MARKET_CLOSED,
}

_FILTERS: Mapping[str, Reason] = {
    "PRICE_FILTER": Reason.PRICE_NOT_ALLOWED,
    "PERCENT_PRICE": Reason.PRICE_NOT_ALLOWED,
    "PERCENT_PRICE_BY_SIDE": Reason.PRICE_NOT_ALLOWED,
    "LOT_SIZE": Reason.QUANTITY_NOT_ALLOWED,
    "MARKET_LOT_SIZE": Reason.QUANTITY_NOT_ALLOWED,
    "MIN_NOTIONAL": Reason.NOTIONAL_NOT_ALLOWED,
    "NOTIONAL": Reason.NOTIONAL_NOT_ALLOWED,
    "MAX_NUM_ALGO_ORDERS": Reason.NO_ALGO_SLOT,
    "EXCHANGE_MAX_NUM_ALGO_ORDERS": Reason.NO_ALGO_SLOT,
    "MAX_NUM_ORDERS": Reason.TOO_MANY_OPEN_ORDERS,
    "EXCHANGE_MAX_NUM_ORDERS": Reason.TOO_MANY_OPEN_ORDERS,
    "MAX_NUM_ORDER_LISTS": Reason.TOO_MANY_OPEN_ORDERS,
    "EXCHANGE_MAX_NUM_ORDER_LISTS": Reason.TOO_MANY_OPEN_ORDERS,
    "MAX_POSITION": Reason.MAX_POSITION,
}

# Texts of the matching engine (errors.md "Messages for -1010, -2010, -2011, -2038"), as far as they refuse an order.
_PLACE_TEXTS: tuple[tuple[re.Pattern[str], Reason], ...] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"Account has insufficient balance for requested action\.", Reason.INSUFFICIENT_BALANCE),
        (r"(Order|Stop price) would trigger immediately\.", Reason.WOULD_TRIGGER_IMMEDIATELY),
        (r"Order would immediately match and take\.", Reason.WOULD_MATCH_IMMEDIATELY),
        (r"The relationship of the prices for the orders is not correct\.", Reason.PRICES_OUT_OF_ORDER),
        (r"Market is closed\.", Reason.MARKET_CLOSED),
        (r"This action is disabled on this account\.", Reason.ACCOUNT_DISABLED),
        (r"This account may not place or cancel orders\.", Reason.ACCOUNT_DISABLED),
        (r"Rest API trading is not enabled\.", Reason.ACCOUNT_DISABLED),
        (r"This symbol is (not permitted|restricted) for this account\.", Reason.SYMBOL_NOT_PERMITTED),
        (r"Price \* QTY is zero or less\.", Reason.NOTIONAL_NOT_ALLOWED),
        (r"IcebergQty exceeds QTY\.", Reason.QUANTITY_NOT_ALLOWED),
        (r"Unsupported order combination\.?", Reason.TYPE_NOT_SUPPORTED),
        (r"[A-Za-z ]+ orders are not support(ed)? for this symbol\.?", Reason.TYPE_NOT_SUPPORTED),
        (r"(This order type may not use pegged price|This price peg cannot be used with this order type)\.",
         Reason.TYPE_NOT_SUPPORTED),
        (r"Order book liquidity is (less than|too low for) .+\.", Reason.NO_LIQUIDITY),
    )
)  # fmt: skip

_CANCEL_TEXTS: tuple[tuple[re.Pattern[str], Reason], ...] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"Unknown order sent\.", Reason.NOTHING_TO_CANCEL),
        (r"Order was not canceled due to cancel restrictions\.", Reason.CANCEL_RESTRICTED),
        (r"Cancel order is invalid\. Check origClOrdId and orderId\.", Reason.MALFORMED),
        (r"This action is disabled on this account\.", Reason.ACCOUNT_DISABLED),
        (r"This account may not place or cancel orders\.", Reason.ACCOUNT_DISABLED),
    )
)

DUPLICATE_ID = "duplicate_id"
_DUPLICATE_TEXT = "Duplicate order sent."
_FILTER_TEXT = "Filter failure: "
_BAN_TEXT = re.compile(r"banned until (\d{13})")


def judge_placement(error: ApiError) -> Verdict:
    """Say what an error answer to a placement proves."""
    known = _not_executed(error)
    if known is not None:
        return known
    if error.status != 400 or error.code is None:
        return _unknown(error)
    if error.code == -1013:
        return Verdict(Proof.REFUSED, _filter_reason(error.text))
    if error.code in _REQUEST_ISSUES:
        return Verdict(Proof.REFUSED, _REQUEST_ISSUES[error.code])
    if error.code in (-1010, -2010):
        if error.text == _DUPLICATE_TEXT:
            return Verdict(Proof.UNKNOWN, DUPLICATE_ID)
        return _by_text(error, _PLACE_TEXTS)
    return _unknown(error)


def judge_cancel(error: ApiError) -> Verdict:
    """Say what an error answer to a cancel proves of the CANCEL; refused means it changed nothing."""
    known = _not_executed(error)
    if known is not None:
        return known
    if error.status != 400 or error.code is None:
        return _unknown(error)
    if error.code in _REQUEST_ISSUES:
        return Verdict(Proof.REFUSED, _REQUEST_ISSUES[error.code])
    if error.code in (-1010, -2011):
        return _by_text(error, _CANCEL_TEXTS)
    return _unknown(error)


def credential_name(error: ApiError) -> str | None:
    """Return our name for an answer that refuses the key, or None."""
    if error.status in (400, 401, 403) and error.code is not None:
        return _CREDENTIAL.get(error.code)
    return None


def ban_end_ms(error: ApiError) -> int | None:
    """Read the end of an IP ban from the text of a -1003, in venue ms."""
    found = _BAN_TEXT.search(error.text)
    return int(found.group(1)) if error.code == -1003 and found else None


def is_account_limit(error: ApiError) -> bool:
    """Whether a limit answer concerns one account's order count and not our IP."""
    return error.code == -1015


def _not_executed(error: ApiError) -> Verdict | None:
    """Answers that prove the venue did not take the request, whatever it was."""
    name = credential_name(error)
    if name is not None:
        return Verdict(Proof.CREDENTIAL, name)
    # Overload turned away at the door; the only 5xx that says something (binance.md section 8).
    if error.code == -1008 and error.status >= 400:
        return Verdict(Proof.NOT_EXECUTED, "server_busy")
    if error.code == -1003 and error.status in (418, 429):
        return Verdict(Proof.NOT_EXECUTED, "rate_limited")
    if error.code == -1015 and error.status in (400, 429):
        return Verdict(Proof.NOT_EXECUTED, "order_count")
    if error.code == -1021 and error.status == 400:
        return Verdict(Proof.NOT_EXECUTED, "timestamp")
    # Turned away by country, before any account is looked at; seen since 2022, not in errors.md.
    if error.status == 451 and error.text.startswith("Service unavailable from a restricted location"):
        return Verdict(Proof.NOT_EXECUTED, "restricted_location")
    return None


def _by_text(error: ApiError, texts: tuple[tuple[re.Pattern[str], Reason], ...]) -> Verdict:
    for pattern, reason in texts:
        if pattern.fullmatch(error.text):
            return Verdict(Proof.REFUSED, reason)
    return _unknown(error)


def _filter_reason(text: str) -> Reason:
    if text.startswith(_FILTER_TEXT):
        return _FILTERS.get(text.removeprefix(_FILTER_TEXT).strip().rstrip("."), Reason.FILTER_FAILED)
    if text.startswith("Price * QTY"):
        return Reason.NOTIONAL_NOT_ALLOWED
    return Reason.FILTER_FAILED


def _unknown(error: ApiError) -> Verdict:
    return Verdict(Proof.UNKNOWN, f"http_{error.status}" if error.code is None else f"code_{error.code}")
