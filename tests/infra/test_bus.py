"""The in-process bus: a slow reader loses, and never holds anybody up."""

from __future__ import annotations

import asyncio

from tradewind.infra.bus import InProcessBus, Message


def _message(seq: int, topic: str = "order") -> Message:
    return Message(seq, topic, "u1", {"n": seq})


async def test_publish_when_topics_are_named_then_only_those_arrive() -> None:
    bus = InProcessBus()
    orders, everything = bus.subscribe("order"), bus.subscribe()
    await bus.publish(_message(1, "order"))
    await bus.publish(_message(2, "gate"))
    orders.close()
    everything.close()
    assert [message.seq async for message in orders] == [1]
    assert [message.seq async for message in everything] == [1, 2]


async def test_publish_when_the_reader_is_slow_then_the_oldest_goes_and_it_is_told() -> None:
    bus = InProcessBus()
    slow = bus.subscribe(size_max=2)
    for seq in range(5):
        await bus.publish(_message(seq))
    assert slow.missed == 3
    slow.close()
    assert [message.seq async for message in slow] == [3, 4]


async def test_iteration_when_nothing_is_there_then_waits_and_goes_on() -> None:
    bus = InProcessBus()
    subscription = bus.subscribe()
    heard: list[int] = []

    async def listen() -> None:
        async for message in subscription:
            heard.append(message.seq)  # noqa: PERF401 - each one as it arrives, not all at the end

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        await asyncio.sleep(0)
        await bus.publish(_message(1))
        await asyncio.sleep(0)
        assert heard == [1]
        bus.unsubscribe(subscription)
    await bus.publish(_message(2))
    assert heard == [1]


async def test_unsubscribe_when_done_twice_then_is_harmless() -> None:
    bus = InProcessBus()
    subscription = bus.subscribe()
    bus.unsubscribe(subscription)
    bus.unsubscribe(subscription)
