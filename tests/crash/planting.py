"""Every planted bug against its scenario, and the sound code against the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.databases import Database
from tests.crash.episode import QUIET_WITHIN_S, Episode
from tests.crash.referee import Finding
from tests.crash.scenarios import SCENARIOS
from tests.crash.scene import NodeEnded
from tests.crash.stage import ChildEnded, Stage
from tests.crash.worlds import Template, copy_world, remove_world

# Scenarios wait far more than they work.
_AT_ONCE = 2
# A planted bug often keeps its node from ever coming to rest; nobody waits for that.
_QUIET_S = 20.0


@dataclass(frozen=True, slots=True)
class Planted:
    """What came of one plant on one database."""

    name: str
    database: str
    # Findings of the planted code, and of the sound code in the same scenario.
    found: tuple[Finding, ...]
    sound: tuple[Finding, ...]
    error: str | None = None

    @property
    def is_found(self) -> bool:
        """The bug showed as the invariant that it breaks, and the sound code broke none."""
        breaks = SCENARIOS[self.name].breaks
        return self.error is None and not self.sound and any(each.broken in breaks for each in self.found)

    def line(self) -> str:
        """Say it in one line."""
        if self.error is not None:
            return f"{self.name} on {self.database}: NOT FOUND, {self.error}"
        if self.sound:
            first = self.sound[0]
            return f"{self.name} on {self.database}: the sound code fails, too: {first.broken}: {first.text}"
        if not self.is_found:
            others = ", ".join(sorted({each.broken for each in self.found})) or "nothing"
            return f"{self.name} on {self.database}: NOT FOUND, broken was {others}"
        first = next(each for each in self.found if each.broken in SCENARIOS[self.name].breaks)
        return f"{self.name} on {self.database}: found by {first.broken}: {first.text}"


async def run_plants(
    stage: Stage, database: Database, template: Template, folder: Path, names: Sequence[str]
) -> list[Planted]:
    """Run plants on one database, a few at a time."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, name: str) -> Planted:
        async with slots:
            return await _Bed(stage, database, template, folder).run(name, number)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(number, name)) for number, name in enumerate(names)]
    return [task.result() for task in running]


@dataclass(frozen=True, slots=True)
class _Bed:
    stage: Stage
    database: Database
    template: Template
    folder: Path

    async def run(self, name: str, number: int) -> Planted:
        try:
            sound = await self._play(name, None, 2 * number)
            found = await self._play(name, name, 2 * number + 1)
        except (NodeEnded, ChildEnded, TimeoutError) as error:
            return Planted(name, self.database.name, (), (), f"{type(error).__name__}: {error}")
        return Planted(name, self.database.name, tuple(found), tuple(sound))

    async def _play(self, name: str, plant: str | None, seed: int) -> list[Finding]:
        scenario = SCENARIOS[name]
        folder = self.folder / f"plant-{self.database.name}-{name}-{plant is not None}"
        async with self.database.copied(f"plant-{seed}") as database:
            world = copy_world(self.template, folder, database)
            bed = Episode(self.stage, world, seed, plant=plant, numbers=scenario.numbers)
            async with bed.open() as episode:
                await scenario.play(episode)
                report = await episode.conclude(QUIET_WITHIN_S if plant is None else _QUIET_S)
        if plant is not None or not report.findings:
            remove_world(folder)
        return report.findings
