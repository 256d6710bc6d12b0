"""The doors of execution: status, orders, decisions, the fan-out of a signal; by hand in hand_routes.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime
from sqlalchemy import Row

from tradewind.core.errors import Conflict, NotFound
from tradewind.core.gate import Closed, gate
from tradewind.core.ids import UserId
from tradewind.core.order import GateKind, Leg, Order, OrderState
from tradewind.core.skip import Lang
from tradewind.execution import record_store, store
from tradewind.execution.board import Board
from tradewind.execution.deps import ExecutionDeps
from tradewind.execution.hand_routes import add_hand
from tradewind.execution.outcomes import Moved
from tradewind.execution.preview_routes import add_preview
from tradewind.execution.recovery_routes import add_recovery
from tradewind.execution.retry_routes import add_retry
from tradewind.execution.roster import AccountFacts
from tradewind.execution.shown import (
    AccountStatus,
    DecisionsOut,
    FanOut,
    OrderOut,
    OrdersOut,
    OrderWithJournalOut,
    ReasonOut,
    TradingStatus,
    decision_out,
    fan_out,
    order_out,
    order_with_journal_out,
)
from tradewind.infra.db import Tx
from tradewind.web.principal import Principal, Reader, Role, Trader

_ORDERS_MAX = 500


def _in_bounds(moment: datetime) -> datetime:
    # Near the ends of the calendar a change of zone or unit overflows; nothing of ours lies there.
    if not 2000 <= moment.year < 2200:
        raise ValueError("give a time between the years 2000 and 2199")
    return moment.astimezone(UTC)


_Moment = Annotated[AwareDatetime, AfterValidator(_in_bounds)]


def build_router(deps: ExecutionDeps) -> APIRouter:
    """Build the routes of this room."""
    router = APIRouter(tags=["trading"])
    _add_status(router, deps)
    add_hand(router, deps)
    _add_orders(router, deps)
    add_recovery(router, deps)
    add_retry(router, deps)
    _add_decisions(router, deps)
    add_preview(router, deps)
    return router


# --- status ----------------------------------------------------------------------------------------


def _add_status(router: APIRouter, deps: ExecutionDeps) -> None:
    @router.get("/trading/status")
    async def status(caller: Reader) -> TradingStatus:
        """Say whether entries would be placed now; if no account may, with ALL reasons."""

        def read(tx: Tx) -> list[AccountFacts]:
            own = deps.own_accounts(tx, caller.user_id)
            return list(deps.roster.facts(tx, own, deps.clock.now()).values())

        accounts = [_account_status(facts, _lang(caller)) for facts in await deps.db.read(read)]
        codes = [{reason.code for reason in account.reasons} for account in accounts]
        can_trade = any(account.can_trade for account in accounts)
        return TradingStatus(
            # A switch of the platform: it closes every account or none.
            trading_enabled=not any("trading_enabled" in each for each in codes),
            environment=_strongest([account.environment for account in accounts]),
            has_credentials=any("credential_missing" not in each for each in codes),
            can_trade=can_trade,
            reasons=[] if can_trade else _reasons_of(accounts),
            user=caller.user_id,
            accounts=accounts,
            timestamp=deps.clock.now(),
        )


def _account_status(facts: AccountFacts, lang: Lang) -> AccountStatus:
    answer = gate(GateKind.ENTRY, facts.gate)
    reasons = answer.reasons if isinstance(answer, Closed) else ()
    return AccountStatus(
        account_id=facts.account_id,
        venue=facts.venue,
        environment=facts.environment.value.upper(),
        label=facts.label,
        can_trade=not reasons,
        reasons=[ReasonOut(code=reason.code.value, text=reason.text(lang)) for reason in reasons],
    )


def _reasons_of(accounts: Sequence[AccountStatus]) -> list[ReasonOut]:
    """Why no account may trade: what closes each of them, every sentence once."""
    if not accounts:
        return [ReasonOut(code="no_account", text="Add an exchange key first.")]
    found = {(reason.code, reason.text): reason for account in accounts for reason in account.reasons}
    return list(found.values())


def _strongest(environments: Sequence[str]) -> str | None:
    return next((each for each in ("LIVE", "TESTNET", "PAPER") if each in environments), None)


def _lang(caller: Principal) -> Lang:
    return "ko" if caller.language == "ko" else "en"


# --- orders ----------------------------------------------------------------------------------------


def _add_orders(router: APIRouter, deps: ExecutionDeps) -> None:
    @router.get("/orders")
    async def orders(
        caller: Reader,
        state: Annotated[str, Query(pattern="^(open|ended|all)$")] = "all",
        limit: Annotated[int, Query(ge=1, le=_ORDERS_MAX)] = 100,
        before: Annotated[_Moment | None, Query(description="created before; with its zone, 2000 to 2199")] = None,
    ) -> OrdersOut:
        """List the caller's orders, newest first."""
        is_open = {"open": True, "ended": False}.get(state)
        found = await deps.db.read(
            lambda tx: store.list_of_user(tx, caller.user_id, is_open=is_open, limit=limit, before=before)
        )
        return OrdersOut(items=[order_out(each.order) for each in found])

    @router.get("/orders/{order_id}")
    async def order(order_id: str, caller: Reader) -> OrderWithJournalOut:
        """Show one order with its journal, oldest line first."""

        def read(tx: Tx) -> OrderWithJournalOut:
            stored = _load(tx, caller.user_id, order_id)
            return order_with_journal_out(stored, record_store.list_events(tx, caller.user_id, order_id))

        return await deps.db.read(read)

    @router.delete("/orders/{order_id}")
    async def cancel(order_id: str, caller: Trader) -> OrderOut:
        """Cancel an entry that has not left yet; what is at the venue is not taken back this way."""

        def work(tx: Tx) -> list[Moved]:
            stored = _load(tx, caller.user_id, order_id)
            if stored.state is not OrderState.INTENDED or stored.leg is not Leg.ENTRY:
                raise Conflict(
                    "order_not_cancellable",
                    f"The order is {stored.state}: only an entry that has not been sent can be cancelled. "
                    "A stop or target stands as long as its position; sell the position to end it.",
                )
            return deps.journal.deny(tx, stored, "cancelled_by_you", deps.clock.now())

        moved = await deps.db.write(work)
        deps.recorder.announce(moved)
        return order_out(moved[0].after)


