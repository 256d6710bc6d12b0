"""The doors of the portfolio: positions and balances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query

from tradewind.core.ids import UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import EXACT, ONE, Asset, Price, plain
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db
from tradewind.portfolio import service
from tradewind.portfolio.holding import Held, Holding
from tradewind.web.principal import Reader

# Price now and its age in seconds; None where the venue has said nothing.
PriceNow = Callable[[VenueName, Environment, str], tuple[Price, float] | None]

_CENT = Decimal("0.01")


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
    async def positions(caller: Reader) -> dict[str, Any]:
        """List the caller's open positions lot by lot, with price now, unrealised P&L and protection."""
        found = await deps.db.read(lambda tx: service.open_lots_of(tx, UserId(caller.user_id)))
        now = deps.clock.now()
        return {"items": [_position(each, deps.price_now, now) for each in found], "at": now.isoformat()}

    @router.get("/balance")
    async def balance(caller: Reader, asset: Annotated[str | None, Query(max_length=24)] = None) -> dict[str, Any]:
        """List the caller's balances, free and locked apart, each with the time it was read."""
        wanted = None if asset is None else Asset(asset.upper())
        found = await deps.db.read(lambda tx: service.balances_of_user(tx, UserId(caller.user_id), wanted))
        return {"items": [_balance(each) for each in found]}

    return router


def _position(holding: Holding, price_now: PriceNow, now: datetime) -> dict[str, Any]:
    lot = holding.lot
    quoted = price_now(holding.venue, holding.environment, lot.symbol)
    entry = lot.entry_price
    view: dict[str, Any] = {
        **service.lot_view(holding),
        "age_s": int((now - lot.opened_at).total_seconds()),
        "price": None,
        "price_age_s": None,
        "unrealised": None,
        "unrealised_pct_of_cost": None,
    }
    if quoted is not None and entry is not None:
        price, age_s = quoted
        gain = EXACT.subtract(price.cost(lot.quantity), lot.cost_quote)
        share = EXACT.divide(gain, lot.cost_quote) * 100 * ONE
        view |= {
            "price": str(price),
            "price_age_s": f"{age_s:.1f}",
            "unrealised": plain(gain.quantize(Decimal("1e-8"))),
            "unrealised_pct_of_cost": plain(share.quantize(_CENT)),
        }
    return view


def _balance(held: Held) -> dict[str, Any]:
    return {
        "account_id": held.account_id,
        "asset": held.asset,
        "free": plain(held.free),
        "in_orders": plain(held.locked),
        "at": held.at.isoformat(),
    }
