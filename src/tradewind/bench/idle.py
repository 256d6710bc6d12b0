"""What a linked account costs while nothing happens: the resident memory of a platform with N of them.

`python -m tradewind.bench.idle '{...}'` runs the platform on a venue, waits until every account's stream is up and
was looked at, prints its resident memory in bytes and ends. The difference of two such runs is the accounts' share.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
from pathlib import Path

from tradewind.bench.child import Place
from tradewind.bench.fanout import Bed, running
from tradewind.bench.responder import loop_factory
from tradewind.infra import log


async def run(bed: Bed, place: Place) -> int:
    """Start the platform, let it settle, return its resident memory in bytes."""
    async with running(bed, place):
        gc.collect()
        _trim()
        return _resident_bytes()


def _trim() -> None:
    """Give back to the system what was freed; start-up leaves holes that are not the accounts'."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another libc: the figure is a little higher
        return


def _resident_bytes() -> int:
    """Read the resident set; Linux only, as performance.md was measured."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4_096


def main() -> None:
    """Read bed and place from the command line."""
    asked = json.loads(sys.argv[1])
    log.configure(level="ERROR", as_json=True)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        resident = runner.run(run(Bed(Path(asked["folder"]), asked["database"]), Place(**asked["place"])))
    sys.stdout.write(f"{resident}\n")


if __name__ == "__main__":
    main()
