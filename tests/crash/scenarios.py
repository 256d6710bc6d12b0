"""What provokes each planted bug: a schedule of alerts, faults and kills that sound code must survive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.crash.episode import Episode
from tests.crash.killer import Strike
from tests.crash.referee import Broken
from tests.crash.stage import Child

from tradewind.infra.points import Point

# Which call of the exchange places a protective list.
_OCO = ["orderList.place.oco"]
_MUTED: Mapping[str, Any] = {"kind": "stream_mute", "stream": "user"}
# An exchange that works for long on a request: the fence is long, too.
_SLOW_PROCESSING_MS = 2_500


@dataclass(frozen=True, slots=True)
class Scenario:
    """A schedule, the numbers it needs, and which invariants its bug breaks (any of them will do)."""

    play: Callable[[Episode], Awaitable[None]]
    breaks: frozenset[Broken]
    numbers: Mapping[str, int] = field(default_factory=dict)


async def _begun(episode: Episode, strike: Strike | None = None) -> Child:
    """Start a node and wait until it has found every account in order: only then do entries leave."""
    node = await episode.start(strike)
    await episode.wait_protected()
    return node


async def _answer_lost(episode: Episode) -> None:
    """The exchange buys and nobody hears it."""
    node = await _begun(episode)
    await episode.exchange.add_fault(kind="execute_drop", times=3)
    await episode.exchange.add_fault(**_MUTED)
    await episode.alert(node, "buy", "BTC")
    await asyncio.sleep(1.5)
    await episode.kill(node, None)


async def _late_order(episode: Episode) -> None:
    """The exchange takes its time, within its bound, while everybody asks."""
    node = await _begun(episode)
    await episode.exchange.add_fault(kind="delay_ms", value=2_300, where="engine", times=6)
    await episode.exchange.add_fault(**_MUTED)
    await episode.alert(node, "buy", "BTC")
    await asyncio.sleep(3.5)
    await episode.kill(node, None)


async def _late_order_and_clock_behind(episode: Episode) -> None:
    """As above, while our clock is three seconds ahead of the exchange's."""
    await episode.set_clock(-3_000)
    await _late_order(episode)


async def _slow_reading(episode: Episode) -> None:
    """The exchange's reading side lags: the order is there and is not found for a while."""
    node = await _begun(episode)
    await episode.exchange.add_fault(kind="query_lag_ms", value=2_500)
    await episode.exchange.add_fault(kind="execute_drop", times=6)
    await episode.exchange.add_fault(**_MUTED)
    await episode.alert(node, "buy", "BTC")
    await asyncio.sleep(4.0)
    await episode.kill(node, None)


async def _told_twice(episode: Episode) -> None:
    """The exchange tells every fill twice."""
    node = await _begun(episode)
    await episode.exchange.add_fault(kind="duplicate_fills")
    await episode.alert(node, "buy", "BTC")
    await asyncio.sleep(0.6)
    await episode.kill(node, None)


async def _killed_at_the_outbox(episode: Episode) -> None:
    """The process dies around the publishing of its notes."""
    for point in (Point.OUTBOX_MARK_COMMITTED, Point.OUTBOX_PUBLISHED):
        node = await episode.start(Strike(point, nth=2))
        await episode.attempt_alert(node, "buy", "BTC")
        await episode.attempt_alert(node, "buy", "ETH")
        await episode.wait_dead(node)
        await episode.kill(node, point)


async def _partly_sold(episode: Episode) -> None:
    """The exit is executed in part; the rest must be decided anew."""
    node = await _begun(episode)
    await episode.alert(node, "buy", "BTC")
    await episode.wait_protected()
    await episode.exchange.add_fault(kind="partial_fill", value=0.5, times=6)
    await episode.alert(node, "sell", "BTC")
    await asyncio.sleep(3.0)
    await episode.kill(node, None)


