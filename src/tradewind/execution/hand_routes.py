"""The doors for orders by hand: buy and sell, each exactly once per Idempotency-Key."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from tradewind.core.errors import InvalidInput
from tradewind.core.ids import AccountId
from tradewind.core.money import decimal
from tradewind.core.order import Order, Side
from tradewind.core.symbols import parse_symbol
from tradewind.execution.deps import ExecutionDeps
from tradewind.execution.hand import HandOrder
from tradewind.execution.shown import OrderOut, order_out
from tradewind.infra.db import Tx
from tradewind.web.idempotency import Answer, OnceKey, kept_answer, once_in_tx
from tradewind.web.principal import Principal, Trader

# The answer is kept and given again as it was, so it is written by hand; this is what it looks like.
_RECORDED: dict[int | str, dict[str, Any]] = {202: {"model": OrderOut, "description": "the order as recorded"}}


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
    """A buy; without levels the stop is 3 % below and the target 6 % above, unless `protect` is false.

    `trailing_bps` lets the stop follow the price up at that distance, in hundredths of a percent.
    """

    stop: str | None = Field(default=None, max_length=40)
    target: str | None = Field(default=None, max_length=40)
    trailing_bps: int | None = Field(default=None, ge=1, le=9_999)
    protect: bool = True


class SellBody(HandBody):
    """A sell; `include_protected` true also sells what is held for signals, after cancelling its stop."""

    include_protected: bool = False


def add_hand(router: APIRouter, deps: ExecutionDeps) -> None:
    """Add the doors for orders by hand."""

    @router.post("/trading/buy", status_code=202, response_class=Response, responses=_RECORDED)
    async def buy(body: BuyBody, caller: Trader, key: OnceKey) -> Response:
        """Buy at market; the answer is the order as recorded, the stream tells what becomes of it."""
        wanted = HandOrder(
            **_fields_of(body, caller, Side.BUY),
            stop=_number(body.stop),
            target=_number(body.target),
            trailing_bps=body.trailing_bps,
            wants_protection=body.protect,
        )
        return await _place(deps, caller, key, wanted)

    @router.post("/trading/sell", status_code=202, response_class=Response, responses=_RECORDED)
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
    # A repeat gets the first answer, whatever has become of accounts, venue and prices since.
    kept = await deps.db.read(lambda tx: kept_answer(tx, caller.user_id, key, deps.clock.now()))
    if kept is not None:
        return kept.response()
    own = await deps.db.read(lambda tx: deps.own_accounts(tx, caller.user_id))
    account = await deps.db.read(lambda tx: deps.hand.choose_account(tx, wanted, own))
    instrument = deps.hand.instrument_for(account, wanted)
    await deps.confirm(account.venue, account.environment, [instrument.symbol])
    placed: list[Order] = []

    def work(tx: Tx) -> Answer:
        order = deps.hand.place(tx, wanted, deps.hand.choose_account(tx, wanted, own))
        placed.append(order)
        return Answer.of(202, order_out(order).model_dump(mode="json"))

    answer = await deps.db.write(lambda tx: once_in_tx(tx, caller.user_id, key, deps.clock.now(), work))
    if not answer.is_repeat:
        deps.dispatcher.enqueue(placed)
        for order in placed:
            deps.protector.look((order.account_id, order.symbol))
    return answer.response()


def _number(text: str | None) -> Decimal | None:
    return None if text is None else decimal(text)
