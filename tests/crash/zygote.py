"""A parent that has imported everything once and forks the processes of the harness.

A fresh interpreter needs more than a second to import the platform; a forked one starts at once, so that a
thousand kills fit into minutes. What is forked is a process of its own: it opens database, vault and venue
itself, shares nothing with its parent but imported modules, and SIGKILL ends it like any other. No thread
runs here before or after a fork.

One JSON line in: {"do": "start", "id", "what": "node" | "exchange", "spec": {...}, "log": path}, or
{"do": "kill" | "stop" | "dump", "id"}. One JSON line out: {"event": "started", "id", "pid"} and
{"event": "ended", "id", "signal", "code"}. When the input ends, so do all children.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tests.crash import exchange, node

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGTERM, "dump": signal.SIGUSR1}
_KINDS: Mapping[str, Callable[[dict[str, Any]], None]] = {"node": node.main, "exchange": exchange.main}
_CRASHED = 70


class Zygote:
    """The loop of the parent."""

    def __init__(self) -> None:
        self._children: dict[str, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def run(self) -> None:
        """Obey until the input ends, then take all children along."""
        pending = b""
        try:
            while True:
                ready, _, _ = select.select([0, self._wake_read], [], [])
                if self._wake_read in ready:
                    os.read(self._wake_read, 4_096)
                    self._reap()
                if 0 in ready:
                    data = os.read(0, 65_536)
                    if not data:
                        return
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        self._obey(json.loads(line))
        finally:
            for pid in self._children.values():
                os.kill(pid, signal.SIGKILL)

    def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "start":
            self._start(order)
        elif (pid := self._children.get(order["id"])) is not None:
            # Not reaped yet, so the id cannot have been given to another process.
            os.kill(pid, _SIGNALS[order["do"]])

    def _start(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(order)
        self._children[order["id"]] = pid
        _say({"event": "started", "id": order["id"], "pid": pid})

    def _become(self, order: dict[str, Any]) -> None:
        code = _CRASHED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._wake_read)
            os.close(self._wake_write)
            log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            _KINDS[order["what"]](order["spec"])
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for name, pid in list(self._children.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found == 0:
                continue
            del self._children[name]
            is_signal = os.WIFSIGNALED(status)
            _say(
                {
                    "event": "ended",
                    "id": name,
                    "signal": os.WTERMSIG(status) if is_signal else None,
                    "code": None if is_signal else os.WEXITSTATUS(status),
                }
            )


def _say(line: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


def main() -> None:
    """Import everything (done above), keep it out of the collector's way, and wait for orders."""
    gc.collect()
    gc.freeze()
    _say({"event": "ready"})
    Zygote().run()


if __name__ == "__main__":
    main()
