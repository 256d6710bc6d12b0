"""The room signals with its doors: an operator, a source, a user, and a list of known assets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from tests.support.people import People, browser, people

from tradewind.core.ids import SourceId
from tradewind.core.money import Asset
from tradewind.identity.people import User
from tradewind.infra.db import Tx
from tradewind.signals import service
from tradewind.signals.routes import build_router
from tradewind.signals.sources import Sources, SourceWithToken
from tradewind.signals.webhook import SignalDeps, build_webhook_router
from tradewind.web.principal import Role

ENTRY = {"action": "buy", "ticker": "BTCUSDT"}


class KnownAssets:
    """What the market lists in these tests; None: no list was ever read."""

    def __init__(self) -> None:
        self.bases: set[str] | None = {"BTC", "ETH", "PEPE"}

    def is_listed(self, base: Asset) -> bool | None:
        return None if self.bases is None else base in self.bases

    def similar_bases(self, base: Asset) -> list[str]:
        return sorted(asset for asset in self.bases or () if asset[:2] == base[:2])


@dataclass
class House:
    """One installation with an operator, a source and a user."""

    people: People
    sources: Sources
    assets: KnownAssets
    operator: User
    user: User
    source: SourceWithToken
    app: FastAPI
    visible: dict[str, set[SourceId]]

    @property
    def hook(self) -> str:
        return f"/webhooks/{self.source.token}"

    def count(self) -> int:
        return len(self.people.db.read_now(lambda tx: service.list_entries(tx, visible=None, limit=1_000)))

    def caller(self, user: User | None = None, **how: Any) -> httpx.AsyncClient:
        token = None if user is None else self.people.add_token(user, **how)
        return browser(self.app, token)


@contextmanager
def signal_house(folder: Path) -> Iterator[House]:
    """Open an installation with the doors of the room."""
    with people(folder) as base:
        operator, user = base.add_user("operator", role=Role.OPERATOR), base.add_user("user")
        sources, assets = Sources(base.ids, base.audit), KnownAssets()
        visible: dict[str, set[SourceId]] = {}

        def visible_sources(_tx: Tx, user_id: str) -> Collection[SourceId]:
            return visible.get(user_id, set())

        deps = SignalDeps(base.db, base.clock, base.ids, sources, base.limiter, assets, visible_sources)
        app = base.app(build_router(deps))
        app.include_router(build_webhook_router(deps))
        made = base.db.write_now(
            lambda tx: sources.create(tx, owner_id=operator.id, name="rsi", actor="test", now=base.clock.now())
        )
        yield House(base, sources, assets, operator, user, made, app, visible)
