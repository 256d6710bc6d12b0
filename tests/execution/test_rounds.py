"""Rounds: one task a key; what is urgent starts at once, what can wait waits for room, and not for long."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.support.clock import ManualClock

from tradewind.core.ids import AccountId
from tradewind.execution.rounds import PATIENCE_S, Key, Rounds
from tradewind.infra.wake import Wake

A: Key = (AccountId("a"), "BTCUSDT")
B: Key = (AccountId("b"), "BTCUSDT")


class _Bench:
    """Rounds with a list of what was worked on, and a switch for the room."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.worked: list[Key] = []
        self.has_room = True
        self.again: datetime | None = None
        self.rounds = Rounds(self.clock, Wake(self.clock), lambda: self.has_room)

    def turn(self) -> list[Key]:
        """Take what is due and give it back; return all that was worked on so far."""
        for key in self.rounds.take(100):
            self.worked.append(key)
            self.rounds.done(key, self.again)
        return self.worked


def test_rounds_when_there_is_no_room_then_urgent_work_starts_and_patient_work_waits() -> None:
    bench = _Bench()
    bench.has_room = False
    bench.rounds.look(A)
    bench.rounds.look(B, can_wait=True)
    assert bench.turn() == [A]
    bench.has_room = True
    assert bench.turn() == [A, B]
    assert bench.turn() == [A, B]


async def test_rounds_when_patience_ends_then_the_work_starts_without_room() -> None:
    """order-protocol.md section 5: a burst of entries never keeps native protection away for longer than a second."""
    bench = _Bench()
    bench.has_room = False
    bench.rounds.look(A, can_wait=True)
    await bench.clock.advance(PATIENCE_S / 2)
    # Called again it has been waiting since the first call.
    bench.rounds.look(A, can_wait=True)
    assert bench.turn() == []
    await bench.clock.advance(PATIENCE_S / 2)
    assert bench.turn() == [A]


def test_rounds_when_something_urgent_happens_to_a_waiting_key_then_it_starts_at_once() -> None:
    bench = _Bench()
    bench.has_room = False
    bench.rounds.look(A, can_wait=True)
    bench.rounds.look(A)
    bench.rounds.look(A, can_wait=True)
    assert bench.turn() == [A]
    assert bench.turn() == [A]


def test_rounds_when_called_while_busy_then_the_key_is_worked_on_once_more_and_never_twice_at_a_time() -> None:
    bench = _Bench()
    bench.rounds.look(A)
    assert bench.rounds.take(100) == [A]
    bench.rounds.look(A)
    bench.rounds.look(A, can_wait=True)
    assert bench.rounds.take(100) == []
    bench.rounds.done(A, None)
    assert bench.rounds.take(100) == [A]
    bench.rounds.done(A, None)
    assert bench.rounds.take(100) == []


def test_rounds_when_more_want_work_than_are_taken_then_the_rest_comes_next() -> None:
    bench = _Bench()
    bench.rounds.look(A)
    bench.rounds.look(B)
    assert bench.rounds.take(1) == [A]
    assert bench.rounds.take(1) == [B]


async def test_rounds_when_a_round_names_a_time_then_the_key_is_worked_on_then_and_not_before() -> None:
    bench = _Bench()
    bench.again = bench.clock.now() + timedelta(seconds=5)
    bench.rounds.look(A)
    assert bench.turn() == [A]
    bench.again = None
    await bench.clock.advance(4.9)
    assert bench.turn() == [A]
    await bench.clock.advance(0.2)
    assert bench.turn() == [A, A]
    assert bench.turn() == [A, A]
