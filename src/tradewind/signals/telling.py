"""What the stream is told of a signal: to whoever runs its source, in the transaction that changed it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tradewind.core.signal import Signal
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.outbox import Note
from tradewind.signals.tables import SignalState, Source


def tell(tx: Tx, source: Source, payload: dict[str, Any], now: datetime) -> None:
    """Write a note about a signal for its source's owner."""
    outbox.append(tx, [Note("signal", source.owner_id, payload)], now)


def payload_of(signal: Signal, source: Source, state: SignalState, rev: int, now: datetime) -> dict[str, Any]:
    """Write a signal's state as the stream shows it."""
    return {
        "id": signal.id,
        "rev": rev,
        "at": now.isoformat(),
        "state": state.value,
        "action": signal.action.value,
        "base": signal.base,
        "symbol": signal.symbol_text,
        "source_id": source.id,
        "source": source.name,
        "received_at": signal.received_at.isoformat(),
    }
