"""The databases a run is on: a fresh copy of a built world for every episode."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

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
        template = urlsplit(self.url).path.removeprefix("/")
        name = f"crash_{label.replace('-', '_')}"
        url = await asyncio.to_thread(self.server.make_database, name, template=template)
        try:
            yield url
        finally:
            await asyncio.to_thread(self.server.drop_database, name)


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
