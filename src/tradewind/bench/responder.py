"""A venue that does as little as a venue can: the fixed answer of Binance's FULL form with the order's own ids.

`python -m tradewind.bench.responder --latency-ms 20` prints one JSON line with its addresses and serves until its
standard input ends. A faithful simulator in Python costs more than the engine that is measured; this one parses
with httptools, checks one signature in fifty, and keeps what it needs to be asked about its orders again: by number,
by name, as a list of one market. Every market order is filled at one price at once; a list rests until it is cancelled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl

import httptools
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tradewind.bench.keys import is_signed, uid_of
from tradewind.bench.now import CLOCK, to_ms
from tradewind.bench.placed import PlacedOrders, filled_order, list_answer
from tradewind.bench.rules import BASES as BASES
from tradewind.bench.rules import EXCHANGE_INFO

PRICE = Decimal(50_000)
BALANCE = "10000.00000000"
# One request in so many has its signature checked: proof that they are right, at a cost that does not count.
_CHECKED_EVERY = 50
_STEP = Decimal("0.00001")
_TICK_S = 0.5


class Venue:
    """What all connections share: ids, counts, and the answers."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.order_id = 1_000_000_000
        self.requests = 0
        self.entries = 0
        self.lists = 0
        self.checked = 0
        self.refused = 0
        # By key: what was bought of each base asset, and every order.
        self.bought: dict[bytes, dict[str, Decimal]] = {}
        self.placed: dict[bytes, PlacedOrders] = {}
        self._info = json.dumps(EXCHANGE_INFO).encode("ascii")

    def answer(self, method: bytes, url: bytes, api_key: bytes, body: bytes) -> bytes:
        """Return the whole HTTP answer to a request."""
        self.requests += 1
        path, _, query = url.partition(b"?")
        if method == b"POST" and path == b"/api/v3/order":
            return self._signed(api_key, body, self._order)
        if method == b"POST" and path == b"/api/v3/orderList/oco":
            return self._signed(api_key, body, self._oco)
        if method == b"DELETE" and path == b"/api/v3/orderList":
            return self._cancelled_list(api_key, query)
        if path == b"/api/v3/account":
            return self._reply(200, self._account(api_key))
        if path == b"/api/v3/openOrders":
            resting = self._of(api_key).resting(_params(query).get("symbol"))
            return self._reply(200, json.dumps(resting).encode("ascii"))
        if path == b"/api/v3/order":
            return self._one_order(api_key, query)
        if path == b"/api/v3/myTrades":
            return self._reply(200, self._of(api_key).trades(_params(query)))
        return self._reply(200, self._public(path, query))

    def subscribed(self) -> None:
        """An account's stream was asked for."""

    def used_weight(self) -> int:
        """What the answers state as used; nothing is limited here."""
        return self.requests

    def _signed(self, api_key: bytes, body: bytes, answer: Callable[[bytes, bytes], bytes]) -> bytes:
        if self.requests % _CHECKED_EVERY == 0:
            self.checked += 1
            if not is_signed(api_key, body):
                self.refused += 1
                return self._reply(400, b'{"code":-1022,"msg":"Signature for this request is not valid."}')
        return self._reply(200, answer(api_key, body))

    def _reply(self, status: int, body: bytes) -> bytes:
        reason = b"OK" if status == 200 else b"Bad Request"
        return (
            b"HTTP/1.1 %d %b\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: %d\r\n"
            b"x-mbx-used-weight-1m: %d\r\nx-mbx-order-count-10s: 1\r\nx-mbx-order-count-1d: 1\r\n\r\n%b"
        ) % (status, reason, len(body), self.used_weight(), body)

    def _order(self, api_key: bytes, body: bytes) -> bytes:
        self.entries += 1
        self.order_id += 1
        params = _params(body)
        quantity, spent = _filled(params["quoteOrderQty"]) if "quoteOrderQty" in params else _sold(params["quantity"])
        held = self.bought.setdefault(api_key, {})
        base = params["symbol"].removesuffix("USDT")
        held[base] = held.get(base, Decimal(0)) + (1 if params["side"] == "BUY" else -1) * Decimal(quantity.decode())
        now = to_ms(CLOCK.now())
        self._of(api_key).keep(filled_order(params, self.order_id, quantity, spent, now))
        return (
            b'{"symbol":"%b","orderId":%d,"orderListId":-1,"clientOrderId":"%b","transactTime":%d,'
            b'"price":"0.00000000","origQty":"%b","executedQty":"%b","origQuoteOrderQty":"0.00000000",'
            b'"cummulativeQuoteQty":"%b","status":"FILLED","timeInForce":"GTC","type":"MARKET","side":"%b",'
            b'"workingTime":%d,"fills":[{"price":"50000.00000000","qty":"%b","commission":"0.00000000",'
            b'"commissionAsset":"BNB","tradeId":%d}],"selfTradePreventionMode":"NONE"}'
        ) % (
            params["symbol"].encode("ascii"),
            self.order_id,
            params["newClientOrderId"].encode("ascii"),
            now,
            quantity,
            quantity,
            spent,
            params["side"].encode("ascii"),
            now,
            quantity,
            self.order_id,
        )

    def _oco(self, api_key: bytes, body: bytes) -> bytes:
        self.lists += 1
        params = _params(body)
        now = to_ms(CLOCK.now())
        legs = []
        for client_id, kind, stop in (
            (params["aboveClientOrderId"], "LIMIT_MAKER", "0.00000000"),
            (params["belowClientOrderId"], params["belowType"], params["belowStopPrice"]),
        ):
            self.order_id += 1
            legs.append(
                {
                    "symbol": params["symbol"],
                    "orderId": self.order_id,
                    "orderListId": self.lists,
                    "clientOrderId": client_id,
                    "transactTime": now,
                    "price": params["abovePrice"],
                    "stopPrice": stop,
                    "origQty": params["quantity"],
                    "executedQty": "0.00000000",
                    "cummulativeQuoteQty": "0.00000000",
                    "status": "NEW",
                    "timeInForce": "GTC",
                    "type": kind,
                    "side": "SELL",
                    "time": now,
                    "updateTime": now,
                }
            )
        self._of(api_key).keep_list(params["listClientOrderId"], legs)
        return list_answer(params, legs, "EXEC_STARTED", "EXECUTING")

    def _cancelled_list(self, api_key: bytes, query: bytes) -> bytes:
        params = _params(query)
        legs = self._of(api_key).cancel_list(params.get("listClientOrderId", ""))
        if not legs:
            return self._reply(400, b'{"code":-2011,"msg":"Unknown order sent."}')
        return self._reply(200, list_answer(params, legs, "ALL_DONE", "ALL_DONE"))

    def _one_order(self, api_key: bytes, query: bytes) -> bytes:
        found = self._of(api_key).find(_params(query))
        if found is None:
            return self._reply(400, b'{"code":-2013,"msg":"Order does not exist."}')
        return self._reply(200, found)

    def _of(self, api_key: bytes) -> PlacedOrders:
        return self.placed.setdefault(api_key, PlacedOrders())

    def _public(self, path: bytes, query: bytes) -> bytes:
        now = to_ms(CLOCK.now())
        match path:
            case b"/api/v3/time":
                return b'{"serverTime":%d}' % now
            case b"/api/v3/exchangeInfo":
                return self._info
            case b"/api/v3/ticker/24hr":
                row = {"lastPrice": str(PRICE), "closeTime": now, "bidPrice": "49999.99", "askPrice": str(PRICE)}
                return json.dumps([{**row, "symbol": f"{base}USDT"} for base in BASES]).encode("ascii")
            case b"/bench/counts":
                counts = ("requests", "entries", "lists", "checked", "refused")
                return json.dumps({name: getattr(self, name) for name in counts}).encode("ascii")
            case b"/bench/latency":
                self.latency_s = float(query) / 1_000
                return b"{}"
            case _:
                return b"[]"

    def _account(self, api_key: bytes) -> bytes:
        locked: dict[str, Decimal] = {}
        # Both legs of a list lock the same coins.
        for order in self._of(api_key).resting()[::2]:
            base = order["symbol"].removesuffix("USDT")
            locked[base] = locked.get(base, Decimal(0)) + Decimal(order["origQty"])
        rows = [{"asset": "USDT", "free": BALANCE, "locked": "0.00000000"}]
        for base, quantity in self.bought.get(api_key, {}).items():
            held = locked.get(base, Decimal(0))
            rows.append({"asset": base, "free": str(quantity - held), "locked": str(held)})
        account = {"uid": uid_of(api_key.decode("ascii")), "canTrade": True, "balances": rows}
        return json.dumps(account).encode("ascii")


