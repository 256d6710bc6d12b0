"""Cursors of the list of signals: only those that it handed out."""

from __future__ import annotations

import base64
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.support.people import browser, people

from tradewind.core.ids import SourceId
from tradewind.core.money import Asset
from tradewind.infra.db import Tx
from tradewind.signals.routes import build_router
from tradewind.signals.sources import Sources
from tradewind.signals.webhook import SignalDeps
from tradewind.web.principal import Role


class _AnyAsset:
    def is_listed(self, _base: Asset) -> bool | None:
        return None

    def similar_bases(self, _base: Asset) -> list[str]:
        return []


def _no_mandates(_tx: Tx, _user_id: str) -> Collection[SourceId]:
    return set()


@pytest.mark.parametrize(
    ("inside", "status"),
    [
        *[("[0]", 200), (f"[{2**63 - 1}]", 200), ('["abc"]', 400), ('["1"]', 400), ('["1_0"]', 400), ("[1,2]", 400)],
        *[(f"[{2**63}]", 400), (f"[{10**30}]", 400), ("[-1]", 400), ("[1.5]", 400), ("[true]", 400), ("[]", 400)],
        *[("{}", 400), ("[1", 400), ("1", 400), ("[null]", 400)],
    ],
)
async def test_cursor_when_not_handed_out_then_refused_as_such(tmp_path: Path, inside: str, status: int) -> None:
    with people(tmp_path) as base:
        operator = base.add_user("operator", role=Role.OPERATOR)
        sources = Sources(base.ids, base.audit)
        deps = SignalDeps(base.db, base.clock, base.ids, sources, base.limiter, _AnyAsset(), _no_mandates)
        cursor = base64.urlsafe_b64encode(inside.encode()).decode().rstrip("=")
        async with browser(base.app(build_router(deps)), base.add_token(operator)) as client:
            answer = await client.get("/api/v1/signals", params={"cursor": cursor})
        assert answer.status_code == status, answer.text
        assert status == 200 or answer.json()["code"] == "bad_cursor"
