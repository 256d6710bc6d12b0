"""Retries asked for at the command line: a row the running platform takes up, because it alone owns the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from tradewind.core.errors import TradewindError
from tradewind.core.ids import AccountId, SignalId
from tradewind.execution.retry import RetryDesk
from tradewind.execution.retry_tables import retry_requests
from tradewind.infra.clock import Clock
from tradewind.infra.db import CommitInDoubt, Db, Tx
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger

_log = logger("execution.retry")
_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """What somebody wants tried again."""

    id: str
    signal_id: SignalId
    max_age_s: int | None
    accounts: tuple[AccountId, ...]


def ask(
    tx: Tx, ids: Ids, signal_id: SignalId, max_age_s: int | None, accounts: Sequence[AccountId], now: datetime
) -> str:
    """Write a request; return its id."""
    request_id = ids.new()
    row = {"id": request_id, "signal_id": signal_id, "max_age_s": max_age_s, "asked_at": now}
    listed = msgspec.json.encode(list(accounts)).decode("utf-8")
    tx.execute(insert(retry_requests), [{**row, "accounts": listed, "done_at": None, "answer": None}])
    return request_id


def answer_of(tx: Tx, request_id: str) -> dict[str, Any] | None:
    """Read what became of a request; None while nobody has taken it up."""
    text = tx.execute(select(retry_requests.c.answer).where(retry_requests.c.id == request_id)).scalar()
    found: dict[str, Any] | None = None if text is None else msgspec.json.decode(text)
    return found


def withdraw(tx: Tx, request_id: str, now: datetime) -> bool:
    """Take a request back that nobody has taken up; False if it was carried out meanwhile."""
    changed = tx.execute(
        update(retry_requests)
        .where(retry_requests.c.id == request_id, retry_requests.c.done_at.is_(None))
        .values(done_at=now, answer='{"error": "withdrawn"}')
    )
    return changed.rowcount == 1


@dataclass(slots=True)
class RetryRequests:
    """Takes requests up; one per process."""

    db: Db
    clock: Clock
    desk: RetryDesk

    async def run(self) -> None:
        """Carry requests out until cancelled."""
        while True:
            await self.clock.sleep(_EVERY_S)
            try:
                for request in await self.db.read(_waiting):
                    await self._carry_out(request)
            except CommitInDoubt:
                raise
            except Exception:
                _log.exception("execution.retry.requests_failed")

    async def _carry_out(self, request: RetryRequest) -> None:
        # Marked first: a process that dies in between must not fire it a second time at the next start.
        if not await self.db.write(lambda tx: _take(tx, request.id, self.clock.now())):
            return
        try:
            done = await self.desk.retry(request.signal_id, max_age_s=request.max_age_s, only=request.accounts)
            answer: dict[str, Any] = {
                "reopened": not done,
                "accounts": [[each.account_id, each.is_done, each.text] for each in done],
            }
        except TradewindError as error:
            answer = {"error": error.message}
        await self.db.write(lambda tx: _answer(tx, request.id, answer))


def _waiting(tx: Tx) -> list[RetryRequest]:
    rows = tx.execute(select(retry_requests).where(retry_requests.c.done_at.is_(None)))
    return [
        RetryRequest(
            row.id, SignalId(row.signal_id), row.max_age_s, tuple(map(AccountId, msgspec.json.decode(row.accounts)))
        )
        for row in rows
    ]


def _take(tx: Tx, request_id: str, now: datetime) -> bool:
    changed = tx.execute(
        update(retry_requests)
        .where(retry_requests.c.id == request_id, retry_requests.c.done_at.is_(None))
        .values(done_at=now)
    )
    return changed.rowcount == 1


def _answer(tx: Tx, request_id: str, answer: dict[str, Any]) -> None:
    text = msgspec.json.encode(answer).decode("utf-8")
    tx.execute(update(retry_requests).where(retry_requests.c.id == request_id).values(answer=text))
