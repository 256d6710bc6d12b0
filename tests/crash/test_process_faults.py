"""Faults of reliability.md section 3 in which a process dies or stands still: each at its own fault point.

The real process, killed by SIGKILL, the exchange outside; then a new process, and the referee over both sides.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.crash.episode import QUIET_WITHIN_S, Episode
from tests.crash.killer import Strike
from tests.crash.stage import Stage, open_stage
from tests.crash.worlds import Template, build_template, copy_world

from tradewind.infra.points import Point

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Bed:
    """A stage with a world that every test copies."""

    stage: Stage
    template: Template
    folder: Path

    def episode(self, name: str, **numbers: int) -> Episode:
        """A fresh copy of the world."""
        return Episode(self.stage, copy_world(self.template, self.folder / name, ""), 1, numbers=numbers)


@pytest_asyncio.fixture(loop_scope="module", scope="module", name="bed")
async def one_bed() -> AsyncIterator[Bed]:
    with tempfile.TemporaryDirectory(prefix="tw-crash-") as name:
        folder = Path(name)
        (folder / "template").mkdir()
        template = await build_template(folder / "template", "")
        async with open_stage(folder) as stage:
            yield Bed(stage, template, folder)


async def _killed_at(bed: Bed, point: Point, delay_ms: int = 0, **fault: object) -> Episode:
    """Open a position with a process that dies at a point; come to rest with another; nothing may be wrong."""
    async with bed.episode(point.value).open() as episode:
        if fault:
            await episode.exchange.add_fault(**fault)
        node = await episode.start(Strike(point, delay_ms=delay_ms))
        await episode.attempt_alert(node, "buy", "BTC")
        await episode.wait_dead(node)
        await episode.kill(node, point)
        report = await episode.conclude(QUIET_WITHIN_S)
        assert report.by_point == {point.value: 1}, "the process died where it was meant to"
        assert report.findings == []
        assert report.signals == 1
        assert report.states == {"protected_native": len(episode.world.people)}
    return episode


async def test_fault_01_kill_before_the_signal_is_committed_then_its_sender_repeats_it_and_nothing_was_sent(
    bed: Bed,
) -> None:
    episode = await _killed_at(bed, Point.INBOX_WRITTEN)
    assert episode.report.orders == 3 * len(episode.world.people), "one entry, one stop, one target each"


async def test_fault_02_kill_before_the_answer_then_the_repeat_gets_the_same_signal(bed: Bed) -> None:
    """order-protocol.md section 8."""
    episode = await _killed_at(bed, Point.INBOX_COMMITTED)
    assert len(episode.signals) == 1


async def test_fault_03_kill_while_decisions_are_written_then_all_or_none(bed: Bed) -> None:
    await _killed_at(bed, Point.DECISIONS_WRITTEN)


async def test_fault_04_kill_between_claim_and_write_then_never_arrived_and_sent_once(bed: Bed) -> None:
    await _killed_at(bed, Point.ENTRY_CLAIM_COMMITTED)


async def test_fault_05_kill_between_write_and_answer_then_found_and_never_sent_again(bed: Bed) -> None:
    episode = await _killed_at(
        bed, Point.ORDER_BEFORE_WRITE, delay_ms=60, kind="delay_ms", value=150, where="after", times=20
    )
    assert episode.report.fills == len(episode.world.people)


async def test_fault_06_kill_between_answer_and_record_then_found_and_never_sent_again(bed: Bed) -> None:
    await _killed_at(bed, Point.ORDER_ANSWERED)


async def test_fault_07_kill_after_the_fill_then_protected_by_the_next_process(bed: Bed) -> None:
    """order-protocol.md section 5."""
    await _killed_at(bed, Point.PROTECTION_INTENT_COMMITTED)


async def test_fault_11_worker_killed_after_another_took_over_then_nothing_is_doubled(bed: Bed) -> None:
    """order-protocol.md section 8: a takeover bumps the epoch, and the old owner cannot claim."""
    async with bed.episode("takeover").open() as episode:
        old = await episode.start(Strike(Point.DECISIONS_COMMITTED, hold_ms=1_500))
        await episode.alert(old, "buy", "BTC")
        new = await episode.take_over(Strike(Point.RECOVERY_COMMITTED))
        await episode.wait_dead(new)
        await episode.end(old)
        report = await episode.conclude(QUIET_WITHIN_S)
        assert report.findings == []
        assert report.states == {"protected_native": len(episode.world.people)}


async def test_fault_80_process_that_stands_still_between_check_and_write_then_the_exchange_refuses_the_old_request(
    bed: Bed,
) -> None:
    """order-protocol.md section 3.4: what was signed too long ago is not executed, and is sent again once."""
    async with bed.episode("still").open() as episode:
        node = await episode.start(Strike(Point.ORDER_BEFORE_WRITE, hold_ms=1_500))
        await episode.alert(node, "buy", "BTC")
        await asyncio.sleep(2.5)
        await episode.kill(node, None)
        report = await episode.conclude(QUIET_WITHIN_S)
        assert report.findings == []
        assert report.states == {"protected_native": len(episode.world.people)}
