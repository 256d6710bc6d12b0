"""The doors of execution: status, orders by hand, orders, decisions, the fan-out of a signal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from tradewind.core.errors import Conflict, InvalidInput, NotFound
from tradewind.core.gate import Closed, gate
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import decimal
from tradewind.core.order import GateKind, Leg, Order, OrderState, Side
from tradewind.core.skip import SkipReason, reason_text
from tradewind.core.symbols import parse_symbol
from tradewind.execution import record_store, store
from tradewind.execution.board import SKIPPED, Board, FanBoards
from tradewind.execution.fanout import Dispatcher
from tradewind.execution.hand import HandDesk, HandOrder
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Moved
from tradewind.execution.protect import Protector
from tradewind.execution.recorder import Recorder
from tradewind.execution.roster import AccountFacts, Roster
from tradewind.execution.words import order_view
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.web.idempotency import Answer, OnceKey, once_in_tx
from tradewind.web.principal import Principal, Reader, Role, Trader

_ORDERS_MAX = 500


@dataclass(slots=True)
class ExecutionDeps:
    """What the routes need."""

    db: Db
    clock: Clock
    journal: Journal
    recorder: Recorder
    dispatcher: Dispatcher
    protector: Protector
    boards: FanBoards
    hand: HandDesk
    roster: Roster
    # The accounts of a user, and a fresh price before an order by hand; wired by app.
    own_accounts: Callable[[Tx, UserId], Sequence[AccountId]]
    confirm: Callable[[VenueName, Environment, Sequence[str]], Awaitable[None]]
    demand_signal_visible: Callable[[Tx, Principal, str], None]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HandBody(_Body):
    """A buy or sell by hand: `amount` in the quote asset, or `quantity` in the base asset, or `all`."""

    symbol: str = Field(max_length=40, examples=["BTC/USDT"])
    amount: str | None = Field(default=None, max_length=40, examples=["25"])
    quantity: str | None = Field(default=None, max_length=40)
    all: bool = False
    account: str | None = Field(default=None, max_length=36)


class BuyBody(HandBody):
    """A buy; without levels the stop is 3 % below and the target 6 % above, unless `protect` is false."""

    stop: str | None = Field(default=None, max_length=40)
    target: str | None = Field(default=None, max_length=40)
    protect: bool = True


class SellBody(HandBody):
    """A sell; `include_protected` true also sells what is held for signals, after cancelling its stop."""

    include_protected: bool = False


class ReasonOut(BaseModel):
    """One reason why the gate is closed."""

    code: str
    text: str


class AccountStatus(BaseModel):
    """The gate of one account, for entries."""

    account_id: str
    venue: str
    environment: str
    label: str
    can_trade: bool
    reasons: list[ReasonOut]


class TradingStatus(BaseModel):
    """Whether the caller's accounts may trade now, and every reason why not."""

    trading_enabled: bool
    environment: str | None
    has_credentials: bool
    can_trade: bool
    reasons: list[ReasonOut]
    user: str
    accounts: list[AccountStatus]
    timestamp: datetime


def build_router(deps: ExecutionDeps) -> APIRouter:
    """Build the routes of this room."""
    router = APIRouter(tags=["trading"])
    _add_status(router, deps)
    _add_hand(router, deps)
    _add_orders(router, deps)
    _add_decisions(router, deps)
    return router


# --- status ----------------------------------------------------------------------------------------


def _add_status(router: APIRouter, deps: ExecutionDeps) -> None:
    @router.get("/trading/status")
    async def status(caller: Reader) -> TradingStatus:
        """Say whether entries would be placed now, with ALL reasons if not."""

        def read(tx: Tx) -> list[AccountFacts]:
            own = deps.own_accounts(tx, caller.user_id)
            return list(deps.roster.facts(tx, own, deps.clock.now()).values())

        accounts = [_account_status(facts, caller.language) for facts in await deps.db.read(read)]
        reasons = {reason.code: reason for account in accounts for reason in account.reasons}
        if not accounts:
            text = "Add an exchange key first."
            reasons = {"no_account": ReasonOut(code="no_account", text=text)}
        return TradingStatus(
            trading_enabled="trading_enabled" not in reasons,
            environment=_strongest([account.environment for account in accounts]),
            has_credentials=bool(accounts) and "credential_missing" not in reasons,
            can_trade=any(account.can_trade for account in accounts),
            reasons=list(reasons.values()),
            user=caller.user_id,
            accounts=accounts,
            timestamp=deps.clock.now(),
        )


