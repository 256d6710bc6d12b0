"""The doors of the portfolio: positions and balances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query

from tradewind.core.ids import UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import EXACT, ONE, Asset, plain
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db
from tradewind.portfolio import service
from tradewind.portfolio.holding import Held, Holding, ShownPrice
from tradewind.portfolio.shown import BalanceOut, BalancesOut, PositionOut, PositionsOut
from tradewind.web.principal import Reader

_CENT = Decimal("0.01")


# None where no venue has said anything.
PriceNow = Callable[[VenueName, Environment, str], ShownPrice | None]


@dataclass(frozen=True, slots=True)
class PortfolioDeps:
    """What the routes need."""

    db: Db
    clock: Clock
    price_now: PriceNow


def build_router(deps: PortfolioDeps) -> APIRouter:
    """Build the routes of this room."""
    router = APIRouter(tags=["portfolio"])

    @router.get("/positions")
    async def positions(caller: Reader) -> PositionsOut:
        """List the caller's open positions lot by lot, with price now, unrealised P&L and protection."""
        found = await deps.db.read(lambda tx: service.open_lots_of(tx, UserId(caller.user_id)))
        now = deps.clock.now()
        return PositionsOut(items=[_position(each, deps.price_now, now) for each in found], at=now)

    @router.get("/balance")
    async def balance(caller: Reader, asset: Annotated[str | None, Query(max_length=24)] = None) -> BalancesOut:
        """List the caller's balances, free and locked apart, each with the time it was read."""
        wanted = None if asset is None else Asset(asset.upper())
        found = await deps.db.read(lambda tx: service.balances_of_user(tx, UserId(caller.user_id), wanted))
        return BalancesOut(items=[_balance(each) for each in found])

    return router


def _position(holding: Holding, price_now: PriceNow, now: datetime) -> PositionOut:
    lot = holding.lot
    quoted = price_now(holding.venue, holding.environment, lot.symbol)
    entry = lot.entry_price
    age_s = int((now - lot.opened_at).total_seconds())
    naked_ms, watched_ms = holding.exposed(now)
    shown = {**service.lot_view(holding), "age_s": age_s, "naked_ms": naked_ms, "watched_ms": watched_ms}
    position = PositionOut.model_validate(shown)
    if quoted is not None and entry is not None:
        gain = EXACT.subtract(quoted.price.cost(lot.quantity), lot.cost_quote)
        share = EXACT.divide(gain, lot.cost_quote) * 100 * ONE
        position.price = str(quoted.price)
        position.price_age_s = f"{quoted.age_s:.1f}"
        position.price_venue = quoted.venue
        position.unrealised = plain(gain.quantize(Decimal("1e-8")))
        position.unrealised_pct_of_cost = plain(share.quantize(_CENT))
    return position


def _balance(held: Held) -> BalanceOut:
    return BalanceOut(
        account_id=held.account_id,
        asset=held.asset,
        free=plain(held.free),
        in_orders=plain(held.locked),
        at=held.at,
    )
