"""Names for ids, so that one kind cannot be passed for another.

All of them are random (UUIDv7 text): a restored database must not mint an old id again
(order-protocol.md section 1). Only `ClientOrderId` is derived, from an intent that was random.
"""

import hashlib
from typing import NewType

UserId = NewType("UserId", str)
AccountId = NewType("AccountId", str)
SourceId = NewType("SourceId", str)
SignalId = NewType("SignalId", str)
MandateId = NewType("MandateId", str)
DecisionId = NewType("DecisionId", str)
IntentId = NewType("IntentId", str)
OrderId = NewType("OrderId", str)
LotId = NewType("LotId", str)
ClientOrderId = NewType("ClientOrderId", str)
VenueOrderId = NewType("VenueOrderId", str)
FillId = NewType("FillId", str)

CLIENT_ID_PREFIX = "tw"
# 26 characters of base32 carry 130 bits; with the prefix 28 characters, valid at every venue.
_DIGEST_CHARS = 26
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
# Base32 two letters at a time, ten bits each: a fan-out derives thousands of ids.
_PAIRS = tuple(first + second for first in _LETTERS for second in _LETTERS)
_DIGEST_BYTES = 17
_SPARE_BITS = _DIGEST_BYTES * 8 - _DIGEST_CHARS * 5
_SHIFTS = tuple(range((_DIGEST_CHARS - 2) * 5, -1, -10))


def client_order_id(intent_id: IntentId, account_id: AccountId, leg: str, generation: int) -> ClientOrderId:
    """Derive the id under which the venue knows one generation of one leg of an intent.

    The same four inputs always give the same id, in any process and after any restart.

    >>> client_order_id(IntentId("i1"), AccountId("a1"), "entry", 0)
    'twyudrgrdctj6eouohibzwrb4dlc'
    """
    if generation < 0:
        raise ValueError(f"generation must not be negative, got {generation}")
    # The unit separator cannot occur in any of the parts, so no two tuples give the same text.
    text = "\x1f".join((intent_id, account_id, leg, str(generation)))
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    bits = int.from_bytes(digest[:_DIGEST_BYTES], "big") >> _SPARE_BITS
    pairs = [_PAIRS[(bits >> shift) & 0x3FF] for shift in _SHIFTS]
    return ClientOrderId(CLIENT_ID_PREFIX + "".join(pairs))


def is_ours(client_id: str) -> bool:
    """Say whether an id at a venue has the form of ours; only such orders are ever touched."""
    body = client_id.removeprefix(CLIENT_ID_PREFIX)
    return client_id.startswith(CLIENT_ID_PREFIX) and len(body) == _DIGEST_CHARS and all(c in _LETTERS for c in body)
