"""A venue at the port: knows keys and their rights, checks signatures, and goes wrong on demand."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from tradewind.core.errors import NotFound
from tradewind.core.ids import VenueOrderId
from tradewind.core.instrument import BINANCE, Environment, Instrument, VenueName
from tradewind.core.money import Asset
from tradewind.venues.base import (
    AccountSnapshot,
    Ack,
    AssetBalance,
    CandleRow,
    Capabilities,
    Depth,
    MarketEvents,
    OrderRef,
    OrderReport,
    Permissions,
    PermissionSource,
    PlaceList,
    Placement,
    PlacementTold,
    PlaceOrder,
    Protection,
    ResendRule,
    SendWindow,
    Signer,
    SignPurpose,
    SignRequest,
    Ticker,
    UserEvents,
    VenueFill,
    VenueHealth,
)
from tradewind.venues.errors import CredentialRefused

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BTCUSDT = Instrument(
    BINANCE,
    "BTCUSDT",
    Asset("BTC"),
    Asset("USDT"),
    tick=Decimal("0.01"),
    step=Decimal("0.00001"),
    min_quantity=Decimal("0.00001"),
    max_quantity=Decimal(9_000),
    min_notional=Decimal(5),
)


def sign_hmac(secret: bytes, payload: bytes) -> str:
    """The signature this venue checks."""
    return hmac.digest(secret, payload, "sha256").hex()


@dataclass
class VenueKey:
    """One key at the venue; its rights may change at any time."""

    api_key: str
    secret: str
    venue_user_id: str
    can_read: bool = True
    can_trade: bool = True
    can_withdraw: bool = False
    account_can_trade: bool = True
    test_order_error: Exception | None = None


@dataclass
class ScriptedVenue:
    """One venue in one environment. `fails` raises instead of answering anything."""

    environment: Environment = Environment.PAPER
    has_test_order: bool = True
    names_rights: bool = True
    keys: dict[str, VenueKey] = field(default_factory=dict)
    fails: Exception | None = None
    before_answer: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    test_orders: list[PlaceOrder] = field(default_factory=list)

    def add(self, key: VenueKey) -> VenueKey:
        """Issue a key."""
        self.keys[key.api_key] = key
        return key

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            venue=BINANCE,
            environments=frozenset(Environment),
            protection=Protection.OCO,
            resend=ResendRule.SAME,
            has_test_order=self.has_test_order,
            has_permission_reading=self.names_rights,
            has_amend=False,
            checks_timestamp=True,
            recv_window_ms=3_000,
            processing_ms_max=10_000,
            repeated_id="accepted again after a fill",
            main_quote=Asset("USDT"),
        )

    async def account(self, signer: Signer) -> AccountSnapshot:
        key = await self._authenticated(signer, "GET", "/api/v3/account")
        balances = (AssetBalance(Asset("USDT"), Decimal(1_000), Decimal(0)),)
        return AccountSnapshot(key.venue_user_id, balances, key.account_can_trade, AT)

    async def permissions(self, signer: Signer) -> Permissions:
        key = await self._authenticated(signer, "GET", "/sapi/v1/account/apiRestrictions")
        if not self.names_rights:
            return Permissions(True, key.can_trade, can_withdraw=False, source=PermissionSource.UNVERIFIED)
        return Permissions(key.can_read, key.can_trade, key.can_withdraw, PermissionSource.VERIFIED)

    async def test_order(self, signer: Signer, order: PlaceOrder) -> None:
        key = await self._authenticated(signer, "POST", "/api/v3/order/test", order.instrument.symbol)
        self.test_orders.append(order)
        if key.test_order_error is not None:
            raise key.test_order_error

    async def instruments(self, symbol: str | None = None) -> Sequence[Instrument]:
        return (BTCUSDT,)

    async def _authenticated(self, signer: Signer, method: str, path: str, symbol: str | None = None) -> VenueKey:
        self.calls.append(path)
        self.before_answer()
        if self.fails is not None:
            raise self.fails
        assert signer.environment is self.environment, "the client was given a signer of another environment"
        payload = b"timestamp=1" if symbol is None else f"symbol={symbol}&timestamp=1".encode()
        signature = await signer.sign(SignRequest(SignPurpose.READ, method, path, payload))
        key = self.keys.get(await signer.api_key())
        if key is None:
            raise CredentialRefused("key_refused", "Invalid API-key, IP, or permissions for action.")
        if signature != sign_hmac(key.secret.encode(), payload):
            raise CredentialRefused("bad_signature", "Signature for this request is not valid.")
        return key

    # --- what nobody asks of it ---

    async def start(self) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def venue_now_ms(self) -> int:
        raise NotImplementedError

    def confirmed_venue_ms(self) -> int:
        raise NotImplementedError

    def health(self) -> VenueHealth:
        raise NotImplementedError

    async def server_time(self) -> int:
        raise NotImplementedError

    async def tickers(self, symbols: Sequence[str]) -> Sequence[Ticker]:
        raise NotImplementedError

    async def candles(self, symbol: str, interval: str, limit: int) -> Sequence[CandleRow]:
        raise NotImplementedError

    async def depth(self, symbol: str, limit: int) -> Depth:
        raise NotImplementedError

    async def place(self, signer: Signer, order: PlaceOrder, window: SendWindow) -> Ack:
        raise NotImplementedError

    async def place_list(self, signer: Signer, orders: PlaceList, window: SendWindow) -> Ack:
        raise NotImplementedError

    async def place_all(self, placements: Sequence[Placement], told: PlacementTold) -> None:
        raise NotImplementedError

    async def cancel(self, signer: Signer, ref: OrderRef) -> tuple[OrderReport, ...]:
        raise NotImplementedError

    async def find_order(self, signer: Signer, ref: OrderRef) -> OrderReport | None:
        raise NotImplementedError

    async def orders_since(self, signer: Signer, instrument: Instrument, since_ms: int) -> Sequence[OrderReport]:
        raise NotImplementedError

    async def open_orders(self, signer: Signer, instrument: Instrument | None) -> Sequence[OrderReport]:
        raise NotImplementedError

    async def fills(
        self, signer: Signer, instrument: Instrument, *, venue_order_id: VenueOrderId | None, since_ms: int | None
    ) -> Sequence[VenueFill]:
        raise NotImplementedError

    def user_events(self) -> UserEvents:
        raise NotImplementedError

    def market_events(self) -> MarketEvents:
        raise NotImplementedError


@dataclass
class ScriptedVenues:
    """The venues that are set up; any other is not found."""

    clients: dict[Environment, ScriptedVenue] = field(default_factory=dict)

    def client_of(self, venue: VenueName, environment: Environment) -> ScriptedVenue:
        """Return the client. Raises NotFound."""
        client = self.clients.get(environment)
        if venue != BINANCE or client is None:
            raise NotFound("venue_not_set_up", f"{venue} is not set up for {environment.value}.")
        return client
