"""Which account is looked at next: urgency, time, and a routine look that stands back for a fan-out."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tradewind.core.ids import AccountId, UserId
from tradewind.execution.account_look import Followed
from tradewind.execution.look_queue import ROUTINE, FollowedAccount, LookQueue
from tradewind.execution.recovery_report import Held
from tradewind.infra.clock import SystemClock
from tradewind.venues.base import VenueClient


def _account(name: str, cause: str = "stream_up", *, is_held: bool = False, **known: Any) -> FollowedAccount:
    followed = Followed(AccountId(name), UserId("u"), cast(VenueClient, None))
    held = Held(cause, SystemClock().now(), "h") if is_held else None
    return FollowedAccount(followed, held, cause, **known)


def _taken(queue: LookQueue, now: float) -> list[str]:
    names = []
    while (account := queue.take(now)) is not None:
        names.append(str(account.followed.account_id))
    return names


def test_look_queue_when_several_are_due_then_what_is_at_stake_goes_before_who_waits_and_the_quiet() -> None:
    queue = LookQueue()
    queue.put(_account("quiet"), 1.0)
    queue.put(_account("held", is_held=True), 2.0)
    queue.put(_account("at stake", markets=1), 3.0)
    queue.put(_account("both", is_held=True, markets=1), 4.0)
    queue.put(_account("not yet", markets=1), 6.0)
    assert _taken(queue, 5.0) == ["both", "at stake", "held", "quiet"]
    assert _taken(queue, 6.0) == ["not yet"]


def test_look_queue_when_an_account_is_put_twice_then_it_is_taken_once_at_the_later_wish() -> None:
    queue = LookQueue()
    account = _account("a")
    queue.put(account, 1.0)
    queue.put(account, 3.0)
    assert _taken(queue, 2.0) == []
    assert _taken(queue, 3.0) == ["a"]
    assert account.due_at is None


def test_look_queue_when_an_account_is_being_looked_at_then_it_waits_for_the_end_of_that() -> None:
    queue = LookQueue()
    account = _account("a", is_looking=True)
    queue.put(account, 1.0)
    assert _taken(queue, 2.0) == []
    account.is_looking = False
    queue.put_again(account)
    assert _taken(queue, 2.0) == ["a"]
    queue.put_again(account)
    assert _taken(queue, 2.0) == []


def test_look_queue_when_business_begins_then_the_account_overtakes() -> None:
    queue = LookQueue()
    first, second = _account("first"), _account("second")
    queue.put(first, 1.0)
    queue.put(second, 2.0)
    queue.put(_account("third", markets=1), 2.5)
    assert queue.take(3.0) is not None
    second.markets = 1
    queue.put_again(second)
    assert _taken(queue, 3.0) == ["second", "first"]


def test_look_queue_when_an_account_is_forgotten_then_it_is_not_looked_at() -> None:
    queue = LookQueue()
    account = _account("a")
    queue.put(account, 1.0)
    account.is_followed = False
    assert _taken(queue, 2.0) == []


@pytest.mark.parametrize("is_held", [False, True])
def test_look_queue_when_entries_are_on_their_way_then_only_routine_looks_stand_back(is_held: bool) -> None:
    """performance.md: 5,000 comparisons must not share the wire with the entries of a signal."""
    queue = LookQueue(has_room=lambda: False)
    queue.put(_account("routine", ROUTINE, is_held=is_held, markets=1, patience_s=50.0), 1.0)
    queue.put(_account("called"), 1.0)
    assert _taken(queue, 50.9) == (["routine", "called"] if is_held else ["called"])


def test_look_queue_when_routine_looks_have_stood_back_a_whole_period_then_they_go_one_at_a_time() -> None:
    """reliability.md L-7: entries that never end must not keep an account from being compared for ever."""
    queue = LookQueue(has_room=lambda: False)
    first, second = (_account(name, ROUTINE, patience_s=50.0) for name in ("first", "second"))
    queue.put(first, 1.0)
    queue.put(second, 2.0)
    assert queue.take(60.0) is first
    first.is_looking = True
    assert queue.take(60.0) is None
    first.is_looking = False
    assert queue.take(60.0) is second


def test_look_queue_when_the_pace_of_a_venue_is_used_up_then_routine_looks_wait_and_called_ones_do_not() -> None:
    """product.md E8: what nothing calls for keeps to its share of the venue's budget, whoever else is due."""
    queue = LookQueue(pace_s=lambda _account: 10.0)
    for number in range(3):
        queue.put(_account(f"routine {number}", ROUTINE), 100.0 + number)
    queue.put(_account("called"), 100.0)
    assert _taken(queue, 105.0) == ["called", "routine 0"]
    # A second of pace that nobody used was kept.
    assert _taken(queue, 113.9) == []
    assert _taken(queue, 114.0) == ["routine 1"]
    assert _taken(queue, 124.0) == ["routine 2"]


def test_look_queue_when_a_venues_budget_is_used_up_then_called_looks_go_first_when_it_is_there_again() -> None:
    """performance.md, restart: comparisons by the clock take nothing from accounts whose entries wait."""
    queue = LookQueue()
    queue.put(_account("routine", ROUTINE), 1.0)
    queue.put_off(cast(VenueClient, None), 60.0)
    assert _taken(queue, 59.0) == []
    queue.put(_account("held", is_held=True), 60.0)
    assert _taken(queue, 60.0) == ["held", "routine"]


def test_look_queue_when_there_is_room_again_then_routine_looks_go_on_at_once() -> None:
    rooms = [False, True]
    queue = LookQueue(has_room=lambda: rooms[0])
    queue.put(_account("routine", ROUTINE, markets=1), 1.0)
    assert _taken(queue, 1.5) == []
    rooms.pop(0)
    assert _taken(queue, 1.5) == ["routine"]
