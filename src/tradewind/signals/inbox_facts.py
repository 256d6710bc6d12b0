"""How far the inbox has come, and what was named in it: for whoever compares databases or looks for markets."""

from __future__ import annotations

from datetime import datetime

from tradewind.core.money import Asset
from tradewind.infra.db import Tx
from tradewind.signals import store
from tradewind.signals.tables import Entry as Entry
from tradewind.signals.tables import SignalState as SignalState


def last_seq(tx: Tx) -> int:
    """Return the number of the newest signal; 0 without one."""
    return store.last_seq(tx)


def last_received_at(tx: Tx) -> datetime | None:
    """Return when the newest signal came."""
    return store.last_received_at(tx)


def bases_since(tx: Tx, since: datetime) -> set[Asset]:
    """Return the assets that signals have named since a time."""
    return store.bases_since(tx, since)
