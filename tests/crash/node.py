"""The process that is killed: the real platform without its web stack, driven over a socket.

Everything between the inbox and the venue is what `tradewind serve` runs: settings, database, vault, signer,
market, engine, outbox. Only the HTTP doors are not built; alerts come in through the same function that the
webhook's route calls, and are answered on the socket after the commit, as there.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI
from tests.crash import plants
from tests.crash.killer import Killer, Strike
from tests.crash.numbers import CRASH_ORDERS

from tradewind.app import App, build
from tradewind.app.restore import begin_restore
from tradewind.app.web import Rooms
from tradewind.config import Settings
from tradewind.config.settings import VenueSection
from tradewind.core.errors import TradewindError
from tradewind.core.ids import AccountId, SourceId, UserId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.order import Side
from tradewind.core.symbols import parse_symbol
from tradewind.execution.hand import HandOrder
from tradewind.infra import log, points
from tradewind.infra.bus import Message
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import Db
from tradewind.infra.ids import RandomIds
from tradewind.infra.points import Point
from tradewind.signals import service as signals
from tradewind.signals import webhook


def main(spec: dict[str, Any]) -> None:
    """Run until killed; SIGUSR1 has every thread's stack written to the log."""
    faulthandler.register(signal.SIGUSR1)
    log.configure(level=spec.get("log_level", "INFO"), as_json=True)
    strike = spec.get("strike")
    points.driver = Killer(
        Path(spec["counts"]),
        None if strike is None else Strike(**{**strike, "point": Point(strike["point"])}),
    )
    if spec.get("plant"):
        plants.apply(spec["plant"])
    loop_factory = uvloop.new_event_loop if spec["is_uvloop"] else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_run(spec))


def settings_of(spec: dict[str, Any]) -> Settings:
    """Return the settings of a world: its folder, its database, its exchange."""
    return replace(
        Settings(
            data_dir=Path(spec["data_dir"]),
            kek_file=Path(spec["kek_file"]),
            database=spec["database"],
            disk_reserve_mb=0,
            orders=replace(CRASH_ORDERS, **spec["numbers"]),
        ),
        venues={
            (BINANCE, Environment.PAPER): VenueSection(
                rest_url=spec["rest_url"], ws_api_url=spec["ws_api_url"], stream_url=spec["stream_url"]
            ),
            (BINANCE, Environment.TESTNET): VenueSection(enabled=False),
            (BINANCE, Environment.LIVE): VenueSection(enabled=False),
        },
    )


async def _run(spec: dict[str, Any]) -> None:
    reader, writer = await asyncio.open_unix_connection(spec["control"])
    rooms: list[Rooms] = []

    def keep(given: Rooms) -> FastAPI:
        rooms.append(given)
        return FastAPI()

    settings = settings_of(spec)
    if spec.get("after_restore"):
        _take_backup(settings)
    app = build(settings, web=keep)
    _witness(app, Path(spec["published"]))
    door = _Door(app, rooms[0], writer)
    door.say({"hello": spec["id"], "pid": os.getpid()})
    async with asyncio.TaskGroup() as tasks:
        platform = tasks.create_task(app.run())
        tasks.create_task(door.tell_ready())
        async for line in reader:
            order = json.loads(line)
            if order["do"] == "stop":
                platform.cancel()
                break
            tasks.create_task(door.obey(order))
        else:
            # Whoever drives us is gone.
            os._exit(0)
    door.say({"event": "stopped"})


def _take_backup(settings: Settings) -> None:
    """Take a backup into use as `tradewind serve --after-restore` does."""
    clock, db = SystemClock(), Db.open(settings.database_url)
    try:
        begin_restore(db, settings, clock, RandomIds(clock))
    finally:
        db.close()


def _witness(app: App, published: Path) -> None:
    """Write down every note that reaches the bus at the moment it does: the referee counts them."""
    file = os.open(published, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def push(message: Message) -> None:
        os.write(file, b"%d\n" % message.seq)

    subscription = app.hub._bus.subscribe()
    subscription.push = push  # type: ignore[method-assign]


class _Door:
    """Carries out what comes over the socket and answers."""

    def __init__(self, app: App, rooms: Rooms, writer: asyncio.StreamWriter) -> None:
        self._app = app
        self._rooms = rooms
        self._writer = writer
        self._deps = webhook.SignalDeps(
            db=rooms.db,
            clock=rooms.clock,
            ids=rooms.ids,
            sources=rooms.sources,
            limiter=rooms.limiter,
            listings=rooms.market,
            visible_sources=lambda _tx, _user: [],
            max_age_s=rooms.settings.orders.max_age_s,
        )

    def say(self, line: dict[str, Any]) -> None:
        self._writer.write(json.dumps(line).encode() + b"\n")

    async def tell_ready(self) -> None:
        await self._app.is_ready.wait()
        self.say({"event": "ready"})

    async def obey(self, order: dict[str, Any]) -> None:
        try:
            answer = await (self._alert(order) if order["do"] == "alert" else self._sell(order))
        except TradewindError as error:
            answer = {"refused": error.code}
        except Exception as error:
            answer = {"failed": repr(error)}
        self.say({"event": "answer", "id": order["id"], **answer})

    async def _alert(self, order: dict[str, Any]) -> dict[str, Any]:
        source = await self._deps.db.read(lambda tx: signals.load_source(tx, SourceId(order["source"])))
        accepted = await webhook.take(self._deps, source, json.dumps(order["body"]).encode())
        return {"signals": list(accepted.ids), "is_repeat": accepted.is_repeat}

    async def _sell(self, order: dict[str, Any]) -> dict[str, Any]:
        """Sell by hand all that is held of a symbol, protected or not, as the API's door does."""
        hand = self._rooms.engine.hand
        wanted = HandOrder(
            user_id=UserId(order["user"]),
            side=Side.SELL,
            symbol=parse_symbol(order["symbol"]),
            is_all=True,
            account_id=AccountId(order["account"]),
            include_protected=True,
        )
        own = [AccountId(order["account"])]
        db = self._rooms.db
        account = await db.read(lambda tx: hand.choose_account(tx, wanted, own))
        instrument = hand.instrument_for(account, wanted)
        await self._app.engine.desk.confirm(account.venue, account.environment, [instrument.symbol])
        placed = await db.write(lambda tx: hand.place(tx, wanted, hand.choose_account(tx, wanted, own)))
        with suppress(asyncio.CancelledError):
            self._app.engine.dispatcher.enqueue([placed])
            self._app.engine.protector.look((placed.account_id, placed.symbol))
        return {"order": placed.id}
