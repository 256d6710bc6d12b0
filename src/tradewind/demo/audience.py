"""Everybody who watches: one stream per person, one of the operator's, and a regular look at positions and tape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tradewind.core.errors import TradewindError
from tradewind.demo.follow import Follower
from tradewind.demo.players import Players
from tradewind.demo.stage import Stage
from tradewind.infra.log import logger

_log = logger("demo.audience")

_PAINT_EVERY_S = 0.2
_TAPE_EVERY_S = 1.0
# P&L is the server's figure; twice every five seconds is often enough to see it move.
_POSITIONS_EVERY_S = 2.5
_AT_ONCE = 6
_ORDERS_MAX = 200
_PRICES = "price.binance.paper"


@dataclass(slots=True)
class Audience:
    """Feeds the stage from the platform while the acts are played."""

    players: Players
    stage: Stage
    paint: Callable[[], None]
    _held: list[tuple[int, Mapping[str, Any]]] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start watching; the caller cancels the tasks."""
        operator = self.players.foundation.operator.token
        followers = [
            Follower(
                self.players.session,
                self.players.stream_url,
                self.players.token(number),
                (),
                partial(self._see, number),
                partial(self.refetch, number),
            )
            for number in self.players.accounts
        ]
        followers.append(
            Follower(self.players.session, self.players.stream_url, operator, ("fan", _PRICES), self._oversee, _nothing)
        )
        loops = (self._keep_time, self._keep_tape, self._keep_positions)
        return [
            *(tasks.create_task(follower.run(), name="demo-follow") for follower in followers),
            *(tasks.create_task(loop(), name=f"demo{loop.__name__}") for loop in loops),
        ]

    # --- frames ------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Keep order events back until it is known which signal they belong to."""
        self._held = []

    def release(self) -> None:
        """Tell the stage what was kept back."""
        held, self._held = self._held or [], None
        for number, data in held:
            self.stage.see_order(number, data)

    def _see(self, number: int, frame: Mapping[str, Any]) -> None:
        if frame["type"] != "ev":
            return
        data = {**frame["data"], "id": frame["id"], "rev": frame["rev"]}
        if frame["topic"] == "position":
            self.stage.see_position(number, data)
        elif frame["topic"] == "order" and self._held is not None:
            self._held.append((number, data))
        elif frame["topic"] == "order":
            self.stage.see_order(number, data)

    def _oversee(self, frame: Mapping[str, Any]) -> None:
        if frame["type"] == "tick":
            self.stage.see_tick(frame["data"])
        elif frame["type"] == "fan" and frame["counts"] is not None:
            self.stage.see_counts(frame["signal"], frame["counts"])

    # --- asking ------------------------------------------------------------------------------------

    async def refetch(self, number: int) -> None:
        """Read a person's orders again: a gap may have hidden something."""
        found = await self.players.platform.demand(
            "GET", "/api/v1/orders", token=self.players.token(number), params={"limit": str(_ORDERS_MAX)}
        )
        for order in reversed(found["items"]):
            self.stage.see_order(number, order)

    async def look_at_positions(self) -> None:
        """Read everybody's positions with price and P&L."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def look(number: int) -> None:
            async with slots:
                found = await self.players.platform.demand("GET", "/api/v1/positions", token=self.players.token(number))
            self.stage.see_positions(number, found["items"])

        async with asyncio.TaskGroup() as tasks:
            for number in self.players.accounts:
                tasks.create_task(look(number))

    async def look_again(self) -> None:
        """Read everything again, for the last picture."""
        for number in self.players.accounts:
            await self.refetch(number)
        await self.look_at_positions()

    # --- loops -------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.stage.now = loop.time()
            self.paint()
            for child in self.players.children:
                child.demand_alive()
            await asyncio.sleep(_PAINT_EVERY_S)

    async def _keep_tape(self) -> None:
        while True:
            tape = await self.players.exchange.tape_now()
            minutes, seconds = divmod(int(tape["position_ms"]) // 1_000, 60)
            of_minutes, of_seconds = divmod(int(tape["duration_ms"]) // 1_000, 60)
            self.stage.tape_at = f"{minutes}:{seconds:02d} of {of_minutes}:{of_seconds:02d}"
            await asyncio.sleep(_TAPE_EVERY_S)

    async def _keep_positions(self) -> None:
        while True:
            if self.stage.started is not None:
                try:
                    await self.look_at_positions()
                except* TradewindError as group:
                    # Only the picture is late; the check reads for itself.
                    _log.warning("demo.audience.positions_late", error=str(group.exceptions[0]))
            await asyncio.sleep(_POSITIONS_EVERY_S)


async def _nothing() -> None:
    """The operator's socket shows counts and prices only; the newest ones are enough."""