def _account_status(facts: AccountFacts, language: str) -> AccountStatus:
    answer = gate(GateKind.ENTRY, facts.gate)
    reasons = answer.reasons if isinstance(answer, Closed) else ()
    lang = "ko" if language == "ko" else "en"
    return AccountStatus(
        account_id=facts.account_id,
        venue=facts.venue,
        environment=facts.environment.value.upper(),
        label=facts.label,
        can_trade=not reasons,
        reasons=[ReasonOut(code=reason.code.value, text=reason.text(lang)) for reason in reasons],  # type: ignore[arg-type]
    )


def _strongest(environments: Sequence[str]) -> str | None:
    return next((each for each in ("LIVE", "TESTNET", "PAPER") if each in environments), None)


# --- orders by hand --------------------------------------------------------------------------------


def _add_hand(router: APIRouter, deps: ExecutionDeps) -> None:
    @router.post("/trading/buy", status_code=202)
    async def buy(body: BuyBody, caller: Trader, key: OnceKey) -> Response:
        """Buy at market; the answer is the order as recorded, the stream tells what becomes of it."""
        wanted = HandOrder(
            **_fields_of(body, caller, Side.BUY),
            stop=_number(body.stop),
            target=_number(body.target),
            wants_protection=body.protect,
        )
        return await _place(deps, caller, key, wanted)

    @router.post("/trading/sell", status_code=202)
    async def sell(body: SellBody, caller: Trader, key: OnceKey) -> Response:
        """Sell at market; coins held for signals only where `include_protected` says so."""
        wanted = HandOrder(**_fields_of(body, caller, Side.SELL), include_protected=body.include_protected)
        return await _place(deps, caller, key, wanted)


def _fields_of(body: HandBody, caller: Principal, side: Side) -> dict[str, Any]:
    given = [body.amount is not None, body.quantity is not None, body.all]
    if sum(given) != 1:
        raise InvalidInput("size_unclear", "Give exactly one of `amount` (quote), `quantity` (base) and `all`.")
    amount, quantity = _number(body.amount), _number(body.quantity)
    for number in (amount, quantity):
        if number is not None and number <= 0:
            raise InvalidInput("size_not_positive", "An order needs a size above zero.")
    return {
        "user_id": caller.user_id,
        "side": side,
        "symbol": parse_symbol(body.symbol),
        "amount": amount,
        "quantity": quantity,
        "is_all": body.all,
        "account_id": None if body.account is None else AccountId(body.account),
    }


async def _place(deps: ExecutionDeps, caller: Principal, key: OnceKey, wanted: HandOrder) -> Response:
    own = await deps.db.read(lambda tx: deps.own_accounts(tx, caller.user_id))
    account = await deps.db.read(lambda tx: deps.hand.choose_account(tx, wanted, own))
    instrument = deps.hand.instrument_for(account, wanted)
    await deps.confirm(account.venue, account.environment, [instrument.symbol])
    placed: list[Order] = []

    def work(tx: Tx) -> Answer:
        order = deps.hand.place(tx, wanted, deps.hand.choose_account(tx, wanted, own))
        placed.append(order)
        return Answer.of(202, order_view(order))

    answer = await deps.db.write(lambda tx: once_in_tx(tx, caller.user_id, key, deps.clock.now(), work))
    if not answer.is_repeat:
        deps.dispatcher.enqueue(placed)
        for order in placed:
            deps.protector.look((order.account_id, order.symbol))
    return answer.response()


def _number(text: str | None) -> Decimal | None:
    return None if text is None else decimal(text)


# --- orders ----------------------------------------------------------------------------------------


