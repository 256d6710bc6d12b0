"""The ASGI app: every room's doors under /api/v1, the webhook at the root as well."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fastapi import FastAPI

from tradewind import __version__
from tradewind.accounts import paper_routes
from tradewind.accounts import routes as accounts_routes
from tradewind.accounts.linking import Linker
from tradewind.accounts.mandates import Mandates
from tradewind.accounts.service import Accounts
from tradewind.app.emergency import EmergencyRoom, emergency_deps
from tradewind.app.engine import Engine
from tradewind.app.paper import PaperKeys
from tradewind.app.roster import PlatformRoster
from tradewind.billing import routes as billing_routes
from tradewind.billing.service import Billing
from tradewind.config import Settings
from tradewind.config.settings import VENUES
from tradewind.core.ids import AccountId, SignalId, SourceId, UserId
from tradewind.execution import emergency_routes
from tradewind.execution import routes as execution_routes
from tradewind.execution.deps import ExecutionDeps
from tradewind.identity import routes as identity_routes
from tradewind.identity.login import DbAuthenticator, Login
from tradewind.identity.passwords import Passwords
from tradewind.identity.service import Identity
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import Ids
from tradewind.market import routes as market_routes
from tradewind.market.service import Market
from tradewind.portfolio import routes as portfolio_routes
from tradewind.signals import routes as signals_routes
from tradewind.signals import service as signals
from tradewind.signals.sources import Sources
from tradewind.signals.webhook import SignalDeps, build_webhook_router
from tradewind.signer.service import InProcessSigner
from tradewind.stream import routes as stream_routes
from tradewind.stream.hub import Hub
from tradewind.web.docs_page import install_docs
from tradewind.web.install import install_web
from tradewind.web.principal import Principal
from tradewind.web.ratelimit import Limiter

API = "/api/v1"
_ABOUT = (
    "One signal, every account, exactly once. Amounts are strings, times are UTC. "
    "PAPER, TESTNET or LIVE stands on every order and position."
)


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything that has a door."""

    settings: Settings
    db: Db
    clock: Clock
    ids: Ids
    identity: Identity
    billing: Billing
    accounts: Accounts
    mandates: Mandates
    linker: Linker
    signer: InProcessSigner
    sources: Sources
    market: Market
    hub: Hub
    engine: Engine
    emergency: EmergencyRoom
    roster: PlatformRoster
    limiter: Limiter
    # None where paper accounts are switched off.
    paper_keys: PaperKeys | None


def build_asgi(rooms: Rooms) -> FastAPI:
    """Build the app with all routers and the shared doors around it."""
    app = FastAPI(title="Tradewind", version=__version__, description=_ABOUT, docs_url=None, redoc_url=None)
    install_docs(app)
    install_web(app, authenticator=DbAuthenticator(rooms.db, rooms.identity), limiter=rooms.limiter)
    login = Login(rooms.db, rooms.identity, Passwords(), rooms.limiter)
    signal_deps = _signal_deps(rooms)
    routers = [
        market_routes.build_router(rooms.market, rooms.clock, lambda: rooms.db.trouble),
        identity_routes.build_router(_identity_deps(rooms, login)),
        billing_routes.build_router(billing_routes.BillingDeps(rooms.db, rooms.billing, rooms.identity)),
        accounts_routes.build_router(
            accounts_routes.AccountsDeps(
                rooms.db,
                rooms.clock,
                rooms.accounts,
                rooms.mandates,
                rooms.linker,
                rooms.signer,
                rooms.limiter,
                rooms.settings.egress,
            )
        ),
        execution_routes.build_router(_execution_deps(rooms, signal_deps)),
        portfolio_routes.build_router(
            portfolio_routes.PortfolioDeps(rooms.db, rooms.clock, rooms.engine.desk.shown_price)
        ),
        signals_routes.build_router(signal_deps),
        emergency_routes.build_router(
            emergency_deps(rooms.emergency, rooms.accounts, rooms.identity, login, {venue for venue, _ in VENUES})
        ),
        stream_routes.build_router(rooms.hub, rooms.clock),
    ]
    if rooms.paper_keys is not None:
        deps = paper_routes.PaperDeps(rooms.db, rooms.clock, rooms.linker, rooms.limiter, rooms.paper_keys.issue)
        routers.append(paper_routes.build_router(deps))
    for router in routers:
        app.include_router(router, prefix=API)
    app.include_router(build_webhook_router(signal_deps), include_in_schema=False)
    return app


def _identity_deps(rooms: Rooms, login: Login) -> identity_routes.IdentityDeps:
    venues = {str(venue) for venue, _ in rooms.settings.venues}
    return identity_routes.IdentityDeps(rooms.db, rooms.clock, rooms.identity, login, venues)


def _signal_deps(rooms: Rooms) -> SignalDeps:
    def visible(tx: Tx, user_id: str) -> Collection[SourceId]:
        return {mandate.source_id for mandate in rooms.mandates.list_of(tx, UserId(user_id))}

    return SignalDeps(
        rooms.db,
        rooms.clock,
        rooms.ids,
        rooms.sources,
        rooms.limiter,
        rooms.market,
        visible,
        rooms.settings.orders.max_age_s,
    )


def _execution_deps(rooms: Rooms, signal_deps: SignalDeps) -> ExecutionDeps:
    engine = rooms.engine

    def own_accounts(tx: Tx, user_id: UserId) -> list[AccountId]:
        return [row.id for row in rooms.accounts.list_of(tx, user_id)]

    def demand_visible(tx: Tx, caller: Principal, signal_id: str) -> None:
        signals.load_entry(tx, SignalId(signal_id), visible=signals_routes.visible_to(tx, signal_deps, caller))

    return ExecutionDeps(
        db=rooms.db,
        clock=rooms.clock,
        journal=engine.journal,
        recorder=engine.recorder,
        dispatcher=engine.dispatcher,
        protector=engine.protector,
        boards=engine.boards,
        hand=engine.hand,
        recovery=engine.recovery,
        retries=engine.retries,
        roster=rooms.roster,
        own_accounts=own_accounts,
        confirm=engine.desk.confirm,
        demand_signal_visible=demand_visible,
        outlooks=engine.worker.outlooks,
        listings=rooms.market,
    )
