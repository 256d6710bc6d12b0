"""The composition root: settings -> clock, database, bus, venues, rooms -> ASGI app and background tasks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from fastapi import FastAPI

from tradewind.accounts.account import AccountRow
from tradewind.accounts.key_test import KeyTest
from tradewind.accounts.linking import Linker
from tradewind.accounts.mandates import Mandates
from tradewind.accounts.service import Accounts, stored_credentials
from tradewind.app.desk import CredentialWatch, Desk, KnownOrders
from tradewind.app.emergency import EmergencyRoom, build_emergency
from tradewind.app.engine import Engine, EngineNumbers, build_engine
from tradewind.app.follow import AccountFollower, Places
from tradewind.app.paper import PaperKeys, PaperVenue, built_in_paper
from tradewind.app.restore import high_water
from tradewind.app.roster import PlatformRoster, PlatformSwitches
from tradewind.app.web import Rooms, build_asgi
from tradewind.audit.service import Audit
from tradewind.billing.service import Billing
from tradewind.config import Settings
from tradewind.core.depth import DepthRules
from tradewind.core.errors import NotFound
from tradewind.core.ids import SourceId, UserId
from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.execution import service as execution
from tradewind.execution.ladder import TrailingSteps
from tradewind.identity.service import Identity
from tradewind.infra.bus import InProcessBus
from tradewind.infra.clock import Clock, SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.db_reserve import keep_reserve, reserve_of
from tradewind.infra.high_water import HighWater
from tradewind.infra.ids import Ids, RandomIds
from tradewind.infra.log import logger
from tradewind.infra.outbox import Outbox
from tradewind.market.service import Market
from tradewind.portfolio.service import record_balances
from tradewind.signals.sources import Sources
from tradewind.signer.service import InProcessSigner
from tradewind.stream.hub import Hub
from tradewind.vault.opening import KekPlace, open_vault
from tradewind.vault.service import Vault
from tradewind.venues.base import AccountSnapshot, VenueHealth
from tradewind.venues.binance.signing import sign
from tradewind.venues.registry import Venues, VenueSettings
from tradewind.web.housekeeping import run_housekeeping
from tradewind.web.ratelimit import Limiter

_log = logger("app")


@dataclass(slots=True)
class App:
    """A platform ready to run: serve `asgi`, and run `run` beside it."""

    settings: Settings
    asgi: FastAPI
    db: Db
    clock: Clock
    venues: Venues
    market: Market
    outbox: Outbox
    hub: Hub
    engine: Engine
    emergency: EmergencyRoom
    follower: AccountFollower
    paper: PaperVenue | None
    high_water: HighWater
    is_ready: asyncio.Event

    async def run(self) -> None:
        """Start everything in order and run until cancelled; the database is closed at the end."""
        try:
            if self.paper is not None:
                await self.paper.start()
            await self.venues.start()
            await self._run_tasks()
        finally:
            if self.db.is_history_replaced:
                # What was confirmed last may be gone: the next start must not take the new server for complete.
                self.high_water.history_replaced()
            await self.venues.close()
            if self.paper is not None:
                await self.paper.stop()
            self.engine.latch.close("shutting_down")
            self.db.close()

    async def _run_tasks(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.venues.run(), name="venues")
            tasks.create_task(self.outbox.drain(), name="outbox")
            tasks.create_task(self.hub.run(), name="hub")
            tasks.create_task(self.high_water.run(), name="high water")
            tasks.create_task(keep_reserve(self.db.reserve, self.clock), name="reserve")
            tasks.create_task(run_housekeeping(self.db, self.clock), name="housekeeping")
            await self.market.start()
            tasks.create_task(self.market.run(), name="market")
            await self.emergency.load()
            undone = await self.engine.recover()
            await self.follower.start()
            tasks.create_task(self.follower.run(), name="follower")
            tasks.create_task(self.emergency.run(), name="emergency")
            tasks.create_task(self.engine.run(undone), name="engine")
            self.is_ready.set()


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every room stands on."""

    clock: Clock
    ids: Ids
    db: Db
    bus: InProcessBus
    vault: Vault
    audit: Audit