async def _stop_in_doubt(episode: Episode) -> None:
    """A stop rests at the exchange, nobody has heard so, and the price falls through it."""
    node = await _begun(episode)
    await episode.exchange.add_fault(kind="query_lag_ms", value=1_500)
    await episode.exchange.add_fault(kind="execute_drop", calls=_OCO, times=12)
    await episode.exchange.add_fault(**_MUTED)
    await episode.alert(node, "buy", "BTC")
    await episode.wait_stops_at_the_exchange()
    await episode.fall("BTC")
    await asyncio.sleep(2.0)
    await episode.kill(node, None)


async def _cancelled_meanwhile(episode: Episode) -> None:
    """While the process is down the user cancels a stop at the exchange."""
    node = await _begun(episode)
    await episode.alert(node, "buy", "BTC")
    await episode.wait_protected()
    await episode.kill(node, None)
    await episode.cancel_at_the_exchange(episode.world.people[0].uid)


async def _too_late(episode: Episode) -> None:
    """The process dies between decision and claim and comes back when the alert is old."""
    node = await episode.start(Strike(Point.DECISIONS_COMMITTED))
    await episode.attempt_alert(node, "buy", "BTC")
    await episode.wait_dead(node)
    await episode.kill(node, Point.DECISIONS_COMMITTED)
    await asyncio.sleep(3.2)


async def _stopped_while_deciding(episode: Episode) -> None:
    """The platform is stopped while the process stands still between deciding and recording."""
    node = await _begun(episode, Strike(Point.SIGNAL_DECIDED, nth=2, hold_ms=1_500))
    await episode.alert(node, "buy", "BTC")
    await episode.wait_protected()
    await episode.alert(node, "buy", "ETH")
    await asyncio.sleep(0.4)
    await episode.stop_platform()
    await asyncio.sleep(2.0)
    await episode.kill(node, None)


async def _taken_over_while_held(episode: Episode) -> None:
    """A second process takes over from one that stands still, which then goes on and has orders to claim."""
    old = await _begun(episode, Strike(Point.DECISIONS_COMMITTED, hold_ms=2_000))
    await episode.alert(old, "buy", "BTC")
    new = await episode.take_over(Strike(Point.RECOVERY_COMMITTED, hold_ms=6_000))
    await episode.wait_dead(old, within_s=4.5)
    await episode.end(old)
    await new.ready()
    await episode.kill(new, None)


SCENARIOS: Mapping[str, Scenario] = {
    "blind_resend": Scenario(_answer_lost, frozenset({Broken.DUPLICATE, Broken.GUESSED})),
    "no_fence": Scenario(
        _late_order, frozenset({Broken.DUPLICATE, Broken.GUESSED}), {"venue_processing_ms": _SLOW_PROCESSING_MS}
    ),
    "fence_on_own_clock": Scenario(
        _late_order_and_clock_behind,
        frozenset({Broken.DUPLICATE, Broken.GUESSED}),
        {"venue_processing_ms": _SLOW_PROCESSING_MS},
    ),
    "not_found_believed_too_early": Scenario(_slow_reading, frozenset({Broken.DUPLICATE, Broken.GUESSED})),
    "new_id_while_unknown": Scenario(_answer_lost, frozenset({Broken.DUPLICATE})),
    "stop_read_without_lock": Scenario(_stopped_while_deciding, frozenset({Broken.STOPPED}), {"lease_s": 10}),
    "fills_not_deduplicated": Scenario(_told_twice, frozenset({Broken.FILL})),
    "outbox_marked_before_publish": Scenario(_killed_at_the_outbox, frozenset({Broken.NOTE_LOST})),
    "epoch_not_checked": Scenario(_taken_over_while_held, frozenset({Broken.EPOCH})),
    "exit_repeated_instead_of_decided_anew": Scenario(_partly_sold, frozenset({Broken.POSITION})),
    "second_sell_beside_one_in_doubt": Scenario(_stop_in_doubt, frozenset({Broken.POSITION})),
    "dead_stop_adopted": Scenario(_cancelled_meanwhile, frozenset({Broken.UNPROTECTED, Broken.DIFFERS})),
    "age_not_read_again_at_claim": Scenario(_too_late, frozenset({Broken.STALE}), {"max_age_s": 2}),
}
