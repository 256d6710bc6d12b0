"""Private streams of many accounts: subscribed, resubscribed, and never quietly lossy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.support.binance_values import OUR_ID, T0
from tests.support.binance_venue import Signer
from tests.support.ws_venue import WsVenue, refusal, ws_venue
from tests.venues.binance.test_codec_stream import execution

from tradewind.core.ids import AccountId
from tradewind.infra.clock import SystemClock
from tradewind.venues.base import BalanceSeen, OrderEventSeen, SignPurpose, StreamDown, StreamUp, UserEvents, VenueEvent
from tradewind.venues.binance.stream import BinanceUserEvents
from tradewind.venues.clocksync import VenueClock
from tradewind.venues.errors import CredentialRefused
from tradewind.venues.ratelimit import IpBudget, WindowLimit
from tradewind.venues.stream_socket import StreamRules

RULES = StreamRules(
    tick_s=0.02, silence_s=30, answer_s=0.5, rotate_s=3_600, backoff_s=0.05, backoff_s_max=0.1, connect_s=2
)
SUBSCRIBE = "userDataStream.subscribe.signature"
# A window that does not begin anew in the middle of a test, as one of a minute may.
_DAY_MS = 86_400_000
A, B = AccountId("a"), AccountId("b")


class Streams:
    """The private streams under test, and what they told."""

    def __init__(self, url: str, rules: StreamRules, capacity: int = 6_000) -> None:
        clock = SystemClock()
        self.venue_clock = VenueClock(clock)
        self.budget = IpBudget(clock, self.venue_clock.now_ms, [WindowLimit(_DAY_MS, capacity)])
        self.port: UserEvents = BinanceUserEvents(
            url, clock, self.venue_clock, self.budget, rules=rules, recv_window_ms=3_000
        )
        self._events = self.port.events()

    async def next(self, timeout_s: float = 5.0) -> VenueEvent:
        """The next event."""
        async with asyncio.timeout(timeout_s):
            return await anext(self._events)

    async def quiet(self, seconds: float = 0.15) -> bool:
        """Whether nothing is told for a while."""
        waiting = asyncio.ensure_future(anext(self._events))
        done, _ = await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not done:
            self._events = self.port.events()
        return not done


@asynccontextmanager
async def streams(rules: StreamRules = RULES, capacity: int = 6_000) -> AsyncIterator[tuple[WsVenue, Streams]]:
    async with ws_venue() as venue:
        it = Streams(venue.url, rules, capacity)
        running = asyncio.create_task(it.port.run())
        try:
            yield venue, it
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def report(subscription: int, **changes: Any) -> dict[str, Any]:
    return {"subscriptionId": subscription, "event": execution(**changes)}


async def test_add_when_account_is_new_then_subscribed_and_up_and_events_are_its_own() -> None:
    async with streams() as (venue, it):
        signer = Signer("a")
        it.port.add(signer)
        assert await it.next() == StreamUp(A)
        (asked,) = venue.of(SUBSCRIBE)
        assert set(asked["params"]) == {"apiKey", "recvWindow", "timestamp", "signature"}
        assert signer.requests[0].purpose is SignPurpose.STREAM
        await venue.say(report(0))
        event = await it.next()
        assert isinstance(event, OrderEventSeen)
        assert (event.account_id, event.original_client_id) == (A, OUR_ID)
        assert event.fill is not None
        balances = {
            "e": "outboundAccountPosition",
            "E": T0,
            "u": 1,
            "B": [{"a": "X", "f": "1", "l": "0"}],
        }
        await venue.say({"subscriptionId": 0, "event": balances})
        seen = await it.next()
        assert isinstance(seen, BalanceSeen)
        assert seen.account_id == A


async def test_add_when_repeated_then_subscribed_once() -> None:
    async with streams() as (venue, it):
        for _ in range(3):
            it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        assert await it.quiet()
        assert len(venue.of(SUBSCRIBE)) == 1


async def test_add_when_many_accounts_then_few_connections_and_each_event_reaches_its_account() -> None:
    async with streams(replace(RULES, accounts_per_connection=20)) as (venue, it):
        for number in range(50):
            it.port.add(Signer(f"a{number}"))
        up = [await it.next() for _ in range(50)]
        assert all(isinstance(event, StreamUp) for event in up)
        assert {event.account_id for event in up} == {f"a{number}" for number in range(50)}
        assert len(venue.connections) == 3
        assert len(venue.of(SUBSCRIBE)) == 50


async def test_remove_when_account_leaves_then_unsubscribed_and_nothing_more_is_told() -> None:
    async with streams() as (venue, it):
        it.port.add(Signer("a"))
        it.port.add(Signer("b"))
        assert {await it.next(), await it.next()} == {StreamUp(A), StreamUp(B)}
        it.port.remove(A)
        it.port.remove(A)
        await venue.until(lambda: venue.of("userDataStream.unsubscribe"))
        await venue.say(report(venue.of("userDataStream.unsubscribe")[0]["params"]["subscriptionId"]))
        assert await it.quiet()


async def test_add_when_account_was_removed_at_once_before_then_subscribed_anew_with_the_new_key() -> None:
    async with streams() as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        it.port.remove(A)
        fresh = Signer("a")
        it.port.add(fresh)
        assert await it.next() == StreamUp(A)
        methods = [asked["method"] for asked in venue.asked]
        assert methods == [SUBSCRIBE, "userDataStream.unsubscribe", SUBSCRIBE]
        assert len(fresh.requests) == 1
        await venue.say(report(0))  # the old subscription: of nobody now
        await venue.say(report(1))
        event = await it.next()
        assert isinstance(event, OrderEventSeen)
        assert await it.quiet()


# --- connections that end ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_connection_when_lost_then_down_and_up_again_for_every_account(how: str) -> None:
    async with streams() as (venue, it):
        it.port.add(Signer("a"))
        it.port.add(Signer("b"))
        assert {await it.next(), await it.next()} == {StreamUp(A), StreamUp(B)}
        if how == "close":
            await venue.connections[0].close()
        else:
            venue.connections[0].transport.abort()
        down = [await it.next(), await it.next()]
        assert all(isinstance(event, StreamDown) for event in down)
        assert {event.account_id for event in down} == {A, B}
        assert {await it.next(), await it.next()} == {StreamUp(A), StreamUp(B)}
        assert len(venue.connections) == 2


async def test_connection_when_venue_is_away_then_down_once_and_tried_with_growing_pauses() -> None:
    async with streams() as (venue, it):
        venue.refuse_with = 503
        it.port.add(Signer("a"))
        event = await it.next()
        assert isinstance(event, StreamDown)
        assert "503" in event.reason
        await venue.until(lambda: venue.attempts >= 3)
        assert await it.quiet(0.05)
        venue.refuse_with = None
        assert await it.next() == StreamUp(A)


async def test_connection_when_refused_with_429_then_nobody_calls_before_the_ban_ends() -> None:
    async with streams() as (venue, it):
        venue.refuse_with = 429
        it.port.add(Signer("a"))
        assert isinstance(await it.next(), StreamDown)
        await asyncio.sleep(0.4)
        assert venue.attempts == 1
        blocked = it.budget.blocked_until_ms
        assert blocked is not None
        assert 55_000 < blocked - it.venue_clock.now_ms() <= 60_000


async def test_connection_when_it_says_nothing_then_asked_and_kept_if_it_answers() -> None:
    async with streams(replace(RULES, silence_s=0.1, answer_s=0.3)) as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        await venue.until(lambda: len(venue.of("time")) >= 3)
        assert len(venue.connections) == 1


async def test_connection_when_it_is_silent_during_a_ban_then_nothing_is_asked() -> None:
    async with streams(replace(RULES, silence_s=0.1)) as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        it.budget.block(it.venue_clock.now_ms() + 60_000)
        asked = len(venue.asked)
        await asyncio.sleep(0.3)
        assert len(venue.asked) == asked


async def test_fault_40_connection_when_it_is_silent_and_does_not_answer_then_given_up() -> None:
    async with streams(replace(RULES, silence_s=0.1, answer_s=0.2)) as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        usual = venue.answer
        venue.answer = lambda asked: None if asked["method"] == "time" else usual(asked)
        event = await it.next()
        assert isinstance(event, StreamDown)
        assert event.reason == "silent"
        assert await it.next() == StreamUp(A)
        assert len(venue.connections) >= 2


async def test_subscription_when_it_is_never_answered_then_connection_is_given_up() -> None:
    async with streams(replace(RULES, answer_s=0.2)) as (venue, it):
        usual = venue.answer
        venue.answer = lambda asked: None
        it.port.add(Signer("a"))
        event = await it.next()
        assert isinstance(event, StreamDown)
        assert "not answered" in event.reason
        venue.answer = usual
        assert await it.next() == StreamUp(A)


# --- change of connection ----------------------------------------------------------------------------


async def test_connection_when_server_announces_shutdown_then_successor_is_ready_first_and_nobody_is_down() -> None:
    async with streams() as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        await venue.say({"event": {"e": "serverShutdown", "E": T0}})
        await venue.until(lambda: len(venue.of(SUBSCRIBE)) == 2)
        await venue.until(lambda: venue.connections[0].close_code is not None)
        await venue.say(report(1))
        assert isinstance(await it.next(), OrderEventSeen)
        assert await it.quiet()


async def test_connection_when_it_grows_old_then_replaced_without_a_gap() -> None:
    async with streams(replace(RULES, rotate_s=0.2)) as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        await venue.until(lambda: len(venue.connections) >= 3)
        assert await it.quiet(0.05)


async def test_connection_when_successor_cannot_be_made_then_the_old_one_serves_on() -> None:
    async with streams() as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        venue.refuse_with = 503
        await venue.say({"event": {"e": "serverShutdown", "E": T0}})
        await venue.until(lambda: venue.attempts >= 2)
        await venue.say(report(0), connection=0)
        assert isinstance(await it.next(), OrderEventSeen)


# --- refusals, gaps, overflow ------------------------------------------------------------------------


async def test_subscription_when_key_is_refused_then_that_account_is_down_and_others_are_not() -> None:
    async with streams() as (venue, it):
        usual = venue.answer

        def answer(asked: dict[str, Any]) -> dict[str, Any] | None:
            if asked["method"] == SUBSCRIBE and asked["params"]["apiKey"] == "bad":
                return refusal(asked, -2015, "Invalid API-key, IP, or permissions for action.", 401)
            return usual(asked)

        venue.answer = answer
        bad = Signer("b")
        bad.key = "bad"
        it.port.add(bad)
        it.port.add(Signer("a"))
        events = {await it.next(), await it.next()}
        assert events == {StreamDown(B, "key_refused"), StreamUp(A)}
        asked_so_far = len(venue.of(SUBSCRIBE))
        assert await it.quiet(0.2)
        assert len(venue.of(SUBSCRIBE)) == asked_so_far  # a refused key is not tried again and again
        it.port.add(Signer("b"))  # the user replaced the key
        assert await it.next() == StreamUp(B)


async def test_subscription_when_signer_has_no_key_then_that_account_is_down() -> None:
    class Empty(Signer):
        async def api_key(self) -> str:
            raise CredentialRefused("no_key", "none")

    async with streams() as (venue, it):
        it.port.add(Empty("b"))
        assert await it.next() == StreamDown(B, "no_key")
        assert venue.of(SUBSCRIBE) == []


async def test_subscription_when_venue_ends_it_then_down() -> None:
    async with streams() as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        await venue.say({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": T0}})
        assert await it.next() == StreamDown(A, "ended by the venue")


async def test_subscription_when_venue_says_wait_then_everybody_waits() -> None:
    async with streams() as (venue, it):
        retry_at = it.venue_clock.now_ms() + 60_000

        def limited(asked: dict[str, Any]) -> dict[str, Any]:
            error = {"code": -1003, "msg": "Too much", "data": {"retryAfter": retry_at}}
            return {"id": asked["id"], "status": 429, "error": error}

        venue.answer = limited
        it.port.add(Signer("a"))
        assert await it.next() == StreamDown(A, "told to wait")
        assert it.budget.blocked_until_ms == retry_at
        await asyncio.sleep(0.3)
        assert venue.attempts == 1


async def test_subscription_when_budget_is_used_up_then_it_waits_and_the_connection_stays() -> None:
    async with streams(capacity=5) as (venue, it):
        for name in ("a", "b"):
            it.port.add(Signer(name))
        assert await it.next() == StreamUp(A)
        assert await it.quiet(0.2)
        assert len(venue.of(SUBSCRIBE)) == 1
        assert len(venue.connections) == 1


async def test_event_when_it_cannot_be_read_then_a_gap_is_told_and_the_stream_goes_on() -> None:
    async with streams() as (venue, it):
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        await venue.say("not json")
        await venue.say(report(99))  # of nobody here
        await venue.say(report(0, X="NEW_IN_2027"))
        assert isinstance(await it.next(), StreamDown)
        assert await it.next() == StreamUp(A)
        await venue.say(report(0))
        assert isinstance(await it.next(), OrderEventSeen)
        assert len(venue.connections) == 1


async def test_fault_42_events_when_reader_is_too_slow_then_a_gap_is_told_and_never_a_quiet_loss() -> None:
    async with streams(replace(RULES, events_max=10)) as (venue, it):
        it.port.add(Signer("a"))
        await venue.until(lambda: venue.of(SUBSCRIBE))
        for number in range(30):
            await venue.say(report(0, t=number))
        await asyncio.sleep(0.3)
        assert await it.next() == StreamUp(A)
        fills: list[str] = []
        while isinstance(event := await it.next(), OrderEventSeen):
            assert event.fill is not None
            fills.append(event.fill.fill_id)
        assert fills == [str(number) for number in range(len(fills))]
        assert len(fills) < 30
        assert event == StreamDown(A, "the reader of the events is too slow")
        assert await it.next() == StreamUp(A)


async def test_venue_clock_when_events_state_times_then_confirmed() -> None:
    async with streams() as (venue, it):
        clock = SystemClock()
        now = it.venue_clock.now_ms()
        it.venue_clock.observe(clock.monotonic() - 0.001, clock.monotonic(), now)
        it.port.add(Signer("a"))
        assert await it.next() == StreamUp(A)
        await venue.say(report(0, E=now + 40))
        await it.next()
        assert it.venue_clock.confirmed_ms == now + 40