def _ground(settings: Settings, clock: Clock, *, is_owner: bool) -> _Ground:
    db = Db.open(settings.database_url, is_owner=is_owner)
    db.reserve = reserve_of(settings.database_url, settings.disk_reserve_mb)
    if db.reserve is not None:
        db.reserve.keep()
    place = KekPlace(settings.kek_file, settings.data_dir, settings.kek_env, settings.kek_passphrase_env)
    try:
        vault = db.write_now(lambda tx: open_vault(tx, place, clock, os.environ))
    except BaseException:
        db.close()
        raise
    return _Ground(clock, RandomIds(clock), db, InProcessBus(), vault, Audit(vault, clock))


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    web: Callable[[Rooms], FastAPI] = build_asgi,
    is_owner: bool = False,
) -> App:
    """Build the platform over a database that has its schema. Raises InvalidInput without the right key.

    `web` puts the rooms' routes together; a process that serves nobody passes another. `is_owner`: nobody else
    may run on the database (at PostgreSQL; a file's lock is taken before). Raises Conflict where somebody does.
    """
    ground = _ground(settings, clock or SystemClock(), is_owner=is_owner)
    try:
        return _build(settings, ground, web)
    except BaseException:
        # Nobody else could: at PostgreSQL a session left open would hold the owner's lock.
        ground.db.close()
        raise


def _build(settings: Settings, ground: _Ground, web: Callable[[Rooms], FastAPI]) -> App:
    clock, ids, db, bus = ground.clock, ground.ids, ground.db, ground.bus
    vault, audit = ground.vault, ground.audit
    identity = Identity(clock, ids, audit)
    billing = Billing(clock, ids, audit)
    db.write_now(billing.seed_plans)
    paper = built_in_paper(settings) if needs_built_in_paper(settings) else None
    venues = Venues(venue_settings(settings, paper), clock)
    market = Market(
        {(client.capabilities.venue, client.environment): client for client in venues.all()}, clock, db, bus
    )
    known = KnownOrders(db)
    signer = InProcessSigner(db, vault, stored_credentials, {BINANCE: sign}, is_order_known=known.is_known)
    accounts = Accounts(clock, audit, execution.has_open_business)
    sources = Sources(ids, audit)
    mandates = Mandates(clock, ids, audit, _source_check(sources))
    places = Places()
    credentials = CredentialWatch(db, accounts, clock, places.of)
    desk = Desk(
        venues, signer, market, clock, float(settings.orders.watch_price_age_s), credentials, _price_place(settings)
    )
    roster = _roster(settings, ground, (accounts, mandates, identity, billing), venues, desk)
    engine = build_engine(
        db=db, clock=clock, ids=ids, bus=bus, desk=desk, known=known, roster=roster, numbers=_numbers(settings)
    )
    # Before any door opens: from here on the process before this one cannot write.
    db.write_now(engine.journal.owner.take)
    emergency = build_emergency(engine, bus, audit, identity, accounts, settings.data_dir)
    linker = _linker(settings, ground, accounts, signer, venues)
    hub = Hub(bus, clock, ids)
    asgi = web(
        Rooms(
            settings=settings,
            db=db,
            clock=clock,
            ids=ids,
            identity=identity,
            billing=billing,
            accounts=accounts,
            mandates=mandates,
            linker=linker,
            signer=signer,
            sources=sources,
            market=market,
            hub=hub,
            engine=engine,
            emergency=emergency,
            roster=roster,
            limiter=Limiter(clock),
            paper_keys=_paper_keys(settings, paper),
        )
    )
    follower = AccountFollower(db, bus, accounts, signer, engine, places)
    outbox, is_ready = Outbox(db, bus, clock), asyncio.Event()
    mark = high_water(db, settings, clock)
    return App(
        settings, asgi, db, clock, venues, market, outbox, hub, engine, emergency, follower, paper, mark, is_ready
    )


def needs_built_in_paper(settings: Settings) -> bool:
    """Say whether paper accounts trade on the built-in venue."""
    section = settings.venues[BINANCE, Environment.PAPER]
    return settings.is_enabled(BINANCE, Environment.PAPER) and section.rest_url is None


def venue_settings(settings: Settings, paper: PaperVenue | None) -> list[VenueSettings]:
    """Return what the venues' clients need, for every venue and environment that is on."""
    found = []
    for (venue, environment), section in settings.venues.items():
        if not settings.is_enabled(venue, environment):
            continue
        is_built_in = environment is Environment.PAPER and section.rest_url is None and paper is not None
        found.append(
            VenueSettings(
                venue=venue,
                environment=environment,
                profile=section.profile,
                rest_url=paper.rest_url if is_built_in and paper else section.rest_url,
                ws_api_url=paper.ws_api_url if is_built_in and paper else section.ws_api_url,
                stream_url=paper.stream_url if is_built_in and paper else section.stream_url,
                request_timeout_s=settings.orders.request_timeout_ms / 1_000,
                recv_window_ms=settings.orders.recv_window_ms,
                processing_ms_max=settings.orders.venue_processing_ms,
            )
        )
    return found


