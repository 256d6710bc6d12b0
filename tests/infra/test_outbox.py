"""What was written in a transaction gets published, in order, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.support.clock import ManualClock
from tests.support.db import fresh_db

from tradewind.infra import outbox
from tradewind.infra.bus import InProcessBus, Message
from tradewind.infra.db import Db, Tx
from tradewind.infra.outbox import Note, Outbox


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    with fresh_db(tmp_path, rooms=()) as db:
        yield db


async def _say(db: Db, clock: ManualClock, *topics: str) -> None:
    notes = [Note(topic, "u1", {"id": topic}) for topic in topics]
    await db.write(lambda tx: outbox.append(tx, notes, clock.now()))


async def _take(bus_messages: asyncio.Queue[Message], count: int) -> list[str]:
    return [(await asyncio.wait_for(bus_messages.get(), 5)).topic for _ in range(count)]


class _Heard(InProcessBus):
    """A bus that keeps what it was told; told to fail, it does so once."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.fails_next = False
        self.after_publish: Callable[[Message], Awaitable[None]] | None = None

    async def publish(self, message: Message) -> None:
        if self.fails_next:
            self.fails_next = False
            raise ConnectionError("bus away")
        self.messages.put_nowait(message)
        if self.after_publish is not None:
            await self.after_publish(message)


async def test_drain_once_when_notes_were_committed_then_publishes_them_in_order_once(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)
    await _say(db, clock, "a", "b")
    await _say(db, clock, "c")
    assert await box.drain_once() == 3
    assert await _take(bus.messages, 3) == ["a", "b", "c"]
    assert await box.drain_once() == 0


async def test_append_when_the_transaction_fails_then_nothing_is_published(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)

    def work(tx: Tx) -> None:
        outbox.append(tx, [Note("a", None, {})], clock.now())
        raise KeyError

    with pytest.raises(KeyError):
        await db.write(work)
    assert await box.drain_once() == 0


async def test_fault_74_drain_once_when_the_bus_fails_then_publishes_again(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)
    await _say(db, clock, "a")
    bus.fails_next = True
    with pytest.raises(ConnectionError):
        await box.drain_once()
    assert await box.drain_once() == 1
    assert await _take(bus.messages, 1) == ["a"]


async def test_drain_when_a_commit_falls_into_a_round_then_it_is_published_without_waiting_for_the_tick(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tick so long that only a wake-up can bring the second note within the test's patience.
    monkeypatch.setattr(outbox, "_TICK_S", 3_600.0)
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)

    async def say_more(message: Message) -> None:
        if message.topic == "first":
            await _say(db, clock, "second")

    bus.after_publish = say_more
    draining = asyncio.create_task(box.drain())
    await _say(db, clock, "first")
    assert await _take(bus.messages, 2) == ["first", "second"]
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining


async def test_numbers_when_all_old_rows_are_forgotten_then_go_on_rising(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)
    await _say(db, clock, "a", "b")
    await box.drain_once()
    clock.step_wall(timedelta(hours=25).total_seconds())
    await db.write(box._forget_old)
    assert await db.read(lambda tx: list(tx.execute(select(outbox.outbox.c.seq)))) == []
    await _say(db, clock, "c")
    await box.drain_once()
    heard = [bus.messages.get_nowait() for _ in range(3)]
    assert [message.seq for message in heard] == [1, 2, 3]


async def test_forget_old_when_not_yet_published_then_keeps_it(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)
    await _say(db, clock, "a")
    clock.step_wall(timedelta(hours=48).total_seconds())
    await db.write(box._forget_old)
    assert await box.drain_once() == 1


async def test_append_when_many_notes_come_at_once_then_few_rows_hold_them_and_each_is_heard_in_order(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)
    notes = [Note(f"topic{number}", f"u{number % 3}", {"id": number, "text": "é"}) for number in range(250)]
    await db.write(lambda tx: outbox.append(tx, notes, clock.now()))
    assert await db.read(_held) == [100, 100, 50]
    assert await box.drain_once() == 250
    heard = [bus.messages.get_nowait() for _ in notes]
    assert [(each.topic, each.user_id, dict(each.payload)) for each in heard] == [
        (note.topic, note.user_id, note.payload) for note in notes
    ]
    assert [message.seq for message in heard] == [1] * 100 + [2] * 100 + [3] * 50
    assert await box.drain_once() == 0


async def test_append_when_notes_are_long_then_a_row_stays_within_its_size(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    notes = [Note("a", None, {"id": number, "text": "x" * 30_000}) for number in range(11)]
    await db.write(lambda tx: outbox.append(tx, notes, clock.now()))
    assert await db.read(_held) == [2, 2, 2, 2, 2, 1]
    assert await Outbox(db, bus, clock).drain_once() == 11


async def test_fault_74_drain_once_when_the_bus_fails_within_a_row_then_all_of_it_is_published_again(
    db: Db,
) -> None:
    """At least once: what was heard of a row that was not marked is heard again, in its order."""
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)
    topics = [f"topic{number}" for number in range(12)]
    await _say(db, clock, *topics)
    assert await db.read(_held) == [12]

    async def fail_after_the_first(_message: Message) -> None:
        bus.fails_next, bus.after_publish = True, None

    bus.after_publish = fail_after_the_first
    with pytest.raises(ConnectionError):
        await box.drain_once()
    assert await box.drain_once() == 12
    assert await _take(bus.messages, 13) == [topics[0], *topics]


async def test_drain_once_when_rows_wait_for_many_rounds_then_each_round_is_bounded(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    box = Outbox(db, bus, clock)
    notes = [Note("a", None, {"id": number}) for number in range(2_350)]
    await db.write(lambda tx: outbox.append(tx, notes, clock.now()))
    assert [await box.drain_once() for _ in range(4)] == [1_000, 1_000, 350, 0]
    assert [bus.messages.get_nowait().payload["id"] for _ in notes] == list(range(2_350))


async def test_drain_once_when_rows_hold_many_notes_then_no_row_beyond_its_round_is_read(db: Db) -> None:
    clock = ManualClock()
    many = [Note("a", None, {"id": number}) for number in range(2_350)]
    await db.write(lambda tx: outbox.append(tx, [Note("a", None, {"id": 0})], clock.now()))
    await db.write(lambda tx: outbox.append(tx, many, clock.now()))
    assert [row[4] for row in await db.read(outbox._unpublished)] == [None, *[100] * 10]


async def test_drain_once_when_a_row_is_of_an_earlier_release_then_it_is_one_note(db: Db) -> None:
    clock, bus = ManualClock(), _Heard()
    row = {"topic": "order", "user_id": "u1", "payload": '{"id":"o1"}', "created_at": clock.now()}
    await db.write(lambda tx: tx.execute(outbox.outbox.insert().values(row)))
    assert await Outbox(db, bus, clock).drain_once() == 1
    message = bus.messages.get_nowait()
    assert (message.topic, message.user_id, dict(message.payload)) == ("order", "u1", {"id": "o1"})


def _held(tx: Tx) -> list[int | None]:
    return [row.notes for row in tx.execute(select(outbox.outbox.c.notes).order_by(outbox.outbox.c.seq))]
