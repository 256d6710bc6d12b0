"""The room's doors for people and programs: sources (operators), signals (S3), and the webhook."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from tradewind.core.errors import InvalidInput, NotFound
from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import plain
from tradewind.infra.db import Tx
from tradewind.signals import service
from tradewind.signals.by_hand import NewSignal, fields_of
from tradewind.signals.dialect_tradingview import read_draft
from tradewind.signals.redact import body_hash
from tradewind.signals.service import Alert
from tradewind.signals.sources import SourceWithToken
from tradewind.signals.strict_json import canonical
from tradewind.signals.tables import Entry, Origin, SignalState, Source
from tradewind.signals.webhook import (
    AcceptedView,
    SignalDeps,
    accepted_view,
    build_webhook_router,
    demand_listed,
    demand_room,
)
from tradewind.web.idempotency import Answer, OnceKey, RequestKey, kept_answer, once_in_tx
from tradewind.web.pagination import PageQuery, PageRequest, page_of
from tradewind.web.principal import Operator, Principal, Reader, Role, Trader

# What a column of the database can number.
_SEQ_MAX = 2**63 - 1


class SourceView(BaseModel):
    """A source as everybody may see it: users need its id for their mandates."""

    id: str
    name: str
    is_enabled: bool
    is_exchange_bound: bool
    created_at: datetime


class SourceTokenView(SourceView):
    """A source with its secret address, shown this once."""

    token: str
    webhook_path: str


class NewSource(BaseModel):
    """A source to add."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=80)
    is_exchange_bound: bool = Field(default=False, description="an exchange in an alert limits it to that venue")


class SourceChange(BaseModel):
    """What to change; what is missing stays."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = Field(default=None, min_length=1, max_length=80)
    is_enabled: bool | None = None
    is_exchange_bound: bool | None = None


class SignalView(BaseModel):
    """A signal and how far it is. `raw` and `last_error` are for those who run its source."""

    id: str
    source_id: str
    origin: str
    action: str
    base: str
    quote: str | None
    exchange: str | None
    symbol: str
    price: str | None
    stop: str | None
    stop_bps: int | None
    targets: list[str]
    target_bps: int | None
    size: str | None
    size_kind: str | None
    strategy: str | None
    alert_at: datetime | None
    received_at: datetime
    state: str
    rev: int
    decided_at: datetime | None
    attempts: int
    last_error: str | None = None
    raw: str | None = None


class SignalPage(BaseModel):
    """Signals, newest first."""

    items: list[SignalView]
    next_cursor: str | None


def build_router(deps: SignalDeps) -> APIRouter:
    """Build the room's router for /api/v1. Mount `build_webhook_router` at the root as well."""
    router = APIRouter()
    router.include_router(build_webhook_router(deps))
    _add_source_routes(router, deps)
    _add_signal_routes(router, deps)
    return router


def _add_source_routes(router: APIRouter, deps: SignalDeps) -> None:
    @router.get("/sources", tags=["sources"])
    async def list_sources(_reader: Reader) -> list[SourceView]:
        """All sources, oldest first."""
        found = await deps.db.read(deps.sources.list_all)
        return [_source_view(source) for source in found]

    @router.post("/sources", status_code=201, tags=["sources"])
    async def create_source(body: NewSource, caller: Operator) -> SourceTokenView:
        """Add a source; its secret address is in this answer and nowhere else."""
        now = deps.clock.now()
        made = await deps.db.write(
            lambda tx: deps.sources.create(
                tx,
                owner_id=caller.user_id,
                name=body.name,
                actor=caller.actor,
                now=now,
                is_exchange_bound=body.is_exchange_bound,
            )
        )
        return _token_view(made)

    @router.patch("/sources/{source_id}", tags=["sources"])
    async def change_source(source_id: str, body: SourceChange, caller: Operator) -> SourceView:
        """Rename, switch on or off, bind to the exchange that alerts name."""
        changed = await deps.db.write(
            lambda tx: deps.sources.change(tx, SourceId(source_id), actor=caller.actor, **body.model_dump())
        )
        return _source_view(changed)

    @router.post("/sources/{source_id}/rotate", tags=["sources"])
    async def rotate_source(source_id: str, caller: Operator) -> SourceTokenView:
        """Give a source a new secret address; the old one ends at once."""
        now = deps.clock.now()
        made = await deps.db.write(lambda tx: deps.sources.rotate(tx, SourceId(source_id), actor=caller.actor, now=now))
        return _token_view(made)


