"""Signals that were given up: what is known of them, and what people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tradewind.core.errors import NotFound
from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import Asset
from tradewind.core.signal import Action, Signal
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.outbox import Note
from tradewind.signals import store
from tradewind.signals.tables import Damaged


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A signal that is in the dead-letter box from now on; `may_close`: positions may stay open for it."""

    id: SignalId
    source_id: SourceId
    base: Asset
    may_close: bool
    reason: str

    @classmethod
    def of(cls, signal: Signal, reason: str) -> GivenUp:
        """Take it from the signal itself."""
        return cls(signal.id, signal.source_id, signal.base, signal.action is Action.CLOSE, reason)


def tell_nobody(_signal: GivenUp) -> None:
    """Leave the telling to nobody."""


def dead_notice(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the source's owner reads of a signal that was given up; a close is an alarm: positions stay open."""
    what = "A close" if payload["is_alarm"] else "A signal"
    text = (
        f"{what} of {payload['source']} for {payload['symbol']} could not be carried out and is in the dead-letter "
        f"box: {payload['reason']}. Look at it with `tradewind signals show {payload['id']}`; "
        f"`tradewind signals retry {payload['id']}` takes it up again."
    )
    if payload["is_alarm"]:
        text += " What it was to close is still open and protected as before; close it by hand if it cannot wait."
    kept = {key: payload[key] for key in ("id", "rev", "at", "is_alarm", "base", "source_id")}
    return {**kept, "kind": "signal_dead", "text": text}


def set_aside(tx: Tx, damaged: Damaged, now: datetime) -> GivenUp:
    """Dead-letter a row that cannot be read, and say so; one that may be a close is an alarm."""
    reason = f"its row cannot be read by this release ({damaged.error})"
    store.set_aside(tx, damaged, reason)
    source = store.find_source(tx, damaged.source_id)
    if source is None:
        raise NotFound("source_not_found", "This source does not exist or is not yours.")
    payload = {
        "id": damaged.id,
        "rev": 0,
        "at": now.isoformat(),
        "base": damaged.base,
        "symbol": damaged.symbol_text,
        "source_id": source.id,
        "source": source.name,
        "reason": reason,
        "is_alarm": damaged.may_close,
    }
    outbox.append(tx, [Note("notice", source.owner_id, dead_notice(payload))], now)
    return GivenUp(damaged.id, damaged.source_id, damaged.base, damaged.may_close, reason)
