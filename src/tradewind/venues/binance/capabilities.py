"""What Binance spot can do, and where it listens (binance.md sections 2, 5 and 8; documents of 2026-07-21)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import Asset
from tradewind.venues.base import CallCosts, Capabilities, Protection, ResendRule

RECV_WINDOW_MS = 3_000
# "Server-side processing timeout is 10 s, then -1007."
PROCESSING_MS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Profile:
    """One place where Binance's API is served. Testnet and demo serve /api only, never /sapi."""

    rest_url: str
    ws_api_url: str
    stream_url: str
    has_sapi: bool


LIVE = Profile(
    rest_url="https://api.binance.com",
    ws_api_url="wss://ws-api.binance.com:443/ws-api/v3",
    stream_url="wss://stream.binance.com:9443/stream",
    has_sapi=True,
)
TESTNET = Profile(
    rest_url="https://testnet.binance.vision",
    ws_api_url="wss://ws-api.testnet.binance.vision/ws-api/v3",
    stream_url="wss://stream.testnet.binance.vision/stream",
    has_sapi=False,
)
DEMO = Profile(
    rest_url="https://demo-api.binance.com",
    ws_api_url="wss://demo-ws-api.binance.com/ws-api/v3",
    stream_url="wss://demo-stream.binance.com/stream",
    has_sapi=False,
)


def paper_profile(rest_url: str, *, has_sapi: bool = True) -> Profile:
    """A venue that serves REST, WebSocket API and streams at one address, as the paper venue does."""
    parts = urlsplit(rest_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return Profile(
        rest_url=rest_url,
        ws_api_url=urlunsplit((scheme, parts.netloc, "/ws-api/v3", "", "")),
        stream_url=urlunsplit((scheme, parts.netloc, "/stream", "", "")),
        has_sapi=has_sapi,
    )


_BASE = Capabilities(
    venue=BINANCE,
    environments=frozenset(Environment),
    protection=Protection.OCO,
    resend=ResendRule.NEW,
    has_test_order=True,
    has_permission_reading=True,
    has_amend=True,
    checks_timestamp=True,
    recv_window_ms=RECV_WINDOW_MS,
    processing_ms_max=PROCESSING_MS_MAX,
    repeated_id="Refused while an order with this id is open; accepted again once that one has ended.",
    main_quote=Asset("USDT"),
    private_stream=True,
    # rest-api.md, 2026-07-21.
    costs=CallCosts(
        find_order=4, open_orders=6, open_orders_all=80, orders_since=20, fills_of_order=5, account=20, subscribe=2
    ),
)


def capabilities_of(profile: Profile, *, recv_window_ms: int, processing_ms_max: int) -> Capabilities:
    """The table for one profile."""
    return replace(
        _BASE,
        has_permission_reading=profile.has_sapi,
        recv_window_ms=recv_window_ms,
        processing_ms_max=processing_ms_max,
    )