def _add_orders(router: APIRouter, deps: ExecutionDeps) -> None:
    @router.get("/orders")
    async def orders(
        caller: Reader,
        state: Annotated[str, Query(pattern="^(open|ended|all)$")] = "all",
        limit: Annotated[int, Query(ge=1, le=_ORDERS_MAX)] = 100,
        before: datetime | None = None,
    ) -> dict[str, Any]:
        """List the caller's orders, newest first."""
        is_open = {"open": True, "ended": False}.get(state)
        found = await deps.db.read(
            lambda tx: store.list_of_user(tx, caller.user_id, is_open=is_open, limit=limit, before=before)
        )
        return {"items": [order_view(each.order) for each in found]}

    @router.get("/orders/{order_id}")
    async def order(order_id: str, caller: Reader) -> dict[str, Any]:
        """Show one order with its journal, oldest line first."""

        def read(tx: Tx) -> dict[str, Any]:
            stored = _load(tx, caller.user_id, order_id)
            lines = record_store.list_events(tx, caller.user_id, order_id)
            return {**order_view(stored), "journal": [_line(row) for row in lines]}

        return await deps.db.read(read)

    @router.delete("/orders/{order_id}")
    async def cancel(order_id: str, caller: Trader) -> dict[str, Any]:
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
        return order_view(moved[0].after)


def _load(tx: Tx, user_id: UserId, order_id: str) -> Order:
    stored = store.find_of_user(tx, user_id, order_id)
    if stored is None:
        raise NotFound("order_not_found", "There is no such order.")
    return stored.order


def _line(row: Any) -> dict[str, Any]:
    return {
        "at": row.at.isoformat(),
        "event": row.kind,
        "from": row.from_state,
        "to": row.to_state,
        "detail": msgspec.json.decode(row.detail),
    }


# --- decisions and the fan-out ---------------------------------------------------------------------


def _add_decisions(router: APIRouter, deps: ExecutionDeps) -> None:
    @router.get("/decisions")
    async def decisions(caller: Reader, limit: Annotated[int, Query(ge=1, le=_ORDERS_MAX)] = 100) -> dict[str, Any]:
        """List the caller's decisions with their working, newest first."""
        rows = await deps.db.read(lambda tx: record_store.list_user_decisions(tx, caller.user_id, limit))
        return {"items": [_decision(row, caller.language) for row in rows]}

    @router.get("/signals/{signal_id}/decisions")
    async def of_signal(signal_id: str, caller: Reader) -> dict[str, Any]:
        """Show why each account placed or skipped: the caller's own, or all for operators."""

        def read(tx: Tx) -> list[Any]:
            deps.demand_signal_visible(tx, caller, signal_id)
            return record_store.list_decisions(tx, signal_id, None if _sees_all(caller) else caller.user_id)

        rows = await deps.db.read(read)
        return {"items": [_decision(row, caller.language) for row in rows]}

    @router.get("/signals/{signal_id}/fan")
    async def fan(signal_id: str, caller: Reader) -> dict[str, Any]:
        """Show the fan-out: one cell per account, counts that add up. Users see their own cells."""
        await deps.db.read(lambda tx: deps.demand_signal_visible(tx, caller, signal_id))
        board = await deps.boards.snapshot(signal_id)
        if not _sees_all(caller):
            board = Board(board.signal_id, [cell for cell in board.cells if cell.user_id == caller.user_id], board.rev)
        return _board(board, caller.language)


def _sees_all(caller: Principal) -> bool:
    return caller.role in (Role.OPERATOR, Role.SUPPORT)


def _board(board: Board, language: str) -> dict[str, Any]:
    lang = "ko" if language == "ko" else "en"
    cells = []
    for cell in board.cells:
        text = None
        if cell.state == SKIPPED and cell.reason is not None:
            text = reason_text(SkipReason(cell.reason), lang)  # type: ignore[arg-type]
        cells.append(
            {
                "i": cell.index,
                "account": cell.account_id,
                "plan": cell.plan,
                "state": cell.state,
                "reason": cell.reason,
                "reason_text": text,
                "order_id": cell.order_id,
                "release_at": cell.release_at,
                "t_ms": cell.t_ms,
            }
        )
    return {"signal": board.signal_id, "rev": board.rev, "counts": board.counts(), "cells": cells}


def _decision(row: Any, language: str) -> dict[str, Any]:
    lang = "ko" if language == "ko" else "en"
    text = None if row.reason is None else reason_text(SkipReason(row.reason), lang)  # type: ignore[arg-type]
    return {
        "id": row.id,
        "signal_id": row.signal_id,
        "source_id": row.source_id,
        "account_id": row.account_id,
        "verdict": row.verdict,
        "reason": row.reason,
        "reason_text": text,
        "confidence_pct": row.confidence_pct,
        "plan": row.plan,
        "working": msgspec.json.decode(row.working),
        "at": row.created_at.isoformat(),
    }
