"""The database server is killed under load; the real process and the exchange live on."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from tests.crash.databases import POSTGRESQL, open_databases
from tests.crash.episode import QUIET_WITHIN_S, Episode
from tests.crash.stage import open_stage
from tests.crash.worlds import build_template, copy_world

# Processes on a busy machine; each wait inside has its own bound.
pytestmark = pytest.mark.timeout(300)


async def test_fault_71_server_when_killed_under_load_then_nothing_is_lost_or_doubled() -> None:
    """order-protocol.md section 3.6: what was in doubt at a commit is read again from disk, never guessed."""
    with tempfile.TemporaryDirectory(prefix="tw-crash-") as name:
        folder = Path(name)
        (folder / "template").mkdir()
        async with open_databases((POSTGRESQL,)) as (database,), open_stage(folder) as stage:
            template = await build_template(folder / "template", database.url)
            async with database.copied("server") as url:
                world = copy_world(template, folder / "world", url)
                async with Episode(stage, world, 1).open() as episode:
                    assert database.server is not None
                    node = await episode.start()
                    for base in ("BTC", "ETH", "SOL"):
                        await episode.attempt_alert(node, "buy", base)
                    await asyncio.to_thread(database.server.kill)
                    await asyncio.to_thread(database.server.start)
                    # A commit in doubt ends the process by itself; another is started, as a supervisor would.
                    await episode.wait_dead(node, within_s=3.0)
                    await episode.end(node)
                    report = await episode.conclude(QUIET_WITHIN_S)
                    assert report.findings == []
                    assert report.signals == 3
                    assert report.states == {"protected_native": 3 * len(world.people)}
