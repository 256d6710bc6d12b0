"""Where log lines go: through a bounded queue and a thread of its own, so that no log ever holds up an order.

A sink that is full or gone loses lines, and one that is slow loses what the queue cannot hold; both are counted, and
the next line that can be written tells how many are missing (reliability.md section 3, fault 93).
"""

from __future__ import annotations

import atexit
import queue
import threading
from typing import Protocol

_LINES_MAX = 10_000
# A process that ends waits so long for a slow sink, and no longer.
_END_S = 1.0


class Stream(Protocol):
    """What lines are written to."""

    def write(self, text: str, /) -> object:
        """Write a text."""
        ...

    def flush(self) -> object:
        """Have it leave the process."""
        ...


class LogSink:
    """A text stream that never blocks and never raises; as good as standard error for whoever logs."""

    def __init__(self, stream: Stream, *, lines_max: int = _LINES_MAX) -> None:
        self._stream = stream
        self._lines: queue.Queue[str] = queue.Queue(lines_max)
        self._missing = 0
        self._is_idle = threading.Event()
        self._is_idle.set()
        threading.Thread(target=self._run, name="log", daemon=True).start()
        atexit.register(self.drain)

    @property
    def missing(self) -> int:
        """Lines lost since the last one that told of it."""
        return self._missing

    def write(self, text: str) -> int:
        """Hand a text over; lost where too much is waiting already."""
        self._is_idle.clear()
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._missing += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread flushes."""

    def drain(self, timeout_s: float = _END_S) -> bool:
        """Wait until everything is written, at most so long; False if something is still waiting."""
        return self._is_idle.wait(timeout_s)

    def _run(self) -> None:
        while True:
            text = self._lines.get()
            missing = self._missing
            told = f"log lines lost here: {missing}\n" if missing and text.strip() else ""
            try:
                self._stream.write(told + text)
                self._stream.flush()
            except (OSError, ValueError):
                # Full, or closed: nobody can be told now.
                self._missing += 1
            else:
                self._missing -= missing if told else 0
            if self._lines.empty():
                self._is_idle.set()