class _Connection(asyncio.Protocol):
    """One client connection; requests are answered in their order."""

    def __init__(self, venue: Venue, loop: asyncio.AbstractEventLoop) -> None:
        self._venue = venue
        self._loop = loop
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._url = b""
        self._api_key = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._url = self._api_key = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 12 and name.lower() == b"x-mbx-apikey":
            self._api_key = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        answer = self._venue.answer(self._parser.get_method(), self._url, self._api_key, self._body)
        if self._venue.latency_s > 0:
            self._loop.call_later(self._venue.latency_s, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _params(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("ascii")))


@lru_cache(maxsize=1_024)
def _filled(spend: str) -> tuple[bytes, bytes]:
    """What an amount buys at the one price: quantity on the step and what it cost."""
    quantity = (Decimal(spend) / PRICE).quantize(_STEP, rounding=ROUND_DOWN)
    return str(quantity).encode("ascii"), str(quantity * PRICE).encode("ascii")


@lru_cache(maxsize=1_024)
def _sold(quantity: str) -> tuple[bytes, bytes]:
    return quantity.encode("ascii"), str(Decimal(quantity) * PRICE).encode("ascii")


async def _user_stream(venue: Venue, socket: ServerConnection) -> None:
    """Take subscriptions of accounts and tell them nothing."""
    subscriptions = 0
    with contextlib.suppress(ConnectionClosed):
        async for text in socket:
            asked = json.loads(text)
            subscriptions += 1
            venue.subscribed()
            result = {"subscriptionId": subscriptions, "serverTime": to_ms(CLOCK.now())}
            await socket.send(json.dumps({"id": asked["id"], "status": 200, "result": result}))


