"""The hub: from the bus to the sockets of those whose facts they are.

Every reader (a user, or the operators together) has one ring of numbered events. A socket holds no queue of
events, only the number it was sent last: a slow reader costs no memory, and when the ring has moved past it,
it is told `reset`. Nothing here ever waits for a socket.

A user is sent what carries their own user id and nothing else; operators see everybody's events, with what
identifies a person masked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tradewind.core.errors import TooMany
from tradewind.infra.bus import Bus, Message
from tradewind.infra.clock import Clock
from tradewind.infra.ids import Ids
from tradewind.infra.log import logger
from tradewind.stream.fans import FanBook
from tradewind.stream.frames import HEARTBEAT_MS, Fan, Tick
from tradewind.stream.mask import masked
from tradewind.stream.outlet import Outlet
from tradewind.stream.ring import Event, Ring

# The user's own facts (dashboard.md 2.4). Other bus topics wake workers up and are nobody's to read.
EV_TOPICS = frozenset({"order", "position", "signal", "account", "gate", "notice", "decision", "balance", "incident"})
SOCKETS_PER_USER_MAX = 20
# All operators read the same numbered stream. No user id looks like this.
OPERATORS = "*operators"
# A ring without a socket is kept this long for whoever reconnects.
RING_LINGER_S = 900.0
# Fan-outs whose cells are remembered, to count each user's own.
_FANS_MAX = 64
# Messages delivered in one go.
_TURN = 50

_log = logger("stream.hub")


class Hub:
    """All sockets of one process. Its owner runs `run`; sockets come and go by `connect` and `disconnect`."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        *,
        topics: Collection[str] = EV_TOPICS,
        sockets_max: int = SOCKETS_PER_USER_MAX,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._topics = frozenset(topics)
        self._sockets_max = sockets_max
        # Numbers of another life of this process mean nothing in this one.
        self.epoch = ids.new()
        self._rings: dict[str, Ring] = {}
        self._old_seqs: dict[str, int] = {}
        self._idle_since: dict[str, float] = {}
        self._outlets: dict[str, list[Outlet]] = {}
        self._fans = FanBook(_FANS_MAX)
        self._subscription = bus.subscribe()

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._consume())
                tasks.create_task(self._beat())
        finally:
            self._bus.unsubscribe(self._subscription)

    # --- sockets -----------------------------------------------------------------------------------

    def connect(self, user_id: str, *, sees_all: bool) -> Outlet:
        """Open an outlet for a socket; `sees_all` for operators. Raises TooMany past the limit per user."""
        reader = OPERATORS if sees_all else user_id
        mine = [outlet for outlet in self._all_outlets() if outlet.user_id == user_id]
        if len(mine) >= self._sockets_max:
            raise TooMany(
                "too_many_streams", f"{self._sockets_max} streams of yours are open, the most there may be. Close one."
            )
        ring = self._rings.get(reader)
        if ring is None:
            ring = self._rings[reader] = Ring(self._old_seqs.pop(reader, 0))
        self._idle_since.pop(reader, None)
        outlet = Outlet(user_id, reader, ring, self.epoch, self._clock)
        self._outlets.setdefault(reader, []).append(outlet)
        return outlet

    def disconnect(self, outlet: Outlet) -> None:
        """Close an outlet (idempotent); its ring lingers for a reconnect."""
        outlets = self._outlets.get(outlet.reader, [])
        if outlet not in outlets:
            return
        outlets.remove(outlet)
        if not outlets:
            del self._outlets[outlet.reader]
            self._idle_since[outlet.reader] = self._clock.monotonic()

    @property
    def socket_count(self) -> int:
        """How many sockets are open."""
        return sum(len(outlets) for outlets in self._outlets.values())

    # --- loops -------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        missed = count = 0
        async for message in self._subscription:
            count += 1
            if count % _TURN == 0:
                # A full queue is read without waiting; the sockets and everybody else must get a turn.
                await asyncio.sleep(0)
            if self._subscription.missed != missed:
                missed = self._subscription.missed
                _log.warning("stream.hub.missed", missed=missed)
                self._forget_all()
            try:
                self.deliver(message)
            except Exception:
                # One message that is not as agreed must not silence all others.
                _log.exception("stream.hub.bad_message", topic=message.topic, seq=message.seq)

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(HEARTBEAT_MS / 1_000)
            for outlet in self._all_outlets():
                outlet.beat()
            self._drop_idle_rings()

    def _drop_idle_rings(self) -> None:
        now = self._clock.monotonic()
        for reader, since in list(self._idle_since.items()):
            if now - since > RING_LINGER_S:
                ring = self._rings.pop(reader)
                # The number stays, one ahead, so that a late resume is answered with reset and not with silence.
                ring.forget()
                self._old_seqs[reader] = ring.seq
                del self._idle_since[reader]

    def _forget_all(self) -> None:
        self._fans.clear()
        for ring in self._rings.values():
            ring.forget()
        for outlet in self._all_outlets():
            outlet.wake()

    # --- delivery ----------------------------------------------------------------------------------

    def deliver(self, message: Message) -> None:
        """Hand one bus message to those who may read it. Raises KeyError or ValueError for a malformed one."""
        if message.topic == "tick":
            self._deliver_tick(message.payload)
        elif message.topic == "fan":
            self._deliver_fan(message.payload)
        elif message.topic in self._topics:
            self._deliver_event(message)

    def _deliver_event(self, message: Message) -> None:
        if message.user_id not in self._rings and OPERATORS not in self._rings:
            # Nobody reads it: most of a fan-out's events are of people who are not looking.
            return
        data = dict(message.payload)
        id_, rev, at = str(data.pop("id")), int(data.pop("rev")), str(data.pop("at"))
        if message.user_id is not None:
            self._append(message.user_id, Event(message.topic, id_, rev, at, data))
        if OPERATORS in self._rings:
            # Operators need to know whose it is; the id names nobody.
            shown = {**masked(data), "user_id": message.user_id}
            self._append(OPERATORS, Event(message.topic, id_, rev, at, shown))

    def _append(self, reader: str, event: Event) -> None:
        ring = self._rings.get(reader)
        if ring is None:
            # Nobody reads and nobody is waited for: there is no stream to number.
            return
        ring.append(event)
        for outlet in self._outlets.get(reader, []):
            outlet.wake()

    def _deliver_tick(self, payload: Mapping[str, Any]) -> None:
        tick = Tick(str(payload["topic"]), int(payload["n"]), payload["data"])
        for outlet in self._all_outlets():
            outlet.offer_tick(tick)

    def _deliver_fan(self, payload: Mapping[str, Any]) -> None:
        signal, rev = str(payload["signal"]), int(payload["rev"])
        cells = payload["cells"]
        fan = self._fans.of(signal)
        by_owner = fan.update(rev, cells, payload["owner_ids"])
        for reader, outlets in self._outlets.items():
            if reader == OPERATORS:
                frame = Fan(signal, rev, cells, payload["counts"])
            elif fan.concerns(reader):
                # Sent even without a cell of theirs: a hole in `rev` would mean a loss.
                frame = Fan(signal, rev, by_owner.get(reader, []), fan.counts_of(reader))
            else:
                continue
            for outlet in outlets:
                outlet.offer_fan(frame)

    def _all_outlets(self) -> Iterator[Outlet]:
        return (outlet for outlets in self._outlets.values() for outlet in outlets)
