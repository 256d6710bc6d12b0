"""Where an order can stand, and which step leads where: order-protocol.md section 2 as one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class OrderState(StrEnum):
    """Where an order stands; the words of docs/glossary.md."""

    INTENDED = "INTENDED"
    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    NEVER_ARRIVED = "NEVER_ARRIVED"
    BLIND = "BLIND"
    CANCEL_SENT = "CANCEL_SENT"
    DENIED = "DENIED"


_S = OrderState
_VENUE_ENDS = frozenset({_S.FILLED, _S.REJECTED, _S.CANCELED, _S.EXPIRED})
VENUE_WORDS = _VENUE_ENDS | {_S.ACCEPTED, _S.PARTIALLY_FILLED}

# From a state to every state one step may lead to. docs/order-lifecycle.md is generated from this.
TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    _S.INTENDED: frozenset({_S.SENT, _S.DENIED}),
    _S.SENT: VENUE_WORDS | {_S.UNKNOWN, _S.INTENDED, _S.DENIED},
    _S.UNKNOWN: VENUE_WORDS | {_S.NEVER_ARRIVED, _S.BLIND},
    _S.BLIND: VENUE_WORDS | {_S.NEVER_ARRIVED, _S.UNKNOWN},
    _S.ACCEPTED: _VENUE_ENDS | {_S.PARTIALLY_FILLED, _S.CANCEL_SENT, _S.UNKNOWN},
    _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCEL_SENT, _S.CANCELED, _S.EXPIRED, _S.UNKNOWN}),
    _S.CANCEL_SENT: VENUE_WORDS,
    _S.NEVER_ARRIVED: frozenset({_S.INTENDED}),
    _S.FILLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.DENIED: frozenset(),
}

ENDED = frozenset({_S.DENIED, _S.REJECTED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.NEVER_ARRIVED})
# Somebody must find out about these.
IN_DOUBT = frozenset({_S.SENT, _S.UNKNOWN, _S.BLIND, _S.CANCEL_SENT})
# The venue holds the order in its book as far as we know.
RESTING = frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.CANCEL_SENT})