def _roster(
    settings: Settings,
    ground: _Ground,
    people: tuple[Accounts, Mandates, Identity, Billing],
    venues: Venues,
    desk: Desk,
) -> PlatformRoster:
    return PlatformRoster(
        *people,
        _switches(settings),
        ground.clock,
        _health_of(venues, desk.credentials),
        desk.is_blind,
    )


def _linker(settings: Settings, ground: _Ground, accounts: Accounts, signer: InProcessSigner, venues: Venues) -> Linker:
    return Linker(
        ground.db,
        ground.clock,
        ground.ids,
        accounts=accounts,
        signer=signer,
        key_test=KeyTest(venues.client, settings.egress),
        on_linked=_keep_balances(ground.clock),
    )


def _price_place(settings: Settings) -> tuple[VenueName, Environment] | None:
    """Real prices before modelled ones; those of a testnet are nobody's reference."""
    venue = VenueName(settings.price_venue)
    wanted = (Environment.LIVE, Environment.PAPER)
    return next(((venue, each) for each in wanted if settings.is_enabled(venue, each)), None)


def _paper_keys(settings: Settings, paper: PaperVenue | None) -> PaperKeys | None:
    section = settings.venues[BINANCE, Environment.PAPER]
    url = paper.rest_url if paper is not None else section.rest_url
    return None if url is None or not settings.is_enabled(BINANCE, Environment.PAPER) else PaperKeys(url)


def _source_check(sources: Sources) -> Callable[[Tx, SourceId, UserId], bool]:
    def is_open(tx: Tx, source_id: SourceId, _user_id: UserId) -> bool:
        try:
            return sources.load(tx, source_id).is_enabled
        except NotFound:
            return False

    return is_open


def _health_of(venues: Venues, credentials: CredentialWatch) -> Callable[[AccountRow], VenueHealth | None]:
    def health(row: AccountRow) -> VenueHealth | None:
        try:
            found = venues.client(row.venue, row.environment).health()
        except NotFound:
            return None
        # Keys of many accounts refused at once: our address or a ban, so the venue is not usable from here.
        is_ours = credentials.is_ours((row.venue, row.environment))
        return replace(found, is_healthy=False, last_error="credentials_refused") if is_ours else found

    return health


def _keep_balances(clock: Clock) -> Callable[[Tx, AccountRow, AccountSnapshot], None]:
    def keep(tx: Tx, row: AccountRow, snapshot: AccountSnapshot) -> None:
        record_balances(tx, row.user_id, row.id, snapshot.balances, clock.now())

    return keep


def _switches(settings: Settings) -> PlatformSwitches:
    return PlatformSwitches(
        trading_enabled=settings.trading_enabled,
        dry_run=settings.dry_run,
        allow_live=settings.allow_live,
        live_confirm=settings.live_confirm,
        min_order_quote=settings.orders.min_order_quote,
    )


def _numbers(settings: Settings) -> EngineNumbers:
    orders, depth = settings.orders, settings.depth
    rules = DepthRules(
        allowance_orders=depth.allowance_orders,
        within_bps=depth.within_bps,
        slice_pct=depth.slice_pct,
        refuse_pct=depth.refuse_pct,
        slice_every=timedelta(milliseconds=depth.slice_every_ms),
    )
    return EngineNumbers(
        send_by_ms=orders.send_by_ms,
        request_timeout_s=orders.request_timeout_ms / 1_000,
        max_age_s=orders.max_age_s,
        lease_s=orders.lease_s,
        stop_escalation_s=float(orders.stop_escalation_s),
        doubt_alarm_s=float(orders.doubt_alarm_s),
        quiet_s=float(orders.reconcile_quiet_s),
        doubtful_s=float(orders.reconcile_doubtful_s),
        depth_rules=rules if depth.enabled else None,
        depth_timeout_s=depth.timeout_ms / 1_000,
        external_confirm_s=float(orders.external_confirm_s),
        trailing=TrailingSteps(orders.trailing_step_bps, orders.trailing_native_step_bps),
    )
