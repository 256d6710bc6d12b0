"""What people read of a signal that was given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
