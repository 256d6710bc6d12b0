"""The driver's side of the processes: starts them through the zygote, talks to them, sees them end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

# Importing the platform and the simulator on a busy machine.
_ZYGOTE_READY_S = 60.0
_HELLO_S = 20.0
T = TypeVar("T")
_REPOSITORY = Path(__file__).parents[2]


class ChildEnded(Exception):
    """The process is gone."""


@dataclass(slots=True)
class Ended:
    """How a process ended: by a signal, or by itself with a code."""

    signal: int | None
    code: int | None


@dataclass(slots=True)
class Child:
    """A process of the harness, and the socket to it."""

    name: str
    stage: Stage
    hello: asyncio.Future[dict[str, Any]]
    ended: asyncio.Future[Ended]
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    pid: int = 0
    _writer: asyncio.StreamWriter | None = None
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _last_id: int = 0

    @property
    def is_alive(self) -> bool:
        return not self.ended.done()

    async def greeting(self) -> dict[str, Any]:
        """Wait for its first words. Raises ChildEnded."""
        return await self._or_ended(self.hello, _HELLO_S)

    async def ready(self, within_s: float = _HELLO_S) -> None:
        """Wait until the platform says that it is ready. Raises ChildEnded."""
        waiter: asyncio.Future[bool] = asyncio.ensure_future(self.is_ready.wait())
        try:
            await self._or_ended(waiter, within_s)
        finally:
            waiter.cancel()

    async def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order and wait for its answer. Raises ChildEnded where none comes any more."""
        if self._writer is None or not self.is_alive:
            raise ChildEnded(self.name)
        self._last_id += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._last_id] = answer
        self._writer.write(json.dumps({**order, "id": self._last_id}).encode() + b"\n")
        return await self._or_ended(answer, _HELLO_S)

    async def kill(self) -> Ended:
        """SIGKILL, now."""
        self.stage.order(do="kill", id=self.name)
        return await self.ended

    async def stop(self) -> Ended:
        """SIGTERM."""
        self.stage.order(do="stop", id=self.name)
        return await self.ended

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what it says until it is gone."""
        self._writer = writer
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                said = json.loads(line)
                if said.get("event") == "ready":
                    self.is_ready.set()
                elif said.get("event") == "answer":
                    answer = self._answers.pop(said["id"], None)
                    if answer is not None and not answer.done():
                        answer.set_result(said)
        writer.close()

    async def _or_ended(self, what: asyncio.Future[T], within_s: float) -> T:
        either: set[asyncio.Future[Any]] = {what, self.ended}
        await asyncio.wait(either, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if what.done():
            return what.result()
        if self.ended.done():
            raise ChildEnded(self.name)
        self.stage.order(do="dump", id=self.name)
        await asyncio.sleep(0.5)
        raise TimeoutError(f"{self.name} said nothing within {within_s:.0f} s; its stacks are in its log")


@dataclass(slots=True)
class Stage:
    """One zygote and its children."""

    folder: Path
    _process: asyncio.subprocess.Process | None = None
    _children: dict[str, Child] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _count: int = 0

    @property
    def control(self) -> Path:
        """The socket on which children say hello."""
        return self.folder / "control.sock"

    async def start(self) -> None:
        """Start the zygote and wait until it has imported everything."""
        self._server = await asyncio.start_unix_server(self._welcome, self.control)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.crash.zygote",
            cwd=_REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(_ZYGOTE_READY_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the zygote did not come up; its error is above")

    async def run(self) -> None:
        """Take the zygote's reports until cancelled or it ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            child = self._children[said["id"]]
            if said["event"] == "started":
                child.pid = said["pid"]
            else:
                del self._children[said["id"]]
                child.ended.set_result(Ended(said["signal"], said["code"]))

    def spawn(self, what: str, spec: dict[str, Any], log: Path) -> Child:
        """Fork a process."""
        self._count += 1
        name = f"{what}-{self._count}"
        loop = asyncio.get_running_loop()
        child = Child(name, self, loop.create_future(), loop.create_future())
        self._children[name] = child
        self.order(
            do="start", id=name, what=what, log=str(log), spec={**spec, "id": name, "control": str(self.control)}
        )
        return child

    def order(self, **order: Any) -> None:
        """Tell the zygote to do something."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def stop(self) -> None:
        """End the zygote, which takes its children along."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()
        if self._server is not None:
            self._server.close()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        said = json.loads(line) if line else {}
        child = self._children.get(said.get("hello", ""))
        if child is None:
            writer.close()
            return
        if not child.hello.done():
            child.hello.set_result(said)
        await child.listen(reader, writer)


@contextlib.asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    """Start a zygote for one run; `folder` must have a short path, a socket stands in it."""
    stage = Stage(folder)
    await stage.start()
    reports = asyncio.create_task(stage.run(), name="zygote")
    try:
        yield stage
    finally:
        await stage.stop()
        reports.cancel()
        await asyncio.gather(reports, return_exceptions=True)
