"""The stream over a real server and a real client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as sockets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import text
from tests.support.clock import ManualClock
from tests.support.ids import CountedIds
from tests.support.people import People, people
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tradewind.identity.people import User
from tradewind.infra.bus import InProcessBus, Message
from tradewind.stream.hub import Hub
from tradewind.stream.ring import RING_SIZE
from tradewind.stream.routes import NOT_A_FRAME, NOT_ALLOWED, NOT_SIGNED_IN, TOO_MANY, build_router
from tradewind.web.principal import Role, Scope

# A bound against hanging, not a wait.
_PATIENCE_S = 10


@dataclass
class Station:
    """A server with the stream, its hub, and people who may listen."""

    people: People
    bus: InProcessBus
    hub: Hub
    clock: ManualClock
    port: int = 0
    _count: int = 0
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/stream"

    def add(self, name: str, role: Role = Role.USER, **how: Any) -> User:
        user = self.people.add_user(name, role=role)
        self.tokens[user.id] = self.people.add_token(user, **how)
        return user

    def listen(self, user: User, **how: Any) -> connect:
        return connect(self.url, additional_headers={"Authorization": f"Bearer {self.tokens[user.id]}"}, **how)

    async def tell(self, user: User, **data: Any) -> None:
        self._count += 1
        payload = {"id": f"o{self._count}", "rev": 1, "at": "2026-11-20T12:00:00Z", **data}
        await self.bus.publish(Message(self._count, "order", user.id, payload))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as made:
        yield made


@pytest.fixture
async def station(base: People) -> AsyncIterator[Station]:
    bus, clock = InProcessBus(), ManualClock()
    hub = Hub(bus, clock, CountedIds())
    app = base.app(build_router(hub, clock))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    listening = sockets.create_server(("127.0.0.1", 0))
    made = Station(base, bus, hub, clock, listening.getsockname()[1])
    tasks = [asyncio.create_task(hub.run()), asyncio.create_task(server.serve(sockets=[listening]))]
    yield made
    server.should_exit = True
    server.force_exit = True
    tasks[0].cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), _PATIENCE_S)
    listening.close()


async def frame(socket: ClientConnection, kind: str | None = None) -> dict[str, Any]:
    """The next frame (of this type)."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            body: dict[str, Any] = json.loads(await socket.recv())
            if kind is None or body["type"] == kind:
                return body


async def closed_with(socket: ClientConnection) -> int:
    async with asyncio.timeout(_PATIENCE_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code


async def test_stream_when_opened_says_hello_and_then_what_happens(station: Station) -> None:
    ann, bob = station.add("ann"), station.add("bob")
    async with station.listen(ann) as socket:
        hello = await frame(socket)
        assert (hello["type"], hello["seq"], hello["hb_ms"]) == ("hello", 0, 2000)
        await station.tell(bob, state="FILLED")
        await station.tell(ann, state="FILLED")
        told = await frame(socket)
        assert (told["type"], told["seq"], told["id"], told["data"]) == ("ev", 1, "o2", {"state": "FILLED"})
        await station.clock.advance(2.1)
        beat = await frame(socket)
        assert (beat["type"], beat["seq"]) == ("hb", 1)


async def test_token_when_sent_as_the_first_frame_opens_the_stream(station: Station) -> None:
    ann = station.add("ann")
    async with connect(station.url) as socket:
        await socket.send(json.dumps({"type": "auth", "token": station.tokens[ann.id]}))
        assert (await frame(socket))["type"] == "hello"
        await station.tell(ann)
        assert (await frame(socket, "ev"))["seq"] == 1


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"type":"auth","token":"tw_wrong"}', NOT_SIGNED_IN),
        ('{"type":"sub","topics":[]}', NOT_SIGNED_IN),
        ("nonsense", NOT_A_FRAME),
        (b"\x00", NOT_A_FRAME),
    ],
)
async def test_stranger_when_the_first_frame_is_not_good_is_shut_out(
    station: Station, first: str | bytes, code: int
) -> None:
    async with connect(station.url) as socket:
        await socket.send(first)
        assert await closed_with(socket) == code
    assert station.hub.socket_count == 0


async def test_token_when_wrong_in_the_header_is_told_so_by_code(station: Station) -> None:
    async with connect(station.url, additional_headers={"Authorization": "Bearer tw_wrong"}) as socket:
        assert await closed_with(socket) == NOT_SIGNED_IN


async def test_token_without_the_right_to_read_is_not_allowed(station: Station) -> None:
    ann = station.add("ann", scopes=frozenset({Scope.TRADE}))
    async with station.listen(ann) as socket:
        assert await closed_with(socket) == NOT_ALLOWED


async def test_cookie_from_another_site_is_turned_away_before_the_upgrade(station: Station) -> None:
    headers = {"Cookie": "__Host-tw=whatever"}
    with pytest.raises(InvalidStatus) as caught:
        async with connect(station.url, additional_headers=headers, origin="https://evil.test"):  # type: ignore[arg-type]
            pass
    assert caught.value.response.status_code == 403


async def test_cookie_when_its_session_has_ended_is_told_so_by_code(station: Station) -> None:
    headers = {"Cookie": "__Host-tw=whatever"}
    origin = f"http://127.0.0.1:{station.port}"
    async with connect(station.url, additional_headers=headers, origin=origin) as socket:  # type: ignore[arg-type]
        assert await closed_with(socket) == NOT_SIGNED_IN


