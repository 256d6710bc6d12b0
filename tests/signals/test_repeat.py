"""A signal sent again with its Idempotency-Key: the first answer, whatever venues list by then."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tests.support.people import browser, people

from tradewind.core.ids import SourceId
from tradewind.core.money import Asset
from tradewind.infra.db import Tx
from tradewind.signals.routes import build_router
from tradewind.signals.sources import Sources
from tradewind.signals.webhook import SignalDeps
from tradewind.web.principal import Role


class _Listed:
    def __init__(self, *bases: str) -> None:
        self.bases = set(bases)

    def is_listed(self, base: Asset) -> bool | None:
        return base in self.bases

    def similar_bases(self, _base: Asset) -> list[str]:
        return []


def _no_mandates(_tx: Tx, _user_id: str) -> Collection[SourceId]:
    return set()


async def test_signal_when_repeated_after_its_asset_was_delisted_then_first_answer(tmp_path: Path) -> None:
    with people(tmp_path) as base:
        operator, sources = base.add_user("operator", role=Role.OPERATOR), Sources(base.ids, base.audit)
        listed = _Listed("BTC")
        made = base.db.write_now(
            lambda tx: sources.create(tx, owner_id=operator.id, name="rsi", actor="test", now=base.clock.now())
        )
        deps = SignalDeps(base.db, base.clock, base.ids, sources, base.limiter, listed, _no_mandates)
        body = {"source_id": made.source.id, "action": "open", "symbol": "BTC/USDT"}
        async with browser(base.app(build_router(deps)), base.add_token(operator)) as client:
            first = await client.post("/api/v1/signals", json=body, headers={"Idempotency-Key": "once"})
            listed.bases.clear()
            again = await client.post("/api/v1/signals", json=body, headers={"Idempotency-Key": "once"})
            fresh = await client.post("/api/v1/signals", json=body, headers={"Idempotency-Key": "another"})
        assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (fresh.status_code, fresh.json()["code"]) == (422, "unknown_symbol")
