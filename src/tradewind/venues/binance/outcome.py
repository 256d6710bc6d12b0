"""What an answered order call comes to: accepted, refused, not executed, credential, or in doubt.

Rules of this file: 200 with an answer that names the order is acceptance; an error is what codes.py says it
proves; everything else is OutcomeUnknown (order-protocol.md section 3.5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tradewind.venues.binance.codec import NotUnderstood, read_error
from tradewind.venues.binance.codec_orders import LIST_ROWS_MAX
from tradewind.venues.binance.codes import ApiError, Proof, Reason, Verdict
from tradewind.venues.binance.failures import credential_words
from tradewind.venues.binance.sending import Sent
from tradewind.venues.errors import (
    CredentialRefused,
    NotExecuted,
    OrderRefused,
    OutcomeUnknown,
    VenueDown,
    VenueError,
)

T = TypeVar("T")

# Rows, how many there were on the page (readable or not), and the highest id on it.
Page = tuple[list[T], int, int | None]

# 10,000 orders of one account in one symbol within a day are more than the venue lets anybody place by hand.
_PAGES_MAX = 10

_WORDS = {
    Reason.INSUFFICIENT_BALANCE: "The account has not enough free balance for this order.",
    Reason.WOULD_TRIGGER_IMMEDIATELY: "The price is already beyond the stop: the order would trigger at once.",
    Reason.WOULD_MATCH_IMMEDIATELY: "The price is already beyond the target: the order would trade at once.",
    Reason.PRICES_OUT_OF_ORDER: "Target, price and stop are not in order: the price is beyond one of them.",
    Reason.NO_ALGO_SLOT: "The symbol has no free slot for another stop order.",
    Reason.TOO_MANY_OPEN_ORDERS: "Too many orders are open.",
    Reason.MAX_POSITION: "The order would make the position larger than the venue allows.",
    Reason.PRICE_NOT_ALLOWED: "The price is outside the venue's bounds or not on its tick.",
    Reason.QUANTITY_NOT_ALLOWED: "The quantity is outside the venue's bounds or not on its step.",
    Reason.NOTIONAL_NOT_ALLOWED: "The order is worth less, or more, than the venue allows.",
    Reason.FILTER_FAILED: "The order does not pass the venue's rules for this symbol.",
    Reason.MARKET_CLOSED: "The market is closed.",
    Reason.NO_LIQUIDITY: "The order book holds too little to trade with.",
    Reason.SYMBOL_UNKNOWN: "The venue does not list this symbol.",
    Reason.SYMBOL_NOT_PERMITTED: "The account may not trade this symbol.",
    Reason.ACCOUNT_DISABLED: "The venue does not let this account trade.",
    Reason.TYPE_NOT_SUPPORTED: "The venue does not take this kind of order for this symbol.",
    Reason.NOTHING_TO_CANCEL: "There is nothing to cancel: the order has ended or does not exist.",
    Reason.CANCEL_RESTRICTED: "The order was not cancelled because of the restriction asked for.",
    Reason.MALFORMED: "The venue did not accept the form of the order.",
}


def accepted(sent: Sent, judge: Callable[[ApiError], Verdict], parse: Callable[[bytes], T]) -> T:
    """Read a clear acceptance, or raise what the answer proves instead."""
    if sent.reply.status != 200:
        raise _failure(sent, judge)
    try:
        return parse(sent.reply.body)
    except NotUnderstood as error:
        raise OutcomeUnknown(
            "not_understood", f"The venue's answer cannot be read: {error}.", signed_at_ms=sent.signed_at_ms
        ) from None


def refusal(verdict: Verdict, signed_at_ms: int | None = None) -> OrderRefused:
    """The refusal in words; its code is a Reason."""
    words = _WORDS[Reason(verdict.name)]
    return OrderRefused(verdict.name, words, signed_at_ms=signed_at_ms)


async def all_pages(page: Callable[[int | None], Awaitable[Page[T]]]) -> list[T]:
    """Ask page after page, by ascending id. Raises VenueDown where there are more than can be meant."""
    rows: list[T] = []
    from_id: int | None = None
    for _ in range(_PAGES_MAX):
        found, count, last_id = await page(from_id)
        rows += found
        if count < LIST_ROWS_MAX or last_id is None:
            return rows
        from_id = last_id + 1
    raise VenueDown("too_many_rows", "The venue's list is longer than can be read.")


def _failure(sent: Sent, judge: Callable[[ApiError], Verdict]) -> VenueError:
    verdict = judge(read_error(sent.reply.status, sent.reply.body))
    signed_at_ms = sent.signed_at_ms
    match verdict.proof:
        case Proof.REFUSED:
            return refusal(verdict, signed_at_ms)
        case Proof.CREDENTIAL:
            return CredentialRefused(verdict.name, credential_words(verdict.name), signed_at_ms=signed_at_ms)
        case Proof.NOT_EXECUTED:
            words = "The venue turned the request away before looking at it."
            return NotExecuted(verdict.name, words, signed_at_ms=signed_at_ms, retry_at_ms=sent.retry_at_ms)
        case Proof.UNKNOWN:
            words = "The venue's answer does not say what became of the order."
            return OutcomeUnknown(verdict.name, words, signed_at_ms=signed_at_ms)