async def _market_stream(socket: ServerConnection) -> None:
    """Confirm the one price twice a second."""
    frames = [
        json.dumps(
            {
                "stream": f"{base.lower()}usdt@bookTicker",
                "data": {"s": f"{base}USDT", "b": "49999.99", "a": str(PRICE)},
            }
        )
        for base in BASES
    ]

    async def speak() -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            for frame in frames:
                await socket.send(frame)

    with contextlib.suppress(ConnectionClosed):
        speaker = asyncio.create_task(speak())
        try:
            async for text in socket:
                await socket.send(json.dumps({"result": None, "id": json.loads(text)["id"]}))
        finally:
            speaker.cancel()


async def until_input_ends() -> None:
    """Wait for the end of standard input: the parent is gone, or done with us."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.buffer.read)


async def run(venue: Venue) -> None:
    """Serve on free ports of loopback until standard input ends."""
    loop = asyncio.get_running_loop()
    rest = await loop.create_server(partial(_Connection, venue, loop), "127.0.0.1", 0, backlog=8_192)
    async with (
        serve(partial(_user_stream, venue), "127.0.0.1", 0) as users,
        serve(_market_stream, "127.0.0.1", 0) as prices,
    ):
        addresses = {
            "rest_url": f"http://127.0.0.1:{_port(rest)}",
            "ws_api_url": f"ws://127.0.0.1:{_port(users)}/ws-api/v3",
            "stream_url": f"ws://127.0.0.1:{_port(prices)}/stream",
        }
        sys.stdout.write(json.dumps(addresses) + "\n")
        sys.stdout.flush()
        await until_input_ends()
    rest.close()


def _port(server: Any) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


def main(kind: Callable[[float], Venue] = Venue) -> None:
    """Serve with the latency of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-ms", type=int, default=0)
    latency_s = parser.parse_args().latency_ms / 1_000
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run(kind(latency_s)))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the event loop that `serve` uses too: uvloop, where there is one."""
    try:
        import uvloop
    except ImportError:  # not on Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