def _add_signal_routes(router: APIRouter, deps: SignalDeps) -> None:
    @router.get("/signals", tags=["signals"])
    async def list_signals(
        caller: Reader, page: PageQuery, state: Annotated[SignalState | None, Query()] = None
    ) -> SignalPage:
        """Signals of the caller's own sources and of those they have mandates on; operators see all."""
        before = _seq_of(page)

        def work(tx: Tx) -> tuple[list[Entry], Collection[SourceId] | None]:
            visible = visible_to(tx, deps, caller)
            rows = service.list_entries(tx, visible=visible, before_seq=before, limit=page.limit + 1, state=state)
            return rows, _own(tx, deps, caller)

        rows, own = await deps.db.read(work)
        shown = page_of(rows, page.limit, lambda entry: (entry.seq,))
        items = [_signal_view(entry, own, with_raw=False) for entry in shown.items]
        return SignalPage(items=items, next_cursor=shown.next_cursor)

    @router.get("/signals/{signal_id}", tags=["signals"])
    async def read_signal(signal_id: str, caller: Reader) -> SignalView:
        """One signal."""

        def work(tx: Tx) -> tuple[Entry, Collection[SourceId] | None]:
            entry = service.load_entry(tx, SignalId(signal_id), visible=visible_to(tx, deps, caller))
            return entry, _own(tx, deps, caller)

        entry, own = await deps.db.read(work)
        return _signal_view(entry, own, with_raw=True)

    @router.post(
        "/signals",
        status_code=202,
        tags=["signals"],
        response_class=Response,
        responses={202: {"model": AcceptedView, "description": "stored"}},
    )
    async def send_signal(body: NewSignal, caller: Trader, once: OnceKey) -> Response:
        """Send a signal by hand or program, as one of the caller's own sources (S3). Needs an Idempotency-Key."""
        answer = await _send(deps, body, caller, once)
        return answer.response()


async def _send(deps: SignalDeps, body: NewSignal, caller: Principal, once: RequestKey) -> Answer:
    now = deps.clock.now()
    # A repeat gets the first answer, whatever venues list by now.
    answered = await deps.db.read(lambda tx: kept_answer(tx, caller.user_id, once, now))
    if answered is not None:
        return answered
    content = fields_of(body)
    kept = canonical(content)
    key = hashlib.sha256(f"{caller.user_id}\x1f{once.key}".encode()).hexdigest()
    alert = Alert(draft=read_draft(content, now), sender_id=key, body_hash=body_hash(kept), raw=kept)
    demand_listed(deps.listings, [alert])

    def work(tx: Tx) -> Answer:
        source = service.load_source(tx, SourceId(body.source_id))
        if not (caller.is_operator or source.owner_id == caller.user_id):
            raise NotFound("source_not_found", "This source does not exist or is not yours.")
        demand_room(deps.db, [alert])
        accepted = service.accept(tx, deps.ids, source.id, [alert], now, origin=Origin.API, author_id=caller.user_id)
        return Answer.of(202, accepted_view(accepted).model_dump(mode="json"))

    return await deps.db.write(lambda tx: once_in_tx(tx, caller.user_id, once, now, work))


def _seq_of(page: PageRequest) -> int | None:
    """The number after which a page goes on; None: from the start. Raises InvalidInput for a cursor of no such list."""
    if page.after is None:
        return None
    seq = page.after[0]
    if len(page.after) != 1 or not isinstance(seq, int) or not 0 <= seq <= _SEQ_MAX:
        raise InvalidInput("bad_cursor", "The cursor is not one that this list handed out. Start without one.")
    return seq


def visible_to(tx: Tx, deps: SignalDeps, caller: Principal) -> Collection[SourceId] | None:
    """Return the sources whose signals the caller may read; None: all. One rule for signals and what became of them."""
    own = _own(tx, deps, caller)
    if own is None or caller.role is Role.SUPPORT:
        return None
    return {*own, *deps.visible_sources(tx, caller.user_id)}


def _own(tx: Tx, deps: SignalDeps, caller: Principal) -> Collection[SourceId] | None:
    """The sources the caller runs; None: all."""
    if caller.is_operator:
        return None
    return {source.id for source in deps.sources.list_all(tx) if source.owner_id == caller.user_id}


def _source_view(source: Source) -> SourceView:
    return SourceView(
        id=source.id,
        name=source.name,
        is_enabled=source.is_enabled,
        is_exchange_bound=source.is_exchange_bound,
        created_at=source.created_at,
    )


def _token_view(made: SourceWithToken) -> SourceTokenView:
    shown = _source_view(made.source).model_dump()
    return SourceTokenView(**shown, token=made.token, webhook_path=f"/webhooks/{made.token}")


def _signal_view(entry: Entry, own: Collection[SourceId] | None, *, with_raw: bool) -> SignalView:
    signal = entry.signal
    is_own = own is None or signal.source_id in own
    return SignalView(
        id=signal.id,
        source_id=signal.source_id,
        origin=entry.origin.value,
        action=signal.action.value,
        base=signal.base,
        quote=signal.quote,
        exchange=signal.exchange,
        symbol=signal.symbol_text,
        price=None if signal.price is None else str(signal.price),
        stop=None if signal.stop is None else str(signal.stop),
        stop_bps=signal.stop_bps,
        targets=[str(target) for target in signal.targets],
        target_bps=signal.target_bps,
        size=None if signal.size is None else plain(signal.size),
        size_kind=None if signal.size_kind is None else signal.size_kind.value,
        strategy=signal.strategy,
        alert_at=signal.alert_at,
        received_at=signal.received_at,
        state=entry.state.value,
        rev=entry.rev,
        decided_at=entry.decided_at,
        attempts=entry.attempts,
        last_error=entry.last_error if is_own else None,
        raw=entry.raw if is_own and with_raw else None,
    )
