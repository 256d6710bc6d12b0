"""The demo from first to last: start both processes, enrol everybody, play the story, check, end everything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import RenderableType
from rich.text import Text

from tradewind.core.errors import Conflict, InvalidInput, Unavailable
from tradewind.demo.acts import Acts
from tradewind.demo.calls import Door, Exchange, open_session, wait_until_served
from tradewind.demo.cast import build_cast
from tradewind.demo.check import Verdict
from tradewind.demo.database import SQLITE, Journal, demo_database
from tradewind.demo.foundation import Foundation, Places, lay_foundation
from tradewind.demo.players import Players
from tradewind.demo.processes import Child
from tradewind.demo.screen import PLAIN_WIDTH, Screen, demand_capturable, save_capture
from tradewind.demo.stage import Row, Stage
from tradewind.demo.story import Story, choose_story
from tradewind.demo.summary import Run, build_object, summary_lines, verdict_lines
from tradewind.demo.view import fan_table, header, log_texts, positions_table
from tradewind.sim.tape import TapeError
from tradewind.sim.tape_files import load_tape

SERVE_PORT = 8_000
_DISAGREE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    seed: int
    tape: str
    speed: Decimal | None
    serves: bool
    as_json: bool
    keep: Path | None
    capture: Path | None
    # sqlite, postgresql (a private server), or the address of an empty PostgreSQL database.
    database: str = SQLITE


class _Ended(BaseException):
    """Somebody pressed Ctrl-C or sent a signal; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(options: Options) -> int:
    """Run the demo; return the exit code: 0 if both sides agree, 1 if not, 128 + n after signal n."""
    demand_capturable(options.capture)
    if options.serves:
        _demand_free_port(SERVE_PORT)
    with _folder(options) as root:
        demo = _Demo(options, Places(root))
        try:
            with demo_database(options.database, demo.places) as journal:
                demo.journal = journal
                return asyncio.run(_until_signal(demo.play()))
        except _Ended as ended:
            # Ctrl-C is how --serve is meant to end.
            return 128 + ended.number if demo.served_code is None else demo.served_code


async def _until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Await the work; a signal cancels it, waits for its cleaning up, and is told as _Ended."""
    loop = asyncio.get_running_loop()
    task: asyncio.Task[int] = loop.create_task(work)
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if caught:
            raise _Ended(caught[0]) from None
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _folder(options: Options) -> Iterator[Path]:
    """A folder of the demo's own; gone at the end unless it is to be kept."""
    if options.keep is None:
        root = Path(tempfile.mkdtemp(prefix="tradewind-demo-"))
        try:
            yield root
        finally:
            shutil.rmtree(root, ignore_errors=True)
        return
    if options.keep.exists() and any(options.keep.iterdir()):
        raise InvalidInput("keep_not_empty", f"The folder {options.keep} is not empty. Name a new one.")
    try:
        options.keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("keep_not_made", f"The folder {options.keep} cannot be made: {error.strerror}.") from None
    yield options.keep.absolute()


def _demand_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Conflict(
                "port_taken",
                f"Port {port} on 127.0.0.1 is taken. End what listens there, or run the demo without --serve.",
            ) from None


