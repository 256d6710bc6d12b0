"""`tradewind serve`: the platform in one process, API and trading together.

The order of starting matters: owner lock, then schema, then key, then everything else. Whatever ends first,
the API or the engine, ends the other; a broken engine must not leave an API behind that looks alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer
import uvicorn

from tradewind.app import App, build
from tradewind.app.restore import RESTORED, begin_restore, demand_complete, wants_restore
from tradewind.cli.start import create_first_kek, created_db, owner_lock, settings_of
from tradewind.config import Settings
from tradewind.core.errors import Conflict, InvalidInput, Unavailable
from tradewind.execution.restoring import Restore
from tradewind.infra import log
from tradewind.infra.clock import SystemClock
from tradewind.infra.db import CommitInDoubt, OwnerLost
from tradewind.infra.heap import settle_heap
from tradewind.infra.ids import RandomIds
from tradewind.infra.log_sink import LogSink
from tradewind.sim.exchange_store import StoreBusy
from tradewind.sim.tape import TapeError

_log = log.logger("cli.serve")
# Requests in flight may finish; a fan-out is not waited for, recovery finds it.
_GRACE_S = 10
_STUCK = 70


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65_535)] = None,
    after_restore: Annotated[
        bool,
        typer.Option(
            "--after-restore",
            help="A backup was put back: adopt from the venues what our orders did since, account by account. Good for "
            "one restore; a start with nothing missing is a start like any other.",
        ),
    ] = False,
) -> None:
    """Run the platform until it is told to stop (Ctrl-C or SIGTERM)."""
    settings = settings_of(context)
    settings = replace(settings, host=host or settings.host, port=settings.port if port is None else port)
    sink = LogSink(sys.stderr)
    log.configure(level=settings.log.level, as_json=settings.log.json, sink=sink)
    lock = owner_lock(settings)
    lock.acquire()
    try:
        prepare(settings, after_restore=after_restore)
        if lock.passes_to_writer:
            lock.release()
        with _listener(settings.host, settings.port) as listener:
            _run(settings, listener)
    finally:
        lock.release()


def prepare(settings: Settings, *, after_restore: bool = False) -> None:
    """Give an empty database its schema and, on the first start, a key.

    Raises Conflict for an older schema, and for a database that has forgotten something unless it is told so;
    Unavailable for a damaged file: orders are not built on what cannot be read.
    """
    clock = SystemClock()
    with created_db(settings) as db:
        create_first_kek(db, settings)
        if after_restore and wants_restore(db, settings, clock):
            typer.echo(begun_text(begin_restore(db, settings, clock, RandomIds(clock))), err=True)
            return
        demand_complete(db, settings, clock)
        if after_restore:
            typer.echo(
                "Nothing to restore: this database has everything that its high-water marks have seen, so this is a "
                "start like any other, and --after-restore may be left out. If a backup was put back all the same, and "
                f"the marks with it (a whole machine rolled back), end this and say so: {RESTORED}.",
                err=True,
            )


def begun_text(restore: Restore) -> str:
    """Say what happens to a database that was put back."""
    return (
        f"Nothing is known of the time since {restore.since:%Y-%m-%d %H:%M:%S} UTC: what our orders did since "
        "is adopted from the venues, account by account. `tradewind recovery` shows how far it is."
    )


def _listener(host: str, port: int) -> socket.socket:
    """Take the port before anything is started. Raises Unavailable where it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Unavailable(
            "port_unavailable", f"Port {port} of {host} cannot be used: {error.strerror}. Choose another with --port."
        ) from None


def _run(settings: Settings, listener: socket.socket) -> None:
    loop_factory = asyncio.new_event_loop
    with contextlib.suppress(ImportError):  # not on Windows
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> None:
    try:
        app = build(settings, is_owner=True)
    except ValueError as error:  # venue settings that contradict each other
        raise InvalidInput("settings", f"The platform cannot be built with these settings: {error}.") from error
    server = _Server(
        uvicorn.Config(
            app.asgi,
            log_config=None,
            # Webhook addresses are secrets; uvicorn would print every path.
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    with _stopped_by_signals(server):
        await _run_together(app, server, listener)


async def _run_together(app: App, server: uvicorn.Server, listener: socket.socket) -> None:
    """Run engine and API; the first to end, well or badly, ends the other."""
    engine = asyncio.create_task(app.run(), name="engine")
    api = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    settling = asyncio.create_task(_settle_when_ready(app), name="heap")
    try:
        await asyncio.wait({engine, api}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        # First the API, so that nothing new is accepted; then the engine.
        await asyncio.wait({api}, timeout=_GRACE_S + 1)
    finally:
        await _end(settling, api, engine)
    for task in (engine, api):
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("cli.serve.ended_badly", task=task.get_name(), error=type(error).__name__)
            raise for_people(error) from error


def for_people(error: BaseException) -> BaseException:
    """Turn what can happen to a sound program into a sentence; a mistake of ours stays as it is."""
    if isinstance(error, BaseExceptionGroup):
        if error.subgroup(OwnerLost) is not None:
            return Conflict(
                "database_taken_over",
                "Another Tradewind has taken this database over. This one sends nothing more and has ended.",
            )
        inner = error.subgroup(CommitInDoubt)
        return error if inner is None else CommitInDoubt("The database could not confirm a commit")
    if isinstance(error, StoreBusy | TapeError):
        return Unavailable("paper_venue", f"The built-in paper venue cannot start: {error}")
    return error


async def _settle_when_ready(app: App) -> None:
    await app.is_ready.wait()
    settle_heap()


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    _, stuck = await asyncio.wait(tasks, timeout=_GRACE_S)
    if stuck:
        # An end that never comes would keep the owner lock; recovery from disk is made for this.
        _log.error("cli.serve.stuck", tasks=[task.get_name() for task in stuck])
        log.drain()
        os._exit(_STUCK)


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handling: signals end engine and API together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_stopped_by_signals`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer and say where."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            _log.info("cli.serve.listening", url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


@contextlib.contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = server.should_exit  # a second signal does not wait for requests in flight
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
