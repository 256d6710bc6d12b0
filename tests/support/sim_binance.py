"""A small honest client of the simulated Binance: signs the exact bytes it sends, decodes what comes back."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from tradewind.sim.server import SimAddresses, SimServer, SimSettings

TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Reply:
    """What came back; `json` is only asked for where there is some."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> int:
        return int(self.json["code"])


@dataclass
class TestClock:
    """Milliseconds that run with the monotonic clock and can be pushed."""

    __test__ = False
    offset_ms: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms


@dataclass
class Trader:
    """One API key and the calls it signs."""

    api_key: str
    secret: str
    uid: int
    base_url: str
    session: aiohttp.ClientSession
    clock: TestClock
    sequence: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def signed_query(self, params: Mapping[str, object]) -> str:
        sent = {"timestamp": self.clock(), "recvWindow": 5000, **params}
        query = urlencode({name: value for name, value in sent.items() if value is not None})
        signature = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        return f"{query}&signature={signature}"

    async def call(self, method: str, path: str, **params: object) -> Reply:
        return await self.send(method, path, self.signed_query(params))

    async def send(self, method: str, path: str, query: str, body: str | None = None) -> Reply:
        """Send exactly this query and body."""
        url = f"{self.base_url}{path}" + (f"?{query}" if query else "")
        headers = {"X-MBX-APIKEY": self.api_key}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        async with self.session.request(method, URL(url, encoded=True), data=body, headers=headers) as answer:
            return Reply(answer.status, await answer.read(), answer.headers)

    async def order(self, **params: object) -> Reply:
        return await self.call("POST", "/api/v3/order", **params)

    async def market_buy(self, symbol: str = "BTCUSDT", quote: str = "100", client_id: str | None = None) -> Reply:
        return await self.order(
            symbol=symbol, side="BUY", type="MARKET", quoteOrderQty=quote, newClientOrderId=client_id
        )

    def ws_params(self, **params: object) -> dict[str, object]:
        """Sign params the way the WebSocket API wants them."""
        sent: dict[str, object] = {"apiKey": self.api_key, "timestamp": self.clock(), **params}
        payload = "&".join(f"{name}={sent[name]}" for name in sorted(sent))
        sent["signature"] = hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        return sent


class WsClient:
    """A WebSocket with a memory: answers by id, events in order."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._ids = itertools.count(1)
        self.events: list[Any] = []

    async def __aenter__(self) -> Self:
        self.ws = await self._session.ws_connect(self._url, autoping=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.ws.close()

    async def call(self, method: str, params: Mapping[str, object] | list[object] | None = None) -> Any:
        """Send a request and wait for its answer; whatever comes before is kept as an event."""
        request_id = next(self._ids)
        frame: dict[str, object] = {"id": request_id, "method": method}
        if params is not None:
            frame["params"] = params
        await self.ws.send_str(json.dumps(frame))
        while True:
            message = await self.receive()
            if isinstance(message, dict) and message.get("id") == request_id:
                return message
            self.events.append(message)

    async def receive(self, timeout_s: float = 5) -> Any:
        message = await self.ws.receive(timeout=timeout_s)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(f"socket ended: {message.type!r}")
        return json.loads(message.data)

    async def event(self, timeout_s: float = 5) -> Any:
        """Give the next event, kept ones first."""
        return self.events.pop(0) if self.events else await self.receive(timeout_s)

    async def events_until(self, kind: str, timeout_s: float = 5) -> list[Any]:
        """Give the payloads of user events up to and with the first of a kind."""
        seen: list[Any] = []
        while not seen or seen[-1]["e"] != kind:
            seen.append((await self.event(timeout_s))["event"])
        return seen


@dataclass
class Sim:
    """A running simulator with its clock and an HTTP session."""

    server: SimServer
    addresses: SimAddresses
    session: aiohttp.ClientSession
    clock: TestClock

    async def control(self, method: str, path: str, body: object = None) -> Any:
        async with self.session.request(method, f"{self.addresses.control_url}{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status == 200, text
            return json.loads(text) if answer.content_type == "application/json" else text

    async def trader(self, usdt: str = "10000", **key: object) -> Trader:
        """Issue a key for a fresh account with this much USDT."""
        issued = await self.control("POST", "/keys", {"balances": {"USDT": usdt}, **key})
        return Trader(
            issued["api_key"], issued["secret"], issued["uid"], self.addresses.rest_url, self.session, self.clock
        )

    async def fault(self, kind: str, **fields: object) -> int:
        return int((await self.control("POST", "/faults", {"kind": kind, **fields}))["fault_id"])

    async def orders_of(self, trader: Trader) -> list[Any]:
        return list((await self.control("GET", f"/accounts/{trader.uid}/orders"))["orders"])

    async def price(self, symbol: str, price: str | Decimal) -> None:
        await self.control("POST", "/price", {"symbol": symbol, "price": str(price)})

    def last(self, symbol: str = "BTCUSDT") -> Decimal:
        return self.server.spot.exchange.last_price(symbol)

    async def public(self, path: str, **params: object) -> Reply:
        async with self.session.get(
            f"{self.addresses.rest_url}{path}", params={name: str(value) for name, value in params.items()}
        ) as answer:
            return Reply(answer.status, await answer.read(), answer.headers)

    def ws_api(self) -> WsClient:
        return WsClient(self.session, self.addresses.ws_api_url)

    def stream(self, path: str) -> WsClient:
        return WsClient(self.session, self.addresses.stream_url + path)


@asynccontextmanager
async def running_sim(**changes: Any) -> AsyncIterator[Sim]:
    """Run a simulator whose tape stands still, on a free port, and end it afterwards."""
    clock = TestClock()
    settings = replace(SimSettings(tape="upbit-2026-05-12-morning", paused=True, tick_ms=20), **changes)
    server = SimServer(settings, clock)
    addresses = await server.start()
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as session:
            yield Sim(server, addresses, session, clock)
            # Sockets that the server reset need one turn of the loop to be collected quietly.
            await asyncio.sleep(0)
    finally:
        await server.stop()
