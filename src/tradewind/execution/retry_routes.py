"""The door of a retry: try a signal again for the accounts that did not get theirs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tradewind.core.ids import AccountId, SignalId
from tradewind.execution.deps import ExecutionDeps
from tradewind.web.principal import Operator

_AGE_MAX_S = 7 * 86_400


class RetryIn(BaseModel):
    """Which accounts (none named: all), and up to which age an entry may be traded."""

    model_config = ConfigDict(extra="forbid")
    max_age_s: Annotated[int, Field(ge=1, le=_AGE_MAX_S)] | None = None
    account_ids: list[Annotated[str, Field(max_length=36)]] = Field(default_factory=list, max_length=10_000)


class RetriedOut(BaseModel):
    """What was done for one account, or why nothing was."""

    account_id: str
    is_done: bool
    text: str


class RetryOut(BaseModel):
    """What a retry did; `reopened`: the signal was a dead letter and is decided anew for all its accounts."""

    reopened: bool
    accounts: list[RetriedOut]


def add_retry(router: APIRouter, deps: ExecutionDeps) -> None:
    """Add the retry."""

    @router.post("/signals/{signal_id}/retry")
    async def retry(signal_id: str, body: RetryIn, _caller: Operator) -> RetryOut:
        """Try a signal again where it was skipped, denied or never arrived for a reason that passes.

        An order in doubt blocks its account; a superseded signal stays superseded; an old one needs `max_age_s`.
        """
        only = [AccountId(each) for each in body.account_ids]
        done = await deps.retries.retry(SignalId(signal_id), max_age_s=body.max_age_s, only=only)
        accounts = [RetriedOut(account_id=each.account_id, is_done=each.is_done, text=each.text) for each in done]
        return RetryOut(reopened=not done, accounts=accounts)
