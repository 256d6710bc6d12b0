"""A run: lanes of episodes side by side until enough was killed, and the sum of what they found."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.databases import Database, open_databases
from tests.crash.episode import Episode
from tests.crash.planting import Planted, run_plants
from tests.crash.referee import Broken, Finding
from tests.crash.restored import RestoredEpisode
from tests.crash.scene import NodeEnded, Report
from tests.crash.stage import Stage, open_stage
from tests.crash.worlds import Template, World, build_template, copy_world, remove_world

from tradewind.demo.exposure import exposure, exposure_line
from tradewind.demo.figures import percentile
from tradewind.infra.points import Point

KILLS_PER_EPISODE = 20
# Rule of three: no failure in n trials leaves less than 3/n at 95 %.
_THREE = 3
# Below this many kills a point may well not have come up yet.
_COVERAGE_FROM = 400
_LOST = (Broken.LOST, Broken.SIGNAL_LOST, Broken.NOTE_LOST)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for; `plants` are the planted bugs to look for after the kills."""

    kills: int
    minutes: float
    seed: int
    databases: tuple[str, ...]
    lanes: int = 2
    is_kept: bool = False
    plants: tuple[str, ...] = ()
    # Every so many episodes a backup is put back in the middle of one.
    restored_every: int = 5
    per_episode: int = KILLS_PER_EPISODE


@dataclass(slots=True)
class Total:
    """The sum of a run."""

    wanted: Wanted
    folder: Path
    episodes: list[Report] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    wall_s: float = 0.0
    plants_wall_s: float = 0.0

    @property
    def kills(self) -> int:
        return sum(each.kills for each in self.episodes)

    @property
    def by_point(self) -> Counter[str]:
        return sum((each.by_point for each in self.episodes), Counter[str]())

    @property
    def never_reached(self) -> list[str]:
        """Points that no life came to, once there were enough lives to expect it."""
        reached = sum((each.reached for each in self.episodes), Counter[Point]())
        return [point.value for point in Point if not reached[point]] if self.kills >= _COVERAGE_FROM else []

    @property
    def bad(self) -> list[Report]:
        return [each for each in self.episodes if each.findings]

    @property
    def is_good(self) -> bool:
        return not self.bad and not self.never_reached and self.is_every_plant_found

    @property
    def is_every_plant_found(self) -> bool:
        return all(each.is_found for each in self.planted)

    def count(self, *kinds: Broken) -> int:
        """Count findings of these kinds."""
        return sum(1 for each in self.episodes for finding in each.findings if finding.broken in kinds)

    def figures(self) -> dict[str, Any]:
        """Give every figure by name."""
        kills = Counter(each.database for each in self.episodes)
        for database in list(kills):
            kills[database] = sum(each.kills for each in self.episodes if each.database == database)
        bare = [ms for each in self.episodes for ms in each.bare_ms]
        return {
            "kills": self.kills,
            "kills_by_database": dict(kills),
            "kills_by_point": dict(self.by_point.most_common()),
            "episodes": len(self.episodes),
            "signals": sum(each.signals for each in self.episodes),
            "orders": sum(each.orders for each in self.episodes),
            "fills": sum(each.fills for each in self.episodes),
            "dead_letters": sum(each.dead_letters for each in self.episodes),
            "duplicates": self.count(Broken.DUPLICATE),
            "lost": self.count(*_LOST),
            "illegal": self.count(Broken.ILLEGAL),
            "unprotected": self.count(Broken.UNPROTECTED),
            "findings": sum(len(each.findings) for each in self.episodes),
            "positions_at_rest": dict(sum((each.states for each in self.episodes), Counter[str]())),
            "exposure": exposure_line(exposure([lot for each in self.episodes for lot in each.lots])),
            "bare_p50_ms": percentile(bare, 50),
            "bare_p99_ms": percentile(bare, 99),
            "bare_max_ms": max(bare, default=0),
            "slowest_rest_s": round(max((each.quiet_s for each in self.episodes), default=0.0), 1),
            "points_never_reached": self.never_reached,
            "failure_per_kill_below": round(_THREE / self.kills, 5) if self.kills and not self.bad else None,
            "planted": len(self.planted),
            "planted_found": sum(1 for each in self.planted if each.is_found),
            "wall_s": round(self.wall_s, 1),
            "plants_wall_s": round(self.plants_wall_s, 1),
            "seed": self.wanted.seed,
        }


