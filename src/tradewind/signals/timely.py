"""Whether an alert comes in its time, and where it stands in the order of arrival (S2)."""

from __future__ import annotations

from datetime import datetime, timedelta

from tradewind.core.errors import InvalidInput
from tradewind.core.ids import SignalId
from tradewind.core.signal import Action, Signal, is_stale
from tradewind.infra.db import Tx
from tradewind.signals import store

# A sender's clock may run ahead by this much; a later time is a mistake in the template or the clock.
AHEAD_MAX = timedelta(seconds=60)


def demand_timely(signal: Signal, now: datetime, max_age_s: int) -> None:
    """Refuse entries that are too old or dated ahead; exits never age."""
    if signal.action is Action.CLOSE or signal.alert_at is None:
        return
    if signal.alert_at - now > AHEAD_MAX:
        raise InvalidInput(
            "alert_from_the_future",
            f"The alert says it was sent at {signal.alert_at:%Y-%m-%dT%H:%M:%SZ}, but it is {now:%Y-%m-%dT%H:%M:%SZ}. "
            "Nothing was stored. Send the time in UTC with a final Z, as {{timenow}} does.",
        )
    if is_stale(signal, now, max_age_s):
        age_s = int((now - signal.alert_at).total_seconds())
        raise InvalidInput(
            "stale_alert",
            f"The alert was sent {age_s} s ago ({signal.alert_at:%Y-%m-%dT%H:%M:%SZ}); entries older than "
            f"{max_age_s} s are not traded, because the price has moved on. Nothing was stored. "
            "If the alert is new, send its time as {{timenow}}, not the bar's time.",
        )


def place_in_inbox(tx: Tx, signal_id: SignalId) -> int | None:
    """Return a signal's number in the order of arrival, which no clock can turn; None if it is not in the inbox."""
    entry = store.find_entry(tx, signal_id)
    return None if entry is None else entry.seq
