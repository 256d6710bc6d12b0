"""A paper account in one request: the paper venue issues a key, and it is linked like any other.

The key is tested, sealed and stored by the very path a person's own key takes (order-protocol.md section 7);
only asking the venue for one is new. Nobody ever sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from tradewind.accounts.linking import Linker, LinkRequest
from tradewind.accounts.shown import Label, LinkedOut, Strict, account_out
from tradewind.core.errors import InvalidInput
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import decimal, plain
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db
from tradewind.web.idempotency import Answer, OnceKey, run_once
from tradewind.web.principal import Trader
from tradewind.web.ratelimit import KEY_ADD_RATE, Limiter

_LEAST = Decimal(10)
_MOST = Decimal(10_000_000)

# Asks the paper venue for an account with this much USDT; returns its key and secret. Raises Unavailable.
IssuePaperKey = Callable[[Decimal], Awaitable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class PaperDeps:
    """What the route needs."""

    db: Db
    clock: Clock
    linker: Linker
    limiter: Limiter
    issue_key: IssuePaperKey


class PaperBody(Strict):
    """A paper account to open: its name and how much play money it starts with."""

    label: Label = "paper"
    balance: Annotated[str, Field(max_length=40, examples=["10000"])] = "10000"


def build_router(deps: PaperDeps) -> APIRouter:
    """Build the route."""
    router = APIRouter(tags=["accounts"])

    @router.post("/paper/accounts", status_code=201, response_model=LinkedOut)
    async def open_paper_account(body: PaperBody, caller: Trader, key: OnceKey) -> Response:
        """Open a paper account with play money in USDT; what it does is PAPER everywhere."""
        balance = decimal(body.balance)
        if not _LEAST <= balance <= _MOST:
            limits = f"{plain(_LEAST)} and {plain(_MOST)} USDT"
            raise InvalidInput("balance_out_of_range", f"Play money must lie between {limits}.")

        async def act() -> Answer:
            # In here, so that a repeat gets its answer and counts for nothing.
            deps.limiter.demand(KEY_ADD_RATE, caller.user_id)
            api_key, api_secret = await deps.issue_key(balance)
            request = LinkRequest(
                user_id=caller.user_id,
                venue=BINANCE,
                environment=Environment.PAPER,
                label=body.label,
                api_key=api_key,
                api_secret=api_secret,
                language=caller.language,
            )
            linked = await deps.linker.link(request, actor=caller.actor)
            shown = LinkedOut(account=account_out(linked.account), warnings=list(linked.warnings))
            return Answer.of(201, shown.model_dump(mode="json"))

        return (await run_once(deps.db, deps.clock, caller.user_id, key, act)).response()

    return router