class _Demo:
    def __init__(self, options: Options, places: Places) -> None:
        self._options = options
        self.places = places
        self.journal = Journal("", "")
        self._cast = build_cast(options.seed)
        self.served_code: int | None = None

    async def play(self) -> int:
        """Play from first to last."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        story = await asyncio.to_thread(self._read_tape)
        stage = self._empty_stage(story)
        stage.say(_opening(story))
        with Screen(stage, to_stderr=self._options.as_json) as screen:
            screen.paint()
            async with self._stand(story, stage, screen) as players:
                acts = Acts(players, stage, story, self._cast, screen.paint)
                verdict = await acts.play()
                screen.close()
                played = Run(
                    seed=self._options.seed,
                    story=story,
                    first_signal=stage.first_signal,
                    users=len(self._cast),
                    refused=len(acts.refused),
                    duration_s=loop.time() - began,
                    repeat_had_same_id=acts.repeat_had_same_id,
                )
                self._close(stage, screen, acts, verdict, played)
                code = 0 if verdict.agrees else _DISAGREE
                if self._options.serves:
                    self.served_code = code
                    await self._keep_serving(screen, players, stage)
        return code

    def _read_tape(self) -> Story:
        try:
            tape = load_tape(self._options.tape)
        except TapeError as error:
            raise InvalidInput("tape", f"{error}") from None
        return choose_story(tape, self._cast, seed=self._options.seed, speed=self._options.speed)

    def _empty_stage(self, story: Story) -> Stage:
        rows = {person.number: Row(person) for person in self._cast}
        return Stage(tape=story.tape, seed=self._options.seed, speed=story.speed, rows=rows)

    @asynccontextmanager
    async def _stand(self, story: Story, stage: Stage, screen: Screen) -> AsyncIterator[Players]:
        """Both processes running, reachable, and ended whatever happens."""
        places, options = self.places, self._options
        sim = Child("simulator", places.root, self._sim_arguments(story), places.environment())
        serve = Child("platform", places.root, ["serve", "--port", str(SERVE_PORT if options.serves else 0)], {})
        try:
            stage.say(f"starting the simulated exchange and the platform, two processes; journal: {self.journal.kind}")
            screen.paint()
            places.config.touch()
            await sim.start()
            foundation = await asyncio.to_thread(lay_foundation, places, self._cast, self.journal.address)
            addresses = await sim.ready(sim.output, "ready")
            serve.environment = {
                **places.environment(),
                **_venue_environment(addresses),
                "TRADEWIND_DATABASE": self.journal.address,
            }
            await serve.start()
            listening = await serve.ready(serve.log, "cli.serve.listening")
            async with open_session() as session:
                players = _players(session, addresses["control_url"], listening["url"], foundation, self.journal)
                players.children = (sim, serve)
                await wait_until_served(players.platform, "/api/v1/health")
                yield players
        except Unavailable:
            # A door that does not answer is the smaller half of the news if the process behind it is gone.
            sim.demand_alive()
            serve.demand_alive()
            raise
        finally:
            # The platform first: it may still want to ask the exchange something.
            await asyncio.shield(_stop(serve, sim))

    def _sim_arguments(self, story: Story) -> list[str]:
        options = self._options
        return [
            "sim",
            *("--tape", options.tape),
            *("--speed", str(story.speed)),
            *("--seed", str(options.seed)),
            *("--port", "0"),
            *("--store", str(self.places.exchange)),
        ]

    def _close(self, stage: Stage, screen: Screen, acts: Acts, verdict: Verdict, played: Run) -> None:
        told = build_object(played, acts.journal, acts.venue, verdict, acts.expected)
        told["database"] = self.journal.kind
        for part in _closing(stage, told, verdict, screen.console.width, with_log=screen.is_live):
            screen.console.print(part)
        if self._options.capture is not None:
            save_capture(_closing(stage, told, verdict, PLAIN_WIDTH, with_log=True), self._options.capture)
            screen.console.print(f"captured in {self._options.capture}", markup=False)
        if self._options.keep is not None:
            files = "data/tradewind.db, " if self._options.database == SQLITE else ""
            screen.console.print(f"kept in {self._options.keep}: {files}exchange.db, *.log", markup=False)
        if self._options.as_json:
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()

    async def _keep_serving(self, screen: Screen, players: Players, stage: Stage) -> None:
        """Stay until somebody ends it, or one of the two processes does."""
        await players.exchange.tape("resume")
        for line in _addresses(players, stage):
            screen.console.print(line, soft_wrap=True, markup=False)
        try:
            while True:
                for child in players.children:
                    child.demand_alive()
                await asyncio.sleep(1.0)
        finally:
            screen.console.print("ending both processes", markup=False)


def _players(
    session: aiohttp.ClientSession, control_url: str, platform_url: str, foundation: Foundation, journal: Journal
) -> Players:
    return Players(
        session=session,
        platform=Door(session, platform_url, "platform"),
        exchange=Exchange(Door(session, control_url, "simulator")),
        foundation=foundation,
        journal=journal.address,
    )


async def _stop(*children: Child) -> None:
    for child in children:
        await child.stop()


def _venue_environment(addresses: dict[str, str]) -> dict[str, str]:
    prefix = "TRADEWIND_VENUES__BINANCE__PAPER__"
    return {
        f"{prefix}REST_URL": addresses["rest_url"],
        f"{prefix}WS_API_URL": addresses["ws_api_url"],
        f"{prefix}STREAM_URL": addresses["stream_url"],
    }


def _opening(story: Story) -> str:
    kind = "recorded prices" if story.is_recorded else "made-up prices"
    minutes, seconds = divmod(story.offset_ms // 1_000, 60)
    return (
        f"{kind} of {story.tape} from {minutes}:{seconds:02d} on at speed {story.speed}: a lively stretch of "
        f"{story.first.symbol}, chosen for what it will do to {story.stops} stops and {story.targets} targets"
    )


def _closing(
    stage: Stage, told: dict[str, Any], verdict: Verdict, width: int, *, with_log: bool
) -> list[RenderableType]:
    """The last picture: everything in full; lines that were printed as they came are not printed again."""
    good = verdict.agrees
    parts: list[RenderableType] = [header(stage), "", fan_table(stage, width), ""]
    if stage.positions:
        parts += [positions_table(stage), ""]
    if with_log:
        parts += [*(Text(text) for text in log_texts(stage)), ""]
    parts += [*(Text(line) for line in summary_lines(told)), ""]
    parts += [Text(line, style="bold green" if good else "bold red") for line in verdict_lines(verdict)]
    return parts


def _addresses(players: Players, stage: Stage) -> list[str]:
    foundation = players.foundation
    # Somebody who holds something, so that there is something to look at.
    holders = sorted({row.number for row in stage.positions.values()} or set(players.accounts))
    user = foundation.users[holders[0]]
    base = players.platform.base_url
    alert = '{"ticker": "ETHUSDT", "action": "buy"}'
    return [
        "",
        f"The platform runs on at {base} (API described at {base}/docs), on the simulated exchange",
        f"at {players.exchange.door.base_url} (its control API). The tape plays on. Play money only.",
        f"  operator    {foundation.operator.email}  token {foundation.operator.token}",
        f"  one user    {user.email}  token {user.token}",
        f"  positions   curl -H 'Authorization: Bearer {user.token}' {base}/api/v1/positions",
        f"  an alert    curl -d '{alert}' {base}{foundation.main.path}",
        "Ctrl-C ends both processes; their files go with them unless --keep was given.",
    ]
