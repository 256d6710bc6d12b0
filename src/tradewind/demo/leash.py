"""Run `tradewind VERB ...` as a child that cannot outlive its parent.

The parent keeps the child's standard input open. When the parent goes, however it goes, the pipe ends and
the child tells itself to stop as if somebody had pressed Ctrl-C: `python -m tradewind.demo.leash serve`.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def hold() -> None:
    """Stop this process when standard input ends."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1_024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="leash", daemon=True).start()


def main() -> None:
    """Run the command line on the leash."""
    hold()
    sys.argv[0] = "tradewind"
    runpy.run_module("tradewind", run_name="__main__")


if __name__ == "__main__":
    main()
