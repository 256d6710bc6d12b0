"""A platform started anew over a database with open business, timed until every account is in order; prints JSON.

`python -m tradewind.bench.restarted '{...}'` is the real platform in a process of its own, as `serve` runs it but for
the web server. Times count from the moment its parent started it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from tradewind.app import App, build
from tradewind.bench.child import Place
from tradewind.bench.fanout import Bed, settings_of
from tradewind.bench.now import CLOCK
from tradewind.bench.responder import loop_factory
from tradewind.bench.watcher import cpu_s
from tradewind.execution import service as execution
from tradewind.infra import log

_LOOK_S = 0.1


async def run(bed: Bed, place: Place, accounts: int, within_s: float) -> dict[str, Any]:
    """Start the platform and return what its reports say once every account is in order, or the time is over."""
    began_at = CLOCK.now()
    app = build(settings_of(bed, place))
    platform = asyncio.create_task(app.run(), name="platform")
    try:
        ready_at = await _ready(app, platform)
        cpu_ready_s = cpu_s()
        outstanding = app.engine.recovery.outstanding()
        computed = [each.within_s for each in outstanding if each.within_s is not None]
        await _all_green(app, platform, within_s)
        reports = await app.db.read(lambda tx: execution.recovery_reports(tx, None, accounts * 10))
        return {
            "ready_at": ready_at.isoformat(),
            "computed_s": max(computed, default=None),
            "weight_computed": sum(each.weight for each in outstanding),
            "cpu_ready_s": round(cpu_ready_s, 3),
            "cpu_s": round(cpu_s(), 3),
            "waiting": sum(each.accounts for each in app.engine.recovery.outstanding()),
            **_summary(reports, began_at),
        }
    finally:
        platform.cancel()
        await asyncio.gather(platform, return_exceptions=True)


async def _ready(app: App, platform: asyncio.Task[None]) -> datetime:
    ready = asyncio.create_task(app.is_ready.wait())
    await asyncio.wait({ready, platform}, return_when=asyncio.FIRST_COMPLETED)
    if platform.done():
        await platform
    return CLOCK.now()


async def _all_green(app: App, platform: asyncio.Task[None], within_s: float) -> None:
    give_up = CLOCK.monotonic() + within_s
    while not platform.done() and CLOCK.monotonic() < give_up:
        if not any(each.accounts for each in app.engine.recovery.outstanding()):
            return
        await asyncio.sleep(_LOOK_S)


def _summary(reports: list[execution.RecoveryReport], began_at: datetime) -> dict[str, Any]:
    mine = [each for each in reports if each.started_at >= began_at]
    green = [each for each in mine if each.cause == "start" and each.green_at is not None]
    return {
        "green_at": sorted(each.green_at.isoformat() for each in green if each.green_at is not None),
        "looks": sum(each.looks for each in mine),
        "orders": sum(each.orders for each in green),
        "positions": sum(each.positions for each in green),
        "differences": sum(each.differences for each in mine),
        "weight": sum(each.weight for each in mine),
    }


def main() -> None:
    """Read bed, place and size from the command line."""
    asked = json.loads(sys.argv[1])
    log.configure(level=asked["log"], as_json=True)
    bed, place = Bed(Path(asked["folder"]), asked["database"]), Place(**asked["place"])
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        found = runner.run(run(bed, place, asked["accounts"], asked["within_s"]))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
