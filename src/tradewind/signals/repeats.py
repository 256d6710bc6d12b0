"""When a message is one that came before: by its sender's id for ever, by its body for a minute."""

from __future__ import annotations

from datetime import datetime, timedelta

from tradewind.core.errors import Conflict
from tradewind.infra.db import Tx
from tradewind.signals import store
from tradewind.signals.tables import Entry, Origin, Source

# A body without an id of its own is a repeat for this long (order-protocol.md section 8).
REPEAT_WINDOW = timedelta(seconds=60)


def dedupe_key(origin: Origin, sender_id: str | None) -> str | None:
    """An id counts within the door it came through: an alert cannot take a program's key."""
    return None if sender_id is None else f"{origin}:{sender_id}"


def find_repeat(tx: Tx, source: Source, key: str | None, body_hash: str, now: datetime) -> Entry | None:
    """Find the signal that another one repeats. Raises Conflict for a known id with other content."""
    if key is None:
        return store.find_same_body(tx, source.id, body_hash, now - REPEAT_WINDOW)
    known = store.find_by_dedupe_key(tx, source.id, key)
    if known is not None and known.body_hash != body_hash:
        raise Conflict(
            "id_with_other_content",
            f"The id {key.partition(':')[2]!r} was used before by this source for another alert "
            f"(signal {known.signal.id}, received {known.signal.received_at:%Y-%m-%dT%H:%M:%SZ}). Nothing was stored. "
            "Give every alert its own id, for example {{ticker}}-{{interval}}-{{timenow}}.",
        )
    return known