async def test_resume_after_a_break_replays_before_what_is_new(station: Station) -> None:
    ann = station.add("ann")
    async with station.listen(ann) as socket:
        epoch = (await frame(socket))["epoch"]
        await station.tell(ann)
        assert (await frame(socket, "ev"))["seq"] == 1
    for _ in range(3):
        await station.tell(ann)
    async with station.listen(ann) as socket:
        assert (await frame(socket))["seq"] == 4
        # Happens before the client has said where it stood, and must not overtake the replay.
        await station.tell(ann)
        await socket.send(json.dumps({"type": "resume", "epoch": epoch, "seq": 1}))
        assert [(await frame(socket, "ev"))["seq"] for _ in range(4)] == [2, 3, 4, 5]


async def test_resume_of_another_life_is_a_reset_with_a_new_start(station: Station) -> None:
    ann = station.add("ann")
    async with station.listen(ann) as socket:
        await frame(socket)
        await socket.send(json.dumps({"type": "resume", "epoch": "an older process", "seq": 1}))
        assert await frame(socket) == {"type": "reset", "why": "epoch"}
        assert (await frame(socket))["type"] == "hello"


async def test_reader_when_it_stops_reading_is_reset_and_holds_up_nobody(station: Station) -> None:
    ann, bob = station.add("ann"), station.add("bob")
    async with station.listen(ann, max_queue=1) as slow, station.listen(bob) as quick:
        await frame(slow)
        await frame(quick)
        for _ in range(60):
            for _ in range(50):
                await station.tell(ann, note="x" * 4_000)
            await asyncio.sleep(0)
        # However much the operating system has taken in: more than a ring at once, with nobody given a turn.
        for _ in range(RING_SIZE + 100):
            await station.tell(ann)
        await station.tell(bob)
        assert (await frame(quick, "ev"))["seq"] == 1
        seq, resets = 0, 0
        while seq < 3_000 + RING_SIZE + 100:
            told = await frame(slow)
            if told["type"] == "reset":
                resets += 1
                told = await frame(slow)
                assert told["type"] == "hello"
                seq = told["seq"]
            elif told["type"] == "ev":
                # Between two resets nothing is missing.
                assert told["seq"] == seq + 1
                seq = told["seq"]
        assert resets > 0


async def test_frame_when_malformed_later_ends_the_stream(station: Station) -> None:
    ann = station.add("ann")
    async with station.listen(ann) as socket:
        await frame(socket)
        await socket.send("nonsense")
        assert await closed_with(socket) == NOT_A_FRAME
    assert station.hub.socket_count == 0


async def test_token_when_revoked_loses_its_stream_within_a_minute(station: Station) -> None:
    ann = station.add("ann")
    async with station.listen(ann) as socket:
        await frame(socket)
        identity, db = station.people.identity, station.people.db
        (token,) = db.read_now(lambda tx: identity.list_tokens(tx, ann.id))
        db.write_now(lambda tx: identity.revoke_token(tx, ann.id, token.id, actor="test"))
        await station.clock.advance(61)
        assert await closed_with(socket) == NOT_SIGNED_IN


@pytest.mark.parametrize(("before", "after"), [(Role.OPERATOR, Role.USER), (Role.USER, Role.SUPPORT)])
async def test_role_when_changed_ends_a_stream_that_was_opened_with_the_old_one(
    station: Station, before: Role, after: Role
) -> None:
    changing, ann = station.add("changing", before), station.add("ann")
    async with station.listen(changing) as socket, station.listen(ann) as other:
        await frame(socket)
        await frame(other)
        station.people.db.write_now(
            lambda tx: tx.execute(
                text("UPDATE users SET role = :role WHERE id = :id"), {"role": after, "id": changing.id}
            )
        )
        await station.clock.advance(61)
        assert await closed_with(socket) == NOT_ALLOWED
        await station.tell(ann, state="FILLED")
        assert (await frame(other, "ev"))["data"] == {"state": "FILLED"}
    async with station.listen(changing) as socket:
        await frame(socket)
        await station.tell(ann, state="FILLED")
        await station.tell(changing, state="CANCELED")
        state = "FILLED" if after is Role.SUPPORT else "CANCELED"
        assert (await frame(socket, "ev"))["data"]["state"] == state


async def test_twenty_first_stream_of_a_user_is_refused(station: Station) -> None:
    ann = station.add("ann")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            await frame(await stack.enter_async_context(station.listen(ann)))
        async with station.listen(ann) as socket:
            assert await closed_with(socket) == TOO_MANY
    async with station.listen(ann) as socket:
        assert (await frame(socket))["type"] == "hello"


async def test_operator_when_listening_hears_everybody_masked(station: Station) -> None:
    operator, ann = station.add("operator", Role.OPERATOR), station.add("ann")
    async with station.listen(operator) as socket:
        await frame(socket)
        await station.tell(ann, email="ann@example.com")
        assert (await frame(socket, "ev"))["data"] == {"email": "•••", "user_id": ann.id}


async def test_prices_when_subscribed_arrive(station: Station) -> None:
    ann = station.add("ann")
    async with station.listen(ann) as socket:
        await frame(socket)
        await socket.send(json.dumps({"type": "sub", "topics": ["price.binance.paper"]}))
        data = {"BTCUSDT": {"price": "67000.5"}}
        payload = {"topic": "price.binance.paper", "n": 1, "data": data}
        while True:
            # The subscription is on its way; a price that came before it is not for this socket.
            await station.bus.publish(Message(0, "tick", None, payload))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    tick = json.loads(await socket.recv())
                    break
        assert tick == {"type": "tick", **payload}