def _load(tx: Tx, user_id: UserId, order_id: str) -> Order:
    stored = store.find_of_user(tx, user_id, order_id)
    if stored is None:
        raise NotFound("order_not_found", "There is no such order.")
    return stored.order


# --- decisions and the fan-out ---------------------------------------------------------------------


def _add_decisions(router: APIRouter, deps: ExecutionDeps) -> None:
    @router.get("/decisions")
    async def decisions(caller: Reader, limit: Annotated[int, Query(ge=1, le=_ORDERS_MAX)] = 100) -> DecisionsOut:
        """List the caller's decisions with their working, newest first."""
        rows = await deps.db.read(lambda tx: record_store.list_user_decisions(tx, caller.user_id, limit))
        return DecisionsOut(items=[decision_out(row, _lang(caller), with_working=True) for row in rows])

    @router.get("/signals/{signal_id}/decisions")
    async def of_signal(signal_id: str, caller: Reader) -> DecisionsOut:
        """Show why each account placed or skipped: the caller's own; all for operators, masked for support."""

        def read(tx: Tx) -> list[Row[Any]]:
            deps.demand_signal_visible(tx, caller, signal_id)
            return record_store.list_decisions(tx, signal_id, None if _sees_all(caller) else caller.user_id)

        rows = await deps.db.read(read)
        return DecisionsOut(
            items=[
                # Amounts of other people are not for support (P4).
                decision_out(row, _lang(caller), with_working=caller.is_operator or row.user_id == caller.user_id)
                for row in rows
            ]
        )

    @router.get("/signals/{signal_id}/fan")
    async def fan(signal_id: str, caller: Reader) -> FanOut:
        """Show the fan-out: one cell per account, counts that add up. Users see their own cells."""
        await deps.db.read(lambda tx: deps.demand_signal_visible(tx, caller, signal_id))
        board = await deps.boards.snapshot(signal_id)
        if not _sees_all(caller):
            board = Board(board.signal_id, [cell for cell in board.cells if cell.user_id == caller.user_id], board.rev)
        return fan_out(board, _lang(caller))


def _sees_all(caller: Principal) -> bool:
    """Operators need their admin scope for it: a token without sees what its owner sees."""
    return caller.is_operator or caller.role is Role.SUPPORT
