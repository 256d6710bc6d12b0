"""A scripted Binance for tests of the client: raw answers by path, signatures checked, nothing simulated."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.raw_server import Conversation, raw_server, reply

from tradewind.core.ids import AccountId
from tradewind.core.instrument import Environment
from tradewind.infra.clock import SystemClock, to_ms
from tradewind.venues.base import SendWindow, SignRequest
from tradewind.venues.binance.capabilities import paper_profile
from tradewind.venues.binance.client import BinanceClient, BinanceOptions
from tradewind.venues.binance.signing import PATHS, sign_hmac
from tradewind.venues.breaker import BreakerRules

SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


@dataclass
class Asked:
    """One request as the venue read it; `signed` is what the signature covers."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    signed: bytes


@dataclass(frozen=True)
class Says:
    """One answer of the script."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: tuple[str, ...] = ()
    delay_s: float = 0.0

    @property
    def bytes(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode("utf-8")
        return reply(body, status=self.status, headers=self.headers)


class HangUp:
    """The venue reads the request and drops the connection."""


Answer = Says | HangUp | Callable[[Asked], Says]


class Signer:
    """Signs with a test key, within the paths of each purpose."""

    def __init__(self, name: str = "a1", environment: Environment = Environment.PAPER) -> None:
        self.account_id = AccountId(name)
        self.environment = environment
        self.key = API_KEY
        self.before_sign: Callable[[], None] | None = None
        self.requests: list[SignRequest] = []

    async def api_key(self) -> str:
        return self.key

    async def sign(self, request: SignRequest) -> str:
        assert (request.method, request.path) in PATHS[request.purpose]
        self.requests.append(request)
        if self.before_sign is not None:
            self.before_sign()
        return sign_hmac(SECRET, request.payload)


class Script:
    """What the venue says to each (method, path): a list is used up, its last answer stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.clock_ahead_ms = 0
        self.on("GET", "/api/v3/time", lambda _: Says({"serverTime": self.now_ms()}))

    def now_ms(self) -> int:
        return to_ms(SystemClock().now()) + self.clock_ahead_ms

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def calls(self, method: str, path: str) -> list[Asked]:
        return [each for each in self.asked if (each.method, each.path) == (method, path)]

    async def serve(self, conversation: Conversation) -> None:
        while True:
            asked = _asked(await conversation.request())
            self.asked.append(asked)
            answer = self._next(asked)
            if isinstance(answer, HangUp):
                conversation.hang_up()
                return
            if callable(answer):
                answer = answer(asked)
            if answer.delay_s:
                await asyncio.sleep(answer.delay_s)
            await conversation.say(answer.bytes)

    def _next(self, asked: Asked) -> Answer:
        answers = self.answers.get((asked.method, asked.path))
        if not answers:
            return Says(b"<html>404</html>", status=404)
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _asked(raw: bytes) -> Asked:
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    parts = urlsplit(target)
    wire = parts.query.encode("ascii") + body
    params = dict(parse_qsl(wire.decode("ascii"), keep_blank_values=True, strict_parsing=True)) if wire else {}
    signed, _, signature = wire.rpartition(b"&signature=")
    if b"&signature=" in wire:
        assert signature.decode("ascii") == sign_hmac(SECRET, signed), "the signature does not cover the bytes sent"
        assert headers["x-mbx-apikey"]
    return Asked(method, parts.path, params, headers, signed)


def quick_options(**changes: Any) -> BinanceOptions:
    """Options under which a test does not wait long."""
    values: dict[str, Any] = {
        "request_timeout_s": 0.4,
        "connect_timeout_s": 1.0,
        "read_wait_s": 0.2,
        "breaker": BreakerRules(failures_max=5, pause_s=30, attempts=2, backoff_s=0.005, backoff_s_max=0.01),
        **changes,
    }
    return BinanceOptions(**values)


@asynccontextmanager
async def venue(
    *, has_sapi: bool = True, options: BinanceOptions | None = None, clock: Any = None
) -> AsyncIterator[tuple[Script, BinanceClient]]:
    """A script and a client that talks to it."""
    script = Script()
    serve: Callable[[Conversation], Awaitable[None]] = script.serve
    async with raw_server(serve) as server:
        client = BinanceClient(
            Environment.PAPER,
            paper_profile(server.url, has_sapi=has_sapi),
            clock or SystemClock(),
            options or quick_options(),
        )
        try:
            yield script, client
        finally:
            await client.close()


def window(client: BinanceClient, within_ms: int = 2_000, is_open: Callable[[], bool] = lambda: True) -> SendWindow:
    """Until when an order may leave."""
    return SendWindow(client.venue_now_ms() + within_ms, is_open)


def error(code: int, text: str, status: int = 400, headers: tuple[str, ...] = ()) -> Says:
    """An error answer as the venue writes it."""
    return Says({"code": code, "msg": text}, status=status, headers=headers)
