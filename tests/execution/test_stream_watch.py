"""A stream that is up and deaf, and one that is away for long; an event on its way is neither (reliability.md L-5)."""

from __future__ import annotations

from typing import cast

import pytest
from tests.support.clock import ManualClock

from tradewind.core.ids import AccountId, UserId
from tradewind.execution.account_look import Followed
from tradewind.execution.look_queue import FollowedAccount
from tradewind.execution.stream_watch import FIRST_LOOK_GRACE_S, STREAM_DEAF, STREAM_LOST_S, StreamWatch
from tradewind.venues.base import VenueClient


class _Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.held: list[str] = []
        self.deaf: list[str] = []
        self.watch = StreamWatch(self.clock, lambda _account_id, cause: self.held.append(cause), self.deaf.append)
        followed = Followed(AccountId("a"), UserId("u"), cast(VenueClient, None))
        self.account = FollowedAccount(followed, None, "routine", looked_at=self.clock.monotonic())

    async def later(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self.watch.see_to_due()


async def test_fault_40_stream_when_it_says_nothing_of_what_was_found_then_deaf_held_and_subscribed_anew() -> None:
    bench = _Bench()
    bench.watch.suspect(bench.account)
    await bench.later(4.9)
    assert bench.deaf == []
    await bench.later(0.1)
    assert (bench.deaf, bench.held) == (["a"], [STREAM_DEAF])
    await bench.later(60.0)
    assert bench.deaf == ["a"]


async def test_stream_when_its_word_was_only_on_its_way_then_not_deaf() -> None:
    """An answer that still waits in a socket, in the queue or in the recorder is no deafness."""
    bench = _Bench()
    bench.watch.suspect(bench.account)
    await bench.later(1.0)
    bench.watch.heard(bench.account)
    await bench.later(60.0)
    assert (bench.deaf, bench.held) == ([], [])


async def test_stream_when_it_goes_away_meanwhile_then_lost_and_not_deaf() -> None:
    bench = _Bench()
    bench.watch.suspect(bench.account)
    await bench.later(1.0)
    bench.watch.down(bench.account)
    await bench.later(STREAM_LOST_S)
    assert (bench.deaf, bench.held) == ([], ["stream_lost"])
    await bench.later(60.0)
    assert bench.held == ["stream_lost"]


@pytest.mark.parametrize("is_up_again", [False, True])
async def test_fault_39_stream_when_away_for_long_then_held_once(is_up_again: bool) -> None:
    bench = _Bench()
    bench.watch.down(bench.account)
    if is_up_again:
        await bench.later(1.0)
        bench.watch.up(bench.account)
        await bench.later(1.0)
        # Away a second time: what began with the first is over.
        bench.watch.down(bench.account)
        await bench.later(STREAM_LOST_S - 1.5)
        assert bench.held == []
    await bench.later(STREAM_LOST_S)
    assert bench.held == ["stream_lost"]


async def test_stream_when_away_before_the_first_look_then_that_look_comes_first() -> None:
    bench = _Bench()
    bench.account.looked_at = None
    bench.watch.down(bench.account)
    await bench.later(STREAM_LOST_S + 1)
    assert bench.held == []
    bench.account.looked_at = bench.clock.monotonic()
    await bench.later(1.0)
    assert bench.held == ["stream_lost"]


async def test_first_look_when_streams_of_the_venue_come_up_one_after_the_other_then_it_waits_for_its_own() -> None:
    """performance.md, restart: one look an account, and none before its stream that would be repeated after it."""
    bench = _Bench()
    bench.account.looked_at = None
    bench.watch.down(bench.account)
    followed = Followed(AccountId("b"), UserId("u"), cast(VenueClient, None))
    other = FollowedAccount(followed, None, "start")
    assert bench.watch.first_look_at(bench.account) is None
    bench.watch.up(other)
    assert bench.watch.first_look_at(bench.account) == bench.clock.monotonic() + FIRST_LOOK_GRACE_S
    await bench.later(FIRST_LOOK_GRACE_S)
    # Nobody came up any more: it may be that none does.
    assert bench.watch.first_look_at(bench.account) is None
    await bench.later(60.0)
    bench.watch.up(other)
    assert bench.watch.first_look_at(bench.account) is None
