"""Where a run's CPU goes: stacks of every thread, each weighed by the CPU its thread used since the one before.

A sampler in the same process, so it costs some of what it measures: read the shares, not the sums. The clock of
each thread is the system's own (CLOCK_THREAD_CPUTIME), so a thread that waits weighs nothing. A sample is taken when
the interpreter lets the sampler in: what runs long in C is charged to the Python line that called it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_EVERY_S = 0.004
# A thread that runs Python gives way to the sampler after this, not after five milliseconds.
_SWITCH_S = 0.001
# Lines of each list that are printed.
_TOP = 25
_PACKAGE = Path(__file__).parent.parent.parent


@dataclass(slots=True)
class ThreadShare:
    """What one thread, or several of one kind, spent: by the function on top, and by every function on the stack."""

    cpu_s: float = 0.0
    own: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    whole: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(slots=True)
class Profile:
    """CPU by kind of thread, since the sampler was started."""

    shares: dict[str, ThreadShare] = field(default_factory=dict)
    _used: dict[int, float] = field(default_factory=dict)

    def sample(self) -> None:
        """Look at every thread once."""
        names = {thread.ident: _kind(thread.name) for thread in threading.enumerate()}
        me = threading.get_ident()
        for ident, frame in sys._current_frames().items():
            if ident == me:
                continue
            now = time.clock_gettime(time.pthread_getcpuclockid(ident))
            spent = now - self._used.get(ident, now)
            self._used[ident] = now
            if spent > 0:
                self._take(names.get(ident) or "other", frame, spent)

    def rows(self, orders: int) -> list[dict[str, Any]]:
        """Return the shares, biggest thread first, in microseconds for each of so many orders."""
        per = 1e6 / max(orders, 1)
        return [
            {
                "thread": name,
                "us_per_order": round(share.cpu_s * per, 1),
                "own": _top(share.own, per),
                "with_callees": _top(share.whole, per),
            }
            for name, share in sorted(self.shares.items(), key=lambda item: -item[1].cpu_s)
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sample every thread of this process until the end of the block."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(_EVERY_S):
                self.sample()

        before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        self._used.clear()
        self.sample()
        sampler = threading.Thread(target=run, name="sampler", daemon=True)
        sampler.start()
        try:
            yield
        finally:
            stop.set()
            sampler.join()
            sys.setswitchinterval(before)

    def _take(self, name: str, frame: FrameType, spent: float) -> None:
        share = self.shares.setdefault(name, ThreadShare())
        share.cpu_s += spent
        share.own[_label(frame.f_code)] += spent
        seen: set[str] = set()
        at: FrameType | None = frame
        while at is not None:
            label = _label(at.f_code)
            if label not in seen:
                seen.add(label)
                share.whole[label] += spent
            at = at.f_back


def _kind(name: str) -> str:
    """Threads of one pool are one kind."""
    return "event loop" if name == "MainThread" else name.rsplit("_", 1)[0]


@cache
def _label(code: CodeType) -> str:
    path = Path(code.co_filename)
    try:
        shown = path.relative_to(_PACKAGE).as_posix()
    except ValueError:
        shown = "/".join(path.parts[-2:])
    return f"{shown}:{code.co_qualname}"


def _top(found: Mapping[str, float], per: float) -> list[tuple[str, float]]:
    biggest = sorted(found.items(), key=lambda item: -item[1])[:_TOP]
    return [(label, round(seconds * per, 1)) for label, seconds in biggest]