async def run(wanted: Wanted, folder: Path) -> Total:
    """Run lanes of episodes until enough was killed or the time is up."""
    total = Total(wanted, folder)
    began = time.monotonic()
    async with open_databases(wanted.databases) as databases, open_stage(folder) as stage:
        templates = [await _template(folder, database) for database in databases]
        lanes = [
            _Lane(stage, databases[k % len(databases)], templates[k % len(templates)]) for k in range(wanted.lanes)
        ]
        ends_at = began + wanted.minutes * 60
        runner = _Runner(total, ends_at)
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes:
                tasks.create_task(runner.run(lane))
        total.wall_s = time.monotonic() - began
        for database, template in zip(databases, templates, strict=True):
            total.planted += await run_plants(stage, database, template, folder, wanted.plants)
        total.plants_wall_s = time.monotonic() - began - total.wall_s
    return total


async def _template(folder: Path, database: Database) -> Template:
    home = folder / f"template-{database.name}"
    home.mkdir()
    return await build_template(home, database.url)


@dataclass(frozen=True, slots=True)
class _Lane:
    stage: Stage
    database: Database
    template: Template


class _Runner:
    """Hands out episodes by number, so that a seed says everything about one."""

    def __init__(self, total: Total, ends_at: float) -> None:
        self._total = total
        self._ends_at = ends_at
        self._next = 0
        self._started = 0
        self._rare: Counter[str] = Counter()

    async def run(self, lane: _Lane) -> None:
        """Run episodes in one lane."""
        wanted = self._total.wanted
        while self._started < wanted.kills and time.monotonic() < self._ends_at:
            number, self._next = self._next, self._next + 1
            kills = min(wanted.per_episode, wanted.kills - self._started)
            self._started += kills
            self._total.episodes.append(await self._episode(lane, wanted.seed + number, kills))

    async def _episode(self, lane: _Lane, seed: int, kills: int) -> Report:
        folder = self._total.folder / f"episode-{lane.database.name}-{seed}"
        async with lane.database.copied(f"episode-{seed}") as database:
            world = copy_world(lane.template, folder, database)
            episode = self._made(lane, world, seed)
            report = episode.report
            try:
                async with episode.open():
                    await episode.run(kills, self._rare)
            except (NodeEnded, TimeoutError) as error:
                report.findings.append(Finding(Broken.ENDED, f"{type(error).__name__}: {error}"))
        self._rare.update(report.by_point)
        report.database = lane.database.name
        if not report.findings and not self._total.wanted.is_kept:
            remove_world(folder)
        return report

    def _made(self, lane: _Lane, world: World, seed: int) -> Episode:
        every = self._total.wanted.restored_every
        if (seed - self._total.wanted.seed) % every == every - 1:
            return RestoredEpisode(lane.stage, world, seed, lane.database)
        return Episode(lane.stage, world, seed)


def replay_of(report: Report) -> str:
    """Say how to run an episode again."""
    return f"make crash SEED={report.seed} KILLS={report.kills} DATABASE={report.database} PLANTS=no"


def lines_of(reports: Sequence[Report]) -> list[str]:
    """Show what was found, and how to find it again."""
    lines = []
    for report in reports:
        lines.append(f"seed {report.seed} on {report.database}: {len(report.findings)} findings; {replay_of(report)}")
        lines.extend(f"  {finding.broken}: {finding.text}" for finding in report.findings[:10])
    return lines
