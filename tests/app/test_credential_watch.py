"""Credential errors: alone they count against the account, many at one venue are ours (section 6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.clock import ManualClock
from tests.support.db import fresh_db

from tradewind.app.desk import CredentialWatch
from tradewind.core.ids import AccountId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.infra.db import Db

HERE = (BINANCE, Environment.LIVE)


class Counts:
    """Stands where the accounts room does: what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def record_success(self, _tx: object, account_id: AccountId) -> None:
        self.told.append((account_id, True))

    def record_credential_error(self, _tx: object, account_id: AccountId) -> None:
        self.told.append((account_id, False))


def _watch(db: Db, clock: ManualClock, counts: Counts) -> CredentialWatch:
    return CredentialWatch(db, counts, clock, lambda _account: HERE)  # type: ignore[arg-type]


async def _drain(watch: CredentialWatch, counts: Counts, expected: int) -> None:

    task = asyncio.create_task(watch.run())
    for _ in range(200):
        if len(counts.told) >= expected:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_refusal_when_alone_for_a_minute_then_counted_once(tmp_path: Path) -> None:
    with fresh_db(tmp_path, ["audit"]) as db:
        clock, counts = ManualClock(), Counts()
        watch = _watch(db, clock, counts)
        for _ in range(3):
            watch.note(AccountId("a"), "key_refused")
        assert watch.is_blind(AccountId("a"))
        watch.judge()
        await clock.advance(61)
        watch.judge()
        await _drain(watch, counts, 1)
        assert counts.told == [("a", False)]
        assert not watch.is_ours(HERE)


async def test_refusals_when_of_four_accounts_within_a_minute_then_none_is_counted(tmp_path: Path) -> None:
    with fresh_db(tmp_path, ["audit"]) as db:
        clock, counts = ManualClock(), Counts()
        watch = _watch(db, clock, counts)
        for name in "abcd":
            watch.note(AccountId(name), "ip_not_allowed")
        watch.judge()
        assert watch.is_ours(HERE)
        await clock.advance(61)
        watch.judge()
        await _drain(watch, counts, 1)
        assert counts.told == []
        assert not watch.is_ours(HERE)


async def test_key_when_accepted_again_then_no_longer_blind_and_told(tmp_path: Path) -> None:
    with fresh_db(tmp_path, ["audit"]) as db:
        clock, counts = ManualClock(), Counts()
        watch = _watch(db, clock, counts)
        watch.note(AccountId("a"), "key_refused")
        watch.note(AccountId("a"), None)
        await clock.advance(61)
        watch.judge()
        await _drain(watch, counts, 1)
        assert counts.told == [("a", True)]
        assert not watch.is_blind(AccountId("a"))
