"""`tradewind serve` as a process of its own, in a private folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.database import address

# A cold start imports the whole platform and starts the paper venue; a loaded machine needs its time.
START_S = 60


def environment(folder: Path) -> dict[str, str]:
    """The environment of a command whose data lies in one folder, with no settings of this machine."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRADEWIND_")},
        "TRADEWIND_DATA_DIR": str(folder / "data"),
        "TRADEWIND_KEK_FILE": str(folder / "keys" / "kek"),
        "TRADEWIND_DATABASE": address(folder / "data" / "tradewind.db"),
        "TRADEWIND_LOG__JSON": "true",
        # Megabytes for each start would add up to gigabytes of tests.
        "TRADEWIND_DISK_RESERVE_MB": "0",
    }


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `serve` on a free port; yields the process and its address; ends it in every case."""
    log = folder / "serve.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tradewind", "serve", "--port", "0"],
            env=environment(folder),
            cwd=folder,
            stderr=file,
            text=True,
        )
    try:
        yield process, address_of(process, log)
    finally:
        process.kill()
        process.wait()


def address_of(process: subprocess.Popen[str], log: Path) -> str:
    """Wait until `serve` says where it listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            said = json.loads(line) if line.startswith("{") else {}
            if said.get("event") == "cli.serve.listening":
                return str(said["url"])
        time.sleep(0.05)
    raise AssertionError(f"serve did not come up: {log.read_text()}")
