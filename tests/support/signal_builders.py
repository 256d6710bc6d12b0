"""Sources, alerts and a database for tests of the signals room: `alert("buy BTCUSDT")`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.database import address

from tradewind.core.ids import SignalId, SourceId
from tradewind.infra.db import Db, Tx, metadata
from tradewind.signals import service, store
from tradewind.signals.dialects import parse
from tradewind.signals.service import Accepted, Alert, Claimed
from tradewind.signals.sources import token_hash
from tradewind.signals.tables import Source

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOKEN = "twh_" + "a" * 43
OWNER = "owner-1"


class CountingIds:
    """Ids that can be read: 0001, 0002, ..."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count:04d}"


def at(seconds: float) -> datetime:
    """A time that many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def zulu(moment: datetime) -> str:
    """A time as {{timenow}} writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def alerts(body: str | dict[str, Any] | list[Any], received_at: datetime = NOON) -> list[Alert]:
    """Parse a body as the webhook does."""
    text = body if isinstance(body, str) else json.dumps(body)
    return parse(text.encode("utf-8"), received_at)


def alert(body: str | dict[str, Any], received_at: datetime = NOON) -> Alert:
    """Parse a body that holds one alert."""
    (one,) = alerts(body, received_at)
    return one


def source(name: str = "one", *, is_enabled: bool = True, is_exchange_bound: bool = False) -> Source:
    """A source; its id follows its name."""
    return Source(SourceId(f"source-{name}"), OWNER, name, is_enabled, is_exchange_bound, NOON)


def add_source(tx: Tx, made: Source, token: str = TOKEN) -> Source:
    """Store a source under a known token."""
    store.insert_source(tx, made, token_hash(token))
    return made


@contextmanager
def signals_db(folder: Path) -> Iterator[Db]:
    """A fresh database with every table known so far, and the sources `one` and `two`."""
    db = Db.open(address(folder / "signals.db", is_migrated=True))
    try:
        metadata.create_all(db.engine)
        db.write_now(lambda tx: add_source(tx, source("one")))
        db.write_now(lambda tx: add_source(tx, source("two"), "twh_" + "b" * 43))
        yield db
    finally:
        db.close()


@dataclass
class Inbox:
    """The verbs of the inbox, each in a transaction of its own."""

    db: Db
    ids: CountingIds

    def accept(
        self, body: str | dict[str, Any] | list[Any], now: datetime = NOON, source_name: str = "one"
    ) -> Accepted:
        parsed = alerts(body, now)
        return self.db.write_now(
            lambda tx: service.accept(tx, self.ids, SourceId(f"source-{source_name}"), parsed, now)
        )

    def claim(self, now: datetime, token: str = "worker", lease_s: int = 10, *, apart: bool = False) -> Claimed | None:
        """Take the next signal; `apart`: no two sources reach an account in common."""
        return self.db.write_now(
            lambda tx: service.claim_next(tx, token, now, lease_s, meets=lambda *_sources: not apart)
        )

    def decide(self, signal_id: SignalId, now: datetime, token: str = "worker") -> None:
        self.db.write_now(lambda tx: service.mark_decided(tx, signal_id, token, now))

    def fail(self, signal_id: SignalId, reason: str, now: datetime, token: str = "worker") -> str:
        return self.db.write_now(lambda tx: service.fail(tx, signal_id, token, reason, now))

    def count(self) -> int:
        return len(self.db.read_now(lambda tx: service.list_entries(tx, visible=None, limit=1_000)))
