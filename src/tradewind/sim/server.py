"""The simulator's one process: HTTP and WebSocket on one loopback port, and the loop that plays the tape.

aiohttp's low-level server is used on purpose: the wire needs the target and the body as they were sent, and
must be able to reset the socket in the middle of an answer. Owner of every task: the server; a connection
owns its own until it ends. The venue never listens on anything but the given host.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
import time
from collections.abc import Callable

from aiohttp import web

from tradewind.sim.binance_gate import Gate
from tradewind.sim.binance_market_socket import MarketConnection
from tradewind.sim.binance_rest import RestWire
from tradewind.sim.binance_sockets import Socket
from tradewind.sim.binance_spot import BinanceSpot, open_spot
from tradewind.sim.binance_ws_api import WsApiSession
from tradewind.sim.control import ControlWire
from tradewind.sim.limits import RetryLater
from tradewind.sim.settings import Profile, SimAddresses, SimSettings

__all__ = ["Profile", "SimAddresses", "SimServer", "SimSettings", "run_forever"]

_log = logging.getLogger("tradewind.sim.server")
# A request line may carry a long signed query; the venue itself refuses beyond about this.
_LINE_MAX = 16_384
_STOP_TIMEOUT_S = 1.0
_GOODBYE_S = 0.5


def wall_ms() -> int:
    """Read the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


class SimServer:
    """A simulated Binance spot on a loopback port."""

    def __init__(self, settings: SimSettings, now_ms: Callable[[], int] = wall_ms) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._spot: BinanceSpot | None = None
        self._runner: web.ServerRunner | None = None
        self._gate: Gate | None = None
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def spot(self) -> BinanceSpot:
        """Give the venue behind the wire; only a started server has one."""
        assert self._spot is not None, "the server has not been started"
        return self._spot

    async def start(self) -> SimAddresses:
        """Open the files, bind the port and begin to play the tape.

        Raises TapeError, StoreBusy and OSError (port in use).
        """
        self._spot = open_spot(self._settings, self._now_ms)
        try:
            self._gate = Gate(self._spot)
            dispatch = _Dispatch(self._spot, self._gate)
            server = web.Server(dispatch.handle, access_log=None, max_line_size=_LINE_MAX)
            self._runner = web.ServerRunner(server, shutdown_timeout=_STOP_TIMEOUT_S)
            await self._runner.setup()
            site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
            await site.start()
        except BaseException:
            await self.stop()
            raise
        self._loop_task = asyncio.create_task(self._play(self._spot), name="sim-tape")
        return self._addresses()

    async def stop(self) -> None:
        """End every connection and task and close the files; may be called twice."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
            self._loop_task = None
        if self._spot is not None:
            await _say_goodbye([*self._spot.api_sockets, *self._spot.market_sockets])
        if self._gate is not None:
            await self._gate.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._spot is not None:
            self._spot.close()
            self._spot = None

    def _addresses(self) -> SimAddresses:
        assert self._runner is not None, "the server has been started"
        host, port = self._runner.addresses[0][:2]
        return SimAddresses(
            rest_url=f"http://{host}:{port}",
            ws_api_url=f"ws://{host}:{port}/ws-api/v3",
            stream_url=f"ws://{host}:{port}",
            control_url=f"http://{host}:{port}/sim/v1",
        )

    async def _play(self, spot: BinanceSpot) -> None:
        """Play the tape until stopped; a print that fails is logged and the market goes on."""
        while True:
            try:
                spot.play()
            except Exception:
                _log.exception("sim.tape.failed")
            await asyncio.sleep(self._settings.tick_ms / 1000)


async def _say_goodbye(sockets: list[Socket]) -> None:
    """Announce the end to every connection, wait a little for them to go, cut the rest."""
    for socket in sockets:
        socket.leave()
    waits = [asyncio.ensure_future(socket.gone()) for socket in sockets]
    if waits:
        await asyncio.wait(waits, timeout=_GOODBYE_S)
    for socket, wait in zip(sockets, waits, strict=True):
        wait.cancel()
        socket.abort()
    await asyncio.gather(*waits, return_exceptions=True)


class _Dispatch:
    """Sends each request to the wire that answers it, by path."""

    def __init__(self, spot: BinanceSpot, gate: Gate) -> None:
        self._spot = spot
        self._gate = gate
        self._rest = RestWire(spot, gate)
        self._control = ControlWire(spot)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request or serve one WebSocket until it ends."""
        path, _, query = request.raw_path.partition("?")
        if path.startswith("/sim/v1/"):
            return await self._control.handle(request, path.removeprefix("/sim/v1"))
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request, path)
        return await self._rest.handle(request, path, query)

    async def _socket(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if "timeUnit=MICRO" in request.query_string.upper().replace("TIMEUNIT", "timeUnit"):
            return web.Response(status=400, text="This simulator sends times in milliseconds only.")
        if not self._spot.weight.connect(request.remote or "", self._spot.now_ms()):
            return web.Response(status=429, text="Too many connection attempts.")
        session: WsApiSession | MarketConnection
        if path == "/ws-api/v3":
            session = WsApiSession(self._spot, self._gate, request)
        elif path in {"/ws", "/stream"} or path.startswith("/ws/"):
            session = MarketConnection(self._spot, request, path)
        else:
            return web.Response(status=404, text="Not Found")
        try:
            await session.run()
        except RetryLater as error:
            return web.Response(
                status=error.status, text=error.msg, headers={"Retry-After": str(error.retry_after_s())}
            )
        return session.socket.response


async def serve(settings: SimSettings, *, announce: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; with `announce` print one JSON line with the addresses when ready."""
    server = SimServer(settings)
    addresses = await server.start()
    if announce:
        sys.stdout.write(json.dumps({"event": "ready", **addresses.as_dict()}) + "\n")
        sys.stdout.flush()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
    finally:
        await server.stop()


def run_forever(settings: SimSettings, *, announce: bool = False) -> None:
    """Run a simulator in this process until it is told to end (`tradewind sim`)."""
    asyncio.run(serve(settings, announce=announce))
