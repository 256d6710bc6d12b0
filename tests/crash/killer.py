"""The driver behind the fault points: counts each of them, and ends or holds up the process at a chosen one.

The counts stand in a shared file mapping, because a process that is killed reports nothing any more.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tradewind.infra.points import Point

_POINTS = list(Point)
_CELL = struct.Struct("<I")
_SIZE = _CELL.size * len(_POINTS)


@dataclass(frozen=True, slots=True)
class Strike:
    """What to do when `point` is reached for the `nth` time: SIGKILL after `delay_ms`.

    With `hold_ms` nobody dies: the thread that reached it stands still for as long, as in a paused process.
    """

    point: Point
    nth: int = 1
    delay_ms: int = 0
    hold_ms: int = 0


class Killer:
    """Called at every point, on whatever thread reaches it."""

    def __init__(self, counts: Path, strike: Strike | None) -> None:
        with counts.open("r+b") as file:
            self._cells = mmap.mmap(file.fileno(), _SIZE)
        self._strike = strike
        self._seen = 0
        self._lock = threading.Lock()

    def __call__(self, point: Point) -> None:
        """Count the point; strike if it is the one."""
        with self._lock:
            at = _POINTS.index(point) * _CELL.size
            _CELL.pack_into(self._cells, at, _CELL.unpack_from(self._cells, at)[0] + 1)
            strike = self._strike
            if strike is None or point is not strike.point:
                return
            self._seen += 1
            if self._seen != strike.nth:
                return
        if strike.hold_ms:
            time.sleep(strike.hold_ms / 1_000)
        elif strike.delay_ms:
            timer = threading.Timer(strike.delay_ms / 1_000, _die)
            timer.daemon = True
            timer.start()
        else:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def create_counts(path: Path) -> None:
    """Make the file of an episode's counts."""
    path.write_bytes(b"\0" * _SIZE)


def read_counts(path: Path) -> dict[Point, int]:
    """Read how often each point was reached."""
    data = path.read_bytes()
    return {point: _CELL.unpack_from(data, number * _CELL.size)[0] for number, point in enumerate(_POINTS)}
