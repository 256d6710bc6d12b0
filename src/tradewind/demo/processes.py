"""The demo's two child processes: started, waited for, and ended by their own id in every case."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tradewind.core.errors import Unavailable

# A cold start reads 2,000 modules; a slow machine needs a while for that.
_READY_S = 60.0
_LOOK_EVERY_S = 0.05
# The platform lets requests in flight finish for 10 s.
_STOP_S = 15.0
_TAIL_LINES = 12


@dataclass(slots=True)
class Child:
    """One child; `output` and `log` are its standard output and error as files."""

    name: str
    folder: Path
    arguments: Sequence[str]
    environment: Mapping[str, str]
    _process: asyncio.subprocess.Process | None = None
    _files: list[BinaryIO] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / f"{self.name}.out"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it, out of reach of the terminal's Ctrl-C: its end is this process's business."""
        self._files = [self.output.open("wb"), self.log.open("wb")]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tradewind.demo.leash",
            *self.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=self._files[0],
            stderr=self._files[1],
            env={**_inherited(), **self.environment},
            start_new_session=True,
        )

    async def ready(self, file: Path, event: str) -> dict[str, Any]:
        """Wait for a JSON line with this event in a file of its own. Raises Unavailable with its last words."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_S
        while loop.time() < deadline:
            found = _find_event(file, event)
            if found is not None:
                return found
            self.demand_alive()
            await asyncio.sleep(_LOOK_EVERY_S)
        raise Unavailable("child_slow", f"The {self.name} did not come up within {_READY_S:.0f} s.{self._last_words()}")

    def demand_alive(self) -> None:
        """Raise Unavailable with its last words if it has ended."""
        process = self._process
        if process is not None and process.returncode is not None:
            raise Unavailable(
                "child_ended",
                f"The {self.name} {_ending(process.returncode)}.{self._last_words()}",
            )

    async def stop(self) -> int | None:
        """End it, politely first; safe to call at any time and twice. Returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        for file in self._files:
            file.close()
        return process.returncode

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "" if not lines else " Its last words:\n" + "\n".join(f"  {line}" for line in lines)


def _ending(code: int) -> str:
    return f"ended by itself with code {code}" if code >= 0 else f"was ended by signal {-code}"


def _inherited() -> dict[str, str]:
    """This process's environment without settings of Tradewind: the demo's own are all there are."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRADEWIND_")}


def _find_event(file: Path, event: str) -> dict[str, Any] | None:
    for line in file.read_text("utf-8", errors="replace").splitlines():
        if not line.startswith("{"):
            continue
        with contextlib.suppress(json.JSONDecodeError):
            said = json.loads(line)
            if said.get("event") == event:
                return dict(said)
    return None
