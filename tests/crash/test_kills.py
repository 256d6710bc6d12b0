"""The kill harness in short: order-protocol.md section 11, over some dozens of kills of the real process.

`make crash` is the same over a thousand and more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.databases import DATABASES
from tests.crash.harness import Wanted, lines_of, run
from tests.crash.plants import PLANTS
from tests.crash.scenarios import SCENARIOS

from tradewind.infra import points

# Fixed, so that a failure comes back; processes and disks still give every run its own timing.
_SEED = 1
# A bound for a machine that stands still; nothing here depends on how long it takes.
_MINUTES = 4.0
# Processes on a busy machine; each wait inside has its own bound.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(name="folder")
def short_folder() -> Iterator[Path]:
    """A folder with a short path: a socket stands in it."""
    with tempfile.TemporaryDirectory(prefix="tw-crash-") as name:
        yield Path(name)


async def test_kill_of_the_real_process_when_it_comes_anywhere_then_nothing_is_lost_or_doubled(folder: Path) -> None:
    """order-protocol.md section 11: I-1 to I-5, I-8, I-9, L-1 over random kills and kills at fault points."""
    total = await run(Wanted(kills=16, minutes=_MINUTES, seed=_SEED, databases=DATABASES, per_episode=8), folder)

    assert lines_of(total.bad) == []
    assert total.kills == 16
    assert {each.database for each in total.episodes} == set(DATABASES)
    assert total.by_point["at random"] < total.kills, "some die at a fault point"
    assert points.driver is None, "the driver is in the killed process alone"


async def test_kill_while_a_backup_is_taken_into_use_then_everything_is_adopted_once_and_protected(
    folder: Path,
) -> None:
    """order-protocol.md section 9: what our orders did since the backup is adopted, booked, protected; none twice."""
    wanted = Wanted(kills=8, minutes=_MINUTES, seed=_SEED, databases=("sqlite",), lanes=1, restored_every=1)
    total = await run(wanted, folder)

    assert lines_of(total.bad) == []
    assert total.kills == 8


async def test_planted_bugs_when_their_scenarios_are_played_then_are_found_by_name(folder: Path) -> None:
    """Some of the plants of `make crash`: a harness that finds nothing must be one that could have."""
    names = ("outbox_marked_before_publish", "dead_stop_adopted")
    total = await run(Wanted(kills=0, minutes=0, seed=_SEED, databases=("sqlite",), plants=names), folder)

    assert [each.line() for each in total.planted if not each.is_found] == []
    assert len(total.planted) == len(names)


def test_plants_and_scenarios_when_compared_then_each_has_the_other() -> None:
    assert set(PLANTS) == set(SCENARIOS)


def test_plants_when_applied_then_the_code_they_belong_to_is_still_there() -> None:
    """In a process of its own: what is planted stays planted."""
    code = "from tests.crash import plants\nfor name in plants.PLANTS: plants.apply(name)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
