"""Lanes: claims of protective lists never wait for themselves, however many lots an account holds in a market."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tradewind.core.ids import AccountId
from tradewind.core.order import Order
from tradewind.execution.lanes import CLAIM_MAX, IN_FLIGHT_MAX, Lane, Work, in_claims


def _work(number: int, lists: int) -> Work:
    legs: Sequence[Order] = ()
    return Work((AccountId(f"a{number}"), "BTCUSDT"), [legs] * lists, [], None)


def test_claims_when_accounts_hold_several_lots_then_counted_by_lists_and_nothing_is_left_out() -> None:
    works = [_work(number, number % 4) for number in range(300)]
    claims = list(in_claims(works))
    assert [work for claim in claims for work in claim] == works
    assert max(sum(len(work.lists) for work in claim) for claim in claims) <= CLAIM_MAX


async def test_lane_when_more_lots_than_slots_want_protection_at_once_then_every_claim_gets_its_turn() -> None:
    """order-protocol.md section 5: a round of many accounts with several lots each must not stand still."""
    lane = Lane()
    works = [_work(number, 3) for number in range(100)]
    assert sum(len(work.lists) for work in works) > IN_FLIGHT_MAX
    async with asyncio.timeout(5):
        for claim in in_claims(works):
            lists = sum(len(work.lists) for work in claim)
            await lane.enter(lists)
            asyncio.get_running_loop().call_soon(lane.leave, lists)


async def test_lane_when_full_then_the_next_claim_waits_until_slots_are_given_back() -> None:
    lane = Lane()
    await lane.enter(IN_FLIGHT_MAX)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lane.enter(1)
    lane.leave()
    async with asyncio.timeout(5):
        await lane.enter(1)
