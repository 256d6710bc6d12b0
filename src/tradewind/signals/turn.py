"""Whose turn it is: signals are handled in order per account and asset (order-protocol.md section 4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tradewind.core.ids import SourceId
from tradewind.core.money import Asset
from tradewind.infra.db import Tx
from tradewind.signals import store
from tradewind.signals.tables import Damaged, Entry

# Says whether two sources reach an account in common with signals in an asset.
Meets = Callable[[Tx, SourceId, SourceId, Asset], bool]


def everybody_meets(_tx: Tx, _one: SourceId, _other: SourceId, _base: Asset) -> bool:
    """Let signals of all sources wait for each other: nothing is known of whom they reach."""
    return True


def next_entry(tx: Tx, now: datetime, meets: Meets) -> Entry | Damaged | None:
    """Read the signal to hand out next, or one that cannot be read and has to be set aside first.

    However many wait for a signal of another source, the first one that does not is found behind them.
    """
    last_seq, is_more = 0, True
    while is_more:
        found, damaged = store.list_claimable(tx, now, last_seq)
        if damaged:
            return damaged[0]
        for entry in found:
            signal = entry.signal
            if not any(meets(tx, other, signal.source_id, signal.base) for other in store.sources_before(tx, entry)):
                return entry
            last_seq = entry.seq
        is_more = len(found) == store.CLAIMABLE_MAX
    return None
