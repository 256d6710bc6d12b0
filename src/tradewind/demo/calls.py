"""The two HTTP doors the demo goes through: the platform's API as a person, and the simulator's control API."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from tradewind.core.errors import Unavailable

# Linking a key asks the venue several times; nothing here takes longer.
_TIMEOUT_S = 30.0
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with its JSON body."""

    status: int
    body: Any

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The problem's code, where it is one."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def text(self) -> str:
        """What the problem says to the user."""
        if not isinstance(self.body, dict):
            return str(self.body)[:200]
        return str(self.body.get("detail") or self.body.get("error") or self.body.get("title") or "")


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open the connections of one run; environment proxies are none of its business."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=100)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
        yield session


@dataclass(frozen=True, slots=True)
class Door:
    """One base address. Answers of any status come back; no answer at all raises Unavailable."""

    session: aiohttp.ClientSession
    base_url: str
    what: str

    async def call(
        self, method: str, path: str, *, token: str | None = None, body: Any = None, params: Any = None
    ) -> Answer:
        """Call once. Whatever acts carries an Idempotency-Key of its own."""
        headers: dict[str, str] = {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
            if method == "POST":
                headers["Idempotency-Key"] = str(uuid.uuid4())
        try:
            async with self.session.request(
                method, self.base_url + path, json=body, headers=headers, params=params
            ) as response:
                is_json = "json" in response.content_type
                return Answer(response.status, await response.json() if is_json else await response.text())
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                "demo_no_answer", f"The {self.what} did not answer {method} {_shown(path)}: {reason}."
            ) from None

    async def demand(
        self, method: str, path: str, *, token: str | None = None, body: Any = None, params: Any = None
    ) -> Any:
        """Call and return the body of a good answer. Raises Unavailable with what was said otherwise."""
        answer = await self.call(method, path, token=token, body=body, params=params)
        if not answer.is_good:
            raise Unavailable(
                "demo_refused", f"The {self.what} answered {answer.status} to {method} {_shown(path)}: {answer.text}"
            )
        return answer.body


def _shown(path: str) -> str:
    """A path for people: a webhook's token is a secret."""
    return "/webhooks/..." if path.startswith("/webhooks/") else path


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key of the simulated exchange."""

    uid: int
    api_key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The simulator's control API: what the owner of the play venue may do."""

    door: Door

    async def issue_key(self, balance: Decimal, *, trading: bool = True, withdraw: bool = False) -> IssuedKey:
        """Open an account with USDT and issue a key; one that can withdraw needs an IP list, as at the venue."""
        body = {
            "balances": {"USDT": str(balance)},
            "permissions": {"trading": trading, "withdraw": withdraw},
            "ip_list": ["127.0.0.1"] if withdraw else [],
        }
        made = await self.door.demand("POST", "/keys", body=body)
        return IssuedKey(int(made["uid"]), made["api_key"], made["secret"])

    async def add_fault(self, **fault: Any) -> None:
        """Put a fault in force; see `sim --describe`."""
        await self.door.demand("POST", "/faults", body=fault)

    async def tape(self, action: str, value: Decimal | None = None) -> Mapping[str, Any]:
        """Pause, resume or seek the tape; return where it stands."""
        body = {"action": action} if value is None else {"action": action, "value": str(value)}
        found: Mapping[str, Any] = await self.door.demand("POST", "/tape", body=body)
        return found

    async def tape_now(self) -> Mapping[str, Any]:
        """Say where the tape stands."""
        found: Mapping[str, Any] = await self.door.demand("GET", "/tape")
        return found

    async def set_price(self, symbol: str, price: Decimal) -> None:
        """Let a symbol trade once at a price."""
        await self.door.demand("POST", "/price", body={"symbol": symbol, "price": str(price)})

    async def uids(self) -> list[int]:
        """List all accounts of the exchange."""
        return [int(uid) for uid in (await self.door.demand("GET", "/accounts"))["uids"]]

    async def account(self, uid: int) -> Mapping[str, Any]:
        """Show an account."""
        found: Mapping[str, Any] = await self.door.demand("GET", f"/accounts/{uid}")
        return found

    async def orders(self, uid: int) -> list[Mapping[str, Any]]:
        """List every order an account ever placed, with its fills."""
        return await self._pages(f"/accounts/{uid}/orders", "orders", {})

    async def log(self, kind: str) -> list[Mapping[str, Any]]:
        """Read the referee's log: `requests` received, or `events` of orders and fills."""
        return await self._pages("/log", "requests" if kind == "requests" else "events", {"kind": kind})

    async def _pages(self, path: str, name: str, params: Mapping[str, str]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self.door.demand("GET", path, params={**params, "after": str(after), "limit": str(_PAGE)})
            found += page[name]
            after = page["next_after"]
        return found


async def wait_until_served(door: Door, path: str, *, within_s: float = 30.0) -> None:
    """Wait until an address answers 200. Raises Unavailable."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            answer = await door.call("GET", path)
        except Unavailable:
            answer = Answer(0, "")
        if answer.status == 200:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(
                "demo_not_served", f"The {door.what} does not answer {path} (last status {answer.status})."
            )
        await asyncio.sleep(0.1)
