"""The databases a run is on: a fresh copy of a built world for every episode."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.crash.worlds import World

from tradewind.demo.private_postgresql import PrivatePostgreSQL

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
DATABASES = (SQLITE, POSTGRESQL)
_TEMPLATE = "crash_template"


@dataclass(frozen=True, slots=True)
class Database:
    """One kind of database; `url` is the one in which the world is built, empty for a file in its own folder."""

    name: str
    url: str = ""
    server: PrivatePostgreSQL | None = None

    @contextlib.asynccontextmanager
    async def copied(self, label: str) -> AsyncIterator[str]:
        """Copy the built world's database for one episode; a file is copied with its folder."""
        if self.server is None:
            yield ""
            return
        template = _name_in(self.url)
        name = f"crash_{label.replace('-', '_')}"
        url = await asyncio.to_thread(self.server.make_database, name, template=template)
        try:
            yield url
        finally:
            await asyncio.to_thread(self.server.drop_database, name)
            await asyncio.to_thread(self.server.drop_database, _backup_of(name))

    async def back_up(self, world: World) -> None:
        """Copy an episode's database; no process works on it."""
        if self.server is None:
            await asyncio.to_thread(_copy_files, world.folder / "data", world.folder / "backup")
            return
        name = _name_in(world.database)
        await asyncio.to_thread(self.server.make_database, _backup_of(name), template=name)

    async def put_back(self, world: World) -> None:
        """Put the copy in the place of the database; the high-water mark beside it stays as it is."""
        if self.server is None:
            await asyncio.to_thread(_copy_files, world.folder / "backup", world.folder / "data")
            return
        name = _name_in(world.database)
        await asyncio.to_thread(self.server.drop_database, name)
        await asyncio.to_thread(self.server.make_database, name, template=_backup_of(name))


def _name_in(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _backup_of(name: str) -> str:
    return f"{name}_backup"


def _copy_files(source: Path, target: Path) -> None:
    """Copy an SQLite database with its write-ahead log, over one that may be there."""
    target.mkdir(exist_ok=True)
    for ending in ("", "-wal", "-shm"):
        (target / f"tradewind.db{ending}").unlink(missing_ok=True)
    for ending in ("", "-wal"):
        file = source / f"tradewind.db{ending}"
        if file.exists():
            shutil.copy(file, target)


@contextlib.asynccontextmanager
async def open_databases(names: tuple[str, ...]) -> AsyncIterator[list[Database]]:
    """Have the databases of these names ready; PostgreSQL is a server of our own, ended afterwards."""
    with contextlib.ExitStack() as opened:
        found = []
        for name in names:
            if name == SQLITE:
                found.append(Database(SQLITE))
                continue
            server = await asyncio.to_thread(PrivatePostgreSQL.create)
            opened.callback(server.remove)
            await asyncio.to_thread(server.start)
            found.append(Database(POSTGRESQL, server.make_database(_TEMPLATE), server))
        yield found
