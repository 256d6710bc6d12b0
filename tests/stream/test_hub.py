"""Who is told what, in which order, and what happens to those who read slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.clock import ManualClock
from tests.support.ids import CountedIds

from tradewind.core.errors import TooMany
from tradewind.infra.bus import InProcessBus, Message
from tradewind.stream.frames import Ev, Fan, Frame, Hb, Hello, Reset, Resume, Sub, Tick
from tradewind.stream.hub import RING_LINGER_S, Hub
from tradewind.stream.outlet import FANS_MAX, Outlet
from tradewind.stream.ring import RING_SIZE


class Stage:
    """A running hub with its bus and clock."""

    def __init__(self) -> None:
        self.bus, self.clock = InProcessBus(), ManualClock()
        self.hub = Hub(self.bus, self.clock, CountedIds())
        self.count = 0

    async def tell(self, user_id: str | None, *, topic: str = "order", **data: Any) -> None:
        self.count += 1
        payload = {"id": f"o{self.count}", "rev": 1, "at": "2026-11-20T12:00:00Z", **data}
        await self.bus.publish(Message(self.count, topic, user_id, payload))
        await self.settle()

    async def fan(self, rev: int, cells: list[list[Any]], owners: list[str], signal: str = "s1") -> None:
        payload = {"signal": signal, "rev": rev, "cells": cells, "counts": {"ALL": rev}, "owner_ids": owners}
        await self.bus.publish(Message(0, "fan", None, payload))
        await self.settle()

    async def tick(self, n: int, data: dict[str, Any], topic: str = "price.binance.live") -> None:
        await self.bus.publish(Message(0, "tick", None, {"topic": topic, "n": n, "data": data}))
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    running = asyncio.create_task(made.hub.run())
    await made.settle()
    yield made
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def fan_payload(rev: int, owners: list[str]) -> dict[str, Any]:
    return {"signal": "s", "rev": rev, "cells": [[0, "SENT", None]], "counts": {}, "owner_ids": owners}


def own_counts(state: str) -> dict[str, Any]:
    """One order in this state and one account skipped because it was paused."""
    return {"accounts": 2, "placed": 1, "skipped": 1, "states": {state: 1}, "skip_reasons": {"paused": 1}}


def events(outlet: Outlet) -> list[tuple[int, str]]:
    return [(frame.seq, frame.id) for frame in outlet.drain() if isinstance(frame, Ev)]


def drained(outlet: Outlet) -> list[Frame]:
    frames: list[Frame] = []
    while outlet.ready.is_set():
        frames.extend(outlet.drain())
    return frames


async def test_event_when_published_reaches_its_user_alone(stage: Stage) -> None:
    ann, bob = stage.hub.connect("ann", sees_all=False), stage.hub.connect("bob", sees_all=False)
    await stage.tell("ann", state="FILLED")
    await stage.tell("bob")
    await stage.tell(None)
    assert events(ann) == [(1, "o1")]
    assert events(bob) == [(1, "o2")]


async def test_event_when_published_reaches_operators_masked_and_numbered_together(stage: Stage) -> None:
    operator = stage.hub.connect("op", sees_all=True)
    await stage.tell("ann", email="ann@example.com", state="FILLED")
    await stage.tell(None)
    first, second = [frame for frame in operator.drain() if isinstance(frame, Ev)]
    assert (first.seq, second.seq) == (1, 2)
    assert first.data == {"email": "•••", "state": "FILLED", "user_id": "ann"}
    assert second.data == {"user_id": None}


async def test_topic_when_not_a_users_fact_is_told_to_nobody(stage: Stage) -> None:
    ann, operator = stage.hub.connect("ann", sees_all=False), stage.hub.connect("op", sees_all=True)
    await stage.tell("ann", topic="execution.wake")
    await stage.tell("ann", topic="signal.dead")
    assert events(ann) == []
    assert events(operator) == []


async def test_every_tab_of_a_user_gets_the_same_numbers(stage: Stage) -> None:
    one = stage.hub.connect("ann", sees_all=False)
    await stage.tell("ann")
    two = stage.hub.connect("ann", sees_all=False)
    assert two.hello().seq == 1
    await stage.tell("ann")
    assert events(one) == [(1, "o1"), (2, "o2")]
    assert events(two) == [(2, "o2")]


async def test_resume_when_within_the_ring_replays_what_was_missed(stage: Stage) -> None:
    first = stage.hub.connect("ann", sees_all=False)
    await stage.tell("ann")
    stage.hub.disconnect(first)
    for _ in range(3):
        await stage.tell("ann")
    back = stage.hub.connect("ann", sees_all=False)
    assert back.hello().seq == 4
    back.resume(Resume(stage.hub.epoch, 1))
    assert [seq for seq, _ in events(back)] == [2, 3, 4]


@pytest.mark.parametrize(("epoch", "seq", "why"), [("old", 1, "epoch"), (None, 99, "gone"), (None, -1, "gone")])
async def test_resume_when_it_cannot_be_obeyed_is_a_reset(stage: Stage, epoch: str | None, seq: int, why: str) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    await stage.tell("ann")
    outlet.resume(Resume(epoch or stage.hub.epoch, seq))
    frames = outlet.drain()
    assert frames == [Reset(why), Hello(stage.hub.epoch, 1, stage.clock.now())]
    await stage.tell("ann")
    assert events(outlet) == [(2, "o2")]


async def test_resume_when_the_ring_has_moved_on_is_a_reset(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    for _ in range(RING_SIZE + 1):
        stage.hub.deliver(Message(1, "order", "ann", {"id": "o", "rev": 1, "at": ""}))
    outlet.resume(Resume(stage.hub.epoch, 0))
    assert outlet.drain()[0] == Reset("gone")


async def test_reader_when_slower_than_the_ring_is_reset_and_goes_on(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    for _ in range(RING_SIZE + 5):
        stage.hub.deliver(Message(1, "order", "ann", {"id": "o", "rev": 1, "at": ""}))
    frames = outlet.drain()
    assert frames[0] == Reset("behind")
    assert isinstance(frames[1], Hello)
    assert frames[1].seq == RING_SIZE + 5
    await stage.tell("ann")
    assert [seq for seq, _ in events(outlet)] == [RING_SIZE + 6]


async def test_long_replay_when_drained_comes_in_parts_and_in_order(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    for _ in range(RING_SIZE):
        stage.hub.deliver(Message(1, "order", "ann", {"id": "o", "rev": 1, "at": ""}))
    await stage.clock.advance(2)
    frames = drained(outlet)
    assert [frame.seq for frame in frames if isinstance(frame, Ev)] == list(range(1, RING_SIZE + 1))
    # The heartbeat names the last number, so it comes after everything before it.
    assert frames[-1] == Hb(RING_SIZE, stage.clock.now())


async def test_heartbeat_every_two_seconds_names_the_newest_number(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    await stage.clock.advance(1.9)
    assert outlet.drain() == []
    await stage.clock.advance(0.2)
    (beat,) = outlet.drain()
    assert isinstance(beat, Hb)
    assert beat.seq == 0
    await stage.tell("ann")
    await stage.clock.advance(2)
    told, beat = outlet.drain()
    assert isinstance(told, Ev)
    assert isinstance(beat, Hb)
    assert beat.seq == told.seq == 1


async def test_prices_when_read_slowly_are_merged_to_the_newest(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    outlet.subscribe(Sub(("price.binance",)))
    await stage.tick(1, {"BTCUSDT": 1, "ETHUSDT": 1})
    await stage.tick(2, {"BTCUSDT": 2})
    await stage.tick(9, {"BTCKRW": 5}, topic="price.upbit.live")
    assert outlet.drain() == [Tick("price.binance.live", 2, {"BTCUSDT": 2, "ETHUSDT": 1})]
    assert outlet.drain() == []


async def test_prices_when_not_subscribed_are_not_sent(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    await stage.tick(1, {"BTCUSDT": 1})
    assert outlet.drain() == []
    outlet.subscribe(Sub(("price",)))
    await stage.tick(2, {"BTCUSDT": 1})
    outlet.subscribe(Sub(("fan",)))
    assert outlet.drain() == []


async def test_cells_of_a_fan_out_reach_their_owners_with_their_own_counts(stage: Stage) -> None:
    ann, eve = stage.hub.connect("ann", sees_all=False), stage.hub.connect("eve", sees_all=False)
    operator = stage.hub.connect("op", sees_all=True)
    cells = [[0, "INTENDED", None], [1, "SKIPPED", "paused"], [2, "INTENDED", None]]
    await stage.fan(1, cells, ["ann", "ann", "bob"])
    await stage.fan(2, [[0, "SENT", None]], ["ann"])
    await stage.fan(3, [[2, "SENT", None]], ["bob"])
    assert ann.drain() == [
        Fan("s1", 1, cells[:2], own_counts("INTENDED")),
        Fan("s1", 2, [[0, "SENT", None]], own_counts("SENT")),
        Fan("s1", 3, [], own_counts("SENT")),
    ]
    assert eve.drain() == []
    assert operator.drain() == [
        Fan("s1", 1, cells, {"ALL": 1}),
        Fan("s1", 2, [[0, "SENT", None]], {"ALL": 2}),
        Fan("s1", 3, [[2, "SENT", None]], {"ALL": 3}),
    ]


async def test_counts_of_a_fan_out_when_a_frame_is_missing_are_not_guessed(stage: Stage) -> None:
    ann = stage.hub.connect("ann", sees_all=False)
    await stage.fan(2, [[0, "SENT", None]], ["ann"])
    await stage.fan(3, [[0, "FILLED", None]], ["ann"])
    assert [frame.counts for frame in ann.drain() if isinstance(frame, Fan)] == [None, None]


async def test_fan_out_when_one_signal_is_subscribed_leaves_out_the_others(stage: Stage) -> None:
    ann = stage.hub.connect("ann", sees_all=False)
    ann.subscribe(Sub(("fan.s2",)))
    await stage.fan(1, [[0, "SENT", None]], ["ann"], signal="s1")
    await stage.fan(1, [[0, "SENT", None]], ["ann"], signal="s2")
    assert [frame.signal for frame in ann.drain() if isinstance(frame, Fan)] == ["s2"]


async def test_fan_frames_when_they_pile_up_end_in_one_reset(stage: Stage) -> None:
    ann = stage.hub.connect("ann", sees_all=False)
    for rev in range(1, FANS_MAX + 2):
        stage.hub.deliver(
            Message(
                0,
                "fan",
                None,
                {"signal": "s", "rev": rev, "cells": [[0, "x", None]], "counts": {}, "owner_ids": ["ann"]},
            )
        )
    frames = ann.drain()
    assert frames[0] == Reset("slow")
    assert len(frames) == 2


async def test_message_when_malformed_silences_nobody(stage: Stage) -> None:
    ann = stage.hub.connect("ann", sees_all=False)
    await stage.bus.publish(Message(1, "order", "ann", {"no": "id"}))
    await stage.bus.publish(
        Message(2, "fan", None, {"signal": "s", "rev": 1, "cells": [[1, "x", None]], "counts": {}, "owner_ids": []})
    )
    await stage.tell("ann")
    assert [seq for seq, _ in events(ann)] == [1]


async def test_fault_75_bus_when_it_lost_messages_resets_every_reader() -> None:
    bus, clock = InProcessBus(), ManualClock()
    hub = Hub(bus, clock, CountedIds())
    ann = hub.connect("ann", sees_all=False)
    for n in range(10_001):
        await bus.publish(Message(n, "order", "ann", {"id": "o", "rev": 1, "at": ""}))
    running = asyncio.create_task(hub.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert isinstance(ann.drain()[0], Reset)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_sockets_of_a_user_when_over_twenty_are_refused(stage: Stage) -> None:
    outlets = [stage.hub.connect("ann", sees_all=n % 2 == 0) for n in range(20)]
    with pytest.raises(TooMany):
        stage.hub.connect("ann", sees_all=False)
    stage.hub.connect("bob", sees_all=False)
    stage.hub.disconnect(outlets[0])
    stage.hub.disconnect(outlets[0])
    stage.hub.connect("ann", sees_all=False)
    assert stage.hub.socket_count == 21


async def test_ring_without_a_socket_when_forgotten_answers_a_late_resume_with_reset(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    await stage.tell("ann")
    stage.hub.disconnect(outlet)
    await stage.clock.advance(RING_LINGER_S + 5)
    # Nobody reads: nothing is kept.
    await stage.tell("ann")
    back = stage.hub.connect("ann", sees_all=False)
    back.resume(Resume(stage.hub.epoch, 1))
    assert isinstance(back.drain()[0], Reset)
    await stage.tell("ann")
    (ev,) = events(back)
    assert ev[0] > 1


async def test_ring_when_somebody_came_back_in_time_is_kept(stage: Stage) -> None:
    outlet = stage.hub.connect("ann", sees_all=False)
    stage.hub.disconnect(outlet)
    await stage.clock.advance(RING_LINGER_S - 10)
    await stage.tell("ann")
    back = stage.hub.connect("ann", sees_all=False)
    await stage.clock.advance(RING_LINGER_S)
    back.resume(Resume(stage.hub.epoch, 0))
    assert events(back) == [(1, "o1")]
