"""The webhook's door: POST /webhooks/{token} (S1).

The steps stand in the order of their cost: who is it, is it too much, is it too long, can it be read, store it
once, answer after the commit. What a sender does wrong is answered 4xx and stored nowhere: a 5xx would make
TradingView send it again (signals reference 1.2).
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fastapi import APIRouter, Request
from pydantic import BaseModel

from tradewind.core.errors import InvalidInput, NotFound
from tradewind.core.ids import SourceId
from tradewind.core.money import Asset
from tradewind.core.signal import Action
from tradewind.core.symbols import pair_text
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.signals import service
from tradewind.signals.dialects import parse
from tradewind.signals.refusal import refused
from tradewind.signals.service import Accepted, Alert, Stored
from tradewind.signals.sources import Sources, find_by_token, is_token_shaped
from tradewind.signals.tables import Source
from tradewind.web.body import read_body
from tradewind.web.ratelimit import WEBHOOK_RATE, Limiter, Rate, address_of

# TradingView hangs up after 3 s; a body that takes longer has nobody waiting for the answer.
_BODY_TIMEOUT_S = 5.0
# Guessing tokens is hopeless (256 bits), but it must not be free either.
_STRANGER_RATE = Rate("webhook_stranger", 5, 1, burst=20)

_log = logger("signals.webhook")


class Listings(Protocol):
    """What the market knows of assets (tradewind.market.service.Market)."""

    def is_listed(self, base: Asset) -> bool | None:
        """Say whether any venue lists the asset; None while no list is known."""
        ...

    def similar_bases(self, base: Asset) -> list[str]:
        """Return listed assets with a similar name."""
        ...


@dataclass(frozen=True, slots=True)
class SignalDeps:
    """What this room's routes stand on. `visible_sources`: the sources a user has mandates on."""

    db: Db
    clock: Clock
    ids: Ids
    sources: Sources
    limiter: Limiter
    listings: Listings
    visible_sources: Callable[[Tx, str], Collection[SourceId]]
    max_age_s: int = service.ENTRY_AGE_MAX_S


class StoredView(BaseModel):
    """One signal of a request, and where to read it."""

    id: str
    status: str
    duplicate: bool
    received_at: datetime
    links: dict[str, str]


class AcceptedView(StoredView):
    """The answer to an accepted request: its first signal, and all of them in the order of the body."""

    signals: list[StoredView]


def build_webhook_router(deps: SignalDeps) -> APIRouter:
    """Build the webhook's route; mount it under /api/v1 and at the root (short URLs for senders)."""
    router = APIRouter(tags=["webhooks"])

    # With a slash at the end as well: a redirect is an error to TradingView.
    @router.post("/webhooks/{token}/", status_code=202, include_in_schema=False)
    @router.post("/webhooks/{token}", status_code=202)
    async def receive(token: str, request: Request) -> AcceptedView:
        """Take an alert of a source: 202 with its id once it is stored; a repeat gets the same id."""
        source = await _authenticate(deps, token, request)
        try:
            return await _receive(deps, source, request)
        except InvalidInput as error:
            # Who is told what, never the body: it may hold somebody's secrets.
            _log.info("signals.webhook.refused", source_id=source.id, code=error.code)
            raise

    return router


async def _authenticate(deps: SignalDeps, token: str, request: Request) -> Source:
    source = await deps.db.read(lambda tx: find_by_token(tx, token)) if is_token_shaped(token) else None
    if source is None:
        deps.limiter.demand(_STRANGER_RATE, address_of(request))
        raise NotFound(
            "webhook_not_found",
            "No source has this webhook address. It is shown once, when it is made; "
            "`tradewind sources rotate` makes a new one.",
        )
    deps.limiter.demand(WEBHOOK_RATE, source.id)
    service.demand_enabled(source)
    return source


async def _receive(deps: SignalDeps, source: Source, request: Request) -> AcceptedView:
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            raw = await read_body(request)
    except TimeoutError:
        raise InvalidInput("body_too_slow", f"The body did not arrive within {_BODY_TIMEOUT_S:.0f} s.") from None
    return accepted_view(await take(deps, source, raw))


async def take(deps: SignalDeps, source: Source, raw: bytes) -> Accepted:
    """Read an alert's body and store what it says, once; nothing may be answered before this returns.

    Raises InvalidInput for a body that cannot be carried out, Conflict for a known id with other content.
    """
    now = deps.clock.now()
    alerts = parse(raw, now)
    demand_listed(deps.listings, alerts)

    def store(tx: Tx) -> Accepted:
        demand_room(deps.db, alerts)
        return service.accept(tx, deps.ids, source.id, alerts, now, max_age_s=deps.max_age_s)

    accepted = await deps.db.write(store)
    reached(Point.INBOX_COMMITTED)
    for stored in accepted.signals:
        _log.info("signals.accepted", signal_id=stored.id, source_id=source.id, is_repeat=stored.is_repeat)
    return accepted


def demand_room(db: Db, alerts: Sequence[Alert]) -> None:
    """Raise DiskShort for alerts that only open while the disk is full: the room that is left is for what closes."""
    if all(alert.draft.action is Action.OPEN for alert in alerts):
        db.demand_room()


def demand_listed(listings: Listings, alerts: Sequence[Alert]) -> None:
    """Raise InvalidInput for an asset that no venue lists; while no list is known, everything passes."""
    for alert in alerts:
        draft = alert.draft
        if listings.is_listed(draft.base) is not False:
            continue
        similar = listings.similar_bases(draft.base)
        hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
        raise refused(
            "unknown_symbol",
            f"No venue here lists {pair_text(draft.base, draft.quote)} (written {draft.symbol_text!a}).{hint}",
        )


def accepted_view(accepted: Accepted) -> AcceptedView:
    """Show what was stored."""
    views = [_stored_view(stored) for stored in accepted.signals]
    return AcceptedView(**views[0].model_dump(exclude={"duplicate"}), duplicate=accepted.is_repeat, signals=views)


def _stored_view(stored: Stored) -> StoredView:
    return StoredView(
        id=stored.id,
        status=stored.state.value,
        duplicate=stored.is_repeat,
        received_at=stored.received_at,
        links={"self": f"/api/v1/signals/{stored.id}"},
    )
