"""The same orders without a platform: our transport with nothing around it, and ccxt's client where it is installed.

The bare client sends requests that were built and signed before the clock starts, reads the answers and throws
them away: no journal, no decision, no budget. It is the ceiling of this machine with this transport.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tradewind.bench.child import Place
from tradewind.bench.keys import Key
from tradewind.bench.now import CLOCK, to_ms
from tradewind.bench.watcher import cpu_s
from tradewind.venues.transport import HttpRequest, Transport

_FORM = ("Content-Type", "application/x-www-form-urlencoded")
# More of ccxt's orders say nothing new: each costs about as much as the one before.
_CCXT_ORDERS_MAX = 1_000
_CCXT_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """What one client did with the same orders."""

    orders: int
    elapsed_ms: float
    orders_per_s: float
    cpu_us_per_order: float


async def bare_client(place: Place, keys: Sequence[Key], connections: int) -> PeerFigures:
    """Send one pre-signed market buy for each key through the platform's own transport."""
    requests = [_signed(key, number) for number, key in enumerate(keys)]
    transport = Transport(place.rest_url, connections_max=connections, waiters_max=len(keys) + 1)
    try:
        # The pool is warm in the platform's measured run too.
        await _all(transport, requests[:connections])
        return await _timed(len(requests), _all(transport, requests))
    finally:
        await transport.close()


def _signed(key: Key, number: int) -> HttpRequest:
    payload = (
        f"symbol=BTCUSDT&side=BUY&type=MARKET&quoteOrderQty=200&newClientOrderId=bare{number}"
        f"&newOrderRespType=FULL&recvWindow=60000&timestamp={to_ms(CLOCK.now())}"
    )
    signature = hmac.digest(key.secret.encode("ascii"), payload.encode("ascii"), "sha256").hex()
    body = f"{payload}&signature={signature}".encode("ascii")
    return HttpRequest("POST", "/api/v3/order", (("X-MBX-APIKEY", key.api_key), _FORM), body)


async def _all(transport: Transport, requests: Sequence[HttpRequest]) -> None:
    replies = await asyncio.gather(*(transport.request(request) for request in requests))
    assert all(reply.status == 200 for reply in replies), "the venue refused an order of the bare client"


async def ccxt_client(place: Place, keys: Sequence[Key]) -> PeerFigures | None:
    """Place the same orders by ccxt's async client, markets loaded before; None where it is not installed."""
    try:
        ccxt = importlib.import_module("ccxt.async_support")
    except ImportError:
        return None
    exchange = ccxt.binance(
        {
            "options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False},
            "enableRateLimit": False,
            "apiKey": keys[0].api_key,
            "secret": keys[0].secret,
        }
    )
    for name, url in exchange.urls["api"].items():
        if isinstance(url, str):
            exchange.urls["api"][name] = url.replace("https://api.binance.com", place.rest_url)
    orders = min(len(keys), _CCXT_ORDERS_MAX)
    try:
        await exchange.load_markets()
        await _ccxt_orders(exchange, min(orders, _CCXT_AT_ONCE))
        return await _timed(orders, _ccxt_orders(exchange, orders))
    finally:
        await exchange.close()


async def _ccxt_orders(exchange: Any, count: int) -> None:
    slots = asyncio.Semaphore(_CCXT_AT_ONCE)

    async def one() -> None:
        async with slots:
            await exchange.create_order("BTC/USDT", "market", "buy", None, None, {"quoteOrderQty": 200})

    await asyncio.gather(*(one() for _ in range(count)))


async def _timed(orders: int, work: Any) -> PeerFigures:
    cpu, started = cpu_s(), CLOCK.monotonic()
    await work
    elapsed, used = CLOCK.monotonic() - started, cpu_s() - cpu
    return PeerFigures(
        orders=orders,
        elapsed_ms=round(elapsed * 1_000, 1),
        orders_per_s=round(orders / elapsed, 1),
        cpu_us_per_order=round(used / orders * 1e6, 1),
    )
