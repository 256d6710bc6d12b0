"""The real platform over the real simulator, in one process: for flow tests through HTTP.

Nothing of ours is replaced. The simulator answers on loopback; the numbers of the order protocol are scaled
down together with the simulator's own processing bound (order-protocol.md section 10).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from tests.support.database import address

from tradewind.app import App, build
from tradewind.audit.service import Audit
from tradewind.billing.service import Billing
from tradewind.config import Settings
from tradewind.config.settings import OrderSettings, VenueSection
from tradewind.core.ids import UserId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.plan import PlanName
from tradewind.identity.passwords import Passwords
from tradewind.identity.service import Identity, NewUser
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db, Tx
from tradewind.infra.ids import RandomIds
from tradewind.infra.migrate import upgrade_schema
from tradewind.signals.sources import Sources
from tradewind.sim.server import SimServer
from tradewind.sim.settings import SimAddresses, SimSettings
from tradewind.vault.opening import KekPlace, create_missing_kek, open_vault
from tradewind.vault.secret import Secret
from tradewind.web.principal import SCOPES_OF_ROLE, Role

# send_by, request timeout, recv_window and the venue's processing bound, all a tenth or so of production.
FAST_ORDERS = OrderSettings(
    send_by_ms=1_000,
    request_timeout_ms=600,
    recv_window_ms=600,
    venue_processing_ms=300,
    stop_escalation_s=1,
    external_confirm_s=1,
)
# recv_window + processing + 1 s, and a little for the two questions after it.
FENCE_S = 2.0
# Where something takes its time; at first it is looked for more often.
_LOOK_EVERY_S = 0.1


@dataclass(slots=True)
class Person:
    """A user with an API token, and the account that was linked for them."""

    id: str
    token: str
    account_id: str = ""
    uid: int = 0


@dataclass(slots=True)
class World:
    """A simulator and a platform on it."""

    folder: Path
    sim: SimServer
    addresses: SimAddresses
    settings: Settings
    http: aiohttp.ClientSession
    app: App | None = None
    url: str = ""
    operator: Person = field(default_factory=lambda: Person("", ""))
    source_id: str = ""
    webhook_token: str = ""
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    _server: uvicorn.Server | None = None

    # --- life ------------------------------------------------------------------------------------

    async def start_platform(self) -> None:
        """Build and run the platform; again after `stop_platform` or `kill_platform`."""
        self.app = build(self.settings)
        self._server = uvicorn.Server(
            uvicorn.Config(self.app.asgi, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off")
        )
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        self._tasks = [
            asyncio.create_task(self.app.run(), name="platform"),
            asyncio.create_task(self._server.serve(), name="api"),
        ]
        await self.until(lambda: self._is_up())
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def _is_up(self) -> bool:
        for task in self._tasks:
            if task.done():
                await task
        assert self.app is not None
        assert self._server is not None
        return self._server.started and self.app.is_ready.is_set()

    async def stop_platform(self) -> None:
        """End the platform as SIGTERM would, its connections first."""
        if not self._tasks:
            return
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = True
        for task in reversed(self._tasks):
            if task.get_name() == "platform":
                task.cancel()
        await asyncio.wait(self._tasks, timeout=10)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    # --- people ----------------------------------------------------------------------------------

    def people(self, plans: list[PlanName]) -> list[Person]:
        """Create users on plans, an operator and a source, before the platform runs."""
        clock = SystemClock()
        ids = RandomIds(clock)
        db = Db.open(self.settings.database_url)
        try:
            upgrade_schema(db)
            place = KekPlace(self.settings.kek_file, self.settings.data_dir)
            db.write_now(lambda tx: create_missing_kek(tx, place))
            vault = db.write_now(lambda tx: open_vault(tx, place, clock, {}))
            audit = Audit(vault, clock)
            identity = Identity(clock, ids, audit)
            billing = Billing(clock, ids, audit)
            db.write_now(billing.seed_plans)
            self.operator = db.write_now(lambda tx: _person(tx, identity, "operator@example.org", Role.OPERATOR))
            source = db.write_now(
                lambda tx: Sources(ids, audit).create(
                    tx, owner_id=self.operator.id, name="btc-4h", actor="test", now=clock.now()
                )
            )
            self.source_id, self.webhook_token = source.source.id, source.token
            found = []
            for number, plan in enumerate(plans):
                person = db.write_now(
                    lambda tx, number=number: _person(tx, identity, f"user{number}@example.org", Role.USER)  # type: ignore[misc]
                )
                db.write_now(
                    lambda tx, person=person, plan=plan: billing.set_subscription(tx, person.id, plan, actor="test")  # type: ignore[misc]
                )
                found.append(person)
            return found
        finally:
            db.close()

    async def set_password(self, person: Person, password: str) -> None:
        """Give a person a password, before the platform runs."""
        hashed = await Passwords().hash(Secret(password))
        clock = SystemClock()
        db = Db.open(self.settings.database_url)
        try:
            place = KekPlace(self.settings.kek_file, self.settings.data_dir)
            vault = db.write_now(lambda tx: open_vault(tx, place, clock, {}))
            identity = Identity(clock, RandomIds(clock), Audit(vault, clock))
            db.write_now(lambda tx: identity.set_password(tx, UserId(person.id), hashed, actor="test"))
        finally:
            db.close()

    async def issue_key(self, balances: dict[str, str] | None = None, **form: Any) -> dict[str, Any]:
        """Let the simulated venue issue a key for a new account."""
        body = {"balances": {"USDT": "1000"} if balances is None else balances, **form}
        return dict(await self.control("POST", "keys", body))

    async def link(self, person: Person, *, balances: dict[str, str] | None = None, **terms: Any) -> Person:
        """Link an account through the API and give the source a mandate on it."""
        key = await self.issue_key(balances)
        status, answer = await self.add_key(person, key)
        assert status == 201, answer
        person.account_id = answer["account"]["id"] if "account" in answer else answer["id"]
        person.uid = int(key["uid"])
        body = {"account_id": person.account_id, "source_id": self.source_id, **terms}
        status, answer = await self.call("POST", "/mandates", person, body)
        assert status == 201, answer
        return person

    async def one_linked(self, **terms: Any) -> Person:
        """Start the platform with one person on the PRO plan whose account is linked; `terms` as for `link`."""
        (person,) = self.people([PlanName.PRO])
        await self.start_platform()
        return await self.link(person, **terms)

    async def add_key(self, person: Person, key: dict[str, Any], **more: Any) -> tuple[int, Any]:
        """Post a key as a person would."""
        body = {
            "venue": "binance",
            "environment": "paper",
            "label": "main",
            "api_key": key["api_key"],
            "api_secret": key["secret"],
            **more,
        }
        return await self.call("POST", "/credentials", person, body)

    # --- talking ---------------------------------------------------------------------------------

    async def call(self, method: str, path: str, person: Person | None, body: Any = None) -> tuple[int, Any]:
        """Call the platform's API as a person."""
        headers = {"Idempotency-Key": RandomIds(SystemClock()).new()}
        if person is not None:
            headers["Authorization"] = f"Bearer {person.token}"
        url = f"{self.url}/api/v1{path}"
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def alert(self, body: Any, *, token: str | None = None, raw: bytes | None = None) -> tuple[int, Any]:
        """Post an alert as TradingView does."""
        data = raw if raw is not None else json.dumps(body).encode()
        kind = "application/json" if raw is None else "text/plain"
        url = f"{self.url}/webhooks/{token or self.webhook_token}"
        async with self.http.post(url, data=data, headers={"Content-Type": kind}) as answer:
            return answer.status, json.loads(await answer.text())

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the simulator's control API."""
        async with self.http.request(method, f"{self.addresses.control_url}/{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status < 300, text
            return json.loads(text) if text.startswith(("{", "[")) else text

    async def fault(self, kind: str, **form: Any) -> Any:
        """Put a fault in force."""
        return await self.control("POST", "faults", {"kind": kind, **form})

    async def venue_orders(self, uid: int) -> list[dict[str, Any]]:
        """Read an account's orders from the simulator itself, oldest first, with their fills."""
        page = await self.control("GET", f"accounts/{uid}/orders?limit=1000")
        return list(page["orders"])

    # --- waiting ---------------------------------------------------------------------------------

    @staticmethod
    async def until(is_true: Callable[[], Awaitable[Any]], seconds: float = 20.0) -> Any:
        """Wait until something holds; fail if it does not in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        pause_s = 0.02
        while True:
            value = await is_true()
            if value:
                return value
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"did not come true within {seconds} s")
            await asyncio.sleep(pause_s)
            # A slow machine waits for long, and who asks fifty times a second is refused by the platform itself.
            pause_s = min(_LOOK_EVERY_S, pause_s * 1.1)

    async def fan(self, signal_id: str) -> dict[str, Any]:
        """Read a signal's fan-out as the operator."""
        status, answer = await self.call("GET", f"/signals/{signal_id}/fan", self.operator)
        assert status == 200, answer
        return dict(answer)

    async def is_decided(self, signal_id: str) -> bool:
        """Say whether a signal has been decided."""
        return bool((await self.fan(signal_id))["cells"])

    async def settled(self, signal_id: str, seconds: float = 20.0) -> dict[str, Any]:
        """Wait until a signal is decided and none of its orders is on its way or in doubt."""
        moving = {"INTENDED", "SENT", "UNKNOWN", "CANCEL_SENT", "NEVER_ARRIVED", "ACCEPTED", "PARTIALLY_FILLED"}

        async def is_settled() -> dict[str, Any] | None:
            board = await self.fan(signal_id)
            if not board["cells"] or moving & set(board["counts"]["states"]):
                return None
            return board

        return dict(await self.until(is_settled, seconds))

    async def positions(self, person: Person) -> list[dict[str, Any]]:
        """Read a person's open lots."""
        status, answer = await self.call("GET", "/positions", person)
        assert status == 200, answer
        return list(answer["items"])

    async def orders(self, person: Person) -> list[dict[str, Any]]:
        """Read a person's orders, oldest first."""
        status, answer = await self.call("GET", "/orders?limit=500", person)
        assert status == 200, answer
        return list(reversed(answer["items"]))

    async def reconciled(self, person: Person) -> None:
        """Wait until none of a person's accounts waits for its reconcile."""

        async def is_open() -> bool:
            _, answer = await self.call("GET", "/trading/status", person)
            return not any(why["code"] == "reconciling" for each in answer["accounts"] for why in each["reasons"])

        await self.until(is_open)

    async def flat(self, person: Person, seconds: float = 20.0) -> None:
        """Wait until a person holds no position."""

        async def is_flat() -> bool:
            return not await self.positions(person)

        await self.until(is_flat, seconds)

    async def protected(self, person: Person, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Wait until a person has a position and the venue holds its protection."""

        async def is_protected() -> list[dict[str, Any]] | None:
            found = await self.positions(person)
            return found if found and all(each["protection"] == "protected_native" for each in found) else None

        return list(await self.until(is_protected, seconds))


@contextlib.asynccontextmanager
async def world(folder: Path, *, orders: OrderSettings = FAST_ORDERS, **settings: Any) -> AsyncIterator[World]:
    """Start a simulator with a still tape; the platform is started by the test when its people are there."""
    sim = SimServer(
        SimSettings(store=folder / "venue.db", paused=True, processing_timeout_ms=300, speed=Decimal(1), seed=1)
    )
    addresses = await sim.start()
    data_dir = folder / "data"
    data_dir.mkdir()
    database = address(data_dir / "tradewind.db", is_migrated=True)
    chosen = replace(
        Settings(data_dir=data_dir, database=database, kek_file=folder / "kek", orders=orders, disk_reserve_mb=0),
        venues={
            (BINANCE, Environment.PAPER): VenueSection(
                rest_url=addresses.rest_url, ws_api_url=addresses.ws_api_url, stream_url=addresses.stream_url
            ),
            (BINANCE, Environment.TESTNET): VenueSection(enabled=False),
            (BINANCE, Environment.LIVE): VenueSection(enabled=False),
        },
        **settings,
    )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        place = World(folder, sim, addresses, chosen, http)
        try:
            yield place
        finally:
            await place.stop_platform()
            await sim.stop()


def open_alert(symbol: str = "BTCUSDT", **more: Any) -> dict[str, Any]:
    """Write a TradingView strategy alert that opens."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"ticker": symbol, "exchange": "BINANCE", "action": "buy", "sent_at": at, **more}


def close_alert(symbol: str = "BTCUSDT", **more: Any) -> dict[str, Any]:
    """Write a TradingView strategy alert that closes."""
    return {**open_alert(symbol), "action": "sell", **more}


def _person(tx: Tx, identity: Identity, email: str, role: Role) -> Person:
    user = identity.create_user(tx, NewUser(email, email.split("@")[0], "!", role), actor="test")
    issued = identity.issue_token(tx, user.id, label="test", scopes=SCOPES_OF_ROLE[role], actor="test")
    return Person(user.id, issued.token.reveal_text())
