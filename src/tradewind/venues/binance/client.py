"""The venue port for Binance spot: thin verbs over codec and Rest; one client serves all accounts of an environment.

Rules of this file: an order is accepted by an answer that names it, refused by the allow-list of codes.py, and in
doubt by everything else; nothing is sent twice from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tradewind.core.ids import VenueOrderId
from tradewind.core.instrument import BINANCE, Environment, Instrument
from tradewind.infra.clock import Clock, from_ms
from tradewind.infra.log import logger
from tradewind.venues.base import (
    AccountSnapshot,
    Ack,
    CandleRow,
    Capabilities,
    Depth,
    MarketEvents,
    OrderRef,
    OrderReport,
    Permissions,
    PlaceList,
    Placement,
    PlacementTold,
    PlaceOrder,
    SendWindow,
    Signer,
    SignPurpose,
    Ticker,
    UserEvents,
    VenueFill,
    VenueHealth,
)
from tradewind.venues.binance import codec_account, codec_market, codec_orders, codec_reports
from tradewind.venues.binance.capabilities import PROCESSING_MS_MAX, RECV_WINDOW_MS, Profile, capabilities_of
from tradewind.venues.binance.catalogue import Catalogue
from tradewind.venues.binance.codec import read_object
from tradewind.venues.binance.codes import Proof, judge_cancel, judge_placement
from tradewind.venues.binance.failures import Answered
from tradewind.venues.binance.outcome import Page, accepted, all_pages, refusal
from tradewind.venues.binance.placing import Placer, confirm
from tradewind.venues.binance.rest import Rest
from tradewind.venues.binance.rights import may_trade, probe_order, probed_permissions, stated_permissions
from tradewind.venues.binance.sending import OrderJob, OrderSender
from tradewind.venues.binance.stream import BinanceUserEvents
from tradewind.venues.binance.stream_market import BinanceMarketEvents
from tradewind.venues.breaker import Breaker, BreakerRules
from tradewind.venues.clocksync import VenueClock
from tradewind.venues.errors import VenueError
from tradewind.venues.health import HealthRecord
from tradewind.venues.ratelimit import IpBudget, Lane, OrderCounts, WindowLimit
from tradewind.venues.stream_socket import StreamRules
from tradewind.venues.transport import HttpReply, Timeouts, Transport

_log = logger(__name__)

# Until exchangeInfo has said better: what the venue published on 2026-08-04.
_WEIGHT_LIMITS = (WindowLimit(60_000, 6_000), WindowLimit(300_000, 300_000, counts_calls=True))
_ORDER_LIMITS = (WindowLimit(10_000, 100), WindowLimit(86_400_000, 200_000))
# The order's own time may lie up to a second before our timestamp (the venue takes timestamps 1 s ahead).
_LIST_MARGIN_MS = 1_000
_CANCEL_MS = 2_000
_TICK_S = 1.0
_SWEEP_S = 60.0
# After a refusal by a rule we took to be kept: steps and minimums may have changed.
_DOUBTED_S = 60.0


@dataclass(frozen=True, slots=True)
class BinanceOptions:
    """Numbers of one client; the defaults are order-protocol.md section 10."""

    connections_max: int = 256
    waiters_max: int = 10_000
    request_timeout_s: float = 5.0
    connect_timeout_s: float = 5.0
    recv_window_ms: int = RECV_WINDOW_MS
    processing_ms_max: int = PROCESSING_MS_MAX
    read_wait_s: float = 10.0
    clock_every_s: float = 10.0
    instruments_every_s: float = 1_800.0
    breaker: BreakerRules = field(default_factory=BreakerRules)
    streams: StreamRules = field(default_factory=StreamRules)


class BinanceClient:
    """Binance spot in one environment. Implements tradewind.venues.base.VenueClient."""

    def __init__(
        self, environment: Environment, profile: Profile, clock: Clock, options: BinanceOptions = BinanceOptions()
    ) -> None:
        self._environment = environment
        self._profile = profile
        self._clock = clock
        self._options = options
        self._capabilities = capabilities_of(
            profile, recv_window_ms=options.recv_window_ms, processing_ms_max=options.processing_ms_max
        )
        patience_s = options.request_timeout_s
        timeouts = Timeouts(patience_s, options.connect_timeout_s, patience_s, patience_s)
        venue_clock = VenueClock(clock)
        self._rest = Rest(
            environment=environment,
            transport=Transport(
                profile.rest_url,
                connections_max=options.connections_max,
                waiters_max=options.waiters_max,
                timeouts=timeouts,
            ),
            clock=clock,
            venue_clock=venue_clock,
            budget=IpBudget(clock, venue_clock.now_ms, _WEIGHT_LIMITS),
            counts=OrderCounts(venue_clock.now_ms, _ORDER_LIMITS),
            breaker=Breaker(clock, options.breaker),
            health=HealthRecord(clock),
            recv_window_ms=options.recv_window_ms,
            read_wait_s=options.read_wait_s,
            timeouts=timeouts,
        )
        self._sender = OrderSender(self._rest)
        self._catalogue = Catalogue(self._rest)
        self._placer = Placer(self._sender, self._catalogue)
        self._measured_at: float | None = None
        self._swept_at: float | None = None

    # --- life --------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def environment(self) -> Environment:
        return self._environment

    async def start(self) -> None:
        """Measure the clock, load instruments. Raises VenueDown."""
        for _ in range(3):
            await self.server_time()
        await self._catalogue.load()

    async def run(self) -> None:
        """Keep clock and instruments fresh until cancelled."""
        while True:
            await self._clock.sleep(_TICK_S)
            try:
                await self._upkeep()
            except VenueError as error:
                _log.warning("venues.upkeep.failed", venue=BINANCE, environment=self._environment, code=error.code)
            except Exception:
                _log.exception("venues.upkeep.crashed", venue=BINANCE, environment=self._environment)

    async def close(self) -> None:
        """Close the pool."""
        await self._rest.transport.close()

    async def _upkeep(self) -> None:
        if self._is_due(self._swept_at, _SWEEP_S):
            self._rest.counts.forget_idle()
            self._swept_at = self._clock.monotonic()
        if self._rest.budget.blocked_until_ms is not None:
            return
        if self._rest.venue_clock.needs_measurement() or self._is_due(self._measured_at, self._options.clock_every_s):
            await self.server_time()
        every_s = _DOUBTED_S if self._catalogue.is_doubted else self._options.instruments_every_s
        if self._is_due(self._catalogue.loaded_at, every_s):
            await self._catalogue.load()

    def _is_due(self, last: float | None, every_s: float) -> bool:
        return last is None or self._clock.monotonic() - last >= every_s

    def venue_now_ms(self) -> int:
        """Our clock plus the measured offset."""
        return self._rest.venue_clock.now_ms()

    def confirmed_venue_ms(self) -> int:
        """The latest time the venue itself has stated; 0 before the first."""
        return self._rest.venue_clock.confirmed_ms

    def health(self) -> VenueHealth:
        """How the venue looks from here."""
        record, blocked_until = self._rest.health, self._rest.budget.blocked_until_ms
        return VenueHealth(
            venue=BINANCE,
            environment=self._environment,
            is_healthy=record.is_fresh and blocked_until is None and self._rest.breaker.opens_in_s() == 0,
            checked_at=record.checked_at,
            offset_ms=self._rest.venue_clock.offset_ms,
            latency_p50_ms=record.percentile_ms(50),
            latency_p99_ms=record.percentile_ms(99),
            banned_until_ms=blocked_until,
            used_weight=self._rest.budget.used_weight(),
            last_error=record.last_error,
            weight_a_minute=self._rest.budget.weight_a_minute(Lane.QUERY),
        )

    # --- market ------------------------------------------------------------------------------------

    async def instruments(self, symbol: str | None = None) -> Sequence[Instrument]:
        """Return the catalogue, loaded at start and kept fresh by `run`; one symbol is asked for anew."""
        return await (self._catalogue.instruments() if symbol is None else self._catalogue.ask(symbol))

    async def server_time(self) -> int:
        """Ask the venue its time (ms) and take it as a measurement of the clock."""
        stated_ms = await self._rest.measure_clock()
        self._measured_at = self._clock.monotonic()
        return stated_ms

    async def tickers(self, symbols: Sequence[str]) -> Sequence[Ticker]:
        """Return prices of these symbols; one that never traded is left out."""
        return await self._catalogue.tickers(symbols)

    async def candles(self, symbol: str, interval: str, limit: int) -> Sequence[CandleRow]:
        """Return the newest candles, oldest first; the last may still be forming."""
        call = codec_market.candles_call(symbol, interval, limit)
        return await self._rest.read(call, lambda reply: codec_market.read_candles(reply.body))

    async def depth(self, symbol: str, limit: int) -> Depth:
        """Return the book, best first."""
        return await self._rest.read(
            codec_market.depth_call(symbol, limit), lambda reply: codec_market.read_depth(reply.body)
        )

    # --- account -----------------------------------------------------------------------------------

    async def account(self, signer: Signer) -> AccountSnapshot:
        """Return balances and the venue's user id."""

        def parse(reply: HttpReply) -> AccountSnapshot:
            return codec_account.read_account(reply.body, from_ms(self.venue_now_ms()))

        return await self._rest.read(codec_account.ACCOUNT_CALL, parse, signer=signer)

    async def permissions(self, signer: Signer) -> Permissions:
        """Return the rights of the key: as the venue states them, else as far as they can be probed."""
        if self._profile.has_sapi:
            return await stated_permissions(self._rest, signer)
        await self.account(signer)
        order = probe_order(await self.instruments(), self._capabilities.main_quote)
        return probed_permissions(can_trade=await may_trade(lambda: self.test_order(signer, order)))

    async def test_order(self, signer: Signer, order: PlaceOrder) -> None:
        """Have an order validated without placing it. Raises OrderRefused, CredentialRefused, VenueDown."""
        call = codec_orders.place_call(
            order, has_stop_market=self._catalogue.has_stop_market(order.instrument), is_test=True
        )
        try:
            await self._rest.read(call, lambda reply: read_object(reply.body), signer=signer, lane=Lane.QUERY)
        except Answered as answer:
            verdict = judge_placement(answer.error)
            if verdict.proof is Proof.REFUSED:
                self._catalogue.doubt(verdict.name)
                raise refusal(verdict) from None
            raise

    # --- orders ------------------------------------------------------------------------------------

    async def place(self, signer: Signer, order: PlaceOrder, window: SendWindow) -> Ack:
        """Place once. Raises OrderRefused, NotSent, NotExecuted, CredentialRefused, else OutcomeUnknown."""
        return await self._placer.place(Placement(signer, order, window))

    async def place_list(self, signer: Signer, orders: PlaceList, window: SendWindow) -> Ack:
        """Place an OCO once; errors as `place`."""
        return await self._placer.place(Placement(signer, orders, window))

    async def place_all(self, placements: Sequence[Placement], told: PlacementTold) -> None:
        """Place each once; `told` is called once for each with its acknowledgement or an error as of `place`."""
        await self._placer.place_all(placements, told)

    async def cancel(self, signer: Signer, ref: OrderRef) -> tuple[OrderReport, ...]:
        """Cancel once (a list leg cancels its list). Errors as `place`; OrderRefused: nothing to cancel."""
        sent = await self._sender.send(
            OrderJob(
                call=codec_orders.cancel_call(ref),
                signer=signer,
                purpose=SignPurpose.CANCEL,
                order_id=ref.order_id,
                lane=Lane.EXIT,
                count=0,
                send_by_ms=self.venue_now_ms() + _CANCEL_MS,
                is_open=_always,
            )
        )
        reports = accepted(sent, judge_cancel, lambda body: codec_reports.read_cancel(body, ref))
        confirm(self._rest, reports)
        return reports

    # --- questions about orders --------------------------------------------------------------------

    async def find_order(self, signer: Signer, ref: OrderRef) -> OrderReport | None:
        """Ask about an order; None only for the venue's own words "does not exist" (-2013)."""
        try:
            return await self._rest.read(
                codec_orders.find_call(ref),
                lambda reply: codec_reports.read_order(reply.body, ref),
                signer=signer,
                lane=Lane.QUERY,
            )
        except Answered as answer:
            if answer.error.code == -2013 and answer.error.status == 400:
                return None
            raise

    async def orders_since(self, signer: Signer, instrument: Instrument, since_ms: int) -> Sequence[OrderReport]:
        """Return all orders of the account in the symbol since a venue time (at most 24 h), oldest first."""
        symbol = instrument.symbol

        async def page(from_id: int | None) -> Page[OrderReport]:
            call = codec_orders.all_orders_call(symbol, since_ms=since_ms - _LIST_MARGIN_MS, from_id=from_id)
            return await self._rest.read(
                call,
                lambda reply: (codec_reports.read_orders(reply.body, symbol), *codec_reports.page_of(reply.body)),
                signer=signer,
                lane=Lane.QUERY,
            )

        return await all_pages(page)

    async def open_orders(self, signer: Signer, instrument: Instrument | None) -> Sequence[OrderReport]:
        """Return the account's open orders, in one symbol or in all."""
        symbol = instrument.symbol if instrument is not None else None
        return await self._rest.read(
            codec_orders.open_orders_call(symbol),
            lambda reply: codec_reports.read_orders(reply.body, symbol),
            signer=signer,
            lane=Lane.QUERY,
        )

    async def fills(
        self, signer: Signer, instrument: Instrument, *, venue_order_id: VenueOrderId | None, since_ms: int | None
    ) -> Sequence[VenueFill]:
        """Return executions of an order, or of the account in the symbol since a venue time, oldest first."""
        symbol = instrument.symbol

        async def page(from_id: int | None) -> Page[VenueFill]:
            call = codec_orders.fills_call(symbol, venue_order_id=venue_order_id, since_ms=since_ms, from_id=from_id)
            return await self._rest.read(
                call,
                lambda reply: (codec_reports.read_fills(reply.body, symbol), *codec_reports.page_of(reply.body)),
                signer=signer,
                lane=Lane.QUERY,
            )

        return await all_pages(page)

    # --- streams -----------------------------------------------------------------------------------

    def user_events(self) -> UserEvents:
        """Return fresh private streams; their owner runs them, one reader each."""
        return BinanceUserEvents(
            self._profile.ws_api_url,
            self._clock,
            self._rest.venue_clock,
            self._rest.budget,
            rules=self._options.streams,
            recv_window_ms=self._options.recv_window_ms,
        )

    def market_events(self) -> MarketEvents:
        """Return a fresh price stream; its owner runs it, one reader."""
        return BinanceMarketEvents(self._profile.stream_url, self._clock, self._rest.budget, self._options.streams)


def _always() -> bool:
    return True
