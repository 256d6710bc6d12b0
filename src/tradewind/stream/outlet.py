"""What waits for one socket, and what it is sent next. No I/O: the socket's sender calls `drain`.

Rules of this file:
1. Events are not queued here: `sent_seq` points into the reader's ring.
2. Prices: newest value per topic and key, however slow the reader.
3. Fan-out cells: a short queue; when it overflows the socket is reset, because a reader cannot tell a
   dropped frame from a quiet one.
4. A `reset` is followed by a `hello` with the number to go on from.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from tradewind.infra.clock import Clock
from tradewind.stream.frames import Fan, Frame, Hb, Hello, Reset, Resume, Sub, Tick
from tradewind.stream.ring import Ring

# A fan-out sends at most ten frames a second; this is a reader who slept for half a minute.
FANS_MAX = 300
# Events told in one go, so that prices and heartbeats are not held up behind a long replay.
BATCH = 200


class Outlet:
    """One socket's place in the stream of its reader."""

    def __init__(self, user_id: str, reader: str, ring: Ring, epoch: str, clock: Clock) -> None:
        self.user_id = user_id
        self.reader = reader
        self._ring = ring
        self._epoch = epoch
        self._clock = clock
        self.sent_seq = ring.seq
        self._topics: frozenset[str] = frozenset({"fan"})
        self._ticks: OrderedDict[str, Tick] = OrderedDict()
        self._fans: deque[Fan] = deque()
        self._is_beat_due = False
        self._reset_why: str | None = None
        self.ready = asyncio.Event()

    # --- what comes in -----------------------------------------------------------------------------

    def wake(self) -> None:
        """Say that the ring has something new."""
        self.ready.set()

    def beat(self) -> None:
        """Ask for a heartbeat."""
        self._is_beat_due = True
        self.ready.set()

    def offer_tick(self, tick: Tick) -> None:
        """Keep the newest values of a topic this socket listens to."""
        if not self._listens(tick.topic):
            return
        waiting = self._ticks.get(tick.topic)
        if waiting is not None:
            tick = Tick(tick.topic, tick.n, {**waiting.data, **tick.data})
        self._ticks[tick.topic] = tick
        self.ready.set()

    def offer_fan(self, fan: Fan) -> None:
        """Queue changed cells of a fan-out this socket listens to."""
        if not (self._listens("fan") or self._listens(f"fan.{fan.signal}")):
            return
        if len(self._fans) >= FANS_MAX:
            self.reset("slow")
            return
        self._fans.append(fan)
        self.ready.set()

    def subscribe(self, sub: Sub) -> None:
        """Replace what this socket listens to besides its own facts."""
        self._topics = frozenset(sub.topics)
        self._ticks = OrderedDict((topic, tick) for topic, tick in self._ticks.items() if self._listens(topic))

    def resume(self, resume: Resume) -> None:
        """Go on after the number the client had, or reset."""
        if resume.epoch != self._epoch:
            self.reset("epoch")
        elif self._ring.after(resume.seq, limit=0) is None:
            self.reset("gone")
        else:
            self.sent_seq = resume.seq
            self.ready.set()

    def reset(self, why: str) -> None:
        """Give up the numbers so far; the client fetches everything again."""
        self._reset_why = why
        self._fans.clear()
        self._ticks.clear()
        self.ready.set()

    # --- what goes out -----------------------------------------------------------------------------

    def hello(self) -> Hello:
        """The frame that starts a stream."""
        return Hello(self._epoch, self.sent_seq, self._clock.now())

    def drain(self) -> list[Frame]:
        """Take what is to be sent next; empty when there is nothing. Call it again until it is."""
        self.ready.clear()
        frames: list[Frame] = []
        events = self._ring.after(self.sent_seq, limit=BATCH)
        if events is None and self._reset_why is None:
            self.reset("behind")
        if self._reset_why is not None:
            frames.append(Reset(self._reset_why))
            self._reset_why = None
            self.sent_seq = self._ring.seq
            frames.append(self.hello())
        elif events:
            self.sent_seq = events[-1].seq
            frames.extend(events)
        frames.extend(self._fans)
        self._fans.clear()
        frames.extend(self._ticks.values())
        self._ticks.clear()
        return self._with_beat(frames)

    def _with_beat(self, frames: list[Frame]) -> list[Frame]:
        """A heartbeat names the newest number, so it waits until everything before it was told."""
        if self.sent_seq < self._ring.seq:
            self.ready.set()
        elif self._is_beat_due:
            self._is_beat_due = False
            frames.append(Hb(self.sent_seq, self._clock.now()))
        return frames

    def _listens(self, topic: str) -> bool:
        """Say whether the topic or one above it (`price` above `price.binance.live`) is subscribed."""
        if topic in self._topics:
            return True
        head, dot, _ = topic.rpartition(".")
        return bool(dot) and self._listens(head)
